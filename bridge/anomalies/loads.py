"""Whether a pool's queue is about to be too long: from calls that come and calls that wait, at each look. Pure.

The usual rule adds one worker where a call has waited too long, and none while one starts. This one looks ahead: where
all workers are busy and more comes than is served, it says how many workers the load needs, before calls have waited.
Owns the last looks of one pool.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass

from bridge.anomalies.records import Finding, PoolSight

LOOKS = 6
"""Looks that a trend is read from,"""
LEAST_LOOKS = 4
"""but no fewer than these."""
RISES = 0.75
"""Of the looks, so many must find more calls waiting than the one before."""
SPARE = 0.8
"""A worker is to be busy for this share of its time."""
MOST_FACTOR = 2
"""So many times the workers at once, at most."""


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    arrivals: int
    waiting: int
    running: int


class Loads:
    """The trend of one pool's queue."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque(maxlen=LOOKS)
        self._workers = 0

    def look(self, now: float, sight: PoolSight) -> Finding | None:
        """Take note of a pool; return a finding where its queue will be too long before a worker can start."""
        ready = sum(worker.ready for worker in sight.workers)
        busy = ready > 0 and sight.running >= ready * sight.concurrency
        if ready != self._workers or not busy or sight.target >= sight.most:
            self._looks.clear()
        self._workers = ready
        if not busy or sight.target >= sight.most:
            return None
        self._looks.append(_Look(now, sight.arrivals, sight.waiting, sight.running))
        if len(self._looks) < LEAST_LOOKS:
            return None
        return self._judge(sight, ready)

    def _judge(self, sight: PoolSight, ready: int) -> Finding | None:
        looks = list(self._looks)
        first, last = looks[0], looks[-1]
        rises = sum(after.waiting > before.waiting for before, after in itertools.pairwise(looks))
        seconds = last.at - first.at
        if seconds <= 0 or rises < RISES * (len(looks) - 1):
            return None
        come = (last.arrivals - first.arrivals) / seconds
        grows = (last.waiting + last.running - first.waiting - first.running) / seconds
        served = come - grows
        if grows <= 0 or served <= 0:
            return None
        ahead_s = max(sight.start_s, seconds / (len(looks) - 1))
        wait_s = (last.waiting + grows * ahead_s) / served
        needed = math.ceil(ready * come / served / SPARE)
        wanted = min(needed, sight.most, max(sight.target + 1, ready * MOST_FACTOR))
        if wait_s < sight.scale_up_wait_s or wanted <= sight.target:
            return None
        self._looks.clear()
        cause = (
            f"{come:.3g} calls/s come and {served:.3g} are served by {ready} busy workers: {last.waiting} wait, and in "
            f"{ahead_s:.1f} s the wait would be {wait_s:.1f} s"
        )
        numbers = {
            "arrivals_per_s": round(come, 2),
            "served_per_s": round(served, 2),
            "waiting": float(last.waiting),
            "wait_s": round(wait_s, 2),
            "needed": float(needed),
        }
        return Finding(kind="rising_wait", action="scale_up", cause=cause, workers=wanted, numbers=numbers)
