"""Where a worker's memory is going: a line through its last samples that single peaks do not bend. Pure.

The slope is the median of all pairs' (P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau",
1968), and believed where the pairs agree on its sign (H. B. Mann, "Nonparametric tests against trend", 1945). What
grows more and more slowly, as a cache that fills, is taken by its last slope.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

POINTS = 30
"""Samples in a window."""
LEAST_POINTS = 8
SURE = 3.0
"""Standard deviations by which the pairs must agree."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Where a worker's memory is going."""

    bytes_s: float
    used_bytes: float
    left_s: float
    """Until a peak, as high above the line as any before, reaches the limit."""
    seen_s: float
    """How long it was watched for this."""


def slope(points: Sequence[Point]) -> float:
    """Return the median slope of all pairs, in units a second."""
    found = []
    for index, (at, value) in enumerate(points):
        found += [(value - before) / (at - then) for then, before in points[:index] if at > then]
    return statistics.median(found) if found else 0.0


def agreement(points: Sequence[Point]) -> float:
    """Return by how many standard deviations more pairs rise than fall."""
    count = len(points)
    if count < 3:
        return 0.0
    score = 0
    for index, (_, value) in enumerate(points):
        score += sum((value > before) - (value < before) for _, before in points[:index])
    return score / math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


class MemoryTrend:
    """The samples of one worker. `window_s` is how far back they go."""

    def __init__(self, window_s: float) -> None:
        self._pace_s = window_s / POINTS
        self._points: deque[Point] = deque(maxlen=POINTS)
        self.shared_bytes = 0.0
        """What it shares with others, as far as that was looked up; it counts for nothing here."""

    def add(self, now: float, used_bytes: int) -> bool:
        """Take a sample; return whether it is one more, as of too many some are passed over."""
        if used_bytes <= 0 or (self._points and now - self._points[-1][0] < self._pace_s * 0.9):
            return False
        self._points.append((now, float(used_bytes)))
        return True

    def forecast(self, limit_bytes: int) -> Forecast | None:
        """Return when the limit is reached, if things go on; None where there is no trend towards it."""
        points = list(self._points)
        if len(points) < LEAST_POINTS or points[-1][1] <= points[0][1]:
            return None
        if agreement(points) < SURE:
            return None
        bytes_s = min(slope(points), slope(points[len(points) // 2 :]))
        if bytes_s <= 0:
            return None
        end = points[-1][0]
        highest = max(value + bytes_s * (end - at) for at, value in points) - self.shared_bytes
        return Forecast(
            bytes_s=bytes_s,
            used_bytes=points[-1][1] - self.shared_bytes,
            left_s=max(0.0, limit_bytes - highest) / bytes_s,
            seen_s=end - points[0][0],
        )
