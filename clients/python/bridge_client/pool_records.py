"""Pools, their workers, and what goes on in a server, for operators: plain records. Units are in the names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process."""

    id: str
    pid: int
    state: str
    """``starting``, ``ready``, ``draining``, ``stopping`` or ``suspended``."""
    running: int
    calls: int
    rss_bytes: int
    age_s: float
    place: int
    """Its place in the pool, from 0: CPUs and GPUs are given by place."""
    since_answer_s: float | None
    """Since it last answered; None where it never has."""
    recycle_reason: str
    """Why it is to be replaced, or is being retired; empty while neither."""
    sessions: int
    """Strict sessions that are bound to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExit:
    """The end of a worker process."""

    worker: str
    cause: str
    stderr_tail: str
    age_s: float
    ordered: bool
    """Whether it was told to end: recycled, replaced, scaled down or stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedInput:
    """A function with its arguments that is refused because it killed workers."""

    function: str
    fingerprint: str
    """What `release_input` takes."""
    deaths: int
    left_s: float
    """How long it goes on being refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionGrowth:
    """What calls of one function have added to the memory of workers."""

    function: str
    grown_bytes: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Something that was found to be far from what it should be."""

    kind: str
    """Such as ``slow_worker`` or ``memory_trend``."""
    action: str
    """What helps: ``recycle``, ``open_breaker``, ``scale_up`` or ``unspecified`` for nothing."""
    acted: bool
    cause: str
    worker: str
    function: str
    provider: str
    age_s: float
    numbers: Mapping[str, float]
    """The figures behind it; units are in the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of worker processes."""

    name: str
    state: str
    """``starting``, ``ready``, ``failed``, ``draining`` or ``missing_extra``."""
    cause: str
    size: int
    concurrency: int
    queued: int
    queue_limit: int
    running: int
    memory_limit_bytes: int
    """0 for no limit, as of all limits here."""
    restarts: int
    calls: int
    functions: tuple[str, ...]
    workers: tuple[Worker, ...]
    proof_age_s: float | None
    """Seconds since a call went through the pool's whole path; None before the first."""
    exits: tuple[WorkerExit, ...]
    """The last ones, newest first."""
    min_size: int
    max_size: int
    """The same as `min_size` where the pool does not scale itself."""
    start_kind: str
    """``template`` (forked from a process that has imported the code) or ``spawn``."""
    start_reason: str
    template_pid: int
    memory_soft_limit_bytes: int
    queued_bytes: int
    queue_bytes_limit: int
    quarantine: tuple[QuarantinedInput, ...]
    growth: tuple[FunctionGrowth, ...]
    check_interval_s: float
    check_timeout_s: float
    grace_s: float
    """How long a call may go on after its deadline or cancel before its worker is killed."""
    cgroups: str
    anomalies: tuple[Anomaly, ...]
    """The last ones, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A call that has not ended yet."""

    request_id: str
    """What `cancel` takes."""
    function: str
    pool: str
    worker: str
    """Empty while it waits, and in the front process."""
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A circuit breaker."""

    key: str
    """Such as ``function/NAME/native`` or ``provider/NAME``."""
    state: str
    """``closed``: lets all through; ``open``: refuses all; ``half_open``: lets a few through on trial."""
    cause: str
    left_s: float | None
    """How long it will stay open; None where it is not."""
    calls: int
    failures: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A process that takes gRPC on the server's address, where there are several."""

    id: str
    pid: int
    state: str
    open_calls: int
    calls: int
    cpu_s: float
    rss_bytes: int
    loop_lag_s: float
    link_delay_s: float
    age_s: float
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What goes on in a server."""

    pools: tuple[Pool, ...]
    open_calls: tuple[OpenCall, ...]
    """Those that run or wait, the oldest first; at most 20."""
    breakers: tuple[Breaker, ...]
    fronts: tuple[Front, ...]
    """Empty where one process does all."""
