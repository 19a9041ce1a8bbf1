"""Ends streams whose client does not read: a message that is not fetched must hold no handler and no drain for ever.

Owns the list of streams that are being written. Knows nothing of how a message is written, nor of pools: a worker's
room is bounded by its own credit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.errors import BridgeError, Code

DRAIN_S = 2.0
"""How long a message may wait for its reader while the server drains."""
LOOK_S = 0.5
AFTER_DEADLINE_S = 1.0
"""A reader that is late may still fetch what was made before its call's deadline."""


class Writing:
    """One stream. Set `since` to the loop's time before each message, to None when no message is under way."""

    __slots__ = ("_deadline", "_task", "ended", "since")

    def __init__(self, task: asyncio.Task[object], deadline: float) -> None:
        self.since: float | None = None
        self.ended: BridgeError | None = None
        """Why its write was ended; set before its task is cancelled."""
        self._task = task
        self._deadline = deadline

    def look(self, now: float, timeout_s: float, *, draining: bool) -> None:
        """End the write that is under way, where it has been for too long."""
        if self.since is None or self.ended is not None:
            return
        waited_s = now - self.since
        what = f"the client has not read a message for {waited_s:.1f} s"
        if draining and waited_s > min(DRAIN_S, timeout_s):
            message = f"{what}, and the server is shutting down"
            self._end(BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0))
        elif waited_s > timeout_s:
            message = f"{what}, longer than server.slow_reader_timeout_s ({timeout_s:g}) allows"
            self._end(BridgeError(Code.DEADLINE_EXCEEDED, "SLOW_READER", message))
        elif now > self._deadline + AFTER_DEADLINE_S:
            message = f"{what}, and the call's deadline has passed"
            self._end(BridgeError(Code.DEADLINE_EXCEEDED, "SLOW_READER", message))

    def _end(self, error: BridgeError) -> None:
        self.ended = error
        self._task.cancel()


class SlowReaders:
    """The streams of one server. `watch` runs for as long as the server does."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._streams: set[Writing] = set()
        self._draining = False

    @contextmanager
    def stream(self, deadline: float) -> Iterator[Writing]:
        """Watch the stream that the current task writes; raises BridgeError where it was ended for its reader."""
        task = asyncio.current_task()
        assert task is not None
        writing = Writing(task, deadline)
        self._streams.add(writing)
        try:
            yield writing
        except asyncio.CancelledError:
            if writing.ended is None or task.uncancel() > 0:  # the client's own cancel goes on
                raise
            raise writing.ended from None
        finally:
            self._streams.discard(writing)

    def renew(self, timeout_s: float) -> None:
        """Take over how long a message may wait."""
        self._timeout_s = timeout_s

    def drain(self) -> None:
        """Wait for readers no longer than the running calls must."""
        self._draining = True

    async def watch(self) -> None:
        """Look at all streams, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            now = loop.time()
            for writing in list(self._streams):
                writing.look(now, self._timeout_s, draining=self._draining)
