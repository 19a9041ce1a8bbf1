"""The calls of one pool that wait in its queue: in order of arrival, those for one worker alone beside those for any.

Owns that order and nothing else: no clock, no workers, no limits. Calls with a priority or tenant have lanes of their
own, among which `Turns` decides; while none of them wait, there is one plain queue. A call that leaves is only marked;
it is dropped when its turn comes, or when more have left than wait.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from pool.calls import NORMAL, Call
from pool.estimates import SHORT_S, ServiceTimes
from pool.turns import Account, Lane, Need, Turns, give_way

DEAD_KEPT = 64
"""Calls that left and still lie in the queue, before it is looked through for them."""


class Waiting:
    """The waiting calls. `count` and `bytes` are of those that have not left."""

    __slots__ = ("_dead", "_general", "_others", "_pinned", "_plain", "_ranked", "_times", "_turns", "bytes", "count")

    def __init__(self, times: ServiceTimes) -> None:
        self._times = times
        self._turns = Turns(times)
        self._plain = Account(NORMAL, "")
        self._general = Lane(self._plain, None)
        self._pinned: dict[str, Lane] = {}
        self._others: dict[str | None, dict[Account, Lane]] = {}
        """The lanes of calls with a priority or tenant, by the worker that they wait for."""
        self._ranked = 0
        """How many of `count` wait in those."""
        self._dead = 0
        self.count = 0
        self.bytes = 0

    def _lanes(self) -> list[Lane]:
        return [self._general, *self._pinned.values(), *(lane for by in self._others.values() for lane in by.values())]

    def __iter__(self) -> Iterator[Call]:
        """Return those that wait, in no order."""
        for lane in self._lanes():
            yield from [call for call in lane if call.queued]

    def pinned_to(self, worker: str) -> int:
        """Return about how many wait for this worker alone."""
        return sum(map(len, self._lanes_of(worker)))

    def ahead_s(self, call: Call) -> float:
        """Return what those calls take at least that will surely be begun before a new one: its elders in its lane."""
        if call.priority or call.tenant:
            lane = self._turns.account(call.priority, call.tenant).lanes.get(call.pinned)
        else:
            lane = self._general if call.pinned is None else self._pinned.get(call.pinned)
        return 0.0 if lane is None else lane.work_s

    def add(self, call: Call) -> None:
        """Put a call at the end."""
        if call.pinned is None and not (self._ranked or call.priority or call.tenant):  # the most calls
            lane = call.lane = self._general
            lane.append(call)
            call.queued = True
            if self._times.usual_s < SHORT_S:
                call.work_s = 0.0
            else:
                call.work_s = self._times.least_s(call.function)
                lane.work_s += call.work_s
            self.count += 1
            self.bytes += len(call.body)
        else:
            self._enter(call).append(call)

    def put_back(self, calls: Iterable[Call], workers: Container[str]) -> None:
        """Put calls that were lined up where they belong by their arrival: near the head.

        Who is pinned to none of `workers` waits for any.
        """
        for call in calls:
            if call.account is not None:
                self._turns.settle(call, 0.0)
            if call.future.done():
                continue
            if call.pinned is not None and call.pinned not in workers:
                call.pinned = None
            lane = self._enter(call)
            older = []
            while lane and lane[0].number < call.number:
                older.append(lane.popleft())
            lane.appendleft(call)
            lane.extendleft(reversed(older))

    def _enter(self, call: Call) -> Lane:
        """Count a call in; return its lane."""
        size = len(call.body)
        if call.priority or call.tenant:
            if not self._ranked:
                self._turns.wake(self._plain)
            lane = self._ranked_lane(call)
            lane.account.count += 1
            lane.account.bytes += size
            self._ranked += 1
        else:
            if self._ranked and self._ranked == self.count:
                self._turns.wake(self._plain)
            lane = self._general
            if call.pinned is not None:
                lane = self._pinned.get(call.pinned) or self._pin(call.pinned)
        call.queued = True
        call.lane = lane
        call.work_s = self._times.least_s(call.function)
        lane.work_s += call.work_s
        self.count += 1
        self.bytes += size
        return lane

    def _pin(self, worker: str) -> Lane:
        lane = self._pinned.get(worker)
        if lane is None:
            lane = self._pinned[worker] = Lane(self._plain, worker)
        return lane

    def _ranked_lane(self, call: Call) -> Lane:
        account = self._turns.account(call.priority, call.tenant)
        lanes = self._others.setdefault(call.pinned, {})
        lane = lanes.get(account)
        if lane is None:
            lane = lanes[account] = account.lanes[call.pinned] = Lane(account, call.pinned)
        return lane

    def leave(self, call: Call) -> None:
        """Take a call out, wherever it stands; one that does not wait is left alone."""
        if call.queued:
            self._forget(call)
            self._dead += 1
            if self._dead > DEAD_KEPT and self._dead > self.count:
                self._sweep()

    def _forget(self, call: Call) -> None:
        size, lane = len(call.body), call.lane
        call.queued = False
        self.count -= 1
        self.bytes -= size
        if call.work_s:
            lane.work_s -= call.work_s
        if self._ranked and lane.account is not self._plain:
            lane.account.count -= 1
            lane.account.bytes -= size
            self._ranked -= 1
            if not self._ranked:
                self._rest()

    def _rest(self) -> None:
        """No call with a priority or tenant waits any more: drop their lanes."""
        for lanes in self._others.values():
            for account in lanes:
                account.lanes.clear()
        self._others.clear()
        if not self.count:
            self._turns.rest()

    def _drop(self, lane: Lane) -> None:
        """Drop an empty lane."""
        if lane.account is self._plain:
            if lane.pin is not None:
                del self._pinned[lane.pin]
        elif lane.pin in self._others:
            lanes = self._others[lane.pin]
            del lanes[lane.account], lane.account.lanes[lane.pin]
            if not lanes:
                del self._others[lane.pin]

    def _sweep(self) -> None:
        """Drop those that have left: behind a call that waits for long they would pile up."""
        self._dead = 0
        for lane in self._lanes():
            live = [call for call in lane if call.queued]
            lane.clear()
            lane.extend(live)
            if not live:
                self._drop(lane)

    def take(self, worker: str, largest: int | None = None) -> Call | None:
        """Take out the live call whose turn it is at this worker; None where its body is larger than `largest`."""
        if self._ranked:
            lanes = [self._general, *self._others.get(None, {}).values(), *self._lanes_of(worker)]
            return self._take_turn(self._live(lanes), largest)
        lane = self._oldest(worker)
        if lane is None or (largest is not None and len(lane[0].body) > largest):
            return None
        call = lane.popleft()
        call.queued = False
        self.count -= 1
        self.bytes -= len(call.body)
        if call.work_s:
            lane.work_s -= call.work_s
        return call

    def take_pinned(self, worker: str) -> Call | None:
        """Take out the live call whose turn it is among those that wait for this worker alone."""
        return self._take_turn(self._live(self._lanes_of(worker)), None)

    def _oldest(self, worker: str) -> Lane | None:
        """Return the plain lane whose head is the oldest live call that this worker may serve."""
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

    def _take_turn(self, lanes: list[Lane], largest: int | None) -> Call | None:
        if not lanes:
            return None
        lane = self._turns.choose(lanes)
        if largest is not None and len(lane[0].body) > largest:
            return None
        call = lane.popleft()
        self._turns.took(call, lane, lanes)
        self._forget(call)
        return call

    def _lanes_of(self, worker: str) -> list[Lane]:
        """Return the lanes of calls that wait for this worker alone."""
        lanes = [*self._others.get(worker, {}).values()]
        if worker in self._pinned:
            lanes.append(self._pinned[worker])
        return lanes

    def _live(self, lanes: list[Lane]) -> list[Lane]:
        """Return the lanes in which a call waits, each with a live one at its head."""
        live = []
        for lane in lanes:
            while lane and lane[0].future.done():
                lane.popleft()
            if lane:
                live.append(lane)
            else:
                self._drop(lane)
        return live

    def room_for(self, call: Call, need: Need) -> list[Call]:
        """Return the waiting calls that must give way to a new one; empty where it has no right to their room."""
        if not self._ranked and not call.priority and not call.tenant:
            return []
        self._plain.count = self.count - self._ranked
        others = {lane.account for lanes in self._others.values() for lane in lanes.values()}
        self._plain.bytes = self.bytes - sum(account.bytes for account in others)
        self._plain.lanes.clear()
        self._plain.lanes.update(self._pinned)
        self._plain.lanes[None] = self._general
        return give_way(call, [self._plain, *others], need)

    def settle(self, call: Call, used_s: float) -> None:
        """Say how long a call that had its turn has really held its worker."""
        self._turns.settle(call, used_s)

    def unpin(self, worker: str) -> bool:
        """Let those that waited for this worker alone wait for any; return whether there were any."""
        lanes = self._lanes_of(worker)
        moved = [call for lane in lanes for call in lane if call.queued and not call.future.done()]
        for call in moved:
            self._forget(call)
        for lane in lanes:
            lane.clear()
            self._drop(lane)
        self._turns.forget(worker)
        changed = set()
        for call in moved:
            call.pinned = None
            lane = self._enter(call)
            lane.append(call)
            changed.add(lane.account)
        for lane in [self._general, *self._others.get(None, {}).values()]:
            if lane.account in changed:
                in_order = sorted(lane, key=_number)
                lane.clear()
                lane.extend(in_order)
        return bool(moved)

    def clear(self) -> list[Call]:
        """Take out all; return those that still had a caller."""
        left = [call for call in self if not call.future.done()]
        for call in left:
            self._forget(call)
        for lane in self._lanes():
            lane.clear()
        self._pinned.clear()
        return left


def _number(call: Call) -> int:
    return call.number
