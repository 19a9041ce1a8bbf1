"""When a dead worker's place is filled again: pure, fed with times.

The first restart of a place is immediate; from the second in a row a backoff with jitter grows, for that place alone.
Too many deaths of the pool within a period exhaust its budget: it counts as failed and tries again at a slow pace. So
does a row of one place that lasts longer than that period: where imports take long, deaths are never many. A worker
that served long enough ends its place's row.
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
    """A worker that served this long ends the row of failures."""


class RestartBudget:
    """Owns the record of one pool's deaths."""

    def __init__(self, options: RestartOptions) -> None:
        self._options = options
        self._deaths: deque[float] = deque()

    def died(self, now: float) -> None:
        """Record a death."""
        self._deaths.append(now)

    def exhausted(self, now: float) -> bool:
        """Return whether the budget is spent."""
        while self._deaths and self._deaths[0] <= now - self._options.period_s:
            self._deaths.popleft()
        return len(self._deaths) >= self._options.budget


class Backoff:
    """Owns the length of one row of failures. The first costs no wait, those after it grow, with jitter."""

    def __init__(self, options: RestartOptions, random: Callable[[], float]) -> None:
        self._options = options
        self._random = random
        self._row = 0

    def failed(self) -> float:
        """Record a failure and return the seconds to wait."""
        self._row += 1
        if self._row == 1:
            return 0.0
        backoff = min(self._options.backoff_s * 2.0 ** (self._row - 2), self._options.backoff_max_s)
        return backoff * (0.5 + self._random())

    def clear(self) -> None:
        """End the row."""
        self._row = 0


class RestartPolicy:
    """One place's row of deaths, and the budget that all places of its pool share.

    A place that flaps slows no other: a worker that has served long enough is replaced at once even where the budget is
    spent.
    """

    def __init__(
        self, options: RestartOptions, random: Callable[[], float], budget: RestartBudget | None = None
    ) -> None:
        self._options = options
        self._budget = budget or RestartBudget(options)
        self._row = Backoff(options, random)
        self._since: float | None = None
        """When the row began."""
        self._lasts = False
        """Whether its last death was a whole period later."""

    def died(self, now: float, served_s: float) -> float:
        """Record a death, after so long a service, and return the seconds to wait before the next start."""
        settled = served_s >= self._options.settled_s
        if settled:
            self._row.clear()
            self._since = None
        self._since = now if self._since is None else self._since
        self._lasts = now - self._since >= self._options.period_s
        pause_s = self._row.failed()
        self._budget.died(now)
        return self._options.slow_s if self.exhausted(now) and not settled else pause_s

    def exhausted(self, now: float) -> bool:
        """Return whether the pool's budget is spent, or the row has lasted for a whole period."""
        return self._lasts or self._budget.exhausted(now)
