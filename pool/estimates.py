"""How long calls take, and when to come again: running estimates from measured service times. Pure; fed with times."""

from __future__ import annotations

from collections.abc import Callable

FUNCTIONS = 512
"""Functions whose times are kept; of more, those that were seen first are forgotten."""
SAMPLES = 20
"""Calls of a function before anything is predicted for it."""
SHORT_S = 0.002
"""While calls take less than this, nothing is kept by function: a queue of them is soon over."""
WEIGHT = 0.05
RETRY_LEAST_S = 0.05
RETRY_MOST_S = 24.0
JITTER = 0.25


class _Estimate:
    __slots__ = ("count", "deviation_s", "mean_s")

    def __init__(self) -> None:
        self.count = 0
        self.mean_s = self.deviation_s = 0.0


class ServiceTimes:
    """The service times of a pool, in all and by function. `usual_s` is what a call takes, of whatever function."""

    __slots__ = ("_functions", "usual_s")

    def __init__(self) -> None:
        self.usual_s = 0.05
        self._functions: dict[str, _Estimate] = {}

    def observe(self, seconds: float, function: str = "") -> None:
        """Take in a measured service time."""
        self.usual_s += WEIGHT * (seconds - self.usual_s)
        if self.usual_s < SHORT_S or not function:
            return
        known = self._functions.get(function)
        if known is None:
            known = self._add(function)
        known.count += 1
        weight = WEIGHT if known.count > SAMPLES else 1 / known.count
        change = seconds - known.mean_s
        known.mean_s += weight * change
        known.deviation_s += weight * (abs(change) - known.deviation_s)

    def _add(self, function: str) -> _Estimate:
        if len(self._functions) >= FUNCTIONS:
            del self._functions[next(iter(self._functions))]
        known = self._functions[function] = _Estimate()
        return known

    def mean_s(self, function: str) -> float:
        """Return what a call of the function takes; of one that is not known, what any call takes."""
        known = self._functions.get(function)
        return known.mean_s if known is not None and known.count >= SAMPLES else self.usual_s

    def least_s(self, function: str) -> float:
        """Return what a call of the function takes at least, as a rule: 0 where that is not known.

        The mean less the mean deviation: the mean itself where the function always takes the same, 0 where it varies
        widely. A caller who is refused by this figure would have been too late.
        """
        if self.usual_s < SHORT_S:
            return 0.0
        known = self._functions.get(function)
        if known is None or known.count < SAMPLES:
            return 0.0
        return max(0.0, known.mean_s - known.deviation_s)


class Appointments:
    """Tells refused callers when to come again: one after the other, at the pace at which the pool serves.

    Were each told the same, they would all come back at once. `chance` returns numbers from 0 to 1.
    """

    __slots__ = ("_chance", "_last")

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._last = 0.0

    def next_s(self, now: float, drain_s: float, each_s: float) -> float:
        """Return in how many seconds the next refused caller may come.

        `drain_s` is what those take who wait now, `each_s` the time from one end of a call to the next.
        """
        self._last = max(now + drain_s, min(self._last + each_s, now + RETRY_MOST_S))
        return min(RETRY_MOST_S, max(RETRY_LEAST_S, self._last - now)) * (1 + JITTER * self._chance())
