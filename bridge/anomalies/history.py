"""What calls took on each worker, lately and before that: counts by slot of time, of which old ones fade into the past.

Owns the counts of one pool, for a bounded number of workers' functions. Pure; the caller says which slot it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from bridge.anomalies.histogram import add

SLOTS = 12
"""In a window."""
FADE = 0.5 ** (1 / (10 * SLOTS))
"""What is left of the past after a slot: half of it after ten windows."""
PAST_MOST = 1000.0
"""Samples that the past counts as, at most, where it is compared: it was another time."""
LEAST = 0.01
"""What has faded below this is forgotten."""
CELLS = 1024
"""Of a pool: so many pairs of a worker and a stratum are known at a time,"""
LEAST_STRATA = 8
"""but no fewer strata than these; others are passed over."""

Stratum = tuple[str, int]
Times = dict[int, float]
"""Service times by bucket."""


class Sums(NamedTuple):
    """How many there are, and the sum of their buckets: enough to see whether a closer look is worth its while."""

    calls: float
    total: float


class _Slot:
    __slots__ = ("count", "number", "times", "total")

    def __init__(self, number: int) -> None:
        self.number = number
        self.times: Times = {}
        self.count = self.total = 0


class Cell:
    """The service times of one kind of calls on one worker."""

    __slots__ = ("_past", "_past_at", "_past_count", "_past_total", "slots")

    def __init__(self) -> None:
        self.slots: deque[_Slot] = deque()
        self._past: Times = {}
        self._past_count = self._past_total = 0.0
        self._past_at = 0
        """The slot up to which the past has faded."""

    def add(self, number: int, key: int) -> None:
        """Count a call in a slot, by the bucket of its time."""
        if not self.slots or self.slots[-1].number < number:
            self.slots.append(_Slot(number))
        slot = self.slots[-1]
        slot.times[key] = slot.times.get(key, 0.0) + 1
        slot.count += 1
        slot.total += key

    def turn(self, number: int) -> None:
        """Let what is older than a window become a part of the past."""
        while self.slots and self.slots[0].number <= number - SLOTS:
            self._fade(number)
            old = self.slots.popleft()
            add(self._past, old.times)
            self._past_count += old.count
            self._past_total += old.total

    def _fade(self, number: int) -> None:
        if number <= self._past_at:
            return
        fade = FADE ** (number - self._past_at)
        self._past = {key: count * fade for key, count in self._past.items() if count * fade >= LEAST}
        self._past_count *= fade
        self._past_total *= fade
        self._past_at = number

    def recent(self, number: int, slots: int) -> Times:
        """Return what happened in the last `slots` up to slot `number`."""
        times: Times = {}
        for slot in self.slots:
            if slot.number > number - slots:
                add(times, slot.times)
        return times

    def past(self, number: int) -> Times:
        """Return what happened before the window, faded, as so many samples as weigh no more than `PAST_MOST`."""
        self._fade(number)
        factor = min(1.0, PAST_MOST / (self._past_count or 1.0))
        return {key: count * factor for key, count in self._past.items()}

    def past_sums(self, number: int) -> Sums:
        """Return the sums of the past, weighed as it is."""
        fade = FADE ** (number - self._past_at) * min(1.0, PAST_MOST / (self._past_count or 1.0))
        return Sums(self._past_count * fade, self._past_total * fade)

    def is_empty(self, number: int) -> bool:
        """Whether there is nothing to remember."""
        return not self.slots and self.past_sums(number).calls < 1


class History:
    """The cells of a pool, by worker and stratum."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[Stratum, Cell]] = {}
        self._strata: dict[Stratum, int] = {}
        """The slot in which each was last seen."""
        self._most = LEAST_STRATA

    def add(self, number: int, worker: str, stratum: Stratum, key: int) -> None:
        """Count a call by the bucket of its time."""
        if stratum not in self._strata and len(self._strata) >= self._most:
            return
        self._strata[stratum] = number
        cells = self.cells.setdefault(worker, {})
        cell = cells.get(stratum)
        if cell is None:
            cell = cells[stratum] = Cell()
        cell.add(number, key)

    def turn(self, number: int, workers: Iterable[str]) -> None:
        """Begin a slot: forget who is not among `workers`, and what has not been seen for long."""
        kept = set(workers)
        self.cells = {worker: cells for worker, cells in self.cells.items() if worker in kept}
        for cells in self.cells.values():
            for cell in cells.values():
                cell.turn(number)
            for stratum in [stratum for stratum, cell in cells.items() if not cell.slots and cell.is_empty(number)]:
                del cells[stratum]
        self._most = max(LEAST_STRATA, CELLS // max(1, len(kept)))
        if len(self._strata) >= self._most:
            self._strata = {stratum: seen for stratum, seen in self._strata.items() if seen > number - SLOTS}
