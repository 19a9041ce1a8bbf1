"""What a client of a server under test can do, and how its calls fail. Knows no protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol


class CallFailed(Exception):
    """A call did not come back well.

    `kind` is `deadline` where no answer came within the call's time, `refused` where the server said that it has too
    much to do, and `error` for everything else: an error from the server, or a connection that ended.
    """

    def __init__(self, kind: Literal["deadline", "refused", "error"], text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = " ".join(text.split())[:300]


class Client(Protocol):
    """One server's client. Cancelling a task that calls cancels the call, as the protocol does it."""

    async def call(self, function: str, arguments: dict[str, Any], timeout_s: float) -> Any:
        """Return the function's result. Raises CallFailed."""

    def stream(self, function: str, arguments: dict[str, Any], timeout_s: float) -> AsyncGenerator[int, None]:
        """Yield how many bytes have come, as they come; ends only where the server says that it is the end.

        Raises CallFailed. Closing the generator leaves the stream.
        """

    async def healthy(self) -> bool:
        """Return whether the server says, within a second, that it can serve."""

    async def close(self) -> None:
        """Close connections."""
