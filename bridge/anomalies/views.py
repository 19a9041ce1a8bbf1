"""One look at a pool's history: each worker beside its siblings, and beside its own past. Pure; owns nothing for long.

A worker's siblings had the same functions and inputs of like size in the same time, and which worker a call gets is
chance; so what differs is the worker. That also covers days and nights, bursts and releases, which come to all alike.
All are compared by their mean logarithms first, which costs little; only who stands out is looked at closely.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bridge.anomalies.histogram import PER_OCTAVE, Comparison, add, compare
from bridge.anomalies.history import SLOTS, History, Stratum, Sums, Times

SPANS = (2, 6, SLOTS)
"""Slots that are looked at: no more than it takes to have enough samples."""
FEW = 5
"""Calls on each side, before anything is said of a single worker's function."""
SCREEN = 0.3
"""Whose mean logarithm is off by this share of what makes one slow is looked at closely."""

Place = tuple[str, Stratum]
"""A worker and a stratum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A comparison, and what it was with. `function` is the one that weighs most in it."""

    one: Comparison
    function: str
    siblings: bool


class View:
    """What is seen of a pool in one slot. `least` is how many samples it takes on each side, `ratio` what is slow."""

    def __init__(self, number: int, history: History, workers: Collection[str], least: int, ratio: float) -> None:
        self._number = number
        self._cells = {worker: history.cells.get(worker, {}) for worker in workers}
        self._least = least
        self._screen = SCREEN * PER_OCTAVE * math.log2(ratio)
        self._sums: list[dict[Place, Sums]] = [{} for _ in SPANS]
        self._totals: list[dict[Stratum, Sums]] = [{} for _ in SPANS]
        self.functions: dict[str, list[Place]] = {}
        """Where each function was called in the window."""
        for worker, cells in self._cells.items():
            for stratum, cell in cells.items():
                if cell.slots:
                    self._count(worker, stratum)

    def _count(self, worker: str, stratum: Stratum) -> None:
        """Sum up one cell in each span, and find out where its function runs."""
        place = worker, stratum
        slots = list(self._cells[worker][stratum].slots)
        calls = total = 0.0
        for index, span in enumerate(SPANS):
            oldest = self._number - span
            while slots and slots[-1].number > oldest:
                slot = slots.pop()
                calls += slot.count
                total += slot.total
            if calls:
                self._sums[index][place] = Sums(calls, total)
                before = self._totals[index].get(stratum, NOTHING)
                self._totals[index][stratum] = Sums(before.calls + calls, before.total + total)
        self.functions.setdefault(stratum[0], []).append(place)

    def beside_siblings(self, worker: str) -> Seen | None:
        """Compare a worker with all the others; None where it does not stand out, or there are too few calls."""
        places = [(worker, stratum) for stratum in self._cells[worker]]
        for index, span in enumerate(SPANS):
            sums, totals = self._sums[index], self._totals[index]
            mine = {place: sums[place] for place in places if place in sums}
            pairs = [(one, _less(totals[place[1]], one)) for place, one in mine.items()]
            shift = self._shift(pairs)
            if shift is None:
                continue
            if shift < self._screen:
                return None
            strata = [stratum for _, stratum in mine]
            one = compare((self._recent((worker, key), span), self._siblings(worker, key, span)) for key in strata)
            return None if one is None else Seen(one=one, function=strata[one.stratum][0], siblings=True)
        return None

    def beside_past(self, worker: str, function: str = "", *, screened: bool = False) -> Seen | None:
        """Compare a worker, or one function on it, with its own past; None where there are too few calls.

        None also where it is `screened` and does not stand out.
        """
        places = [(worker, key) for key in self._cells[worker] if not function or key[0] == function]
        return self._past_seen(places, screened=screened)

    def function_beside_past(self, function: str, ratio: float) -> tuple[Seen, int] | None:
        """Compare a function with its past on all workers, and say on how many.

        None where there are too few calls, or where it has not become `ratio` times as slow on every one.
        """
        places = self.functions[function]
        seen = self._past_seen(places, screened=True)
        if seen is None:
            return None
        workers = 0
        for worker in {worker for worker, _ in places}:
            mine = [place for place in places if place[0] == worker]
            alone = compare((self._recent(place, SPANS[0]), self._past(place)) for place in mine)
            if alone is not None and min(alone.left, alone.right) >= FEW:
                if alone.ratio < ratio:
                    return None
                workers += 1
        return seen, workers

    # -- how it is done ----------------------------------------------------------------------------------------------

    def _past_seen(self, places: list[Place], *, screened: bool) -> Seen | None:
        for index, span in enumerate(SPANS):
            sums = self._sums[index]
            mine = [place for place in places if place in sums]
            past = (self._cells[worker][key].past_sums(self._number) for worker, key in mine)
            shift = self._shift([(sums[place], before) for place, before in zip(mine, past, strict=True)])
            if shift is None:
                continue
            if screened and shift < self._screen:
                return None
            one = compare((self._recent(place, span), self._past(place)) for place in mine)
            return None if one is None else Seen(one=one, function=mine[one.stratum][1][0], siblings=False)
        return None

    def _shift(self, pairs: Iterable[tuple[Sums, Sums]]) -> float | None:
        """Return by how many buckets the left is above the right; None where there are too few samples."""
        left_n = right_n = shift = weights = 0.0
        for left, right in pairs:
            if left.calls < 1 or right.calls < 1:
                continue
            left_n, right_n = left_n + left.calls, right_n + right.calls
            weight = left.calls * right.calls / (left.calls + right.calls)
            shift += weight * (left.total / left.calls - right.total / right.calls)
            weights += weight
        return shift / weights if min(left_n, right_n) >= self._least else None

    def _recent(self, place: Place, span: int) -> Times:
        worker, stratum = place
        return self._cells[worker][stratum].recent(self._number, span)

    def _past(self, place: Place) -> Times:
        worker, stratum = place
        return self._cells[worker][stratum].past(self._number)

    def _siblings(self, worker: str, stratum: Stratum, span: int) -> Times:
        times: Times = {}
        for other, cells in self._cells.items():
            if other != worker and stratum in cells:
                add(times, cells[stratum].recent(self._number, span))
        return times


NOTHING = Sums(0.0, 0.0)


def _less(total: Sums, own: Sums) -> Sums:
    return Sums(total.calls - own.calls, total.total - own.total)
