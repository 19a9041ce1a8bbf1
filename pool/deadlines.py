"""When calls run out of time: one timer for all of them, which takes half the time of one timer each.

Owns the calls that have a deadline, in buckets of `RESOLUTION_S`, or 1 s where it is more than `FAR_S` away: there must
not be too many. One that is empty some buckets later is let go; a number stays of it until its time. A call is reported
in the first turn of the loop after its bucket's end, so never early and at most that much late.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

RESOLUTION_S = 0.01
FAR_S = 100.0
_FAR_BUCKETS = 100
_RECENT = 16
"""After so many newer buckets one is looked at again: most calls have ended by then, long before their deadline."""

Item = TypeVar("Item")


class Deadlines(Generic[Item]):
    """Calls `expired(item)` once an item's deadline has passed, unless it was discarded before."""

    __slots__ = ("_armed", "_buckets", "_expired", "_heap", "_loop", "_near", "_recent", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[Item], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._buckets: dict[int, set[Item]] = {}
        self._heap: list[int] = []
        self._recent: deque[int] = deque()
        """The newest buckets, the oldest of them first."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0
        self._near = 0.0
        """Deadlines before this are surely less than FAR_S away: the clock need not be read for them."""

    def add(self, item: Item, deadline: float) -> set[Item]:
        """Watch an item until it is discarded from the bucket that this returns. `deadline` is on the loop's clock.

        The bucket itself stays for a while: that is cheaper than to look for it when it is empty.
        """
        bucket = int(deadline / RESOLUTION_S) + 1
        if deadline > self._near:
            self._near = self._loop.time() + FAR_S
            if deadline > self._near:
                bucket += -bucket % _FAR_BUCKETS
        items = self._buckets.get(bucket)
        if items is not None:
            items.add(item)
            return items
        items = self._buckets[bucket] = {item}
        heapq.heappush(self._heap, bucket)
        self._recent.append(bucket)
        if len(self._recent) > _RECENT:
            self._let_go(self._recent.popleft())
        if self._timer is None or bucket < self._armed:
            self._arm()
        return items

    def _let_go(self, bucket: int) -> None:
        if self._buckets.get(bucket, True):
            return  # it has had its time, or calls are in it
        del self._buckets[bucket]

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._heap.clear()
        self._recent.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._armed = self._heap[0]
            self._timer = self._loop.call_at(self._armed * RESOLUTION_S, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._heap and self._heap[0] * RESOLUTION_S <= now:
            items = self._buckets.pop(heapq.heappop(self._heap), None)
            while items:  # who expires may discard others
                self._expired(items.pop())
        self._arm()
