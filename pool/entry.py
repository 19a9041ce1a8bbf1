"""What a worker serves, as the child sees it: a protocol, so that the pool knows nothing of what implements it.

Imported by the child: standard library only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from types import FrameType
from typing import Protocol

Result = tuple[bool, bytes, bytes]
"""(ok, meta, body) of a finished call."""
Answer = tuple[bool, bytes]
"""(ok, body) of an ask. Where `ok` is false the body says why: a JSON object with `code`, `reason` and `message`."""


class Asker(Protocol):
    """How a running call asks the front something. It knows by itself which call runs where it is used.

    All raise AskRefused where no question can be asked, and let the cancel of the call through.
    """

    def ask(self, name: str, body: bytes) -> Answer:
        """Ask, and wait for the answer: for code that is not async."""
        ...

    async def aask(self, name: str, body: bytes) -> Answer:
        """Ask, and await the answer: for async code."""
        ...

    def tell(self, name: str, body: bytes) -> None:
        """Ask, and wait for no answer. The front hears it before the call's end."""
        ...


class Entry(Protocol):
    """What a worker serves. Failures of user code are results with ok=False, never exceptions.

    An entry may have `bind(asker)`: called once before the first call, with an `Asker` for the calls it will run.
    `stream` and `astream` yield the chunks and at last the result. `is_async` says which of the two sorts to use.
    Only a cancel leaves as an exception: `CallCancelled`, or on an event loop `asyncio.CancelledError`.
    """

    def preload(self) -> None:
        """Import what calls will need, as far as every fork of this process may share it: no model, thread, connection.

        Called in a template, from which workers are forked; a worker that starts afresh leaves it to `warm_up`.
        """
        ...

    def warm_up(self) -> None:
        """Load what the first call would wait for."""
        ...

    def catalogue(self) -> bytes:
        """Return what is served, opaque to the pool."""
        ...

    def is_async(self, function: str) -> bool:
        """Return whether a function runs on the event loop."""
        ...

    def interrupt(self, frame: FrameType | None) -> bool:
        """Cancel the call that runs on this entry's own event loop; False where `CallCancelled` is to be raised.

        Called by a signal handler, so it may come between any two instructions of the main thread, in `frame`.
        """
        ...

    def call(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call."""
        ...

    def stream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> Generator[bytes | Result, None, None]:
        """Run a streaming call; closed early where nobody reads on."""
        ...

    async def acall(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call on the event loop."""
        ...

    def astream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> AsyncGenerator[bytes | Result, None]:
        """Run a streaming call on the event loop; closed early where nobody reads on."""
        ...
