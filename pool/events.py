"""What a pool tells whoever listens: facts, never questions. A listener must return at once and not raise."""

from collections.abc import Callable
from dataclasses import dataclass

from pool.exits import ExitReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpawned:
    """A process was started."""

    pool: str
    worker: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady:
    """A worker answered its canary and takes calls; `seconds` since it was spawned."""

    pool: str
    worker: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExited:
    """A process ended. `expected` tells an order from a death."""

    pool: str
    worker: str
    expected: bool
    report: ExitReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOutput:
    """A line that a worker wrote to stdout or stderr."""

    pool: str
    worker: str
    stream: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDropped:
    """Lines that were not passed on because a worker wrote too fast."""

    pool: str
    worker: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFailed:
    """No worker of the pool starts; it is tried again at a slow pace."""

    pool: str
    cause: str


PoolEvent = WorkerSpawned | WorkerReady | WorkerExited | WorkerOutput | OutputDropped | PoolFailed
Listener = Callable[[PoolEvent], None]
