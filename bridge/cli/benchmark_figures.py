"""What a benchmark has measured: latencies, where the time went, errors by reason; and when it is enough.

Pure. A histogram has buckets that grow with the value, each one percent wide, so that its size does not depend on how
much was measured and every percentile is right within that percent.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_PER_OCTAVE = 64
_UNIT_S = 1e-6

GROWTH = 1.05
"""A step that answers less than so many times what the best before it did does not grow."""
EXPLODED = 20.0
"""A p99 of so many times the first step's is no service any more, whatever the rate."""
ERRORS = 0.05
CLIENT_SHARE = 0.8
MANY = 8
"""Calls at a time from which on a server that answers at once is not kept busy by a client that takes its time."""


class Latencies:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.sum_s = 0.0
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[math.ceil(math.log2(max(seconds, _UNIT_S) / _UNIT_S) * _PER_OCTAVE)] += 1
        self.count += 1
        self.sum_s += seconds
        self.max_s = max(self.max_s, seconds)

    def merge(self, other: Latencies) -> None:
        """Count all of another."""
        self._counts += other._counts
        self.count += other.count
        self.sum_s += other.sum_s
        self.max_s = max(self.max_s, other.max_s)

    @property
    def mean_s(self) -> float:
        """The mean; 0 of nothing."""
        return self.sum_s / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many percent did not exceed; 0 of nothing."""
        wanted = math.ceil(self.count * percent / 100)
        for seconds, below in self.curve():
            if below >= wanted:
                return min(seconds, self.max_s)
        return self.max_s

    def curve(self) -> list[tuple[float, int]]:
        """Return (seconds, how many took at most so long), ascending: one point for each bucket in use."""
        points, below = [], 0
        for bucket in sorted(self._counts):
            below += self._counts[bucket]
            points.append((_UNIT_S * 2 ** (bucket / _PER_OCTAVE), below))
        return points


PARTS = ("queue", "worker", "model", "front", "transfer")
"""Where a call spends its time; what a model takes is no part of what its worker takes."""


@dataclass(slots=True)
class Split:
    """Where calls spent their time, as their receipts say; sums of seconds over `count` of them."""

    count: int = 0
    queue_s: float = 0.0
    worker_s: float = 0.0
    model_s: float = 0.0
    front_s: float = 0.0
    """In the front, and between it and the worker."""
    transfer_s: float = 0.0
    """Between the front and this client, this client's own time included."""

    def add(self, latency_s: float, total_s: float, queue_s: float, worker_s: float, model_s: float = 0.0) -> None:
        """Count one call. `worker_s` includes `model_s`."""
        self.count += 1
        self.queue_s += queue_s
        self.worker_s += max(0.0, worker_s - model_s)
        self.model_s += model_s
        self.front_s += max(0.0, total_s - queue_s - worker_s)
        self.transfer_s += max(0.0, latency_s - total_s)

    def merge(self, other: Split) -> None:
        """Count all of another."""
        self.count += other.count
        for part in PARTS:
            setattr(self, f"{part}_s", getattr(self, f"{part}_s") + getattr(other, f"{part}_s"))

    def means(self) -> dict[str, float] | None:
        """Return the mean of each part in seconds; None where no receipt came."""
        return {part: getattr(self, f"{part}_s") / self.count for part in PARTS} if self.count else None


@dataclass(slots=True, kw_only=True)
class Step:
    """One load on one server. A closed loop has a `concurrency`, an open one a `rate` in calls per second."""

    concurrency: int | None = None
    rate: float | None = None
    seconds: float = 0.0
    latencies: Latencies = field(default_factory=Latencies)
    split: Split = field(default_factory=Split)
    errors: Counter[str] = field(default_factory=Counter)
    client_cpu_s: float = 0.0

    @property
    def goodput(self) -> float:
        """Calls per second that were answered well."""
        return self.latencies.count / self.seconds if self.seconds else 0.0

    @property
    def error_share(self) -> float:
        """Failed calls of all."""
        failed = self.errors.total()
        return failed / (failed + self.latencies.count) if failed else 0.0

    @property
    def label(self) -> str:
        """What the load was, in words."""
        return f"{self.rate:g}/s" if self.rate is not None else f"{self.concurrency} at a time"

    @property
    def limited_by_client(self) -> bool:
        """Whether this process was busy nearly all the time, or most calls were in it: the server might do more."""
        means = self.split.means()
        outside = means is not None and means["transfer"] > CLIENT_SHARE * sum(means.values())
        return self.client_cpu_s > 0.9 * self.seconds or (outside and (self.concurrency or 0) >= MANY)

    def merge(self, other: Step) -> None:
        """Add another round of the same load."""
        self.seconds += other.seconds
        self.latencies.merge(other.latencies)
        self.split.merge(other.split)
        self.errors += other.errors
        self.client_cpu_s += other.client_cpu_s

    def as_fields(self) -> dict[str, Any]:
        """Return what `--json` prints; milliseconds."""
        means = self.split.means()
        return {
            "concurrency": self.concurrency,
            "rate": self.rate,
            "seconds": round(self.seconds, 3),
            "calls": self.latencies.count,
            "calls_per_s": round(self.goodput, 1),
            "errors": dict(self.errors),
            "mean_ms": _ms(self.latencies.mean_s),
            **{f"p{percent:g}_ms": _ms(self.latencies.percentile(percent)) for percent in PERCENTILES},
            "max_ms": _ms(self.latencies.max_s),
            "split_ms": None if means is None else {part: _ms(seconds) for part, seconds in means.items()},
            "limited_by_client": self.limited_by_client,
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)


def is_enough(steps: list[Step]) -> bool:
    """Return whether a load that goes up in steps has gone past what the server can do."""
    last = steps[-1]
    if last.error_share > ERRORS or not last.latencies.count:
        return True
    first_s = steps[0].latencies.percentile(99)
    if last.latencies.percentile(99) > EXPLODED * first_s and not _grows(steps, len(steps) - 1):
        return True
    return len(steps) > 2 and not any(_grows(steps, index) for index in (len(steps) - 2, len(steps) - 1))


def _grows(steps: list[Step], index: int) -> bool:
    best = max((step.goodput for step in steps[:index]), default=0.0)
    return steps[index].goodput >= GROWTH * best


def saturation(steps: list[Step]) -> Step | None:
    """Return the smallest load that reached what the server can do, within five percent; None without any answer."""
    best = max((step.goodput for step in steps), default=0.0)
    return next((step for step in steps if best and step.goodput * GROWTH >= best), None)


def shown_parts(steps: list[Step]) -> list[str]:
    """Return the parts that are worth a column: a model only where calls spent time in one."""
    return [part for part in PARTS if part != "model" or any(step.split.model_s for step in steps)]
