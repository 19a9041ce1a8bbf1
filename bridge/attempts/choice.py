"""Which alternative of a route answers a call, and why in words: from weights, measured figures and declared bounds.

Pure: figures, breakers, clock and chance come in. Owns what it has seen of each alternative: whether it is within its
bounds, and when one outside them was last measured anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.routing.breakers import Breakers
    from bridge.routing.routes import Alternative, Route
    from bridge.routing.stats import RouteStats

KNOWN = 10
"""Calls after which figures of an alternative are believed."""
REFRESH_S = 0.1
"""How old figures may be that a choice is made by: to work them out takes longer than a choice."""
PROBE_S = 10.0
"""An alternative outside its bounds gets one call in so long, so that it is noticed when it is good again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is expected of an alternative. None is what has not been measured; times in seconds."""

    alternative: Alternative
    samples: float
    p50_s: float | None
    p95_s: float | None
    success: float | None
    cost_usd: float | None
    outside: str
    """Which bounds it does not keep, in words; empty where it keeps all."""
    known: bool
    """Whether there have ever been enough calls to judge it by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An alternative and why it was chosen."""

    alternative: Alternative
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsChanged:
    """An alternative is outside the bounds of its route now (`outside` says by which numbers), or within them again."""

    route: str
    alternative: str
    outside: str


class Chooser:
    """Chooses. `listener` hears of alternatives that leave their bounds or come back."""

    def __init__(
        self,
        stats: RouteStats,
        breakers: Breakers,
        clock: Callable[[], float],
        listener: Callable[[BoundsChanged], None],
        chance: random.Random,
    ) -> None:
        self._stats = stats
        self._breakers = breakers
        self._clock = clock
        self._listener = listener
        self._chance = chance
        self._predicted: dict[str, tuple[float, Route, list[Prediction]]] = {}
        self._known: set[tuple[str, str]] = set()
        self._outside: dict[tuple[str, str], float] = {}
        """Those outside their bounds, with when they last had a call or left them."""

    def renew(self) -> None:
        """Forget what was worked out for other routes."""
        self._predicted.clear()

    def allows(self, alternative: Alternative) -> bool:
        """Whether no breaker keeps calls from it."""
        return all(self._breakers.allows(key) for key in (*alternative.keys, *alternative.needs))

    def choose(self, route: Route, sticky: str, tried: Collection[str] = ()) -> Choice | None:
        """Return what answers, leaving out what was `tried`; None where nothing is left that breakers let through.

        `sticky` names whose calls are to go to one alternative; empty where any will do.
        """
        candidates = [
            one
            for one in self.predictions(route)
            if one.alternative.weight > 0 and one.alternative.label not in tried and self.allows(one.alternative)
        ]
        if not candidates:
            return None
        inside = [one for one in candidates if not one.outside]
        if 0 < len(inside) < len(candidates) and not tried:
            for one in candidates:
                if one.outside and self._is_due(route, one):
                    why = f"it was outside its bounds ({one.outside}) and is measured anew"
                    return Choice(alternative=one.alternative, why=why)
        left = inside or candidates
        why = "" if inside else f"all are outside their bounds ({left[0].outside}): "
        if len(left) == 1:
            others = len(route.alternatives) > 1
            return Choice(
                alternative=left[0].alternative, why=why + ("the only one left" if others else "the only one")
            )
        if route.config.choose == "weights":
            return self._by_weight(left, sticky, why)
        return self._best(route, left, why, explores=not tried)

    def _is_due(self, route: Route, one: Prediction) -> bool:
        key, now = (route.name, one.alternative.label), self._clock()
        if now - self._outside.get(key, now) < PROBE_S:
            return False
        self._outside[key] = now
        return True

    def _by_weight(self, left: Sequence[Prediction], sticky: str, why: str = "") -> Choice:
        total = sum(one.alternative.weight for one in left)
        if sticky:
            found = max(left, key=lambda one: _claim(sticky, one.alternative)).alternative
            who = "kept to it: "
        else:
            found = self._chance.choices(left, [one.alternative.weight for one in left])[0].alternative
            who = ""
        return Choice(alternative=found, why=f"{why}{who}weight {found.weight:g} of {total:g}")

    def _best(self, route: Route, left: Sequence[Prediction], why: str, *, explores: bool) -> Choice:
        by = route.config.choose
        if not all(one.known for one in left):
            return self._by_weight(left, "", f"{why}not all are measured yet: ")
        best = min(_cost_of(one, by) for one in left)
        tied = [one for one in left if _cost_of(one, by) == best]
        if explores and self._chance.random() < route.config.explore and len(tied) < len(left):
            others = [one for one in left if one not in tied]
            return self._by_weight(others, "", f"{why}to know how good it is now: ")
        words = f"{_figure(tied[0], by)}, the best of {len(left)}"
        if len(tied) > 1:
            return self._by_weight(tied, "", f"{why}{words}, as {len(tied) - 1} more: ")
        return Choice(alternative=tied[0].alternative, why=why + words)

    def likely(self, route: Route, sticky: str) -> tuple[str, dict[str, float]]:
        """Return by what a call would be answered, in words, and how likely by each alternative. Changes nothing."""
        known = self.predictions(route)
        candidates = [one for one in known if one.alternative.weight > 0 and self.allows(one.alternative)]
        left = [one for one in candidates if not one.outside] or candidates
        if not left:
            return "the breakers of all alternatives are open", {}
        by = route.config.choose
        shares = _shares(left)
        if by == "weights":
            if sticky:
                kept = max(left, key=lambda one: _claim(sticky, one.alternative)).alternative.label
                return "by weights, and calls like this one are kept to one alternative", {kept: 1.0}
            return "by weights", shares
        if not all(one.known for one in left):
            return f"by weights, as not all have been measured for {by}", shares
        best = min(_cost_of(one, by) for one in left)
        tied = [one for one in left if _cost_of(one, by) == best]
        others = [one for one in left if one not in tied]
        explored = route.config.explore if others else 0.0
        likely = {label: share * (1.0 - explored) for label, share in _shares(tied).items()}
        likely |= {label: share * explored for label, share in _shares(others).items()}
        return f"by {by}: {_figure(tied[0], by)}, the best of {len(left)}", likely

    def predictions(self, route: Route) -> list[Prediction]:
        """Return what is expected of each alternative of a route."""
        now = self._clock()
        kept = self._predicted.get(route.name)
        if kept is not None and now - kept[0] < REFRESH_S and kept[1] is route:
            return kept[2]
        found = [self._predict(route, one, now) for one in route.alternatives]
        self._predicted[route.name] = (now, route, found)
        return found

    def _predict(self, route: Route, one: Alternative, now: float) -> Prediction:
        stats, name, label = self._stats, route.name, one.label
        samples = stats.samples(name, label)
        failed = stats.failure_rate(name, label)
        p50_s, p95_s = stats.quantile(name, label, 0.5), stats.quantile(name, label, 0.95)
        success, cost_usd = None if failed is None else 1.0 - failed, stats.cost_usd(name, label)
        key = (name, label)
        if samples >= KNOWN:
            self._known.add(key)
        outside = _outside(route, p95_s, success, cost_usd) if key in self._known else ""
        if bool(outside) != (key in self._outside):
            if outside:
                self._outside[key] = now
            else:
                del self._outside[key]
            self._listener(BoundsChanged(route=name, alternative=label, outside=outside))
        return Prediction(
            alternative=one,
            samples=samples,
            p50_s=p50_s,
            p95_s=p95_s,
            success=success,
            cost_usd=cost_usd,
            outside=outside,
            known=key in self._known,
        )


def _outside(route: Route, p95_s: float | None, success: float | None, cost_usd: float | None) -> str:
    config, found = route.config, []
    if config.max_p95_ms is not None and p95_s is not None and p95_s * 1e3 > config.max_p95_ms:
        found.append(f"p95 {p95_s * 1e3:.3g} ms over {config.max_p95_ms:g}")
    if config.max_cost_usd is not None and cost_usd is not None and cost_usd > config.max_cost_usd:
        found.append(f"{cost_usd:.3g} USD a call over {config.max_cost_usd:g}")
    if config.min_success is not None and success is not None and success < config.min_success:
        found.append(f"{success:.1%} go well, under {config.min_success:.1%}")
    return ", ".join(found)


def _shares(some: Sequence[Prediction]) -> dict[str, float]:
    total = sum(one.alternative.weight for one in some)
    return {one.alternative.label: one.alternative.weight / total for one in some}


def _cost_of(one: Prediction, by: str) -> float:
    """Return by what alternatives are compared: the least is the best; what nobody knows comes last."""
    if by == "success":
        return inf if one.success is None else round(1.0 - one.success, 3)
    figure = one.cost_usd if by == "cost" else one.p50_s
    return inf if figure is None else figure


def _figure(one: Prediction, by: str) -> str:
    if by == "success":
        return "no call has ended" if one.success is None else f"{one.success:.1%} go well"
    if by == "cost":
        return "no price is known" if one.cost_usd is None else f"{one.cost_usd:.3g} USD a call"
    return "no call has gone well" if one.p50_s is None else f"p50 {one.p50_s * 1e3:.3g} ms"


def _claim(key: str, one: Alternative) -> float:
    """Return an alternative's claim to a key: the greatest wins, in proportion to weights.

    Where weights or alternatives change, only those keys move that must: weighted rendezvous hashing.
    """
    digest = blake2b(f"{key}\0{one.label}".encode("utf-8", "backslashreplace"), digest_size=8).digest()
    unit = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -one.weight / log(unit)
