"""Doubles of the pool for tests, shipped and held to the same suite as the real ones (tests/contract).

`FakePool` is a `Pool` whose workers are tasks of this process that run an entry object: same queue, no processes.
`ScriptedWorker` is a worker that answers when the test says so. `FakeClock` is time turned by hand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from pool.admission import Admission
from pool.calls import AskHandler, Call
from pool.errors import PoolError, Stopped, WorkerLost
from pool.exits import ExitReport
from pool.frames import Reply
from pool.growth import Growth
from pool.lifecycle import Event, advance
from pool.options import PoolOptions
from pool.pool import Pool
from pool.scripted import ScriptedWorker
from pool.spawn import HowStarted
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
        self.target, self.least, self.most = options.size, options.least, options.most
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
        if len(worker.calls) == 1:
            self._admission.buried([], next(iter(worker.calls.values())))
        worker.end(
            lambda call: WorkerLost(
                pool, worker_id, call.function, report.cause, signal=report.signal, exit_code=None, stderr=""
            )
        )
        self.restarts += 1
        self._add()

    @property
    def runs(self) -> dict[str, FakeWorker]:
        """The workers stand for their runs."""
        return self.workers

    def how_started(self) -> HowStarted:
        """Return that nothing is forked."""
        return HowStarted(kind="spawn", why="its workers are tasks of this process")

    def resize(self, minimum: int, maximum: int) -> None:
        """Keep to other bounds."""
        self.least, self.most = minimum, maximum
        self.target = min(max(self.target, minimum), maximum)
        while len(self.workers) < self.target:
            self._add()
        for worker_id in list(self.workers)[self.target :]:
            self._retire(worker_id)

    def grow(self, workers: int, cause: str) -> bool:
        """Have more workers, within the bounds."""
        wanted = min(workers, self.most)
        if wanted <= self.target:
            return False
        self.target = wanted
        while len(self.workers) < wanted:
            self._add()
        return True

    def recycle(self, worker: str, cause: str) -> bool:
        """Replace a worker at once."""
        if worker not in self.workers:
            return False
        self.workers[worker].recycle = cause
        self._add()
        self._retire(worker)
        return True

    def _retire(self, worker_id: str) -> None:
        """Let a worker end its calls out of sight."""
        worker = self.workers.pop(worker_id)
        self._admission.remove(worker)
        worker.state = advance(worker.state, Event.RETIRE)

    async def restart(self, worker: str | None = None) -> int:
        """Replace one worker, or all."""
        if worker is not None and worker not in self.workers:
            raise ValueError(f"pool '{self._options.name}' has no worker '{worker}'")
        old = list(self.workers) if worker is None else [worker]
        for worker_id in old:
            self._add()
            self._retire(worker_id)
        return len(old)

    async def reload(self, options: PoolOptions) -> bytes:
        """Replace all; the entry stays as it is."""
        self._options = options
        await self.restart()
        return self._entry.catalogue()

    def hold(self, worker: str) -> None:
        """Count a session."""
        if worker in self.workers:
            self.workers[worker].holders += 1

    def unhold(self, worker: str) -> None:
        """Count one less."""
        if worker in self.workers:
            self.workers[worker].holders -= 1

    def resume(self) -> None:
        """Take calls again."""
        self._admission.resume()

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


__all__ = ["CANCELLED", "FakeClock", "FakePool", "FakeWorker", "ScriptedWorker"]
