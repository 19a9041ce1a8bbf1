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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolScaled:
    """The pool is to have another number of workers."""

    pool: str
    old: int
    new: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecycled:
    """A ready worker has taken the place of another, which ends its calls and then goes."""

    pool: str
    worker: str
    replacement: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementFailed:
    """A worker that was to replace another did not start; the old one stays. Tried again after `retry_s`, or never."""

    pool: str
    worker: str
    cause: str
    retry_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLetGo:
    """A worker that is being retired has waited long enough for those who hold it; it takes no more calls soon."""

    pool: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCondemned:
    """A worker takes no more calls and is replaced at once; it is ended when that hurts no other call."""

    pool: str
    worker: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSuspended:
    """A worker's process was found stopped, as by SIGSTOP; it is given no calls."""

    pool: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResumed:
    """A worker's process that was stopped goes on, and takes calls again."""

    pool: str
    worker: str


PoolEvent = (
    WorkerSpawned
    | WorkerReady
    | WorkerExited
    | WorkerOutput
    | OutputDropped
    | PoolFailed
    | PoolScaled
    | WorkerRecycled
    | ReplacementFailed
    | WorkerLetGo
    | WorkerCondemned
    | WorkerSuspended
    | WorkerResumed
)
Listener = Callable[[PoolEvent], None]
