"""A worker without a process, for tests: it answers when the test says so. Held to the same suite as the real ones."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from pool import asks
from pool.calls import Call, Slots
from pool.errors import DeadlineExceeded, PoolError
from pool.frames import STREAM_WINDOW, Reply, chunk_cost
from pool.lifecycle import State


class ScriptedWorker:
    """A worker without a process. It takes calls and answers none until `finish`; `calls` has those in flight.

    `slot_free` is told of each slot that comes back, as `Admission.slot_free` wants to be.
    """

    def __init__(
        self,
        worker_id: str,
        pool: str = "scripted",
        slots: int = 1,
        slot_free: Callable[[Slots], None] | None = None,
        lookahead: int = 0,
    ) -> None:
        self.id = worker_id
        self.state = State.READY
        self.free = slots
        self.slots = slots
        self.pid = 0
        self.answered = 0
        self.rss_bytes = 1
        self.calls: dict[int, Call] = {}
        self._pool = pool
        self.line: deque[Call] = deque()
        self.early = False
        """Whether the first in line has been begun already, which the front would learn with the next answer."""
        self._lookahead = lookahead
        self._passed_over = 0
        self._slot_free = slot_free
        self._loop = asyncio.get_running_loop()
        self.started_at = self.answered_at = self._loop.time()
        self.place = self.holders = self.canaries = 0
        self.recycle = ""
        self._last_id = 0
        self._room: dict[int, asyncio.Event] = {}
        self._credit: dict[int, int] = {}

    @property
    def running(self) -> int:
        """Calls in flight."""
        return len(self.calls)

    def take(self) -> None:
        """Reserve a slot."""
        assert self.free > 0, "a slot was promised twice"
        self.free -= 1

    def give_back(self) -> None:
        """Return a slot."""
        self.free += 1
        assert self.free <= self.slots, "a slot came back twice"
        if self._slot_free is not None:
            self._slot_free(self)

    @property
    def lined(self) -> int:
        """Calls that are lined up behind those that run."""
        return len(self.line)

    @property
    def next_lined(self) -> int | None:
        """The number of the first call in line."""
        return self.line[0].number if self.line else None

    @property
    def line_room(self) -> int:
        """How many more calls may be lined up now; 0 where a slot is free or one was taken back from behind them."""
        return 0 if self.free or self._passed_over else self._lookahead - len(self.line)

    def launch(self, call: Call) -> None:
        """Take note of a call that has a slot."""
        self._last_id += 1
        call.id = self._last_id
        call.worker = self
        call.lined = False
        call.launched_at = time.perf_counter()
        if call.buffer is not None:
            self._credit[call.id] = STREAM_WINDOW
            self._room[call.id] = asyncio.Event()
            call.buffer.credit = partial(self._add_credit, call.id)
        self.calls[call.id] = call
        if call.on_launch is not None:
            call.on_launch(self.id)

    def line_up(self, call: Call) -> None:
        """Take note of a call that is lined up; `finish` of one before it launches it."""
        assert self.line_room > 0, "a call was lined up where there is no room"
        call.worker = self
        call.lined = True
        self.line.append(call)

    def take_back(self, *, pinned: bool = True) -> Call | None:
        """Return the call that was lined up last; None where it was begun, or is pinned here and `pinned` is False."""
        if len(self.line) <= self.early or (self.line[-1].pinned is not None and not pinned):
            return None
        call = self.line.pop()
        self._passed_over += 1
        call.worker = None
        call.lined = False
        return call

    def _add_credit(self, call_id: int, amount: int) -> None:
        if call_id in self._room:
            self._credit[call_id] += amount
            self._room[call_id].set()

    async def send(self, call: Call, chunk: bytes) -> None:
        """Send a chunk once the reader has room."""
        assert call.buffer is not None
        while self._credit[call.id] <= 0:
            self._room[call.id].clear()
            await self._room[call.id].wait()
        self._credit[call.id] -= chunk_cost(len(chunk))
        call.buffer.put(chunk)

    def abandon(self, call: Call) -> None:
        """Take note that nobody waits for a call any more; its slot comes back with `finish`."""
        if not call.abandoned and (call.lined or call.id in self.calls):
            call.abandoned = True
            asks.end(call)
            if call.buffer is not None:
                call.buffer.discard()

    def finish(self, call: Call, reply: Reply | PoolError) -> None:
        """End a call with its reply, or with what the pool would raise; the next in line has its slot then."""
        del self.calls[call.id]
        self._credit.pop(call.id, None)
        self._room.pop(call.id, None)
        self._settle(call, reply)
        self.answered += 1
        self.early = False
        if self.line:
            self.launch(self.line.popleft())
            if self._slot_free is not None:
                self._slot_free(self)
        else:
            self._passed_over = 0
            self.give_back()

    def _settle(self, call: Call, reply: Reply | PoolError) -> None:
        asks.end(call)
        if not call.future.done():
            if isinstance(reply, PoolError):
                call.fail(reply)
            else:
                call.future.set_result(reply)
        if call.buffer is not None:
            call.buffer.end()

    def expire(self, call: Call) -> None:
        """End a running call whose deadline has passed."""
        self._settle(call, DeadlineExceeded(self._pool, "IN_WORKER"))
        self.abandon(call)
