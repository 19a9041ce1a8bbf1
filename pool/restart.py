"""When a dead worker's place is filled again: pure, fed with times.

The first restart is immediate; from the second in a row a backoff with jitter grows. Too many deaths within a period
exhaust the budget: the pool counts as failed and tries again at a slow pace. A worker that lived long enough clears
the row.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOptions:
    """Limits of a pool's restarts; times in seconds."""

    backoff_s: float = 0.1
    backoff_max_s: float = 5.0
    budget: int = 10
    """Deaths within `period_s` after which the pool counts as failed."""
    period_s: float = 60.0
    slow_s: float = 10.0
    """Pause between attempts of a failed pool."""
    settled_s: float = 10.0
    """A worker that lived this long ends the row of failures."""


class RestartPolicy:
    """Owns the record of one pool's deaths."""

    def __init__(self, options: RestartOptions, random: Callable[[], float]) -> None:
        self._options = options
        self._random = random
        self._deaths: deque[float] = deque()
        self._row = 0

    def died(self, now: float, lived_s: float) -> float:
        """Record a death and return the seconds to wait before the next start."""
        if lived_s >= self._options.settled_s:
            self._row = 0
        self._row += 1
        self._deaths.append(now)
        if self.exhausted(now):
            return self._options.slow_s
        if self._row == 1:
            return 0.0
        backoff = min(self._options.backoff_s * 2.0 ** (self._row - 2), self._options.backoff_max_s)
        return backoff * (0.5 + self._random())

    def exhausted(self, now: float) -> bool:
        """Return whether the budget is spent."""
        while self._deaths and self._deaths[0] <= now - self._options.period_s:
            self._deaths.popleft()
        return len(self._deaths) >= self._options.budget
