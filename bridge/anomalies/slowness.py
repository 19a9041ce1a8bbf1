"""Which workers, and which functions, are slow, and for how many looks in a row they have been. Pure.

A worker is compared with its siblings; where there are none, with its own past, by a wider margin. Owns the suspicions
of one pool. A worker that gets better by itself is warming up: only one that has become worse is sick, or one that has
been slow for very long.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.anomalies.histogram import Comparison
from bridge.anomalies.history import SLOTS, History
from bridge.anomalies.records import Finding, Rules
from bridge.anomalies.views import SPANS, Seen, View

HOLD = 3
"""Looks in a row, before a suspicion is believed."""
SCORE, SCORE_PAST = 4.5, 6.0
"""Standard deviations: the past was another time with other work, so more is asked of a comparison with it."""
PAST_FACTOR = 1.5
"""And so many times the ratio."""
CALM_SCORE, CALM_SHARE = 2.5, 0.6
"""A suspicion ends below this score, or below this share of the way to the ratio."""
WORSE, BETTER = 1.3, 1 / 1.15
"""Against its own past."""
SETTLED = 10 * SLOTS
"""Slots, after which a worker that has been slow since it started is none that warms up."""
LEAST_S = 0.001
"""A smaller difference matters to nobody."""


class Slowness:
    """The suspicions of one pool."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._held: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def look(self, number: int, history: History, ages: Mapping[str, int]) -> list[Finding]:
        """Return who is slow; once a slot. `ages` has the slots for which each worker has been ready."""
        started = [worker for worker, age in ages.items() if age >= SPANS[0]]
        view = View(number, history, started, self._rules.min_samples, self._rules.latency_ratio)
        self._before, self._held = self._held, {}
        alone = len(ages) == 1
        found = [self._worker(worker, age, view, alone) for worker, age in ages.items() if age >= SLOTS]
        found += [self._function(function, view, alone) for function in view.functions]
        return [finding for finding in found if finding is not None]

    def _worker(self, worker: str, age: int, view: View, alone: bool) -> Finding | None:
        if alone:
            seen = own = view.beside_past(worker, screened=True)
            if seen is not None and self._mixed(worker, seen.function, view):
                return None
        else:
            seen = view.beside_siblings(worker)
            own = None if seen is None else view.beside_past(worker)
        if seen is None or not self._suspect(worker, seen, _may_be_sick(seen, age, own)):
            return None
        whose = "its siblings' take" if seen.siblings else "before they took"
        cause = f"its calls of '{seen.function}' take {_words(seen.one, whose)}"
        return Finding(
            kind="slow_worker",
            action="recycle",
            worker=worker,
            function=seen.function,
            cause=cause,
            numbers=_numbers(seen.one),
        )

    def _mixed(self, worker: str, slow: str, view: View) -> bool:
        """Whether another function on the same worker is as fast as ever: then it is not the worker."""
        others = (view.beside_past(worker, function) for function in view.functions if function != slow)
        return any(seen is not None and seen.one.ratio < WORSE for seen in others)

    def _function(self, function: str, view: View, alone: bool) -> Finding | None:
        """A function that is slower than before wherever it runs: no worker is to blame."""
        found = view.function_beside_past(function, self._rules.latency_ratio)
        if found is None:
            return None
        seen, workers = found
        blamed = workers > 1 or (alone and self._mixed(view.functions[function][0][0], function, view))
        if not self._suspect(f"/{function}", seen, blamed):
            return None
        return Finding(
            kind="slow_function",
            action="none",
            function=function,
            cause=f"its calls take {_words(seen.one, 'before they took')}, on every worker",
            numbers=_numbers(seen.one),
        )

    def _suspect(self, key: str, seen: Seen, may_begin: bool) -> bool:
        """Count a suspicion; return whether it has been held for long enough to be believed."""
        least, score = self._rules.latency_ratio, SCORE
        if not seen.siblings:
            least, score = least * PAST_FACTOR, SCORE_PAST
        one, held = seen.one, self._before.get(key, 0)
        if one.ratio >= least and one.score >= score and one.left_s - one.right_s >= LEAST_S:
            if held or may_begin:
                self._held[key] = held + 1
        elif held and one.ratio >= 1 + (least - 1) * CALM_SHARE and one.score >= CALM_SCORE:
            self._held[key] = held
        return self._held.get(key, 0) >= HOLD


def _may_be_sick(seen: Seen, age: int, own: Seen | None) -> bool:
    """Whether a slow worker has become so, or has been so for long without getting better."""
    if not seen.siblings or (own is not None and own.one.ratio >= WORSE):
        return True
    return age >= SETTLED and (own is None or own.one.ratio > BETTER)


def _words(one: Comparison, whose: str) -> str:
    times = f"{one.ratio:.1f} times, by {one.left:.0f} and {one.right:.0f} calls"
    return f"{milliseconds(one.left_s)}, {whose} {milliseconds(one.right_s)} ({times})"


def _numbers(one: Comparison) -> dict[str, float]:
    return {
        "ratio": round(one.ratio, 2),
        "score": round(one.score, 1),
        "median_s": round(one.left_s, 6),
        "usual_s": round(one.right_s, 6),
        "calls": one.left,
        "usual_calls": round(one.right, 1),
    }


def milliseconds(seconds: float) -> str:
    """Return a time as people read it."""
    return f"{seconds:.2g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
