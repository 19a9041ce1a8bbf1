"""What the detection of anomalies is fed with, what it finds, and by which rules. Records; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

Kind = Literal[
    "slow_worker",
    "slow_function",
    "failing_worker",
    "failing_function",
    "failing_provider",
    "memory_trend",
    "rising_wait",
]
KINDS: tuple[Kind, ...] = (
    "slow_worker",
    "slow_function",
    "failing_worker",
    "failing_function",
    "failing_provider",
    "memory_trend",
    "rising_wait",
)
Action = Literal["recycle", "open_breaker", "scale_up", "none"]
Mode = Literal["off", "observe", "act"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When something is an anomaly, and how often something may be done about one. Seconds."""

    interval_s: float = 1.0
    """Between two looks."""
    window_s: float = 60.0
    """What counts as now: older samples are the past, which fades over ten windows."""
    min_samples: int = 30
    """Calls on each side, before two are compared."""
    latency_ratio: float = 2.0
    """A worker is slow whose calls take so many times what they take on its siblings."""
    error_rate: float = 0.5
    """A function fails of whose calls such a share fails."""
    memory_lead_s: float = 30.0
    """A worker is replaced that will reach its memory limit within this time, or three times what a start takes."""
    breaker_s: float = 30.0
    cooldown_s: float = 300.0
    """After an action: nothing of its kind is done in the same pool for so long, and twice that after each in a row."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One call that a worker has ended, or that was ended in it."""

    pool: str
    worker: str
    function: str
    size: int
    """Half the number of bits in its request's length: inputs of like size are compared with each other."""
    seconds: float
    """What it took in the worker; 0 where that can not be compared."""
    failed: bool = False
    late: bool = False
    """Its deadline has passed in the worker, after `seconds`."""
    provider: str = ""
    """Whose failure it was, where a provider of models has failed."""
    tenant: str = ""
    bound: bool = False
    """Its session had chosen the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSight:
    """A worker at one look."""

    id: str
    ready: bool
    rss_bytes: int = 0
    recycle: str = ""
    """Why it is being replaced; empty while it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSight:
    """A pool at one look."""

    name: str
    workers: tuple[WorkerSight, ...]
    target: int
    most: int
    waiting: int = 0
    running: int = 0
    """Calls that run, of at most `concurrency` on each worker."""
    concurrency: int = 1
    arrivals: int = 0
    """Calls that have come, ever."""
    scale_up_wait_s: float = 0.5
    """How long a call waits before the usual rule adds a worker."""
    memory_limit_bytes: int | None = None
    start_s: float = 0.0
    """What the start of a worker took lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something is far from what it should be, and was for long enough to be believed."""

    kind: Kind
    action: Action
    """What would help."""
    cause: str
    """In words, with the numbers."""
    worker: str = ""
    function: str = ""
    provider: str = ""
    workers: int = 0
    """How many there should be, where the action is to scale up."""
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def about(self) -> tuple[str, str]:
        """What it is about: findings with the same go on being the same anomaly."""
        if self.action in ("open_breaker", "none"):
            return self.kind, self.provider or self.function
        return self.kind, self.worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A finding as it is told: with what was done about it, or why nothing was."""

    pool: str
    finding: Finding
    at: float
    """On the clock of whoever keeps it."""
    acted: bool
    held: str = ""
    """Why nothing was done, where `finding.action` would have helped."""
