"""Where a call runs and why: one decision from what is known about it. Nothing here has a clock, or measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bridge.routing.routes import RoutedSpec

if TYPE_CHECKING:
    from handlers.contract import FunctionSpec


@dataclass(frozen=True, slots=True)
class Native:
    """Run it in the front process."""

    reason: str
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Run it in a worker of this pool."""

    pool: str
    reason: str


@dataclass(frozen=True, slots=True)
class Batched:
    """Run it in a worker of this pool, together with others."""

    pool: str
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Run it in a worker of this pool, or in the front where that is empty, and take in how long it takes."""

    pool: str
    reason: str


@dataclass(frozen=True, slots=True)
class Program:
    """Run it in a worker of this pool, in the version that is the call's; its worker is told of models' providers."""

    pool: str
    reason: str


@dataclass(frozen=True, slots=True)
class Routed:
    """Let its route choose what answers it. The pool is that of the function whose name it has."""

    pool: str
    reason: str


Fixed = Pooled | Batched | Routed | Program
Decision = Native | Measured | Fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeLimits:
    """What may run in the front process: it must stay quick for everybody. The last two hold for placement auto.

    `max_p99_s` is what the worst of a hundred calls may take, `copies` the part of calls that are run a second time on
    the way that was not taken.
    """

    max_request_bytes: int
    concurrency: int
    max_p99_s: float = 0.005
    copies: float = 0.01


class Placement(Protocol):
    """Who decides for functions with placement auto: `bridge.auto.runner.AutoPlacement`."""

    def decide(self, spec: FunctionSpec, request_bytes: int, running: int) -> Measured:
        """Return where a call goes."""
        ...


class Router:
    """Decides for one catalogue. Owns the decisions that do not depend on the call, made once per function."""

    def __init__(self, limits: NativeLimits, auto: Placement) -> None:
        self._native = Native("declared native")
        self._auto = auto
        self.renew(limits)

    def renew(self, limits: NativeLimits) -> None:
        """Forget what was decided for another catalogue, and take over the limits."""
        self._limits = limits
        self.fixed: dict[str, Fixed] = {}
        """By function, what does not depend on the call: once it is here, `decide` need not be asked."""

    def forget(self) -> None:
        """Forget what was decided: the catalogue has other entries."""
        self.fixed.clear()

    def decide(self, spec: FunctionSpec, request_bytes: int, native_running: int) -> Decision:
        """Return where a call of `spec` with a request of this size runs while so many native calls run."""
        if spec.placement == "pooled":
            return self.fixed.setdefault(spec.name, in_a_worker(spec))
        if spec.placement == "auto":
            return self._auto.decide(spec, request_bytes, native_running)
        limits = self._limits
        if request_bytes > limits.max_request_bytes:
            why = f"declared native, but its request of {request_bytes} bytes is over {limits.max_request_bytes}"
            return in_a_worker(spec, why)
        if native_running >= limits.concurrency:
            return in_a_worker(spec, f"declared native, but {native_running} native calls run already")
        return self._native


def in_a_worker(spec: FunctionSpec, why: str = "") -> Fixed:
    """Return the decision for calls of a function that are not to run in the front."""
    if isinstance(spec, RoutedSpec):
        return Routed(str(spec.pool), "routed")
    if spec.program is not None:
        return Program(str(spec.pool), why or ("created program" if spec.program.version else "declared pooled"))
    if spec.batch is not None:
        return Batched(str(spec.pool), why or "declared batched")
    return Pooled(str(spec.pool), why or "declared pooled")
