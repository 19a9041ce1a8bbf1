"""The choice between the front and a worker for one call: pure, from what has been measured to a decision and why.

A call in the front saves the way to a worker and the wait for one, but every other call of the front waits for it. So
the ways are compared by their burden: how long the call takes, and what its time in the front costs those that wait
for the front meanwhile. Owns nothing; has no clock.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bridge.routing.router import NativeLimits

HOP_FRONT_S = 50e-6
"""The front's own work for a call that goes to a worker, which it does not have with one of its own."""
BUSIEST = 0.9
"""A front that is busier counts as this busy: each second in it costs eight more."""
OVERLOADED = 0.5
"""A front that is late and busier than this has too much to do; one that is late without is kept from the processor,
and so are workers."""


class Why(StrEnum):
    """Why a call goes where it goes. The values are labels of a metric."""

    NATIVE_FASTER = "native_faster"
    POOLED_FASTER = "pooled_faster"
    UNTIMED = "untimed"
    OVER_LIMIT = "over_limit"
    OVERRAN = "overran"
    DEADLY = "deadly"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    RUNNING = "running"


class Known(Protocol):
    """What is known of a function and requests of one size, in seconds."""

    @property
    def timed(self) -> bool:
        """Whether its running time is known well enough to let it into the front."""
        ...

    @property
    def native_s(self) -> float:
        """How long it holds up the front, on average."""
        ...

    @property
    def native_p99_s(self) -> float:
        """How long it does so in the worst of a hundred calls."""
        ...

    @property
    def service_s(self) -> float:
        """How long it runs in a worker."""
        ...

    @property
    def transfer_s(self) -> float:
        """How long it takes to a worker and back."""
        ...

    @property
    def deadly(self) -> bool:
        """Whether a worker has died in a call of it."""
        ...

    @property
    def overran(self) -> bool:
        """Whether it has lately held up the front for longer than it may."""
        ...


class Load(Protocol):
    """How busy the front is."""

    @property
    def busy(self) -> float:
        """Which part of the time its loop works."""
        ...

    @property
    def calls_per_s(self) -> float:
        """How many calls come to it."""
        ...

    @property
    def lag_s(self) -> float:
        """How late its loop is."""
        ...

    @property
    def turn_s(self) -> float:
        """How long native calls have held up the present turn of the loop."""
        ...


def excluded(known: Known, load: Load, limits: NativeLimits, request_bytes: int, running: int) -> Why | None:
    """Return why a call may not run in the front; None where it may. `running` are the native calls under way."""
    if request_bytes > limits.max_request_bytes:
        return Why.TOO_LARGE
    if known.deadly:
        return Why.DEADLY
    if not known.timed:
        return Why.UNTIMED
    if known.native_p99_s > limits.max_p99_s:
        return Why.OVER_LIMIT
    if known.overran:
        return Why.OVERRAN
    if running >= limits.concurrency:
        return Why.RUNNING
    if load.turn_s + known.native_s > limits.max_p99_s:
        return Why.BUSY
    if load.lag_s > limits.max_p99_s and load.busy > OVERLOADED and known.native_s > HOP_FRONT_S:
        return Why.BUSY
    return None


def native_burden_s(known: Known, load: Load) -> float:
    """Return what a call in the front costs: itself, those that wait for the front, and those that come meanwhile.

    Those that come meanwhile wait for half of it on average.
    """
    seconds = known.native_s
    return seconds * (1.0 + waiters(load) + load.calls_per_s * seconds / 2)


def pooled_burden_s(known: Known, load: Load, wait_s: float) -> float:
    """Return what a call in a worker costs that would wait so long for one."""
    return wait_s + known.service_s + known.transfer_s + HOP_FRONT_S * waiters(load)


def waiters(load: Load) -> float:
    """Return how many calls wait for the front, on average: b² / (1 - b) where it is busy by b (M/M/1)."""
    busy = min(BUSIEST, load.busy)
    return busy * busy / (1.0 - busy)


def choose(known: Known, wait_s: float, load: Load, limits: NativeLimits, request_bytes: int, running: int) -> Why:
    """Return which way a call goes: to the front with NATIVE_FASTER, else to a worker."""
    why = excluded(known, load, limits, request_bytes, running)
    if why is not None:
        return why
    if native_burden_s(known, load) <= pooled_burden_s(known, load, wait_s):
        return Why.NATIVE_FASTER
    return Why.POOLED_FASTER
