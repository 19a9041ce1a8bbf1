"""One resumable run: its latest events by number, who reads them, and how it has ended. No IO of its own.

Owns the events. What nobody has read yet who is there to read holds the run up; what nobody is there to read is
forgotten, the oldest first, once there is too much of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code, bad_field

if TYPE_CHECKING:
    from bridge.call import Call


class Reader:
    """A client that reads a run; `after` is the number of the last event that it was sent."""

    __slots__ = ("after", "may_know")

    def __init__(self, after: int) -> None:
        self.after = after
        self.may_know = False
        """Whether an event was given to the transport: the client may have it, also where the sending was cut off."""


class Run:
    """A run and its latest events, which its worker has numbered from 1."""

    def __init__(self, token: str, call: Call, max_events: int, max_bytes: int) -> None:
        self.token = token
        self.call = call
        self.task: asyncio.Task[BridgeError | None] | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.readers: set[Reader] = set()
        self.news = asyncio.Event()
        """Set, and replaced by another, when an event has come or the run has ended."""
        self.last = 0
        """The number of the latest event."""
        self.is_over = False
        self.failure: BridgeError | None = None
        self._kept: deque[bytes] = deque()
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._moved = asyncio.Event()

    async def add(self, message: bytes) -> None:
        """Keep an event; waits while too many are unread by who reads."""
        while self._kept and (len(self._kept) >= self._max_events or self._bytes + len(message) > self._max_bytes):
            if any(reader.after < self.first for reader in self.readers):
                self._moved.clear()
                await self._moved.wait()
            else:
                self._bytes -= len(self._kept.popleft())
        self._kept.append(message)
        self._bytes += len(message)
        self.last += 1
        self._tell()

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept."""
        return self.last - len(self._kept) + 1

    def after(self, sequence: int) -> bytes | None:
        """Return the event after this one; None where it has not come."""
        return self._kept[sequence + 1 - self.first] if sequence < self.last else None

    def check(self, after: int) -> None:
        """Refuse to go on where that can not be. Raises RESUME_GAP, SCHEMA_MISMATCH."""
        if after > self.last:
            raise bad_field("after_sequence", f"expected at most {self.last}, the latest event of the run, got {after}")
        if after + 1 < self.first:
            message = (
                f"the events up to {self.first - 1} are not kept any more: programs.resume_max_events or "
                f"resume_max_bytes was reached. Go on after {self.first - 1}; the outputs come whole at the end"
            )
            metadata = {"first_sequence": str(self.first)}
            raise BridgeError(Code.OUT_OF_RANGE, "RESUME_GAP", message, metadata=metadata)

    def attach(self, reader: Reader) -> None:
        """Take note of a reader."""
        self.readers.add(reader)
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def detach(self, reader: Reader) -> bool:
        """Take note that a reader has gone; return whether it was the last one."""
        self.readers.discard(reader)
        self.read()
        return not self.readers

    def read(self) -> None:
        """Take note that a reader has got on, or has gone."""
        self._moved.set()

    def cancel(self) -> bool:
        """End the run; return whether it still went on."""
        return self.task is not None and not self.is_over and self.task.cancel()

    def ended(self, task: asyncio.Task[BridgeError | None]) -> None:
        """Take note of the end of the run's task."""
        if task.cancelled():
            self.failure = BridgeError(Code.CANCELLED, "RUN_CANCELLED", "the run was cancelled")
        else:
            self.failure = task.result()
        self.is_over = True
        self._tell()

    def _tell(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()
