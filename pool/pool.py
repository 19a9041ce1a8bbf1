"""A pool: the one door to its admission and its supervisor, and what `bridge` sees of both."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pool.admission import Admission
from pool.calls import Call
from pool.errors import PoolError
from pool.events import Listener
from pool.exits import ExitReport
from pool.growth import FunctionGrowth, Growth
from pool.lifecycle import State
from pool.limits import resident_bytes
from pool.options import PoolOptions
from pool.spawn import Spawner
from pool.supervisor import Supervisor
from pool.template import TemplateSpawner

GROWTH_SHOWN = 10
"""Functions of which a snapshot tells what they added to their workers' memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """A worker as it stands. Bytes and seconds."""

    id: str
    pid: int
    state: State
    running: int
    answered: int
    rss_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """A pool as it stands. `proof_age_s` is None before the first call has gone through."""

    name: str
    state: str
    """starting, ready, failed or draining."""
    cause: str
    workers: tuple[WorkerSnapshot, ...]
    waiting: int
    restarts: int
    calls: int
    proof_age_s: float | None
    exits: tuple[tuple[ExitReport, float], ...]
    """The last exits, newest first, each with the seconds since then."""
    growth: tuple[FunctionGrowth, ...]
    """The functions whose calls added most to their workers' memory, the greatest first."""


class Member(Protocol):
    """What a snapshot needs of a worker."""

    id: str
    state: State
    answered: int
    rss_bytes: int
    started_at: float

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    @property
    def running(self) -> int:
        """Calls in flight."""
        ...


class Workforce(Protocol):
    """Who keeps a pool's workers: `Supervisor`, or its double in `pool.testing`."""

    failure: str
    restarts: int
    exits: deque[ExitReport]
    growth: Growth
    catalogue: asyncio.Future[bytes]

    @property
    def workers(self) -> Mapping[str, Member]:
        """The workers there are, by id."""
        ...

    def start(self) -> None:
        """Start the workers; returns at once."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls; return whether all in flight ended within the time."""
        ...

    async def stop(self) -> None:
        """End every worker."""
        ...


class Pool:
    """A supervised set of workers that turn *function + bytes* into *bytes or a stream of bytes*.

    `fatal` is called when supervision itself fails; the owner must end the process then.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        listener: Listener,
        fatal: Callable[[BaseException], None],
        spawner: Spawner | None = None,
    ) -> None:
        self.options = options
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(options.name, options.queue_limit, self._loop)
        starts = spawner or TemplateSpawner(options, listener)
        self._supervisor: Workforce = Supervisor(options, self._admission, starts, listener, fatal)
        self._proof_at: float | None = None
        self._calls = 0
        self._canaries = 0
        self._draining = False
        self.release = self._admission.release
        self.choose = self._admission.choose

    async def start(self) -> bytes:
        """Start the workers; return the catalogue of the first that is ready. Raises StartFailed where it fails."""
        self._supervisor.start()
        return await asyncio.shield(self._supervisor.catalogue)

    def served(self, service_s: float) -> None:
        """Say that a call came back over the whole path: that is what readiness is judged by."""
        self._proof_at = self._loop.time()
        self._calls += 1
        self._admission.observe(service_s)

    def has_worker(self, worker: str) -> bool:
        """Return whether a worker lives and takes calls."""
        return self._admission.has_member(worker)

    @property
    def proof_age_s(self) -> float | None:
        """Seconds since a call last came back over the whole path; None before the first."""
        return None if self._proof_at is None else self._loop.time() - self._proof_at

    @property
    def ready_workers(self) -> int:
        """Workers that take calls."""
        return sum(worker.state is State.READY for worker in self._supervisor.workers.values())

    @property
    def saturated(self) -> bool:
        """Whether every ready worker has all the calls it takes."""
        return not self._admission.has_room

    def submit(
        self,
        function: str,
        meta: bytes,
        body: bytes,
        deadline: float | None,
        *,
        prefer: str | None = None,
        stream: bool = False,
        on_launch: Callable[[str], None] | None = None,
    ) -> Call:
        """Submit a call; its `future` has the reply. Raises QueueFull, Stopped or PoolUnavailable at once.

        `deadline` is on the loop's clock. `on_launch` gets the worker's id when the call starts. Whatever happens, call
        `release` in the end: for a call that has not ended it is the cancel.
        """
        call = Call(function, meta, body, deadline, self._loop.create_future(), stream, on_launch)
        self._admission.submit(call, prefer)
        return call

    async def canary(self, timeout_s: float) -> PoolError | None:
        """Send the canary the way of every call, to each worker in turn; return what went wrong, or None."""
        canary = self.options.canary
        started = self._loop.time()
        ready = [worker.id for worker in self._supervisor.workers.values() if worker.state is State.READY]
        self._canaries += 1
        prefer = ready[self._canaries % len(ready)] if ready else None
        try:
            call = self.submit(canary.function, canary.meta, canary.body, started + timeout_s, prefer=prefer)
        except PoolError as error:
            return error
        try:
            reply = await call.future
        except PoolError as error:
            return error
        finally:
            self.release(call)
        if not reply.ok:
            return PoolError(f"the canary of pool '{self.options.name}' was answered with an error")
        self.served(reply.worker_ns / 1e9)
        return None

    def snapshot(self) -> PoolSnapshot:
        """Return the pool as it stands now."""
        now = self._loop.time()
        workers = tuple(
            WorkerSnapshot(
                id=worker.id,
                pid=worker.pid,
                state=worker.state,
                running=worker.running,
                answered=worker.answered,
                rss_bytes=worker.rss_bytes or resident_bytes(worker.pid),
                age_s=now - worker.started_at,
            )
            for worker in self._supervisor.workers.values()
        )
        return PoolSnapshot(
            name=self.options.name,
            state=self._state(),
            cause=self._supervisor.failure,
            workers=workers,
            waiting=self._admission.waiting,
            restarts=self._supervisor.restarts,
            calls=self._calls,
            proof_age_s=self.proof_age_s,
            exits=tuple((report, now - report.exited_at) for report in self._supervisor.exits),
            growth=self._supervisor.growth.top(GROWTH_SHOWN),
        )

    def _state(self) -> str:
        if self._draining:
            return "draining"
        if self.ready_workers:
            return "ready"
        return "failed" if self._supervisor.failure else "starting"

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls; return whether all in flight ended within the time."""
        self._draining = True
        return await self._supervisor.drain(timeout_s)

    async def stop(self) -> None:
        """End every worker and return when their processes are gone."""
        self._draining = True
        await self._supervisor.stop()
        self._admission.close()


__all__ = ["Pool", "PoolSnapshot", "WorkerSnapshot"]
