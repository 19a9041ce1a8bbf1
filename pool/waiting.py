"""The calls of one pool that wait in its queue: in order of arrival, those for one worker alone beside those for any.

Owns that order and nothing else: no clock, no workers, no limits. A call that leaves is only marked; it is dropped when
its turn comes, or when more have left than wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator

from pool.calls import Call

DEAD_KEPT = 64
"""Calls that left and still lie in the queue, before it is looked through for them."""


class Waiting:
    """The waiting calls. `count` and `bytes` are of those that have not left."""

    __slots__ = ("_dead", "_general", "_pinned", "bytes", "count")

    def __init__(self) -> None:
        self._general: deque[Call] = deque()
        self._pinned: dict[str, deque[Call]] = {}
        self._dead = 0
        self.count = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[Call]:
        """Return those that wait, in no order."""
        for queue in [self._general, *self._pinned.values()]:
            yield from (call for call in queue if call.queued)

    def pinned_to(self, worker: str) -> int:
        """Return about how many wait for this worker alone."""
        return len(self._pinned.get(worker, ()))

    def add(self, call: Call) -> None:
        """Put a call at the end."""
        call.queued = True
        self.count += 1
        self.bytes += len(call.body)
        self._queue(call).append(call)

    def put_back(self, calls: Iterable[Call], workers: Container[str]) -> None:
        """Put calls that were lined up where they belong by their arrival: near the head.

        Who is pinned to none of `workers` waits for any.
        """
        for call in calls:
            if call.future.done():
                continue
            if call.pinned is not None and call.pinned not in workers:
                call.pinned = None
            call.queued = True
            self.count += 1
            self.bytes += len(call.body)
            queue = self._queue(call)
            older = []
            while queue and queue[0].number < call.number:
                older.append(queue.popleft())
            queue.appendleft(call)
            queue.extendleft(reversed(older))

    def _queue(self, call: Call) -> deque[Call]:
        if call.pinned is None:
            return self._general
        return self._pinned.setdefault(call.pinned, deque())

    def leave(self, call: Call) -> None:
        """Take a call out, wherever it stands; one that does not wait is left alone."""
        if call.queued:
            self._forget(call)
            self._dead += 1
            if self._dead > DEAD_KEPT and self._dead > self.count:
                self._sweep()

    def _forget(self, call: Call) -> None:
        call.queued = False
        self.count -= 1
        self.bytes -= len(call.body)

    def _sweep(self) -> None:
        """Drop those that have left: behind a call that waits for long they would pile up."""
        self._dead = 0
        self._general = deque(call for call in self._general if call.queued)
        for worker, queue in list(self._pinned.items()):
            if left := deque(call for call in queue if call.queued):
                self._pinned[worker] = left
            else:
                del self._pinned[worker]

    def take(self, worker: str, largest: int | None = None) -> Call | None:
        """Take out the oldest live call that this worker may serve; None where its body is larger than `largest`."""
        queue = self._oldest(worker)
        if queue is None or (largest is not None and len(queue[0].body) > largest):
            return None
        call = queue.popleft()
        self._forget(call)
        return call

    def take_pinned(self, worker: str) -> Call | None:
        """Take out the oldest live call that waits for this worker alone."""
        queue = self._pinned.get(worker, ())
        while queue:
            call = queue.popleft()
            if call.queued and not call.future.done():
                self._forget(call)
                return call
        self._pinned.pop(worker, None)
        return None

    def _oldest(self, worker: str) -> deque[Call] | None:
        """Return the queue whose head is the oldest live call that this worker may serve."""
        general, pinned = self._general, self._pinned.get(worker) if self._pinned else None
        while general and general[0].future.done():
            general.popleft()
        if pinned is not None:
            while pinned and pinned[0].future.done():
                pinned.popleft()
            if not pinned:
                del self._pinned[worker]
            elif not general or pinned[0].number < general[0].number:
                return pinned
        return general or None

    def unpin(self, worker: str) -> bool:
        """Let those that waited for this worker alone wait for any; return whether there were any."""
        moved = [call for call in self._pinned.pop(worker, ()) if not call.future.done()]
        for call in moved:
            call.pinned = None
        if moved:
            self._general = deque(sorted([*self._general, *moved], key=_number))
        return bool(moved)

    def clear(self) -> list[Call]:
        """Take out all; return those that still had a caller."""
        left = [call for call in self if not call.future.done()]
        for call in left:
            self._forget(call)
        self._general.clear()
        self._pinned.clear()
        return left


def _number(call: Call) -> int:
    return call.number
