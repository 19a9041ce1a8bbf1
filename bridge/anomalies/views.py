"""One look at a pool's history: each worker beside its siblings, and beside its own past. Pure; owns nothing for long.

A worker's siblings had the same functions and inputs of like size in the same time, and which worker a call gets is
chance; so what differs is the worker. That also covers days and nights, bursts and releases, which come to all alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bridge.anomalies.histogram import Comparison, Counts, add, compare
from bridge.anomalies.history import SLOTS, History, Stratum, Times

SPANS = (2, 6, SLOTS)
"""Slots that are looked at: no more than it takes to have enough samples."""
FEW = 5
"""Calls on each side, before anything is said of a single worker's function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A comparison, and what it was with. `function` is the one that weighs most in it."""

    one: Comparison
    function: str
    siblings: bool


class View:
    """What is seen of a pool in one slot. `least` is how many samples it takes on each side."""

    def __init__(self, number: int, history: History, workers: Collection[str], least: int) -> None:
        self._history = history
        self._least = least
        self._spans = [_Span(history.recent(number, span), workers) for span in SPANS]

    @property
    def workers(self) -> list[str]:
        """The workers that were called in the window."""
        return list(self._spans[-1].of)

    @property
    def functions(self) -> set[str]:
        """The functions that were called in the window."""
        return {stratum[0] for stratum in self._spans[-1].totals}

    def beside_siblings(self, worker: str) -> Seen | None:
        """Compare a worker with all the others; None where there are too few calls."""
        for span in self._spans:
            own = span.of.get(worker, {})
            strata = list(own)
            one = compare((own[key], span.without(key, own[key])) for key in strata)
            if one is not None and self._enough(one):
                return Seen(one=one, function=strata[one.stratum][0], siblings=True)
        return None

    def beside_past(self, worker: str, function: str = "") -> Seen | None:
        """Compare a worker, or one function on it, with its own past; None where there are too few calls."""
        past = self._history.past
        for span in self._spans:
            own = span.of.get(worker, {})
            strata = [key for key in own if not function or key[0] == function]
            one = compare((own[key], past(worker, key)) for key in strata)
            if one is not None and self._enough(one):
                return Seen(one=one, function=strata[one.stratum][0], siblings=False)
        return None

    def function_beside_past(self, function: str, ratio: float) -> tuple[Seen, int] | None:
        """Compare a function with its past on all workers, and say on how many.

        None where there are too few calls, or where it has not become `ratio` times as slow on every one.
        """
        past = self._history.past
        for span in self._spans:
            pairs: list[tuple[Counts, Counts]] = []
            workers = 0
            for worker, own in span.of.items():
                mine = [(own[key], past(worker, key)) for key in own if key[0] == function]
                alone = compare(mine)
                if alone is None or min(alone.left, alone.right) < FEW:
                    continue
                if alone.ratio < ratio:
                    return None
                workers += 1
                pairs += mine
            one = compare(pairs)
            if one is not None and self._enough(one):
                return Seen(one=one, function=function, siblings=False), workers
        return None

    def _enough(self, one: Comparison) -> bool:
        return min(one.left, one.right) >= self._least


class _Span:
    """What the workers did in some slots, each by itself and all together."""

    def __init__(self, recent: Mapping[str, Mapping[Stratum, Times]], workers: Collection[str]) -> None:
        self.of = {worker: strata for worker, strata in recent.items() if worker in workers}
        self.totals: dict[Stratum, Times] = {}
        for strata in self.of.values():
            for key, times in strata.items():
                add(self.totals.setdefault(key, {}), times)

    def without(self, key: Stratum, own: Counts) -> Counts:
        """Return what all but one did."""
        return {place: left for place, count in self.totals[key].items() if (left := count - own.get(place, 0.0)) > 0}
