"""How much may wait for a pool, and what a caller is told for whom there is no room, or not the time.

Owns the limits, and the appointments of refused callers. Has no clock and no queue.
"""

from __future__ import annotations

import random

from pool.errors import DeadlineUnreachable, QueueFull
from pool.estimates import Appointments
from pool.options import PoolOptions
from pool.turns import Need


class Capacity:
    """The limits of one pool's queue. `limit` is in calls; bytes have none before `configure`."""

    def __init__(self, pool: str, limit: int) -> None:
        self.limit = limit
        self._pool = pool
        self._limit_bytes = 1 << 62
        self._concurrency = 1
        self._most = 1
        self._appointments = Appointments(random.random)
        self.packed = 0
        """Members of packs that wait, but the first of each: they take no turn of their own."""

    def count_packed(self, members: int) -> None:
        """Count so many more of them, or less."""
        self.packed += members

    def configure(self, options: PoolOptions) -> None:
        """Take over the limits and sizes of options."""
        self.limit = options.queue_limit
        self._limit_bytes = options.queue_bytes
        self._concurrency = options.concurrency
        self._most = options.most

    def exceeded(self, waiting: int, queued_bytes: int, size: int) -> Need | None:
        """Return what must leave before one more call of `size` bytes may wait; None where it may."""
        calls, excess = waiting + 1 - self.limit, queued_bytes + size - self._limit_bytes
        if calls <= 0 and excess <= 0:
            return None
        return Need(calls, excess, self.limit, self._limit_bytes)

    def full(
        self,
        now: float,
        need: Need,
        size: int,
        *,
        waiting: int,
        queued_bytes: int,
        pace_s: float,
        displaced: bool,
    ) -> QueueFull:
        """Return what a caller without room is told. `pace_s` is the time from one end of a call to the next."""
        return QueueFull(
            self._pool,
            self.limit,
            self._appointments.next_s(now, pace_s * (waiting - self.packed), pace_s),
            waiting=waiting,
            queued_bytes=queued_bytes,
            limit_bytes=self._limit_bytes,
            size=size,
            exceeded="bytes" if need.by_bytes else "calls",
            displaced=displaced,
        )

    def pace_s(self, usual_s: float, workers: int) -> float:
        """Return the time from one end of a call to the next, with so many workers."""
        return usual_s / (max(1, workers) * self._concurrency)

    def too_late(self, ahead_s: float, own_s: float, left_s: float, workers: int | None) -> DeadlineUnreachable | None:
        """Return what a caller is told whose call would surely be too late: those before it take longer than it has.

        `workers` are those that there are, None where only one may serve it; it counts as many as there may ever be.
        """
        slots = self._concurrency * (1 if workers is None else max(self._most, workers))
        predicted_s = ahead_s / slots
        return DeadlineUnreachable(self._pool, predicted_s + own_s, left_s) if predicted_s > left_s else None
