"""When calls that wait go: the policy of one group of calls, fed with times. Pure: no loop, no pools.

A call that comes alone while a worker is idle goes at once. While all workers run batches, calls gather. When a batch
ends, its callers are likely to call again at once, so those that wait then stay for the next `max_wait_s`, or until as
many have come as were there before; but where such waits have brought nobody lately, they are left out for a while.
A full batch goes at once, and into the pool's queue where no worker is idle.

After a worker has died of a batch, calls run by themselves for a while: the pool must find out which one kills.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from bridge.batching.members import Member, Waiters

if TYPE_CHECKING:
    from handlers.contract import BatchRule

APART_S = 10.0
"""How long calls run by themselves after a worker has died of a batch: it must be found out which call kills."""
AHEAD_S = 0.25
"""Who has waited this long goes into the pool's queue although no worker is idle: the pool must see that calls wait."""
WEIGHT = 0.2
LEAST_RETRY_S = 0.05
MISSES = 4
"""After so many vain waits in a row 2 ** MISSES - 1 are left out before the next."""


class Group:
    """The calls of one function, or of one model of it. `running` counts its batches that have gone and not ended."""

    def __init__(self, rule: BatchRule) -> None:
        self.waiters = Waiters(rule)
        self.running = 0
        self.wake_at: float | None = None
        """When `due` must be asked again, if nothing happens before; set by it."""
        self.apart_until = 0.0
        """Until then its calls run by themselves."""
        self._usual_s = 0.0
        self._until = 0.0
        """While this is ahead, calls that have come wait for more."""
        self._expected = 0
        self._had = self._came = 0
        """How many waited when the wait began, and how many have come since."""
        self._misses = self._left_out = 0
        self._soonest = inf
        """The first deadline of those that wait."""

    def renew(self, rule: BatchRule) -> None:
        """Take over another rule."""
        members = sorted(self.waiters, key=lambda member: member.number)
        self.waiters = Waiters(rule)
        for member in members:
            self.waiters.add(member)

    def broke(self, now: float) -> None:
        """Say that a worker has died while it ran a batch."""
        self.apart_until = now + APART_S

    def drain_s(self, slots: int) -> float:
        """Return about how long those take that wait."""
        rounds = 1 + self.waiters.count // self.waiters.rule.max_items
        return max(LEAST_RETRY_S, rounds * self._usual_s / max(1, slots))

    def is_quiet(self, now: float, slots: int) -> bool:
        """Return whether a call may go at once: nobody waits, nobody is expected, and a worker is idle."""
        return not self.waiters.count and self._until <= now and self.running < slots

    def arrived(self, member: Member) -> None:
        """Let a member wait."""
        self.waiters.add(member)
        if member.arrived_at < self._until:
            self._came += 1
        self._soonest = min(self._soonest, member.call.deadline)

    def left(self, member: Member) -> None:
        """Let a member go that waits."""
        self.waiters.leave(member)
        if member.call.deadline <= self._soonest:
            self._soonest = min((other.call.deadline for other in self.waiters), default=inf)

    def began(self) -> None:
        """Say that a batch has gone."""
        self.running += 1

    def ended(self, size: int, seconds: float, now: float) -> None:
        """Say that a batch of so many calls has ended, which ran so long. They may be followed by as many."""
        self.running -= 1
        self._usual_s += (WEIGHT if self._usual_s else 1.0) * (seconds - self._usual_s)
        expected = size + self.waiters.count
        if expected < 2:
            return
        if self._left_out:
            self._left_out -= 1
            return
        self._until = now + self.waiters.rule.max_wait_s
        self._expected, self._had, self._came = expected, self.waiters.count, 0

    def due(self, now: float, slots: int) -> list[Member] | None:
        """Return who goes now, if anybody does, with so many slots; ask again until nobody does."""
        self.wake_at = None
        waiters = self.waiters
        if not waiters.count:
            return None
        full = waiters.full
        if self.running >= slots:
            ahead_at = waiters.oldest().arrived_at + AHEAD_S
            if self.running >= 2 * slots or not (full or now >= ahead_at):
                self.wake_at = ahead_at if self.running < 2 * slots else None
                return None
        elif not full and waiters.count < self._expected and now < (until := self._hold_until()):
            self.wake_at = until
            return None
        self._judge()
        members = waiters.take()
        self._soonest = min((other.call.deadline for other in waiters), default=inf)
        return members

    def _hold_until(self) -> float:
        return min(self._until, self._soonest - 2 * self._usual_s)

    def _judge(self) -> None:
        """End the wait, and learn from it whether waits are worth it."""
        waited = self._until and (self._had or self._came)
        self._until = 0.0
        if not waited:
            return
        if self._came > (not self._had):  # the first to come has waited for others, and is no gain by itself
            self._misses = 0
        else:
            self._misses = min(MISSES, self._misses + 1)
            self._left_out = 2**self._misses - 1
