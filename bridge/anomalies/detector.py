"""Finds what is not as it should be in one pool: fed at each look with its state and samples of its calls. Pure.

Owns what is remembered of the pool, and the slots of time; the clock is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.anomalies.failures import Failures
from bridge.anomalies.histogram import bucket
from bridge.anomalies.history import SLOTS, History
from bridge.anomalies.loads import Loads
from bridge.anomalies.records import Finding, PoolSight, Rules, Sample
from bridge.anomalies.slowness import Slowness
from bridge.anomalies.trend import Forecast, MemoryTrend

START_FACTOR = 3.0
"""A replacement may take so many times what the last start took."""
WARM_SHARE = 0.25
"""Of a window, for which a new worker's memory may grow as it likes."""
MEMORY_HOLD = 2
"""Samples in a row that forecast too much; none looks further ahead than it has seen."""


class Detector:
    """What is known of one pool."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._slot_s = rules.window_s / SLOTS
        self._number = -1
        self._history = History()
        self._slowness = Slowness(rules)
        self._slow: list[Finding] = []
        """What the last slot's look has found, for as long as the slot lasts."""
        self._failures = Failures(rules)
        self._loads = Loads()
        self._ready_at: dict[str, float] = {}
        self._trends: dict[str, MemoryTrend] = {}
        self._grown: dict[str, int] = {}

    def turn(self, now: float, sight: PoolSight, samples: Iterable[Sample]) -> list[Finding]:
        """Take what was seen since the last look; return what is wrong now, again at each look while it lasts."""
        ready = [worker.id for worker in sight.workers if worker.ready]
        self._ready_at = {worker: self._ready_at.get(worker, now) for worker in ready}
        ages = {worker: int((now - at) / self._slot_s) for worker, at in self._ready_at.items()}
        number = int(now / self._slot_s)
        if number != self._number:
            self._begin(number, sight)
            self._slow = self._slowness.look(number - 1, self._history, ages)
        for sample in samples:
            self._take(number, sample)
        found = [finding for finding in self._slow if not finding.worker or finding.worker in ages]
        found += self._failures.look(number, ages)
        found += self._memory(now, sight)
        load = self._loads.look(now, sight)
        return [*found, load] if load is not None else found

    def shares(self, worker: str, shared_bytes: float) -> None:
        """Say how much of a worker's memory it shares with others."""
        if worker in self._trends:
            self._trends[worker].shared_bytes = shared_bytes

    def _begin(self, number: int, sight: PoolSight) -> None:
        self._number = number
        self._history.turn(number, [worker.id for worker in sight.workers])
        self._failures.turn(number)

    def _take(self, number: int, sample: Sample) -> None:
        self._failures.add(number, sample)
        if sample.failed or sample.late or sample.bound or sample.seconds <= 0:
            return
        self._history.add(number, sample.worker, (sample.function, sample.size), bucket(sample.seconds))

    def _memory(self, now: float, sight: PoolSight) -> list[Finding]:
        limit = sight.memory_limit_bytes
        self._trends = {
            worker: self._trends.get(worker) or MemoryTrend(self._rules.window_s)
            for worker, at in self._ready_at.items()
            if now - at >= self._rules.window_s * WARM_SHARE
        }
        self._grown = {worker: count for worker, count in self._grown.items() if worker in self._trends}
        if limit is None:
            return []
        lead_s = max(self._rules.memory_lead_s, START_FACTOR * sight.start_s)
        found = []
        for worker in sight.workers:
            trend = self._trends.get(worker.id)
            if trend is None or not trend.add(now, worker.rss_bytes):
                continue
            forecast = trend.forecast(limit)
            if forecast is None or forecast.left_s > min(lead_s, forecast.seen_s):
                self._grown.pop(worker.id, None)
                continue
            self._grown[worker.id] = self._grown.get(worker.id, 0) + 1
            if self._grown[worker.id] >= MEMORY_HOLD:
                found.append(_growth(worker.id, forecast, limit))
        return found


def _growth(worker: str, forecast: Forecast, limit_bytes: int) -> Finding:
    mib = 1 << 20
    cause = (
        f"it holds {forecast.used_bytes / mib:.0f} MiB and grows by {forecast.bytes_s / mib:.2g} MiB/s, seen for "
        f"{forecast.seen_s:.0f} s: in {forecast.left_s:.0f} s it reaches its limit of {limit_bytes / mib:.0f} MiB"
    )
    numbers = {
        "used_bytes": forecast.used_bytes,
        "bytes_per_s": round(forecast.bytes_s, 1),
        "limit_bytes": float(limit_bytes),
        "left_s": round(forecast.left_s, 2),
    }
    return Finding(kind="memory_trend", action="recycle", worker=worker, cause=cause, numbers=numbers)
