"""Counters of batches: how many calls ran together, and how long they had waited for each other.

Owned by the batched runner; `prometheus` reads them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WAITS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Histogram:
    """Counts values by the first bound that is not below them; the last count is of those above all."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return (bound, values up to it), as Prometheus has them."""
        found, total = [], 0
        for bound, count in zip((*map(repr, map(float, self.bounds)), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class BatchCounters:
    """By function: `waiting` calls, `sizes` of batches in calls, `waits` of calls in seconds, and calls that `left`."""

    def __init__(self) -> None:
        self.sizes: dict[str, Histogram] = {}
        self.waits: dict[str, Histogram] = {}
        self.left: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()

    def alone(self, function: str) -> None:
        """Count a call that ran by itself, at once."""
        self.went(function, 1, (0.0,))

    def went(self, function: str, size: int, waits_s: tuple[float, ...]) -> None:
        """Count a batch."""
        sizes = self.sizes.get(function)
        if sizes is None:
            sizes = self.sizes[function] = Histogram(SIZES)
            self.waits[function] = Histogram(WAITS_S)
        sizes.add(size)
        waits = self.waits[function]
        for wait_s in waits_s:
            waits.add(wait_s)
