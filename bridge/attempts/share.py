"""A share of recent calls: how many may be tried again or hedged, so that these can not multiply an outage. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_S = 10.0
PARTS = 10
"""What has happened is forgotten a tenth of the window at a time."""


class RecentShare:
    """Counts the calls of the last `WINDOW_S` seconds and what was taken beside them.

    At most `fraction` of the calls may be taken; `reserve` may be taken whatever there was, so that it also works for
    the few calls of a quiet server.
    """

    __slots__ = ("_clock", "_parts", "calls", "fraction", "refused", "reserve", "taken")

    def __init__(self, clock: Callable[[], float], fraction: float, reserve: int) -> None:
        self._clock = clock
        self.fraction = fraction
        self.reserve = reserve
        self._parts: deque[list[float]] = deque()
        """[begin, calls, taken]"""
        self.calls = 0
        self.taken = 0
        self.refused = 0
        """What was not granted, since the start."""

    def _part(self) -> list[float]:
        now, parts = self._clock(), self._parts
        while parts and now - parts[0][0] >= WINDOW_S:
            _, calls, taken = parts.popleft()
            self.calls -= int(calls)
            self.taken -= int(taken)
        if not parts or now - parts[-1][0] >= WINDOW_S / PARTS:
            parts.append([now, 0, 0])
        return parts[-1]

    def count(self) -> None:
        """Count a call."""
        self._part()[1] += 1
        self.calls += 1

    def take(self) -> bool:
        """Take one beside them where there is one left; return whether there was."""
        part = self._part()
        if self.taken + 1 > max(self.reserve, self.fraction * self.calls):
            self.refused += 1
            return False
        part[2] += 1
        self.taken += 1
        return True
