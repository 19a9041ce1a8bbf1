"""A pool as it stands: records for whoever watches it, and what they need of a worker. Nothing here acts."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pool.exits import ExitReport
from pool.growth import FunctionGrowth, Growth
from pool.lifecycle import State
from pool.limits import resident_bytes
from pool.options import PoolOptions
from pool.quarantine import QuarantinedInput
from pool.spawn import HowStarted


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
    place: int = 0
    """Its place in the pool, on which its CPUs and GPU depend."""
    quiet_s: float = 0.0
    """Seconds since it was last seen to have answered."""
    recycle: str = ""
    """Why it is to be replaced, or is being retired; empty while neither."""
    sessions: int = 0
    """Strict sessions that are bound to it."""
    canaries: int = 0
    """The canaries that it was sent, which `answered` counts too."""


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
    target: int
    """Workers that there are to be now."""
    least: int
    most: int
    started: HowStarted
    """How its workers start."""
    exits: tuple[tuple[ExitReport, float], ...]
    """The last exits, newest first, each with the seconds since then."""
    growth: tuple[FunctionGrowth, ...]
    """The functions whose calls added most to their workers' memory, the greatest first."""
    quarantine: tuple[QuarantinedInput, ...] = ()
    """The inputs that are refused because they have killed workers."""
    waiting_bytes: int = 0
    """Bytes of the requests that wait."""
    arrivals: int = 0
    """Calls that have come, ever."""


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


class MemberRun(Protocol):
    """What a snapshot needs of a worker's run."""

    place: int
    answered_at: float
    canaries: int
    recycle: str
    holders: int


class Workforce(Protocol):
    """Who keeps a pool's workers: `Supervisor`, or its double in `pool.testing`."""

    growth: Growth
    catalogue: asyncio.Future[bytes]

    @property
    def target(self) -> int:
        """Workers that there are to be."""
        ...

    @property
    def least(self) -> int:
        """The fewest that scaling leaves."""
        ...

    @property
    def most(self) -> int:
        """The most that scaling starts."""
        ...

    @property
    def workers(self) -> Mapping[str, Member]:
        """The workers there are, by id."""
        ...

    @property
    def runs(self) -> Mapping[str, MemberRun]:
        """Their runs, by id."""
        ...

    @property
    def exits(self) -> deque[ExitReport]:
        """The last exits, newest first."""
        ...

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced."""
        ...

    @property
    def failure(self) -> str:
        """Why no worker starts; empty while they do."""
        ...

    def how_started(self) -> HowStarted:
        """Return how workers start."""
        ...

    def start(self) -> None:
        """Start the workers; returns at once."""
        ...

    def resize(self, minimum: int, maximum: int) -> None:
        """Keep to other bounds from now on."""
        ...

    def grow(self, workers: int, cause: str) -> bool:
        """Have more workers, within the bounds."""
        ...

    def recycle(self, worker: str, cause: str) -> bool:
        """Have a worker replaced in its turn."""
        ...

    async def restart(self, worker: str | None = None) -> int:
        """Replace one worker, or all; return how many."""
        ...

    async def reload(self, options: PoolOptions) -> bytes:
        """Replace all workers by such with new options; return their catalogue."""
        ...

    def hold(self, worker: str) -> None:
        """Count a strict session that is bound to a worker."""
        ...

    def unhold(self, worker: str) -> None:
        """Count one such session less."""
        ...

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls; return whether all in flight ended within the time."""
        ...

    def resume(self) -> None:
        """Take calls again after a drain."""
        ...

    async def stop(self) -> None:
        """End every worker."""
        ...


def worker_snapshots(force: Workforce, now: float) -> tuple[WorkerSnapshot, ...]:
    """Return the workers as they stand at `now`."""
    made = []
    for worker in force.workers.values():
        run = force.runs[worker.id]
        made.append(
            WorkerSnapshot(
                id=worker.id,
                pid=worker.pid,
                state=worker.state,
                running=worker.running,
                answered=worker.answered,
                rss_bytes=worker.rss_bytes or resident_bytes(worker.pid),
                age_s=now - worker.started_at,
                place=run.place,
                quiet_s=now - run.answered_at,
                recycle=run.recycle,
                sessions=run.holders,
                canaries=run.canaries,
            )
        )
    return tuple(made)


def state_of(force: Workforce, ready: int, *, draining: bool) -> str:
    """Return in a word how a pool is."""
    if draining:
        return "draining"
    if ready:
        return "ready"
    return "failed" if force.failure else "starting"


def cause_of(force: Workforce, ready: int) -> str:
    """Return why no worker takes calls; nothing where one does."""
    states = Counter(worker.state.value for worker in force.workers.values())
    if force.failure or not states or ready:
        return force.failure
    return "no worker takes calls: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
