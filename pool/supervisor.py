"""Keeps a pool's places filled: spawns, proves, watches and replaces workers.

Owns the worker table, the generations and the restart budget; the only one that starts processes. One task per place
runs that place's whole story; a task that dies of a bug ends the process, because a pool without its supervisor would
look alive.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from pool.admission import Admission
from pool.calls import Call
from pool.clock import Clock, MonotonicClock
from pool.errors import PoolError, PoolUnavailable, StartFailed, mebibytes
from pool.events import Listener, OutputDropped, PoolFailed, WorkerExited, WorkerOutput, WorkerReady, WorkerSpawned
from pool.exits import ExitReport, Killed, describe
from pool.growth import Growth
from pool.lifecycle import Event, State
from pool.memory import MemoryWatch
from pool.options import PoolOptions
from pool.output import Output
from pool.restart import RestartPolicy
from pool.spawn import Child, Launch, Spawner
from pool.stop import kill_group
from pool.worker import Worker, WorkerHooks

EXITS_KEPT = 20


class _Run:
    """One worker's run, from spawn to exit: the futures its place waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: asyncio.Future[bytes] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.unfit: asyncio.Future[None] = loop.create_future()
        self.proved = False
        self.told = ""
        """What the worker said about a start that failed: a line, then details."""


class Supervisor:
    """Supervises one pool. `fatal` is called with the exception of a supervising task that died."""

    def __init__(
        self,
        options: PoolOptions,
        admission: Admission,
        spawner: Spawner,
        listener: Listener,
        fatal: Callable[[BaseException], None],
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._admission = admission
        self._spawner = spawner
        self._listener = listener
        self._fatal = fatal
        self._clock = clock or MonotonicClock()
        self._policy = RestartPolicy(options.restart, random.random)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._spawned = 0
        self._last_cause = ""
        self.workers: dict[str, Worker] = {}
        self.exits: deque[ExitReport] = deque(maxlen=EXITS_KEPT)
        self.restarts = 0
        self.growth = Growth()
        self.failure = ""
        """Why no worker starts; empty while they do."""
        self.catalogue: asyncio.Future[bytes] = self._loop.create_future()

    def start(self) -> None:
        """Start filling every place; returns at once."""
        for place in range(self._options.size):
            self._run(self._keep_filled(place), f"{self._options.name}: place {place}")
        watch = MemoryWatch(
            self._options,
            workers=self.workers.values,
            over_hard=self._over_memory,
            over_soft=self._over_soft_memory,
        )
        self._run(watch.run(self._stopping), f"{self._options.name}: memory")

    def _run(self, coroutine: object, name: str) -> None:
        assert asyncio.iscoroutine(coroutine)
        task = self._loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    async def _keep_filled(self, place: int) -> None:
        """Fill one place for as long as the pool lives."""
        while not self._stopping.is_set():
            started = self._clock.now()
            replace_at_once = await self._live(place)
            if self._stopping.is_set():
                return
            self.restarts += 1
            if replace_at_once:
                continue
            pause_s = self._policy.died(self._clock.now(), self._clock.now() - started)
            self._judge()
            if pause_s:
                await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _judge(self) -> None:
        """Refuse calls while no worker is there and the budget is spent."""
        if self._policy.exhausted(self._clock.now()) and not any(w.state is State.READY for w in self.workers.values()):
            name, cause, slow_s = self._options.name, self._last_cause, self._options.restart.slow_s
            if not self.failure:
                self._listener(PoolFailed(pool=name, cause=cause))
            self.failure = cause
            self._admission.refuse(lambda: PoolUnavailable(name, cause, slow_s))

    async def _live(self, place: int) -> bool:
        """Run one worker until it is gone; True where it is to be replaced before it has ended."""
        run = _Run(self._loop)
        try:
            worker = await self._spawn(place, run)
        except OSError as error:
            self._last_cause = f"no process could be started: {error}"
            self._start_failed(self._last_cause, "")
            return False
        except StartFailed as error:
            self._last_cause = error.cause
            self._start_failed(error.cause, error.detail)
            return False
        if self._stopping.is_set():
            worker.kill(Killed(why="the server stopped", stopped=True))
        await self._prove(worker, run)
        await asyncio.wait({run.exited, run.unfit}, return_when=asyncio.FIRST_COMPLETED)
        if run.exited.done():
            return False
        self._admission.remove(worker)
        self._run(self._retire(worker, run), f"{worker.id}: retire")
        return True

    async def _spawn(self, place: int, run: _Run) -> Worker:
        self._spawned += 1
        worker_id = f"{self._options.name}-{self._spawned}"
        child = await self._spawner.spawn(Launch.of(self._options, worker_id, place))
        worker = Worker(worker_id, child, self._options, self._loop, self._hooks(run))
        self.workers[worker_id] = worker
        output = self._listen(worker_id, child)
        self._loop.add_reader(child.pidfd, self._on_exit, worker, run, output)
        self._listener(WorkerSpawned(pool=self._options.name, worker=worker_id, pid=child.pid))
        return worker

    def _hooks(self, run: _Run) -> WorkerHooks:
        def ready(catalogue: bytes) -> None:
            if not run.ready.done():
                run.ready.set_result(catalogue)

        def failed(told: str) -> None:
            run.told = told

        def unfit() -> None:
            if not run.unfit.done():
                run.unfit.set_result(None)

        return WorkerHooks(
            ready=ready,
            failed=failed,
            unfit=unfit,
            slot_free=self._admission.slot_free,
            leaving=self._admission.remove,
            grew=self.growth.add,
        )

    async def _retire(self, worker: Worker, run: _Run) -> None:
        """End a worker that takes no more calls once it is idle; what goes on past its grace it kills itself."""
        await worker.idle()
        if worker.state is State.DRAINING:
            worker.ask_to_stop()
        await asyncio.wait([run.exited], timeout=self._options.stop_timeout_s)
        worker.kill(Killed(why=f"did not stop within {self._options.stop_timeout_s:g} s"))
        await run.exited

    def _listen(self, worker_id: str, child: Child) -> Output:
        pool = self._options.name

        def line(stream: str, text: str) -> None:
            self._listener(WorkerOutput(pool=pool, worker=worker_id, stream=stream, line=text))

        def dropped(count: int) -> None:
            self._listener(OutputDropped(pool=pool, worker=worker_id, lines=count))

        return Output(self._loop, {"stdout": child.stdout, "stderr": child.stderr}, line, dropped)

    async def _prove(self, worker: Worker, run: _Run) -> None:
        """Wait until the worker has imported and warmed up; give it calls once its canary comes back."""
        timeout_s = self._options.start_timeout_s
        waits: set[asyncio.Future[Any]] = {run.ready, run.exited}
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if run.exited.done() or worker.state is not State.STARTING:
            return
        if not run.ready.done():
            worker.kill(Killed(why=f"not ready after {timeout_s:g} s"), stack=True)
            return
        canary = self._options.canary
        call = Call(canary.function, canary.meta, canary.body, None, self._loop.create_future())
        worker.take()
        worker.launch(call)
        try:
            async with asyncio.timeout(canary.timeout_s):
                reply = await call.future
        except TimeoutError:
            worker.kill(Killed(why=f"its canary did not come back within {canary.timeout_s:g} s"), stack=True)
            return
        except PoolError as error:
            worker.kill(Killed(why=f"its canary failed: {error}"))
            return
        if not reply.ok:
            worker.kill(Killed(why="its canary was answered with an error"))
            return
        if self._stopping.is_set() or worker.state is not State.STARTING:
            return
        worker.advance(Event.PROVED)
        run.proved = True
        self.failure = ""
        if not self.catalogue.done():
            self.catalogue.set_result(run.ready.result())
        self._admission.add(worker)
        seconds = self._loop.time() - worker.started_at
        self._listener(WorkerReady(pool=self._options.name, worker=worker.id, seconds=seconds))

    def _on_exit(self, worker: Worker, run: _Run, output: Output) -> None:
        """The process has ended. A loop only logs what its callbacks raise; here that is the end of supervision."""
        try:
            self._bury(worker, run, output)
        except Exception as error:
            self._fatal(error)
        finally:
            run.exited.set_result(None)

    def _bury(self, worker: Worker, run: _Run, output: Output) -> None:
        """Sweep the dead worker's group, reap it, settle its calls, tell."""
        child = worker.child
        self._loop.remove_reader(child.pidfd)
        expected = worker.state is State.STOPPING and (worker.killed is None or worker.killed.stopped)
        self._admission.remove(worker)
        kill_group(child)
        status = child.reap()
        self._spawner.ended(child)
        os.close(child.pidfd)
        os.close(child.control)
        output.finish()
        cause, signal_name, code = describe(status, worker.killed)
        first, _, rest = run.told.partition("\n")
        report = ExitReport(
            worker=worker.id,
            pid=child.pid,
            cause=first or cause,
            signal=signal_name,
            exit_code=code,
            stderr_tail=output.tail,
            exited_at=self._loop.time(),
            killed=worker.killed,
        )
        del self.workers[worker.id]
        self._admission.adopt(worker.settle(report))
        self.exits.appendleft(report)
        self._last_cause = report.cause
        self._listener(WorkerExited(pool=self._options.name, worker=worker.id, expected=expected, report=report))
        if not run.proved:
            self._start_failed(report.cause, rest if first else report.stderr_tail)

    def _start_failed(self, cause: str, detail: str) -> None:
        if not self.catalogue.done():
            self.catalogue.set_exception(StartFailed(self._options.name, cause, detail))
            self.catalogue.exception()  # seen by `Pool.start`; a pool that nobody starts must not complain

    def _over_memory(self, worker: Worker, used: int) -> None:
        """End a worker that holds more than its hard limit."""
        limit = self._options.memory_limit_bytes or 0
        why = f"held {mebibytes(used)} of resident memory, its limit is {mebibytes(limit)}"
        worker.kill(Killed(why=why, memory_bytes=used))

    def _over_soft_memory(self, worker: Worker, used: int) -> None:
        """A worker holds more than its soft limit."""

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls and let those in flight end; return whether they all did in time."""
        self._admission.stop()
        try:
            async with asyncio.timeout(timeout_s):
                while busy := [w for w in self.workers.values() if w.running and w.state is not State.STARTING]:
                    await busy[0].idle()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End every worker: by request, and by force where that takes longer than `stop_timeout_s`."""
        self._stopping.set()
        self._admission.stop()
        self._spawner.halt()
        for worker in list(self.workers.values()):
            if worker.state is State.STARTING or worker.running:
                worker.kill(Killed(why="the server stopped", stopped=True))
            else:
                worker.ask_to_stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._options.stop_timeout_s)
        for worker in list(self.workers.values()):
            worker.kill(Killed(why=f"did not stop within {self._options.stop_timeout_s:g} s", stopped=True))
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._spawner.close()
        self._start_failed("the server stopped", "")
