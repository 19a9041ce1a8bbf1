"""What has been measured of functions that are placed by measurement: per function and size of the request.

Owns the times and what was reckoned from them, which is kept for a moment so that a decision costs little. A size that
has no times of its own takes those of the next larger one that has. Until a function has run in the front, what it
took in workers stands for what it will take there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.routing.stats import RouteStats, joint_quantile, size_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.auto.choice import Why
    from bridge.routing.router import Measured
    from bridge.routing.stats import Fading

NATIVE = "native"
LEAST = 8.0
"""Calls of a size (what old ones are still worth) that must have been timed before it may run in the front."""
SOME = 0.5
"""What fewer are worth is too old to be of use."""
SURE = 100.0
"""With so many in the front, those in workers do not count for its p99, unless one has lately overrun."""
HALF_LIFE_S = 120.0
TRANSFER_HALF_LIFE_S = 30.0
"""The way to a worker depends on the load, so its times grow old sooner."""
TRANSFER_HALF_LIFE_CALLS = 200.0
TRANSFER_S = 300e-6
"""Until it has been measured."""
KEPT_S = 0.05
KEPT_CALLS = 64
"""For how long, and how many calls, what was reckoned is used again."""
HOLD_S = 1.0
HOLD_MOST_S = 600.0
QUIET = 10.0
"""Where so many times the last hold have passed since it ended, the next is a short one again."""


class Known:
    """What is known of a function and one size of request. See `bridge.auto.choice.Known`."""

    __slots__ = (
        "calls",
        "deadly",
        "decisions",
        "hold_s",
        "hold_until",
        "kind",
        "native_p99_s",
        "native_s",
        "overran",
        "service_s",
        "stale_at",
        "timed",
        "transfer_s",
    )

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.timed = self.overran = self.deadly = False
        self.native_s = self.native_p99_s = self.service_s = 0.0
        self.transfer_s = TRANSFER_S
        self.stale_at = self.hold_until = self.hold_s = 0.0
        self.calls = 0
        self.decisions: dict[Why, Measured] = {}
        """As they have been put into words since the figures were reckoned."""


class Figures:
    """The figures of one front. `now` is its clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.forget()

    def forget(self) -> None:
        """Forget everything: the code may have changed."""
        self.times = RouteStats(self._now, half_life_s=HALF_LIFE_S)
        self.transfers = RouteStats(
            self._now, half_life_s=TRANSFER_HALF_LIFE_S, half_life_calls=TRANSFER_HALF_LIFE_CALLS
        )
        self._known: dict[str, dict[int, Known]] = {}
        self.deadly: set[str] = set()
        """Functions that workers have died in."""

    def known(self, function: str, pool: str, request_bytes: int) -> Known:
        """Return what is known of calls of a function that its pool would serve, with requests of such a size."""
        kind = size_class(max(1, request_bytes))
        kinds = self._known.get(function)
        if kinds is None:
            kinds = self._known[function] = {}
        found = kinds.get(kind)
        if found is None:
            found = kinds[kind] = Known(kind)
        now = self._now()
        found.calls += 1
        if now >= found.stale_at or found.calls >= KEPT_CALLS:
            self._reckon(found, function, pool, now)
        return found

    def _reckon(self, known: Known, function: str, pool: str, now: float) -> None:
        native, service = self.times.sizes(function, NATIVE), self.times.sizes(function, way_of(pool))
        own = native.get(known.kind)
        of_native, of_service = best(native, known.kind, LEAST, now), best(service, known.kind, LEAST, now)
        known.timed = of_native is not None or of_service is not None
        here = of_native or of_service
        known.native_s = 0.0 if here is None else here.usual
        suspect = now < known.hold_until + QUIET * known.hold_s
        if own is not None and own.samples(now) >= SURE and not suspect:
            known.native_p99_s = own.quantile(0.99) or 0.0
        else:
            found = {id(one): one for one in (own, of_native, of_service) if one is not None}
            known.native_p99_s = joint_quantile(found.values(), 0.99, now) or 0.0
        there = best(service, known.kind, SOME, now) or of_native
        known.service_s = 0.0 if there is None else there.usual
        transfer = best(self.transfers.sizes(function, way_of(pool)), known.kind, SOME, now)
        known.transfer_s = TRANSFER_S if transfer is None else transfer.usual
        known.overran = now < known.hold_until
        known.deadly = function in self.deadly
        known.stale_at = now + KEPT_S if known.timed else now
        known.calls = 0
        known.decisions.clear()

    def ran_native(self, function: str, request_bytes: int, seconds: float) -> None:
        """Take in how long a call has run in the front."""
        self.times.observe(function, NATIVE, seconds=seconds, ok=True, bytes_in=max(1, request_bytes))

    def ran_pooled(self, function: str, pool: str, request_bytes: int, service_s: float, transfer_s: float) -> None:
        """Take in how long a call has run in a worker, and how long it was on the way."""
        way, size = way_of(pool), max(1, request_bytes)
        self.times.observe(function, way, seconds=service_s, ok=True, bytes_in=size)
        self.transfers.observe(function, way, seconds=max(0.0, transfer_s), ok=True, bytes_in=size)

    def overran(self, known: Known) -> None:
        """Keep calls of this size out of the front for a while, which doubles where it comes again and again."""
        now = self._now()
        again = now < known.hold_until + QUIET * known.hold_s
        known.hold_s = min(HOLD_MOST_S, 2 * known.hold_s) if again and known.hold_s else HOLD_S
        known.hold_until = now + known.hold_s
        known.overran = True
        known.stale_at = now + min(KEPT_S, known.hold_s)


def way_of(pool: str) -> str:
    """Return the name of a pool as a way."""
    return f"pool/{pool}"


def best(sizes: Mapping[int, Fading], kind: int, least: float, now: float) -> Fading | None:
    """Return the times of a size class, or of the next larger one that has enough; None where none has."""
    found = best_class(sizes, kind, least, now)
    return None if found is None else sizes[found]


def best_class(sizes: Mapping[int, Fading], kind: int, least: float, now: float) -> int | None:
    """Return the size class whose times count for `kind`; None where there is none."""
    own = sizes.get(kind)
    if own is not None and own.samples(now) >= least:
        return kind
    for larger in sorted(other for other in sizes if other > kind):
        if sizes[larger].samples(now) >= least:
            return larger
    return None
