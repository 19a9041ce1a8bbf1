"""Who gets a worker next: free slots on one side, waiting calls on the other, in order of arrival.

Owns the waiting calls and knows which workers have room. Capacity is acquired here, before any work, and travels with
the call as a `Lease`. Everything is O(1) in the number of waiting calls; a call that leaves is skipped when its turn
comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from pool.errors import DeadlineExceeded, PoolError, QueueFull, Stopped
from pool.frames import Reply
from pool.worker import Call


class Slots(Protocol):
    """A worker as the queue and a lease see it. `free` is how many more calls it may be given now."""

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

    def give_back(self) -> None:
        """Return a slot that was taken but not used."""
        ...

    def start(self, function: str, meta: bytes, body: bytes, deadline: float | None, *, stream: bool) -> Call:
        """Send a call into a taken slot."""
        ...

    def abandon(self, call: Call) -> None:
        """Say that nobody waits for a call any more."""
        ...


class Lease:
    """A slot on a worker. Use it for one call, or `release` it."""

    __slots__ = ("_used", "worker")

    def __init__(self, worker: Slots) -> None:
        self.worker = worker
        self._used = False

    def start(self, function: str, meta: bytes, body: bytes, deadline: float | None, *, stream: bool = False) -> Call:
        """Send the call; from here the slot is the call's and comes back when the worker is done with it."""
        assert not self._used, "a lease is for one call"
        self._used = True
        return self.worker.start(function, meta, body, deadline, stream=stream)

    async def call(self, function: str, meta: bytes, body: bytes, deadline: float | None) -> Reply:
        """Make a unary call. Raises a PoolError where the worker did not answer; leaving early cancels it."""
        call = self.start(function, meta, body, deadline)
        try:
            return await call.future
        except asyncio.CancelledError:
            self.worker.abandon(call)
            raise

    def release(self) -> None:
        """Give the slot back unless a call has it."""
        if not self._used:
            self._used = True
            self.worker.give_back()


class _Waiter:
    __slots__ = ("future", "number", "pinned")

    def __init__(self, number: int, future: asyncio.Future[Slots], pinned: str | None) -> None:
        self.number = number
        self.future = future
        self.pinned = pinned


class Admission:
    """The queue of one pool."""

    def __init__(self, pool: str, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._limit = limit
        self._loop = loop
        self._room: dict[str, Slots] = {}
        self._members: set[str] = set()
        self._general: deque[_Waiter] = deque()
        self._pinned: dict[str, deque[_Waiter]] = {}
        self._waiting = 0
        self._arrivals = 0
        self._refusal: Callable[[], PoolError] | None = None
        self._stopped = False
        self._service_s = 0.05

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

    def try_acquire(self, prefer: str | None = None) -> Lease | None:
        """Grant a slot at once, or return None. `prefer` names the only worker to take while it is a member."""
        if self._refusal is not None:
            raise self._refusal()
        if prefer is not None and prefer in self._members:
            worker = self._room.get(prefer)
            return None if worker is None else self._grant(worker)
        for worker in self._room.values():
            return self._grant(worker)
        return None

    def _grant(self, worker: Slots) -> Lease:
        worker.take()
        del self._room[worker.id]
        if worker.free > 0:
            self._room[worker.id] = worker  # to the end: the next call goes to another
        return Lease(worker)

    async def acquire(self, deadline: float | None, prefer: str | None = None) -> Lease:
        """Wait for a slot. Raises QueueFull, DeadlineExceeded(IN_QUEUE), Stopped or PoolUnavailable."""
        lease = self.try_acquire(prefer)
        if lease is not None:
            return lease
        if self._waiting >= self._limit:
            raise QueueFull(self._pool, self._limit, self._predict())
        pinned = prefer if prefer is not None and prefer in self._members else None
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, self._loop.create_future(), pinned)
        self._enqueue(waiter)
        timer = None if deadline is None else self._loop.call_at(deadline, self._expire, waiter)
        try:
            return Lease(await waiter.future)
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                waiter.future.result().give_back()  # granted in the same moment as it was cancelled
            raise
        finally:
            self._waiting -= 1
            if timer is not None:
                timer.cancel()

    def _enqueue(self, waiter: _Waiter) -> None:
        self._waiting += 1
        if waiter.pinned is None:
            self._general.append(waiter)
        else:
            self._pinned.setdefault(waiter.pinned, deque()).append(waiter)

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(DeadlineExceeded(self._pool, "IN_QUEUE"))

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
        self._members.add(worker.id)
        self.slot_free(worker)

    def remove(self, worker: Slots) -> None:
        """Give a worker no more calls; who waited for it alone waits for any now."""
        self._members.discard(worker.id)
        self._room.pop(worker.id, None)
        moved = [waiter for waiter in self._pinned.pop(worker.id, ()) if not waiter.future.done()]
        if moved:
            for waiter in moved:
                waiter.pinned = None
            self._general = deque(sorted([*self._general, *moved], key=lambda waiter: waiter.number))
            for other in list(self._room.values()):
                self.slot_free(other)

    def slot_free(self, worker: Slots) -> None:
        """Hand a worker's free slots to those who wait, oldest first."""
        if worker.id not in self._members:
            return
        while worker.free > 0:
            waiter = self._next(worker.id)
            if waiter is None:
                self._room[worker.id] = worker
                return
            worker.take()
            waiter.future.set_result(worker)
        self._room.pop(worker.id, None)

    def _next(self, worker: str) -> _Waiter | None:
        """Return the oldest live waiter that this worker may serve."""
        general, pinned = self._general, self._pinned.get(worker)
        while general and general[0].future.done():
            general.popleft()
        while pinned and pinned[0].future.done():
            pinned.popleft()
        if pinned and (not general or pinned[0].number < general[0].number):
            return pinned.popleft()
        if pinned is not None and not pinned:
            del self._pinned[worker]
        return general.popleft() if general else None

    def refuse(self, error: Callable[[], PoolError]) -> None:
        """Refuse new calls with `error()` until a worker is added, and fail those that wait."""
        if not self._stopped:
            self._refusal = error
        for waiter in [*self._general, *(waiter for queue in self._pinned.values() for waiter in queue)]:
            if not waiter.future.done():
                waiter.future.set_exception(error())
        self._general.clear()
        self._pinned.clear()

    def stop(self) -> None:
        """Refuse new calls for good, and fail those that wait."""
        self.refuse(lambda: Stopped(self._pool))
        self._stopped = True
