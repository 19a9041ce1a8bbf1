"""Who gets a worker next: free slots on one side, waiting calls on the other, in order of arrival.

Owns the waiting calls, everyone's deadlines, and knows which workers have room. A call gets its slot here, before any
work, and carries it until the worker has really done with it. Small calls are lined up behind the running ones, in the
workers' sockets, and taken back where that helps. A call that leaves the queue is skipped when its turn comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from pool.calls import Call, Slots
from pool.deadlines import Deadlines
from pool.errors import DeadlineExceeded, PoolError, QueueFull, Stopped

LINED_BYTES = 16384
"""Larger requests are not lined up: they would fill the socket of a worker that may be long busy."""

PACKED_S = 100e-6
"""Calls that take no longer than this are lined up behind a running one although another worker is idle, because to
wake that costs more than the wait; and of idle workers they take the one that was busy last, whose caches are warm.
Longer calls go round the workers."""
BALANCE_S = 0.002
BALANCE_MAX_S = 0.05
"""How often lines are looked at: within two looks, one that does not move is taken back. Between the two it is four
times the usual service time, since to take back and line up again what moves would be work for nothing."""


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
        self._balancing: asyncio.TimerHandle | None = None
        self._seen: dict[str, int] = {}
        """Per worker that had a line at the last look, the calls that had ended on it."""
        self._deadlines: Deadlines[Call] = Deadlines(loop, self._expire)

    @property
    def waiting(self) -> int:
        """Calls that wait, in the queue or lined up."""
        return self._waiting + sum(worker.lined for worker in self._members.values())

    @property
    def has_room(self) -> bool:
        """Whether a call would be granted a worker at once."""
        return bool(self._room)

    def has_member(self, worker: str) -> bool:
        """Return whether a worker takes calls here."""
        return worker in self._members

    def choose(self) -> str | None:
        """Return the worker that a new session is best bound to: one with room, else that with the fewest waiters."""
        for worker in self._room:
            return worker
        return min(self._members, key=self._waiters, default=None)

    def _waiters(self, worker: str) -> int:
        return len(self._pinned.get(worker, ())) + self._members[worker].lined

    def submit(self, call: Call, prefer: str | None = None) -> None:
        """Launch a call where a slot is free, else let it wait. Raises QueueFull, Stopped or PoolUnavailable.

        `prefer` names the only worker to take while it is a member. Call `release` when the caller has done with it.
        """
        if self._refusal is not None:
            raise self._refusal()
        room = self._room.values()
        worker = next(iter(room) if self._service_s > PACKED_S else reversed(room), None)
        if prefer is not None and prefer in self._members:
            call.pinned = prefer
            worker = self._room.get(prefer)
        self._arrivals += 1
        call.number = self._arrivals
        if worker is None:
            if not self._line_up(call):
                self._enqueue(call)
        elif self._service_s > PACKED_S or not self._line_up(call):
            self._launch(call, worker)
        if call.deadline is not None:
            call.bucket = self._deadlines.add(call, call.deadline)

    def _line_up(self, call: Call) -> bool:
        """Send a small call ahead to the busy worker with the shortest line, unless others wait already."""
        if self._waiting or len(call.body) > LINED_BYTES:
            return False
        best, room, lined = None, 0, 0
        for worker in self._members.values():
            lined += worker.lined
            if worker.line_room > room and (call.pinned is None or call.pinned == worker.id):
                best, room = worker, worker.line_room
        if best is None or lined >= self._limit:
            return False
        best.line_up(call)
        if self._balancing is None:
            self._watch_lines()
        return True

    def _launch(self, call: Call, worker: Slots) -> None:
        worker.take()
        del self._room[worker.id]
        if worker.free > 0:
            self._room[worker.id] = worker  # to the end: the next call goes to another
        worker.launch(call)

    def release(self, call: Call) -> None:
        """Say that the caller has done with a call; where it has not ended, that is its cancel. May be called again."""
        if call.bucket:
            self._deadlines.discard(call, call.bucket)
        if call.future.done() and not call.future.cancelled():
            return
        if self._withdraw(call):
            call.future.cancel()
        elif call.worker is not None:
            call.worker.abandon(call)

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
            if call.queued:
                call.queued = False
                self._waiting -= 1
            return True
        if call.lined:
            behind = []
            while (back := worker.take_back()) is not None and back is not call:
                behind.append(back)
            self.adopt(behind)
        return call.worker is None

    def _enqueue(self, call: Call) -> None:
        if self.waiting >= self._limit:
            raise QueueFull(self._pool, self._limit, self._predict())
        self._waiting += 1
        call.queued = True
        if call.pinned is None:
            self._general.append(call)
        else:
            self._pinned.setdefault(call.pinned, deque()).append(call)

    def _requeue(self, calls: Iterable[Call]) -> None:
        """Put calls that were lined up into the queue, each where it belongs by its arrival: near the head."""
        for call in calls:
            if call.future.done():
                continue
            self._waiting += 1
            call.queued = True
            if call.pinned not in self._members:
                call.pinned = None
            queue = self._general if call.pinned is None else self._pinned.setdefault(call.pinned, deque())
            older = []
            while queue and queue[0].number < call.number:
                older.append(queue.popleft())
            queue.appendleft(call)
            queue.extendleft(reversed(older))

    def _predict(self) -> float:
        """Return the seconds after which a refused caller may try again: a rough drain time of the queue."""
        return min(30.0, max(0.05, self._service_s * self.waiting / max(1, len(self._members))))

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
        """Give a worker no more calls; who waited for it alone, or in its line, waits for any now."""
        self._members.pop(worker.id, None)
        self._room.pop(worker.id, None)
        moved = [call for call in self._pinned.pop(worker.id, ()) if not call.future.done()]
        for call in moved:
            call.pinned = None
        if moved:
            self._general = deque(sorted([*self._general, *moved], key=_number))
        back = _all_lined(worker)
        self.adopt(back)
        if moved and not back:
            self._serve_all()

    def adopt(self, calls: Sequence[Call]) -> None:
        """Serve, in the order of arrival, what was lined up and was taken back; a pool that has stopped refuses it."""
        if calls and self._stopped:
            for call in calls:
                call.fail(Stopped(self._pool))
        elif calls:
            self._requeue(calls)
            self._serve_all()

    def _serve_all(self) -> None:
        for worker in [*self._room.values(), *self._members.values()]:  # rather launched than lined up
            self.slot_free(worker)

    def slot_free(self, worker: Slots) -> None:
        """Launch those who wait into a worker's free slots, oldest first: no turn of the loop lies in between."""
        if worker.id not in self._members:
            return
        if self._waiting:
            self._serve(worker)
        if worker.free > 0:
            self._room[worker.id] = worker
            self._steal(worker)
        else:
            self._room.pop(worker.id, None)

    def _steal(self, worker: Slots) -> None:
        """Give a worker that has nothing to do what is lined up behind a call that may take long."""
        for other in self._members.values():
            while other.lined and (call := other.take_back(pinned=False)) is not None:
                if not call.future.done():
                    self._launch(call, worker)
                    return

    def _watch_lines(self) -> None:
        pause_s = min(BALANCE_MAX_S, max(BALANCE_S, 4 * self._service_s))
        self._balancing = self._loop.call_later(pause_s, self._balance)

    def _balance(self) -> None:
        """Take back the lines that have not moved since the last look, and give idle workers something to do.

        Else calls that came later would overtake, on other workers, those that stand behind a slow one.
        """
        self._balancing = None
        stuck = [worker for worker in self._members.values() if self._seen.get(worker.id) == worker.answered]
        self.adopt([call for worker in stuck for call in _all_lined(worker)])
        for worker in list(self._room.values()):
            self._steal(worker)
        self._seen = {worker.id: worker.answered for worker in self._members.values() if worker.lined}
        if self._seen:
            self._watch_lines()

    def _serve(self, worker: Slots) -> None:
        while worker.free > 0 and (call := self._next(worker.id)) is not None:
            worker.take()
            worker.launch(call)
        while worker.line_room > 0 and (call := self._next(worker.id, LINED_BYTES)) is not None:
            worker.line_up(call)
            if self._balancing is None:
                self._watch_lines()

    def _next(self, worker: str, largest: int | None = None) -> Call | None:
        """Take out the oldest live waiting call that this worker may serve, unless it is larger than `largest`."""
        queue = self._oldest(worker)
        if queue is None or (largest is not None and len(queue[0].body) > largest):
            return None
        call = queue.popleft()
        call.queued = False
        self._waiting -= 1
        return call

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

    def refuse(self, error: Callable[[], PoolError]) -> None:
        """Refuse new calls with `error()` until a worker is added, and fail those that wait."""
        if not self._stopped:
            self._refusal = error
        for call in [*self._general, *(call for queue in self._pinned.values() for call in queue)]:
            if not call.future.done():
                self._waiting -= 1
                call.queued = False
                call.fail(error())
        self._general.clear()
        self._pinned.clear()

    def stop(self) -> None:
        """Refuse new calls for good, and fail those that wait; lines go on for as long as they move."""
        self.refuse(lambda: Stopped(self._pool))
        self._stopped = True

    def close(self) -> None:
        """Watch no deadlines any more: no call is left."""
        self._deadlines.close()
        if self._balancing is not None:
            self._balancing.cancel()


def _all_lined(worker: Slots) -> list[Call]:
    """Take back all that is lined up; the newest first."""
    calls = []
    while (call := worker.take_back()) is not None:
        calls.append(call)
    return calls


def _number(call: Call) -> int:
    return call.number
