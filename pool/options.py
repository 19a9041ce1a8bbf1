"""What a pool is told when it is made: frozen, checked, no defaults hidden elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pool.restart import RestartOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The call that proves a worker: it must come back ok. Opaque to the pool, like every call."""

    function: str
    meta: bytes
    body: bytes
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """One pool. Sizes in bytes, times in seconds."""

    name: str
    entry: str
    """What a worker loads, as ``module:function``; the function gets `entry_options` and returns an entry."""
    entry_options: bytes
    canary: Canary
    size: int = 2
    """Worker processes at the start; with `max_size` above it, or `min_size` below it, the pool scales itself."""
    min_size: int | None = None
    """The fewest workers that scaling leaves; None for `size`."""
    max_size: int | None = None
    """The most workers that scaling starts; None for `size`."""
    scale_up_wait_s: float = 0.5
    """One worker more where the oldest waiting call has waited this long."""
    scale_down_idle_s: float = 60.0
    """One worker fewer where for this long there was always one without a call."""
    start: Literal["auto", "template", "spawn"] = "spawn"
    """How workers start: forked from a template process, spawned afresh, or `auto`: forked where that is safe."""
    cpus: tuple[tuple[int, ...], ...] = ()
    """CPU affinity: the worker of place i runs on the CPUs of item i modulo the length; empty for no affinity."""
    gpus: tuple[str, ...] = ()
    """CUDA_VISIBLE_DEVICES of the worker of place i, in the same way; empty leaves the variable alone."""
    concurrency: int = 1
    """Calls that one worker takes at a time; above 1 the worker is an event loop."""
    queue_limit: int = 256
    """Calls that may wait for a worker."""
    lookahead: int = 32
    """Calls that may be lined up in the socket of a busy worker that takes one at a time; they count as waiting."""
    queue_bytes: int = 256 << 20
    """Bytes of requests that may wait for a worker."""
    memory_limit_bytes: int | None = None
    """A worker whose process group holds more is killed."""
    memory_soft_limit_bytes: int | None = None
    """A worker whose process group holds more is replaced, then retired: no call notices."""
    data_limit_bytes: int | None = None
    """RLIMIT_DATA of a worker: an allocation beyond it raises MemoryError in user code; None sets none."""
    cgroups: Literal["auto", "off"] = "off"
    """Whether each worker gets a cgroup of its own, where the environment lets us."""
    tasks_limit: int | None = 4096
    """Processes and threads that a worker may have at a time, where it has a cgroup; None sets no bound."""
    max_calls: int | None = None
    """A worker is replaced, then retired, after about so many calls."""
    max_age_s: float | None = None
    """A worker is replaced, then retired, at about this age."""
    check_interval_s: float = 2.0
    """How long a worker may be without an answer before a canary is sent to it."""
    check_timeout_s: float = 2.0
    """How long that canary may take before an idle worker counts as hung and is replaced."""
    drain_hold_s: float = 30.0
    """How long a worker that is being retired goes on serving the strict sessions that are bound to it."""
    stall_after_s: float | None = None
    """A worker whose call runs longer is killed, whatever the call's deadline; None never does: C calls may be long."""
    quarantine_after: int = 2
    """An input that killed so many workers, each time as their only call, is refused; 0 switches this off."""
    quarantine_ttl_s: float = 3600.0
    retry_idempotent: bool = True
    """For who submits: a call that may run twice is to be submitted once more where its worker has died in it."""
    grace_s: float = 1.0
    """From a cancel or deadline until a worker that goes on is killed."""
    start_timeout_s: float = 300.0
    stop_timeout_s: float = 5.0
    """From the order to stop until a worker that goes on is killed."""
    max_frame_bytes: int = 1 << 30
    env: Mapping[str, str] = field(default_factory=dict)
    """Set in the worker's environment on top of the front's."""
    nice: int = 0
    restart: RestartOptions = field(default_factory=RestartOptions)

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("concurrency", 1), ("queue_limit", 0), ("lookahead", 0)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"pool '{self.name}': {name} must be at least {least}, got {value}")
        if not self.least <= self.size <= self.most:
            raise ValueError(
                f"pool '{self.name}': size {self.size} must lie between min_size ({self.least}) and max_size "
                f"({self.most})"
            )

    @property
    def least(self) -> int:
        """The fewest workers."""
        return self.size if self.min_size is None else self.min_size

    @property
    def most(self) -> int:
        """The most workers."""
        return self.size if self.max_size is None else self.max_size
