"""Who gets a worker next: free slots on one side, waiting calls on the other.

Owns everyone's deadlines, and knows which workers have room. A call gets its slot here, before any work, and carries it
until the worker has really done with it. Who finds no slot waits in `Waiting`, or is lined up behind a running call by
`Lines`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from pool.bound import BoundCalls
from pool.calls import Call, Slots
from pool.capacity import Capacity
from pool.deadlines import Deadlines
from pool.errors import DeadlineExceeded, PoolError, Quarantined, QueueFull, Stopped
from pool.estimates import SHORT_S, ServiceTimes
from pool.lines import LINED_BYTES, Lines, take_all
from pool.options import PoolOptions
from pool.quarantine import Quarantine
from pool.turns import Need
from pool.waiting import Waiting

PACKED_S = 100e-6
"""Calls that take no longer than this are lined up behind a running one although another worker is idle, because to
wake that costs more than the wait; and of idle workers they take the one that was busy last, whose caches are warm.
Longer calls go round the workers."""


class Admission:
    """The queue of one pool."""

    def __init__(self, pool: str, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._capacity = Capacity(pool, limit)
        self.quarantine = Quarantine(pool)
        self._loop = loop
        self._room: dict[str, Slots] = {}
        self._members: dict[str, Slots] = {}
        self._apart: dict[str, bool] = {}
        """Members that are given nothing for now, or (True) only calls that are pinned to them."""
        self._times = ServiceTimes()
        self._queue = Waiting(self._times)
        self._lines = Lines(loop, self._times, self._members, self._room, adopt=self.adopt, launch=self._launch)
        self._arrivals = 0
        self._bound = BoundCalls(pool)
        self._refusal: Callable[[], PoolError] | None = None
        self._stopped = False
        self._deadlines: Deadlines[Call] = Deadlines(loop, self._expire)
        self.observe, self.count_packed = self._times.observe, self._capacity.count_packed

    @property
    def waiting(self) -> int:
        """Calls that wait, in the queue or lined up; of packs each member."""
        return self._queue.count + sum(worker.lined for worker in self._members.values()) + self._capacity.packed

    @property
    def has_room(self) -> bool:
        """Whether a call would be granted a worker at once."""
        return bool(self._room)

    @property
    def wait_s(self) -> float:
        """How long a call that came now would wait for a worker, by what calls usually take; 0 where one is free."""
        turns = 0 if self._room else self.waiting - self._capacity.packed + 1
        return turns * self._capacity.pace_s(self._times.usual_s, len(self._members))

    def has_member(self, worker: str, *, apart: bool = False) -> bool:
        """Return whether a worker takes calls here; with `apart` also where it takes only those pinned to it."""
        return worker in self._members and (apart or worker not in self._apart)

    @property
    def arrivals(self) -> int:
        """Calls that have come so far: the `number` of the last."""
        return self._arrivals

    def oldest(self) -> int | None:
        """Return the `number` of the call that has waited longest in the queue; looks at each."""
        return min((call.number for call in self._queue), default=None)

    def choose(self) -> str | None:
        """Return the worker that a new session is best bound to: one with room, else that with the fewest waiters."""
        for worker in self._room:
            return worker
        return min((worker for worker in self._members if worker not in self._apart), key=self._waiters, default=None)

    def _waiters(self, worker: str) -> int:
        return self._queue.pinned_to(worker) + self._members[worker].lined

    def submit(self, call: Call, prefer: str | None = None) -> None:
        """Launch a call where a slot is free, else let it wait.

        `prefer` names the only worker to take while it is a member. Call `release` when the caller has done with it.
        Raises QueueFull, DeadlineUnreachable, Quarantined, Stopped or PoolUnavailable.
        """
        if self._refusal is not None:
            raise self._refusal()
        if self.quarantine.armed and (refused := self._quarantined(call.function, call.body)) is not None:
            raise refused
        room = self._room
        long = self._times.usual_s > PACKED_S
        if prefer is not None and prefer in self._members:
            call.pinned = prefer
            worker = room.get(prefer)
        else:
            worker = next(iter(room.values()) if long else reversed(room.values()), None)
        self._arrivals = call.number = self._arrivals + 1
        alone = len(room) == len(self._members) or (long and worker is not None)  # no line, or none that is worth it
        if alone or self._queue.count or not self._lines.add(call, self._capacity.limit):
            if worker is not None:
                self._launch(call, worker)
            else:
                self._enqueue(call)
        if call.deadline is not None:
            call.bucket = self._deadlines.add(call, call.deadline)

    def _quarantined(self, function: str, body: bytes) -> Quarantined | None:
        return self.quarantine.check(function, body, self._loop.time())

    def submit_bound(self, call: Call, worker: str) -> None:
        """Submit a call that this worker is to run or none. Raises WorkerGone where it is gone, else as `submit`."""
        if worker not in self._members:
            raise self._bound.gone(worker)
        self.submit(call, worker)
        self._bound.add(call, worker)

    def _launch(self, call: Call, worker: Slots) -> None:
        worker.take()
        del self._room[worker.id]
        if worker.free > 0:
            self._room[worker.id] = worker  # to the end: the next call goes to another
        worker.launch(call)

    def release(self, call: Call) -> None:
        """Say that the caller has done with a call; where it has not ended, that is its cancel. May be called again."""
        if call.bucket is not None:
            call.bucket.discard(call)
        if call.account is not None:
            self._pay(call)
        if call.future.done() and not call.future.cancelled():
            if self.quarantine.armed and call.future.exception() is None:
                self.quarantine.survived(call.function, call.body)
            return
        if self._withdraw(call):
            call.future.cancel()
        elif call.worker is not None:
            call.worker.abandon(call)

    def _pay(self, call: Call) -> None:
        """Charge a call that had its turn among several tenants with the time that it has held its worker."""
        used_s = 0.0
        if call.launched_at:
            used_s = time.perf_counter() - call.launched_at
            if not call.future.done() or call.future.cancelled():
                used_s = max(used_s, call.charge_s)  # it may hold its worker for longer
        self._queue.settle(call, used_s)

    def _expire(self, call: Call) -> None:
        if call.future.done():
            return
        if self._withdraw(call):
            call.fail(DeadlineExceeded(self._pool, "IN_QUEUE"))
        elif call.worker is not None:
            call.worker.expire(call)

    def _withdraw(self, call: Call) -> bool:
        """Take a call that waits out of the queue or out of a line; False where it has been begun."""
        worker = call.worker
        if worker is None:
            self._queue.leave(call)
            return True
        if call.lined:
            behind = []
            while (back := worker.take_back()) is not None and back is not call:
                behind.append(back)
            self.adopt(behind)
        return call.worker is None

    def _enqueue(self, call: Call) -> None:
        queue = self._queue
        if call.deadline is not None and self._times.usual_s >= SHORT_S and (ahead_s := queue.ahead_s(call)):
            own_s, left_s = self._times.least_s(call.function), call.deadline - self._loop.time()
            late = self._capacity.too_late(ahead_s, own_s, left_s, None if call.pinned else len(self._members))
            if late is not None:
                raise late
        need = self._capacity.exceeded(self.waiting, queue.bytes, len(call.body))
        if need is not None:
            self._make_room(call, need)
        queue.add(call)
        if self._apart and call.pinned in self._apart:
            self.slot_free(self._members[call.pinned])

    def cancel(self, call: Call, error: PoolError) -> bool:
        """End a call with `error`, wherever it is; return whether it had not ended."""
        if call.future.done():
            return False
        if self._withdraw(call) or call.worker is None:
            call.fail(error)
        else:
            call.fail(error)
            call.worker.abandon(call)
        return True

    def _make_room(self, call: Call, need: Need) -> None:
        """Let calls that must give way to a new one leave. Raises QueueFull where it has no right to their room."""
        leaving = self._queue.room_for(call, need)
        if not leaving:
            raise self._full(call, need, displaced=False)
        for other in leaving:
            error = self._full(other, need, displaced=True)
            self._queue.leave(other)
            other.fail(error)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the requests that wait in the queue; those in lines, which are small, are not counted."""
        return self._queue.bytes

    def _full(self, call: Call, need: Need, *, displaced: bool) -> QueueFull:
        return self._capacity.full(
            self._loop.time(),
            need,
            len(call.body),
            waiting=self.waiting,
            queued_bytes=self._queue.bytes,
            pace_s=self._capacity.pace_s(self._times.usual_s, len(self._members)),
            displaced=displaced,
        )

    def add(self, worker: Slots) -> None:
        """Let a worker take calls. Once the pool has stopped it takes none all the same."""
        if not self._stopped:
            self._refusal = None
        self._members[worker.id] = worker
        self.slot_free(worker)

    def remove(self, worker: Slots) -> None:
        """Give a worker no more calls; who waited for it alone, or in its line, waits for any now."""
        self._members.pop(worker.id, None)
        self._room.pop(worker.id, None)
        self._apart.pop(worker.id, None)
        if self._bound:
            self._bound.fail(worker.id, self._queue.leave)
        moved = self._queue.unpin(worker.id)
        back = take_all(worker)
        self.adopt(back)
        if moved and not back:
            self._serve_all()

    def set_apart(self, worker: Slots, *, pinned: bool) -> None:
        """Give a worker no calls for now, or only those that are pinned to it; its line waits for others."""
        if worker.id in self._members:
            self._apart[worker.id] = pinned
            self._room.pop(worker.id, None)
            self.adopt(take_all(worker))
            self.slot_free(worker)

    def put_back(self, worker: Slots) -> None:
        """Let a worker that was set apart take any call again."""
        if self._apart.pop(worker.id, None) is not None:
            self.slot_free(worker)

    def adopt(self, calls: Sequence[Call]) -> None:
        """Serve, in the order of arrival, what was lined up and was taken back; a pool that has stopped refuses it."""
        if calls and self._stopped:
            for call in calls:
                call.fail(Stopped(self._pool))
        elif calls:
            self._queue.put_back(calls, self._members)
            self._serve_all()

    def buried(self, left: Sequence[Call], culprit: Call | None) -> None:
        """Take back what a dead worker had not begun. `culprit` is the call that it died of, where that is known.

        Once that makes it a quarantined input, the calls with the same one that wait or are lined up are refused.
        """
        if culprit is not None and self.quarantine.killed(culprit.function, culprit.body, self._loop.time()):
            left = [*left, *(call for worker in self._members.values() for call in take_all(worker))]
            for call in [*left, *self._queue]:
                if not call.future.done() and (refused := call.sift(self._quarantined)) is not None:
                    self._queue.leave(call)
                    call.fail(refused)
        self.adopt(left)

    def _serve_all(self) -> None:
        for worker in [*self._room.values(), *self._members.values()]:  # rather launched than lined up
            self.slot_free(worker)

    def slot_free(self, worker: Slots) -> None:
        """Launch those who wait into a worker's free slots: no turn of the loop lies in between."""
        if worker.id not in self._members:
            return
        if self._apart and worker.id in self._apart:
            self._serve_pinned(worker)
            return
        if self._queue.count:
            self._serve(worker)
        if worker.free > 0:
            self._room[worker.id] = worker
            self._lines.steal(worker)
        else:
            self._room.pop(worker.id, None)

    def _serve(self, worker: Slots) -> None:
        queue = self._queue
        while worker.free > 0 and (call := queue.take(worker.id)) is not None:
            worker.take()
            worker.launch(call)
        lines = self._lines
        while worker.line_room > 0 and not (lines.ranked and worker.lined >= lines.longest()):
            call = queue.take(worker.id, LINED_BYTES)
            if call is None:
                return
            lines.append(worker, call)

    def _serve_pinned(self, worker: Slots) -> None:
        while self._apart[worker.id] and worker.free > 0 and (call := self._queue.take_pinned(worker.id)) is not None:
            worker.take()
            worker.launch(call)

    def refuse(self, error: Callable[[], PoolError]) -> None:
        """Refuse new calls with `error()` until a worker is added, and fail those that wait."""
        if not self._stopped:
            self._refusal = error
        for call in self._queue.clear():
            call.fail(error())

    def stop(self) -> None:
        """Refuse new calls for good, and fail those that wait; lines go on for as long as they move."""
        self.refuse(lambda: Stopped(self._pool))
        self._stopped = True

    def resume(self) -> None:
        """Take calls again after `stop`, where there is a worker; else they wait for one."""
        self._stopped = False
        self._refusal = None
        self._serve_all()

    def configure(self, options: PoolOptions) -> None:
        """Take over the limits and sizes of options; calls that wait already stay."""
        self._capacity.configure(options)
        self.quarantine.configure(options.quarantine_after, options.quarantine_ttl_s, options.canary.function)

    def close(self) -> None:
        """Watch no deadlines any more: no call is left."""
        self._deadlines.close()
        self._lines.close()
