"""Counters of calls that are placed by measurement. Owned by `bridge.auto.runner`; `prometheus` reads them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal

from bridge.batching.counters import Histogram

if TYPE_CHECKING:
    from bridge.auto.choice import Why

ERRORS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0)
Way = Literal["native", "pooled"]
Outcome = Literal["ok", "failed", "gave_way"]


class AutoCounters:
    """What became of calls, of predictions, and of copies.

    `errors` has by function and way how far predictions were off, as a part of the time that a call has really taken.
    `regret_s` is by how much the way that was taken was slower than the other, summed up over the calls that a copy
    went the other way for (`compared`).
    """

    def __init__(self) -> None:
        self.decisions: Counter[tuple[str, Way, Why]] = Counter()
        self.errors: dict[tuple[str, Way], Histogram] = {}
        self.copies: Counter[tuple[str, Way, Outcome]] = Counter()
        self.overruns: Counter[str] = Counter()
        self.compared: Counter[str] = Counter()
        self.regret_s: defaultdict[str, float] = defaultdict(float)
        self.taken_s: defaultdict[str, float] = defaultdict(float)
        """What the calls that `compared` counts have taken."""

    def predicted(self, function: str, way: Way, predicted_s: float, took_s: float) -> None:
        """Take in how long a call has taken for which a time had been predicted."""
        errors = self.errors.get((function, way))
        if errors is None:
            errors = self.errors[function, way] = Histogram(ERRORS)
        errors.add(abs(predicted_s - took_s) / took_s if took_s > 0 else 0.0)

    def comparison(self, function: str, took_s: float, other_s: float) -> None:
        """Take in how long a call has taken, and how long its copy took the other way."""
        self.compared[function] += 1
        self.taken_s[function] += took_s
        self.regret_s[function] += max(0.0, took_s - other_s)
