"""What a pool is told when it is made: frozen, checked, no defaults hidden elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Worker processes."""
    concurrency: int = 1
    """Calls that one worker takes at a time; above 1 the worker is an event loop."""
    queue_limit: int = 256
    """Calls that may wait for a worker."""
    lookahead: int = 32
    """Calls that may be lined up in the socket of a busy worker that takes one at a time; they count as waiting."""
    memory_limit_bytes: int | None = None
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
