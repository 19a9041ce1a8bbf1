"""Looks at every worker of a pool several times a second, and does what the evidence calls for (`pool.probe`).

A worker that has not answered for a while is sent a canary, by the way of every call: that it comes back is a proof for
the whole pool. Owns the probes and the canaries on their way; the worker table is the crew's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pool.admission import Admission
from pool.calls import Call
from pool.clock import Clock
from pool.errors import PoolError, WorkerLost
from pool.events import Listener, WorkerResumed, WorkerSuspended
from pool.exits import Killed
from pool.lifecycle import Event, State
from pool.options import PoolOptions
from pool.probe import Patience, Probe, SeenTime, Sight, Verdict
from pool.runs import Run
from pool.worker import Worker

MOST_TICK_S = 0.25
LEAST_TICK_S = 0.02
TICKS = 8
"""Looks within the shortest time that is measured by looking."""


def tick_s(options: PoolOptions) -> float:
    """Return the seconds between two looks."""
    shortest = min(options.check_interval_s, options.check_timeout_s, options.stall_after_s or options.check_timeout_s)
    return min(MOST_TICK_S, max(LEAST_TICK_S, shortest / TICKS))


@dataclass(frozen=True, slots=True)
class Process:
    """What /proc says of a process: its state letter, and how long its main thread has waited for a processor."""

    state: str
    starved_s: float


def look_at(pid: int, *, closely: bool) -> Process:
    """Read the state of a process, "" where it has gone, and on a close look its time without a processor."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - several times a second for each worker
            state = file.read().rpartition(b")")[2].split(maxsplit=1)[0].decode()
    except (OSError, IndexError):
        return Process("", 0.0)
    return Process(state, _starved_s(pid) if closely else 0.0)


def _starved_s(pid: int) -> float:
    """Return how long the main thread of a process has waited for a processor; 0 where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class _Watched:
    """One run under watch."""

    def __init__(self, patience: Patience) -> None:
        self.probe = Probe(patience)
        self.answered = -1
        self.starved_s: float | None = None
        self.oldest: tuple[int, float] = (0, 0.0)
        """The call that has run longest, and since which moment of seen time."""


class Checks:
    """The checks of one pool. `proved` is called when a canary has come back well."""

    def __init__(
        self,
        options: Callable[[], PoolOptions],
        runs: Mapping[str, Run],
        admission: Admission,
        listener: Listener,
        clock: Clock,
        proved: Callable[[], None],
        read: Callable[..., Process] = look_at,
    ) -> None:
        self._options = options
        self._pool = options().name
        self._runs = runs
        self._admission = admission
        self._listener = listener
        self._clock = clock
        self._proved = proved
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, _Watched] = {}
        self._seen = SeenTime(clock.now(), tick_s(options()))

    def look(self) -> None:
        """Look at all workers, and act."""
        passed_s = self._seen.look(self._clock.now())
        for worker_id in [known for known in self._watched if known not in self._runs]:
            del self._watched[worker_id]
        for run in list(self._runs.values()):
            worker = run.worker
            assert worker is not None
            if worker.state in (State.STOPPING, State.DEAD):
                continue
            watched = self._watched.get(worker.id)
            if watched is None:
                watched = self._watched[worker.id] = _Watched(self._patience(run.options))
            self._look_at(run, worker, watched, passed_s)
            if run.options.stall_after_s is not None and run.proved:
                self._look_at_calls(run, worker, watched, run.options.stall_after_s)

    @staticmethod
    def _patience(options: PoolOptions) -> Patience:
        return Patience(
            interval_s=options.check_interval_s,
            timeout_s=options.check_timeout_s,
            concurrent=options.concurrency > 1,
        )

    def _look_at(self, run: Run, worker: Worker, watched: _Watched, passed_s: float) -> None:
        process = self._read(worker.pid, closely=watched.probe.waits)
        if worker.answered != watched.answered:
            watched.answered = worker.answered
            run.answered_at = self._loop.time()
        sight = Sight(
            answered=worker.answered,
            others=worker.running - (run.canary is not None),
            room=worker.free > 0 and worker.state is State.READY,
            stopped=process.state == "T",
            excused_s=self._excused(process, watched, passed_s),
        )
        verdict = watched.probe.look(sight, passed_s)
        if verdict is not Verdict.FINE:
            self._act(run, worker, watched, verdict)

    @staticmethod
    def _excused(process: Process, watched: _Watched, passed_s: float) -> float:
        """Return how much of the time passed the worker could not use: held by a debugger, or without a processor."""
        if not watched.probe.waits:
            watched.starved_s = None
            return 0.0
        before, watched.starved_s = watched.starved_s, process.starved_s
        if process.state == "t" or before is None:
            return passed_s
        return process.starved_s - before

    def _act(self, run: Run, worker: Worker, watched: _Watched, verdict: Verdict) -> None:
        timeout_s = run.options.check_timeout_s
        if verdict is Verdict.ASK:
            self._ask(run, worker, watched)
        elif verdict is Verdict.SUSPEND and worker.state is State.READY:
            worker.advance(Event.SUSPEND)
            self._admission.set_apart(worker, pinned=False)
            self._listener(WorkerSuspended(pool=self._pool, worker=worker.id))
        elif verdict is Verdict.RESUME and worker.state is State.SUSPENDED:
            worker.advance(Event.RESUME)
            self._admission.put_back(worker)
            self._listener(WorkerResumed(pool=self._pool, worker=worker.id))
        elif verdict is Verdict.STOPPED:
            why = "its process was stopped, as by SIGSTOP, and did not go on"
            worker.kill(Killed(why=why, kind="suspended"))
        elif verdict is Verdict.HUNG:
            why = f"hung: idle, and a canary did not come back within {timeout_s:g} s"
            worker.kill(Killed(why=why, kind="hung"), stack=True)
        elif verdict is Verdict.WEDGED and run.canary is not None and worker.condemned is None:
            # Also one that takes no more calls already: without an answer its canary would keep it for ever.
            why = f"its event loop hung: a canary did not come back within {timeout_s:g} s"
            worker.condemn(Killed(why=why, kind="hung"))
            self._admission.release(run.canary)

    def _ask(self, run: Run, worker: Worker, watched: _Watched) -> None:
        """Send a canary to a worker that has a free slot, so that it is begun at once."""
        canary = run.options.canary
        call = Call(canary.function, canary.meta, canary.body, None, self._loop.create_future())
        try:
            self._admission.submit(call, worker.id)
        except PoolError:
            return  # the pool takes no calls now: it drains
        run.canary = call
        watched.probe.asked()
        run.canaries += 1
        call.future.add_done_callback(lambda _: self._told(run, worker, watched, call))

    def _told(self, run: Run, worker: Worker, watched: _Watched, call: Call) -> None:
        """A canary has ended: well, with an error, or with its worker."""
        self._admission.release(call)
        run.canary = None
        watched.probe.told()
        if call.future.cancelled() or call.future.exception() is not None:
            return
        if call.future.result().ok:
            self._proved()
        elif worker.state is State.READY:
            run.recycle = "its canary was answered with an error"

    def _look_at_calls(self, run: Run, worker: Worker, watched: _Watched, stall_after_s: float) -> None:
        """End what has run longer than the pool allows, by time that was seen to pass."""
        begun = [call for call in worker.begun if not call.abandoned and call is not run.canary]
        if not begun:
            return
        oldest = min(begun, key=lambda call: call.id)
        if watched.oldest[0] != oldest.id:
            watched.oldest = (oldest.id, self._seen.seconds)
        elif self._seen.seconds - watched.oldest[1] >= stall_after_s:
            why = f"'{oldest.function}' ran longer than {stall_after_s:g} s, which is stall_after_s"
            if run.options.concurrency == 1:
                worker.kill(Killed(why=why, kind="stalled"), stack=True)
            else:
                error = WorkerLost(self._pool, worker.id, oldest.function, why, signal="", exit_code=None, stderr="")
                worker.fail_call(oldest, error)
