"""What follows upon a failed attempt: nothing, another attempt after a pause, or the next of the fallbacks.

Decides for one call, from its route, the failures so far and what is left of the route's budgets. Starts nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.attempts.failures import may_fall_back, may_repeat
from bridge.attempts.share import RecentShare
from bridge.errors import BridgeError, Code

if TYPE_CHECKING:
    from bridge.attempts.choice import Chooser
    from bridge.attempts.counters import RouteCounters
    from bridge.attempts.record import Attempted
    from bridge.routing.breakers import Breakers
    from bridge.routing.routes import Alternative, Route
    from bridge.routing.stats import RouteStats

RETRIES_RESERVE = 3
"""Retries that each window allows whatever the share: few calls have few retries in it."""
HEDGES_RESERVE = 1
HEDGE_SAMPLES = 20
"""Calls after which the quantile is believed that a hedge waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An attempt to be made. `kind` is first, retry, hedge or fallback; `wait_s` the pause before it."""

    alternative: Alternative
    kind: str
    why: str
    wait_s: float = 0.0


class Budgets:
    """What is left of one route's retries and hedges."""

    __slots__ = ("hedges", "retries")

    def __init__(self, route: Route, clock: Callable[[], float]) -> None:
        retry, hedge = route.config.retry, route.config.hedge
        self.retries = None if retry is None else RecentShare(clock, retry.budget, RETRIES_RESERVE)
        self.hedges = None if hedge is None else RecentShare(clock, hedge.max_fraction, HEDGES_RESERVE)

    def count(self) -> None:
        """Count a call of the route."""
        if self.retries is not None:
            self.retries.count()
        if self.hedges is not None:
            self.hedges.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all plans decide with."""

    chooser: Chooser
    breakers: Breakers
    stats: RouteStats
    counters: RouteCounters
    chance: random.Random


class Plan:
    """The attempts at one call. `sticky` is whose calls go to one alternative."""

    __slots__ = ("_attempted", "_budgets", "_means", "_retries", "_route", "_sticky")

    def __init__(self, route: Route, budgets: Budgets, means: Means, attempted: Attempted, sticky: str) -> None:
        self._route = route
        self._budgets = budgets
        self._means = means
        self._attempted = attempted
        self._sticky = sticky
        self._retries = 0

    def first(self) -> Step:
        """Return the first attempt. Raises BREAKER_OPEN where no alternative may be asked."""
        self._budgets.count()
        route, chooser = self._route, self._means.chooser
        choice = chooser.choose(route, self._sticky)
        if choice is not None:
            return Step(alternative=choice.alternative, kind="first", why=choice.why)
        refusal = self._refusal()
        step = self._fallback(refusal, idempotent=True, why="the breakers of all alternatives are open")
        if step is None:
            raise refusal
        return step

    def _refusal(self) -> BridgeError:
        """Return the refusal of the alternative that may be asked again first."""
        route, breakers = self._route, self._means.breakers
        shut = [one for one in route.alternatives if one.weight > 0 and not self._means.chooser.allows(one)]
        for one in shut:
            self._means.counters.attempts[route.name, one.label, "refused"] += 1
        keys = [key for one in shut for key in (*one.keys, *one.needs) if not breakers.allows(key)]
        return min((breakers.refusal(key) for key in keys), key=lambda refusal: refusal.retry_after_s or 0.0)

    def after(self, step: Step, failure: BridgeError, left_s: float) -> Step | None:
        """Return what follows upon the failure of an attempt with so much time left; None where that is the end."""
        if left_s <= 0 or failure.code is Code.CANCELLED:
            return None
        idempotent = self._route.config.idempotent or step.alternative.idempotent
        again = None if step.kind == "fallback" else self._retry(step.alternative, failure, left_s, idempotent)
        return again or self._fallback(failure, idempotent=idempotent, why="")

    def _retry(self, failed: Alternative, failure: BridgeError, left_s: float, idempotent: bool) -> Step | None:
        config, budget = self._route.config.retry, self._budgets.retries
        if config is None or budget is None or self._retries + 1 >= config.attempts:
            return None
        if not may_repeat(failure, config.on, idempotent=idempotent):
            return None
        chooser, means = self._means.chooser, self._means
        choice = chooser.choose(self._route, "", self._attempted.failed) or chooser.choose(self._route, "")
        if choice is None:
            return None
        longest_ms = min(config.max_backoff_ms, config.backoff_ms * 2**self._retries)
        wait_s = means.chance.random() * longest_ms / 1e3
        if choice.alternative.label == failed.label:
            wait_s = max(wait_s, failure.retry_after_s or 0.0)
        if wait_s >= left_s:
            return None
        if not budget.take():
            means.counters.retries[self._route.name, "over_budget"] += 1
            return None
        means.counters.retries[self._route.name, "made"] += 1
        self._retries += 1
        return Step(alternative=choice.alternative, kind="retry", why=choice.why, wait_s=wait_s)

    def _fallback(self, failure: BridgeError, *, idempotent: bool, why: str) -> Step | None:
        route = self._route
        if not may_fall_back(failure, route.config.fallback_on, idempotent=idempotent):
            return None
        asked = {one.alternative for one in self._attempted.tried}
        for one in route.fallback:
            if one.label not in asked and self._means.chooser.allows(one):
                self._attempted.fallback = True
                self._means.counters.fallbacks[route.name, one.label] += 1
                return Step(alternative=one, kind="fallback", why=why)
        return None

    def hedge_after_s(self, step: Step) -> float | None:
        """Return when a second attempt is to start beside this one; None where none is."""
        config = self._route.config.hedge
        if config is None or step.kind != "first":
            return None
        name, label, stats = self._route.name, step.alternative.label, self._means.stats
        if stats.samples(name, label) < HEDGE_SAMPLES:
            return None
        after_s = stats.quantile(name, label, config.after_quantile)
        return None if after_s is None else max(after_s, config.min_ms / 1e3)

    def hedge(self, step: Step) -> Step | None:
        """Return the attempt that is to run beside this one, where the budget allows one."""
        route, chooser, budget = self._route, self._means.chooser, self._budgets.hedges
        choice = chooser.choose(route, "", (step.alternative.label,)) or chooser.choose(
            route, "", _others(route, step.alternative)
        )
        if choice is None or budget is None:
            return None
        if not budget.take():
            self._means.counters.hedges[route.name, "over_budget"] += 1
            return None
        return Step(alternative=choice.alternative, kind="hedge", why=choice.why)


def _others(route: Route, one: Alternative) -> set[str]:
    return {other.label for other in route.alternatives if other.label != one.label}
