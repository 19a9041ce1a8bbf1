"""Worker processes from spawn to burial: started, proved, watched for their exit, settled.

`Crew` owns the worker table and is its only writer; it decides nothing about who is started or ended, and when.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from pool.admission import Admission
from pool.calls import Call
from pool.errors import PoolError, StartFailed
from pool.events import (
    Listener,
    OutputDropped,
    WorkerCondemned,
    WorkerExited,
    WorkerLetGo,
    WorkerOutput,
    WorkerReady,
    WorkerSpawned,
)
from pool.exits import ExitReport, Killed, describe
from pool.hooks import WorkerHooks
from pool.lifecycle import Event, State
from pool.options import PoolOptions
from pool.output import Output
from pool.spawn import Child, Launch, Spawner
from pool.stop import kill_group
from pool.tasks import Tasks
from pool.worker import Worker

EXITS_KEPT = 20


class Run:
    """One worker's run, from the order to spawn it to its exit, and what is remembered of it."""

    def __init__(self, place: int, options: PoolOptions, changed: Callable[[], None], began: float) -> None:
        loop = asyncio.get_running_loop()
        self.place = place
        self.began = began
        """When it was ordered, on the clock of whoever ordered it."""
        self.options = options
        self.changed = changed
        """Wakes whoever keeps its place filled."""
        self.worker: Worker | None = None
        self.ready: asyncio.Future[bytes] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.failure: StartFailed | None = None
        """Why it did not start."""
        self.proved = False
        self.unfit = False
        """It takes no more calls, and its place is to be filled at once."""
        self.told = ""
        """What the worker said about a start that failed: a line, then details."""
        self.canary: Call | None = None
        """The canary that it runs."""
        self.canaries = 0
        """Calls that it has ended and that no user made."""
        self.holders = 0
        """Strict sessions that are bound to it."""
        self.released: asyncio.Future[None] | None = None
        self.recycle = ""
        """Why it is to be replaced; empty while it is not."""
        self.due_calls: float | None = None
        self.due_age_s: float | None = None
        self.answered_at = loop.time()
        """When it was last seen to have answered."""

    @property
    def alive(self) -> bool:
        """Whether it has a process that has not ended."""
        return self.worker is not None and not self.exited.done()

    @property
    def idle(self) -> bool:
        """Whether it takes calls and runs none, but for a canary."""
        if self.worker is None or self.worker.state is not State.READY:
            return False
        return self.worker.running == (self.canary is not None)

    def kill(self, killed: Killed, *, stack: bool = False) -> None:
        """End its process, where it has one."""
        if self.worker is not None:
            self.worker.kill(killed, stack=stack)


class Hooks(Protocol):
    """What a crew tells of its workers, beside the events."""

    def proved(self, run: Run) -> None:
        """A worker takes calls from now on."""
        ...

    def start_failed(self, error: StartFailed) -> None:
        """A worker did not start."""
        ...


class Crew:
    """The processes of one pool. `fatal` is called with a fault of supervision itself."""

    def __init__(
        self,
        pool: str,
        admission: Admission,
        spawner: Spawner,
        listener: Listener,
        tasks: Tasks,
        fatal: Callable[[BaseException], None],
        grew: Callable[[str, int], None],
        hooks: Hooks,
    ) -> None:
        self._pool = pool
        self._admission = admission
        self._spawner = spawner
        self._listener = listener
        self._tasks = tasks
        self._fatal = fatal
        self._grew = grew
        self._hooks = hooks
        self._loop = asyncio.get_running_loop()
        self._spawned = 0
        self.workers: dict[str, Worker] = {}
        self.runs: dict[str, Run] = {}
        self.exits: deque[ExitReport] = deque(maxlen=EXITS_KEPT)

    async def start(self, run: Run) -> None:
        """Start a worker and prove it; afterwards it takes calls, or its process has ended and `failure` says why."""
        try:
            worker = await self._spawn(run)
        except OSError as error:
            self._start_failed(run, f"no process could be started: {error}", "")
            return
        except StartFailed as error:
            self._start_failed(run, error.cause, error.detail)
            return
        if self._tasks.stopping.is_set():
            worker.kill(Killed(why="the server stopped", stopped=True))
        await self._prove(worker, run)
        if not run.proved:
            await run.exited

    async def _spawn(self, run: Run) -> Worker:
        self._spawned += 1
        worker_id = f"{self._pool}-{self._spawned}"
        child = await self._spawner.spawn(Launch.of(run.options, worker_id, run.place))
        worker = run.worker = Worker(worker_id, child, run.options, self._loop, self._worker_hooks(run))
        self.workers[worker_id] = worker
        self.runs[worker_id] = run
        output = self._listen(worker_id, child)
        self._loop.add_reader(child.pidfd, self._on_exit, worker, run, output)
        self._listener(WorkerSpawned(pool=self._pool, worker=worker_id, pid=child.pid))
        return worker

    def _worker_hooks(self, run: Run) -> WorkerHooks:
        def ready(catalogue: bytes) -> None:
            if not run.ready.done():
                run.ready.set_result(catalogue)

        def failed(told: str) -> None:
            run.told = told

        def unfit() -> None:
            worker = run.worker
            assert worker is not None
            run.unfit = True
            self._admission.remove(worker)
            why = worker.condemned
            cause = "a call goes on past its cancel or deadline, beside others" if why is None else why.why
            self._listener(WorkerCondemned(pool=self._pool, worker=worker.id, cause=cause))
            run.changed()

        return WorkerHooks(
            ready=ready,
            failed=failed,
            unfit=unfit,
            slot_free=self._admission.slot_free,
            leaving=self._admission.remove,
            grew=self._grew,
        )

    def _listen(self, worker_id: str, child: Child) -> Output:
        pool = self._pool

        def line(stream: str, text: str) -> None:
            self._listener(WorkerOutput(pool=pool, worker=worker_id, stream=stream, line=text))

        def dropped(count: int) -> None:
            self._listener(OutputDropped(pool=pool, worker=worker_id, lines=count))

        return Output(self._loop, {"stdout": child.stdout, "stderr": child.stderr}, line, dropped)

    async def _prove(self, worker: Worker, run: Run) -> None:
        """Wait until the worker has imported and warmed up; give it calls once its canary comes back."""
        timeout_s = run.options.start_timeout_s
        waits: set[asyncio.Future[Any]] = {run.ready, run.exited}
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if run.exited.done() or worker.state is not State.STARTING:
            return
        if not run.ready.done():
            worker.kill(Killed(why=f"not ready after {timeout_s:g} s", kind="start"), stack=True)
            return
        canary = run.options.canary
        call = Call(canary.function, canary.meta, canary.body, None, self._loop.create_future())
        run.canaries += 1
        worker.take()
        worker.launch(call)
        try:
            async with asyncio.timeout(canary.timeout_s):
                reply = await call.future
        except TimeoutError:
            why = f"its canary did not come back within {canary.timeout_s:g} s"
            worker.kill(Killed(why=why, kind="start"), stack=True)
            return
        except PoolError as error:
            worker.kill(Killed(why=f"its canary failed: {error}", kind="start"))
            return
        if not reply.ok:
            worker.kill(Killed(why="its canary was answered with an error", kind="start"))
            return
        if self._tasks.stopping.is_set() or worker.state is not State.STARTING:
            return
        self._admit(worker, run)

    def _admit(self, worker: Worker, run: Run) -> None:
        worker.advance(Event.PROVED)
        run.proved = True
        run.answered_at = self._loop.time()
        self._hooks.proved(run)
        self._admission.add(worker)
        seconds = self._loop.time() - worker.started_at
        self._listener(WorkerReady(pool=self._pool, worker=worker.id, seconds=seconds))

    def _on_exit(self, worker: Worker, run: Run, output: Output) -> None:
        """The process has ended. A loop only logs what its callbacks raise; here that is the end of supervision."""
        try:
            self._bury(worker, run, output)
        except Exception as error:
            self._fatal(error)
        finally:
            run.exited.set_result(None)
            run.changed()

    def _bury(self, worker: Worker, run: Run, output: Output) -> None:
        """Sweep the dead worker's group, reap it, settle its calls, tell."""
        child = worker.child
        self._loop.remove_reader(child.pidfd)
        expected = worker.state is State.STOPPING and (worker.killed is None or worker.killed.stopped)
        self._admission.remove(worker)
        kill_group(child)
        status = child.reap()
        told = self._spawner.ended(child)
        killed = worker.killed or (told if status == -signal.SIGKILL else None)
        os.close(child.pidfd)
        os.close(child.control)
        output.finish()
        cause, signal_name, code = describe(status, killed)
        if expected and status == 0 and run.recycle:
            cause = f"replaced: {run.recycle}"
        first, _, rest = run.told.partition("\n")
        report = ExitReport(
            worker=worker.id,
            pid=child.pid,
            cause=first or cause,
            signal=signal_name,
            exit_code=code,
            stderr_tail=output.tail,
            exited_at=self._loop.time(),
            killed=killed,
            ordered=expected,
        )
        del self.workers[worker.id], self.runs[worker.id]
        left = worker.settle(report)
        self._admission.buried(left, worker.culprit)
        self.exits.appendleft(report)
        self._listener(WorkerExited(pool=self._pool, worker=worker.id, expected=expected, report=report))
        if not run.proved:
            self._start_failed(run, report.cause, rest if first else report.stderr_tail)

    def _start_failed(self, run: Run, cause: str, detail: str) -> None:
        run.failure = StartFailed(self._pool, cause, detail)
        self._hooks.start_failed(run.failure)

    def retire(self, run: Run) -> None:
        """End a worker that takes no more calls once it is idle, and after the sessions that are bound to it."""
        worker = run.worker
        assert worker is not None
        held = run.holders > 0 and not run.unfit
        if held:
            self._admission.set_apart(worker, pinned=True)
        else:
            self._admission.remove(worker)
        self._tasks.run(self._end_when_idle(worker, run, held=held), f"{worker.id}: retire")

    async def _end_when_idle(self, worker: Worker, run: Run, *, held: bool) -> None:
        """What goes on past its grace the worker kills itself."""
        if held:
            await self._await_holders(run)
            self._admission.remove(worker)
        await worker.idle()
        if worker.state is State.DRAINING:
            worker.ask_to_stop()
        timeout_s = run.options.stop_timeout_s
        await asyncio.wait([run.exited], timeout=timeout_s)
        worker.kill(Killed(why=f"did not stop within {timeout_s:g} s", kind="retired"))
        await run.exited

    async def _await_holders(self, run: Run) -> None:
        run.released = self._loop.create_future()
        stop = asyncio.ensure_future(self._tasks.stopping.wait())
        waits: list[asyncio.Future[Any]] = [run.released, run.exited, stop]
        first = asyncio.FIRST_COMPLETED
        done, _ = await asyncio.wait(waits, timeout=run.options.drain_hold_s, return_when=first)
        if not done and run.worker is not None:
            self._listener(WorkerLetGo(pool=self._pool, worker=run.worker.id))
            await asyncio.wait(waits, timeout=run.options.stop_timeout_s, return_when=first)
        stop.cancel()

    def hold(self, worker: str) -> None:
        """Count a strict session that is bound to a worker; nothing happens where the worker has ended."""
        if (run := self.runs.get(worker)) is not None:
            run.holders += 1

    def unhold(self, worker: str) -> None:
        """Count one such session less."""
        if (run := self.runs.get(worker)) is not None and run.holders:
            run.holders -= 1
            if not run.holders and run.released is not None and not run.released.done():
                run.released.set_result(None)
