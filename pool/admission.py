"""Who gets a worker next: free slots on one side, waiting calls on the other, in order of arrival.

Owns the waiting calls, everyone's deadlines, and knows which workers have room. A call gets its slot here, before any
work, and carries it until the worker has really done with it. Everything is O(1) in the number of waiting calls; a call
that leaves is skipped when its turn comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pool.deadlines import Deadlines
from pool.errors import DeadlineExceeded, PoolError, QueueFull, Stopped
from pool.worker import Call


class Slots(Protocol):
    """A worker as the queue sees it. `free` is how many more calls it may be given now."""

    @property
    def id(self) -> str:
        """Its name, unique within the pool."""
        ...

    @property
    def free(self) -> int:
        """Slots that are not taken."""
        ...

    def take(self) -> None:
        """Reserve a slot."""
        ...

    def launch(self, call: Call) -> None:
        """Send a call into a taken slot; its end gives the slot back."""
        ...

    def expire(self, call: Call) -> None:
        """End a running call whose deadline has passed."""
        ...

    def abandon(self, call: Call) -> None:
        """Say that nobody waits for a running call any more."""
        ...


class Admission:
    """The queue of one pool."""

    def __init__(self, pool: str, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._limit = limit
        self._loop = loop
        self._room: dict[str, Slots] = {}
        self._members: dict[str, Slots] = {}
        self._general: deque[Call] = deque()
        self._pinned: dict[str, deque[Call]] = {}
        self._waiting = 0
        self._arrivals = 0
        self._refusal: Callable[[], PoolError] | None = None
        self._stopped = False
        self._service_s = 0.05
        self._deadlines: Deadlines[Call] = Deadlines(loop, self._expire)

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return self._waiting

    @property
    def has_room(self) -> bool:
        """Whether a call would be granted a worker at once."""
        return bool(self._room)

    def has_member(self, worker: str) -> bool:
        """Return whether a worker takes calls here."""
        return worker in self._members

    def choose(self) -> str | None:
        """Return the worker that a new session is best bound to: one with room, else the one with the fewest waiters."""
        for worker in self._room:
            return worker
        return min(self._members, key=lambda worker: len(self._pinned.get(worker, ())), default=None)

    def submit(self, call: Call, prefer: str | None = None) -> None:
        """Launch a call where a slot is free, else let it wait. Raises QueueFull, Stopped or PoolUnavailable.

        `prefer` names the only worker to take while it is a member. Call `release` when the caller has done with it.
        """
        if self._refusal is not None:
            raise self._refusal()
        pinned = prefer is not None and prefer in self._members
        worker = self._room.get(prefer) if pinned else next(iter(self._room.values()), None)  # type: ignore[arg-type]
        if worker is None and self._waiting >= self._limit:
            raise QueueFull(self._pool, self._limit, self._predict())
        if call.deadline is not None:
            call.bucket = self._deadlines.add(call, call.deadline)
        if worker is None:
            self._enqueue(call, prefer if pinned else None)
        else:
            self._launch(call, worker)

    def _launch(self, call: Call, worker: Slots) -> None:
        worker.take()
        del self._room[worker.id]
        if worker.free > 0:
            self._room[worker.id] = worker  # to the end: the next call goes to another
        worker.launch(call)

    def release(self, call: Call) -> None:
        """Say that the caller has done with a call; where it has not ended, that is its cancel."""
        if call.bucket:
            self._deadlines.discard(call, call.bucket)
        if call.future.done() and not call.future.cancelled():
            return
        if call.worker is not None:
            call.worker.abandon(call)
        else:
            call.future.cancel()
            self._waiting -= 1

    def _enqueue(self, call: Call, pinned: str | None) -> None:
        self._waiting += 1
        self._arrivals += 1
        call.number = self._arrivals
        call.pinned = pinned
        if pinned is None:
            self._general.append(call)
        else:
            self._pinned.setdefault(pinned, deque()).append(call)

    def _expire(self, call: Call) -> None:
        if call.worker is not None:
            call.worker.expire(call)
        elif not call.future.done():
            self._waiting -= 1
            call.future.set_exception(DeadlineExceeded(self._pool, "IN_QUEUE"))

    def _predict(self) -> float:
        """Return the seconds after which a refused caller may try again: a rough drain time of the queue."""
        return min(30.0, max(0.05, self._service_s * self._waiting / max(1, len(self._members))))

    def observe(self, service_s: float) -> None:
        """Take a measured service time into the estimate that refused callers are told."""
        self._service_s += 0.05 * (service_s - self._service_s)

    def add(self, worker: Slots) -> None:
        """Let a worker take calls. Once the pool has stopped it takes none all the same."""
        if not self._stopped:
            self._refusal = None
        self._members[worker.id] = worker
        self.slot_free(worker)

    def remove(self, worker: Slots) -> None:
        """Give a worker no more calls; who waited for it alone waits for any now."""
        self._members.pop(worker.id, None)
        self._room.pop(worker.id, None)
        moved = [call for call in self._pinned.pop(worker.id, ()) if not call.future.done()]
        if moved:
            for call in moved:
                call.pinned = None
            self._general = deque(sorted([*self._general, *moved], key=lambda call: call.number))
            for other in list(self._room.values()):
                self.slot_free(other)

    def slot_free(self, worker: Slots) -> None:
        """Launch those who wait into a worker's free slots, oldest first: no turn of the loop lies in between."""
        if worker.id not in self._members:
            return
        while worker.free > 0:
            call = self._next(worker.id)
            if call is None:
                self._room[worker.id] = worker
                return
            self._waiting -= 1
            worker.take()
            worker.launch(call)
        self._room.pop(worker.id, None)

    def _next(self, worker: str) -> Call | None:
        """Return the oldest live waiting call that this worker may serve."""
        general, pinned = self._general, self._pinned.get(worker) if self._pinned else None
        while general and general[0].future.done():
            general.popleft()
        if pinned is None:
            return general.popleft() if general else None
        while pinned and pinned[0].future.done():
            pinned.popleft()
        if pinned and (not general or pinned[0].number < general[0].number):
            return pinned.popleft()
        if not pinned:
            del self._pinned[worker]
        return general.popleft() if general else None

    def refuse(self, error: Callable[[], PoolError]) -> None:
        """Refuse new calls with `error()` until a worker is added, and fail those that wait."""
        if not self._stopped:
            self._refusal = error
        for call in [*self._general, *(call for queue in self._pinned.values() for call in queue)]:
            if not call.future.done():
                self._waiting -= 1
                call.future.set_exception(error())
        self._general.clear()
        self._pinned.clear()

    def stop(self) -> None:
        """Refuse new calls for good, and fail those that wait."""
        self.refuse(lambda: Stopped(self._pool))
        self._stopped = True

    def close(self) -> None:
        """Watch no deadlines any more: no call is left."""
        self._deadlines.close()
