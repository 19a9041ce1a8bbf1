"""What `bridge.routing.explain` says of a name that has a route: each alternative with its weight, figures and breaker.

Reads the chooser and the breakers; changes nothing, and takes no trial of a breaker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.routing.breakers import State
from bridge.v1 import invoke_pb2 as pb

if TYPE_CHECKING:
    from bridge.attempts.choice import Chooser, Prediction
    from bridge.routing.breakers import Breakers
    from bridge.routing.routes import Alternative, Route
    from bridge.routing.stats import RouteStats
    from handlers.contract import FunctionSpec

WaysOf = Callable[["FunctionSpec"], list[pb.Alternative]]
"""Returns the ways that a call of a function has, the chosen one first."""


class RouteExplainer:
    """Explains the routes of one front."""

    def __init__(self, chooser: Chooser, stats: RouteStats, breakers: Breakers) -> None:
        self._chooser = chooser
        self._stats = stats
        self._breakers = breakers

    def explain(
        self, route: Route, own: FunctionSpec | None, sticky: str, ways: WaysOf
    ) -> tuple[str, list[pb.Alternative]]:
        """Return why a call of a route goes where it goes, and its alternatives, the most likely first.

        `own` is the function whose requests name a model, where the alternatives are models.
        """
        reason, likely = self._chooser.likely(route, sticky)
        known = {one.alternative.label: one for one in self._chooser.predictions(route)}
        found = [
            self._alternative(route, one, ways(one.spec or own) if one.spec or own else [], known[one.label])  # type: ignore[arg-type]
            for one in route.alternatives
        ]
        for one in found:
            one.weight = likely.get(one.label, 0.0)
        found.sort(key=lambda one: -one.weight)
        if likely and found:
            found[0].chosen = True
        for fallback in route.fallback:
            if fallback.label not in known:
                spec = fallback.spec or own
                entry = self._alternative(route, fallback, ways(spec) if spec else [], None)
                entry.fallback, entry.excluded = True, entry.excluded or "asked only where the others have failed"
                found.append(entry)
        return f"route: {reason}", found

    def _alternative(
        self, route: Route, one: Alternative, ways: list[pb.Alternative], known: Prediction | None
    ) -> pb.Alternative:
        found = ways[0] if ways else pb.Alternative(function=one.function)
        found.chosen = False
        found.label = one.label
        found.copies_only = bool(one.shadow) and not one.weight
        states = {key: self._breakers.state(key) for key in (*one.keys, *one.needs)}
        worst = next((key for key, state in states.items() if state is not State.CLOSED), one.keys[0])
        found.breaker = states[worst].value
        if not self._chooser.allows(one):
            found.excluded = f"its circuit breaker {worst} is {states[worst].value.replace('_', ' ')}"
        elif known is not None and known.outside:
            found.excluded = known.outside
        elif found.copies_only:
            found.excluded = "it gets copies of calls only"
        else:
            found.excluded = ""
        if known is not None:
            self._add_figures(found, route, known)
        return found

    def _add_figures(self, found: pb.Alternative, route: Route, known: Prediction) -> None:
        if known.success is not None:
            found.failure_rate = 1.0 - known.success
        if known.cost_usd is not None:
            found.cost_usd = known.cost_usd
        times = self._stats.times(route.name, known.alternative.label)
        if times is None or times.mean is None:
            return
        p50, p99 = times.quantiles((0.5, 0.99))
        found.attempts.samples = known.samples
        found.attempts.mean_us, found.attempts.p50_us = _us(times.mean), _us(p50)
        found.attempts.p99_us = _us(p99)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
