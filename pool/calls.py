"""A call inside a pool, and what the queue wants of a worker. Records and a protocol; nothing here acts by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from pool.frames import Reply
from pool.streams import StreamBuffer


class Call:
    """A call from its submission to its end. `future` has its reply; `buffer` is set where it streams.

    `worker` is None while it waits in the queue; `lined` is set while it waits in a worker's socket, from where it may
    still be taken back. `launched_at` is in seconds of `time.perf_counter()`.
    """

    __slots__ = (
        "abandoned",
        "body",
        "bucket",
        "buffer",
        "deadline",
        "function",
        "future",
        "grace",
        "id",
        "launched_at",
        "lined",
        "meta",
        "number",
        "on_launch",
        "pinned",
        "worker",
    )

    def __init__(
        self,
        function: str,
        meta: bytes,
        body: bytes,
        deadline: float | None,
        future: asyncio.Future[Reply],
        stream: bool = False,
        on_launch: Callable[[str], None] | None = None,
    ) -> None:
        self.function = function
        self.meta = meta
        self.body = body
        self.deadline = deadline
        self.future = future
        self.on_launch = on_launch
        self.buffer = StreamBuffer(future) if stream else None
        self.worker: Slots | None = None
        self.pinned: str | None = None
        self.grace: asyncio.TimerHandle | None = None
        self.lined = self.abandoned = False
        self.id = self.bucket = self.number = 0
        self.launched_at = 0.0


class Slots(Protocol):
    """A worker as the queue sees it. `free` is how many more calls it may be given now."""

    @property
    def id(self) -> str:
        """Its name, unique within the pool."""
        ...

    @property
    def free(self) -> int:
        """Slots that are not taken."""
        ...

    @property
    def lined(self) -> int:
        """Calls that are lined up behind those that run."""
        ...

    @property
    def line_room(self) -> int:
        """How many more calls may be lined up now; 0 where a slot is free."""
        ...

    def take(self) -> None:
        """Reserve a slot."""
        ...

    def launch(self, call: Call) -> None:
        """Send a call into a taken slot; its end gives the slot back."""
        ...

    def line_up(self, call: Call) -> None:
        """Send a call ahead of its turn."""
        ...

    def take_back(self, *, pinned: bool = True) -> Call | None:
        """Return the call that was lined up last, or None where it can not be had any more, or is `pinned`."""
        ...

    def expire(self, call: Call) -> None:
        """End a running call whose deadline has passed."""
        ...

    def abandon(self, call: Call) -> None:
        """Say that nobody waits for a running call any more."""
        ...
