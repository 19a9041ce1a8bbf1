"""What calls took on each worker, lately and before that: counts by slot of time, of which old ones fade into the past.

Owns the counts of one pool, for a bounded number of workers' functions. Pure; the caller says which slot it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from bridge.anomalies.histogram import add

SLOTS = 12
"""In a window."""
FADE = 0.5 ** (1 / (10 * SLOTS))
"""What is left of the past after a slot: half of it after ten windows."""
PAST_MOST = 1000.0
"""Samples that the past counts as, at most, where it is compared: it was another time."""
LEAST = 0.01
"""What has faded below this is forgotten."""
STRATA = 64
"""Pairs of function and size of input that are known of a pool at a time; others are passed over."""

Stratum = tuple[str, int]
Times = dict[int, float]
"""Service times by bucket."""


class Cell:
    """The service times of one kind of calls on one worker. `past` has those from before the window, faded."""

    __slots__ = ("_slots", "_turned", "past")

    def __init__(self, number: int) -> None:
        self._slots: deque[tuple[int, Times]] = deque()
        self._turned = number
        self.past: Times = {}

    def add(self, number: int, key: int) -> None:
        """Count a call in a slot, by the bucket of its time."""
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append((number, {}))
        times = self._slots[-1][1]
        times[key] = times.get(key, 0.0) + 1

    def turn(self, number: int) -> None:
        """Let the past fade up to a slot, and let what is older than a window become a part of it."""
        fade = FADE ** max(0, number - self._turned)
        self._turned = max(number, self._turned)
        if fade < 1:
            self.past = {key: count * fade for key, count in self.past.items() if count * fade >= LEAST}
        while self._slots and self._slots[0][0] <= number - SLOTS:
            add(self.past, self._slots.popleft()[1])

    def recent(self, number: int, slots: int) -> Times:
        """Return what happened in the last `slots` up to slot `number`."""
        times: Times = {}
        for slot, counts in self._slots:
            if slot > number - slots:
                add(times, counts)
        return times

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self._slots and not self.past


class History:
    """The cells of a pool, by worker and stratum."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[Stratum, Cell]] = {}
        self._strata: dict[Stratum, int] = {}
        """The slot in which each was last seen."""

    def add(self, number: int, worker: str, stratum: Stratum, key: int) -> None:
        """Count a call by the bucket of its time."""
        if stratum not in self._strata and len(self._strata) >= STRATA:
            return
        self._strata[stratum] = number
        cells = self._cells.setdefault(worker, {})
        cell = cells.get(stratum)
        if cell is None:
            cell = cells[stratum] = Cell(number)
        cell.add(number, key)

    def turn(self, number: int, workers: Iterable[str]) -> None:
        """Begin a slot: forget who is not among `workers`, and what has not been seen for long."""
        kept = set(workers)
        self._cells = {worker: cells for worker, cells in self._cells.items() if worker in kept}
        for cells in self._cells.values():
            for cell in cells.values():
                cell.turn(number)
            for stratum in [stratum for stratum, cell in cells.items() if cell.empty]:
                del cells[stratum]
        if len(self._strata) >= STRATA:
            self._strata = {stratum: seen for stratum, seen in self._strata.items() if seen > number - SLOTS}

    def past(self, worker: str, stratum: Stratum) -> Times:
        """Return what a worker did before the window, as so many samples as weigh no more than `PAST_MOST`."""
        cell = self._cells.get(worker, {}).get(stratum)
        if cell is None:
            return {}
        factor = min(1.0, PAST_MOST / (sum(cell.past.values()) or 1.0))
        return {key: count * factor for key, count in cell.past.items()}

    def recent(self, number: int, slots: int) -> dict[str, dict[Stratum, Times]]:
        """Return what all workers did in the last slots."""
        return {
            worker: {stratum: times for stratum, cell in cells.items() if (times := cell.recent(number, slots))}
            for worker, cells in self._cells.items()
        }
