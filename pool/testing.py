"""Doubles of the pool for tests, shipped and held to the same suite as the real ones (tests/contract).

`FakePool` is a `Pool` whose workers are tasks of this process that run an entry object: same queue, no processes.
`ScriptedWorker` is a worker that answers when the test says so. `FakeClock` is time turned by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pool import asks
from pool.admission import Admission
from pool.calls import AskHandler, Call, Slots
from pool.errors import DeadlineExceeded, PoolError, Stopped, WorkerLost
from pool.exits import ExitReport
from pool.frames import STREAM_WINDOW, Reply, chunk_cost
from pool.growth import Growth
from pool.lifecycle import Event, State, advance
from pool.options import PoolOptions
from pool.pool import Pool
from pool.testing_asks import RUNNING, FakeAsker

if TYPE_CHECKING:
    from pool.entry import Entry

CANCELLED = Reply(False, b"", b"")


class FakeClock:
    """A `Clock` that stands still until `turn`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._now = seconds

    def now(self) -> float:
        """Return the seconds it stands at."""
        return self._now

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


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
        self.started_at = self._loop.time()
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
            call.buffer.credit = lambda amount: self._add_credit(call.id, amount)
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


class FakeWorker(ScriptedWorker):
    """Runs each call on an entry object, as a task of this process; a synchronous function holds up the loop."""

    def __init__(self, worker_id: str, entry: Entry, options: PoolOptions, admission: Admission) -> None:
        lookahead = options.lookahead if options.concurrency == 1 else 0
        super().__init__(worker_id, options.name, options.concurrency, admission.slot_free, lookahead)
        self._entry = entry
        self._tasks: dict[int, asyncio.Task[Reply]] = {}

    def launch(self, call: Call) -> None:
        """Start a call."""
        super().launch(call)
        timeout_s = None if call.deadline is None else max(0.0, call.deadline - self._loop.time())
        run = self._call if call.buffer is None else self._stream
        task = self._loop.create_task(run(call, call.function, call.meta, call.body, timeout_s))
        self._tasks[call.id] = task
        task.add_done_callback(lambda done: self._ended(call, done))

    async def _call(self, call: Call, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Reply:
        RUNNING.set(call)
        started = self._loop.time()
        ok, reply_meta, reply = await self._entry.acall(function, meta, body, timeout_s)
        return Reply(ok, reply_meta, reply, int((self._loop.time() - started) * 1e9))

    async def _stream(self, call: Call, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Reply:
        RUNNING.set(call)
        async for item in self._entry.astream(function, meta, body, timeout_s):
            if isinstance(item, tuple):
                return Reply(*item)
            await self.send(call, item)
        raise AssertionError("an entry's stream must end with its result")

    def _ended(self, call: Call, task: asyncio.Task[Reply]) -> None:
        del self._tasks[call.id]
        if call.id in self.calls:
            self.finish(call, CANCELLED if task.cancelled() else task.result())

    def abandon(self, call: Call) -> None:
        """Cancel a call; its slot is free when its task has ended."""
        super().abandon(call)
        if call.id in self._tasks:
            self._tasks[call.id].cancel()

    async def idle(self) -> None:
        """Wait until no call runs."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def end(self, error: Callable[[Call], PoolError]) -> None:
        """Die, after it was removed from the admission: every running call fails with `error(call)`."""
        self.state = advance(self.state, Event.EXITED)
        for call in list(self.calls.values()):
            self.finish(call, error(call))
        for task in self._tasks.values():
            task.cancel()


class _FakeWorkforce:
    """Stands in for the supervisor of a `FakePool`."""

    def __init__(self, options: PoolOptions, admission: Admission, entry: Entry) -> None:
        self._options = options
        self._admission = admission
        self._entry = entry
        self._spawned = 0
        self.workers: dict[str, FakeWorker] = {}
        self.exits: deque[ExitReport] = deque(maxlen=20)
        self.restarts = 0
        self.growth = Growth()
        self.failure = ""
        self.catalogue: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Add the workers; they are ready at once."""
        for _ in range(self._options.size):
            self._add()
        self.catalogue.set_result(self._entry.catalogue())

    def _add(self) -> None:
        self._spawned += 1
        worker = FakeWorker(f"{self._options.name}-{self._spawned}", self._entry, self._options, self._admission)
        self.workers[worker.id] = worker
        self._admission.add(worker)

    def kill(self, worker_id: str) -> None:
        """Let a worker die as of SIGKILL, and replace it."""
        worker = self.workers.pop(worker_id)
        report = ExitReport(
            worker=worker_id,
            pid=worker.pid,
            cause="killed by SIGKILL",
            signal="SIGKILL",
            exit_code=None,
            stderr_tail="",
            exited_at=asyncio.get_running_loop().time(),
        )
        self.exits.appendleft(report)
        self._admission.remove(worker)
        pool = self._options.name
        worker.end(
            lambda call: WorkerLost(
                pool, worker_id, call.function, report.cause, signal=report.signal, exit_code=None, stderr=""
            )
        )
        self.restarts += 1
        self._add()

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls; return whether all in flight ended within the time."""
        self._admission.stop()
        try:
            async with asyncio.timeout(timeout_s):
                while busy := [worker for worker in self.workers.values() if worker.running]:
                    await busy[0].idle()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End every worker."""
        self._admission.stop()
        for worker in list(self.workers.values()):
            self._admission.remove(worker)
            worker.end(lambda _call: Stopped(self._options.name))
            await worker.idle()
        self.workers.clear()


class FakePool(Pool):
    """A pool without processes: its workers run `entry` in this event loop. Make it inside of a running loop."""

    def __init__(self, options: PoolOptions, entry: Entry, on_ask: AskHandler | None = None) -> None:
        super().__init__(options, listener=lambda _event: None, fatal=lambda _error: None, on_ask=on_ask)
        if (bind := getattr(entry, "bind", None)) is not None:
            bind(FakeAsker())
        self._doubles = _FakeWorkforce(options, self._admission, entry)
        self._supervisor = self._doubles

    def kill(self, worker_id: str) -> None:
        """Let a worker die as of SIGKILL: its calls raise WorkerLost, a new worker takes its place."""
        self._doubles.kill(worker_id)
