"""Calls that wait to run together, and who of them goes next: by size, priority and tenant. Pure: no loop, no clock.

Calls of similar size share a lane, and a batch comes from one lane. Whose turn it is decides first which lane, then who
in it: the highest priority, of that the tenant that has had least, of that the oldest. What a tenant has had is counted
in bytes of its calls that went, over all lanes and batches, so that many or large calls of one do not keep those of
another waiting. A priority that was passed over `AGE` times by higher ones begins the next batch all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from bridge.batching.answers import Batch, Outcome
    from bridge.batching.group import Group
    from bridge.call import Call
    from handlers.contract import BatchRule

AGE = 8
"""How often a priority is passed over by higher ones before one call of it is due."""
ACCOUNTS = 1024
"""Tenants that are remembered though none of their calls wait."""
TRIES = 4
"""Times `max_items` that members are looked at for a batch that lacks room for some of them."""
SMALLEST = 8
"""Requests of up to 256 bytes (this many bits) are of one size; from there each lane reaches to four times as much."""


class Member:
    """One call that waits to run with others, or does. Its future has its answer; None lets it run alone."""

    __slots__ = ("alone", "arrived_at", "batch", "bucket", "call", "future", "group", "number", "size", "waits")

    def __init__(self, call: Call, group: Group, future: asyncio.Future[Outcome | None], arrived_at: float) -> None:
        self.call = call
        self.group = group
        self.future = future
        self.arrived_at = arrived_at
        """On the loop's clock."""
        self.size = call.bytes_in
        self.number = 0
        """Its place in the order of arrival."""
        self.waits = False
        self.alone = False
        """Whether it has been told to run by itself."""
        self.batch: Batch | None = None
        self.bucket: set[Member] | None = None
        """Where its deadline is watched."""

    def fail(self, error: BaseException) -> None:
        """End it with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that has left must not make asyncio complain


Queue = dict[Member, None]
"""Members of one lane, priority and tenant; the oldest first."""
Claim = tuple[int, int, int]
"""By what members are compared, the least first: minus the priority, what the tenant has had, the order of arrival."""


def size_class(size: int) -> int:
    """Return which lane a request of this size belongs to."""
    return max(0, (max(0, size - 1).bit_length() - SMALLEST + 1) // 2)


class Lane:
    """Members of similar size. `count` and `size` are of all of them."""

    __slots__ = ("count", "queues", "size")

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.queues: dict[tuple[int, str], Queue] = {}
        """By priority and tenant; none is empty."""

    def add(self, member: Member) -> None:
        """Put a member behind those of its priority and tenant."""
        self.queues.setdefault(_key(member), {})[member] = None
        self.count += 1
        self.size += member.size

    def drop(self, member: Member) -> None:
        """Take a member out."""
        queue = self.queues[_key(member)]
        del queue[member]
        if not queue:
            del self.queues[_key(member)]
        self.count -= 1
        self.size -= member.size

    def oldest(self) -> Member:
        """Return who came first."""
        return min((next(iter(queue)) for queue in self.queues.values()), key=_number)


class Waiters:
    """The members of one group that wait. `count` and `size` are of all of them; sizes in bytes."""

    def __init__(self, rule: BatchRule) -> None:
        self.rule = rule
        self.count = 0
        self.size = 0
        self.tenants: Counter[str] = Counter()
        """How many wait of each; none has 0."""
        self.priorities: Counter[int] = Counter()
        self._lanes: dict[int, Lane] = {}
        self._had: dict[str, int] = {}
        """What each tenant has had, in bytes; some without members too, so that they do not begin anew at once."""
        self._start = 0
        """The most that a tenant had when its turn came: who comes new starts there, without credit."""
        self._passed: Counter[int] = Counter()
        """How often each priority was passed over by higher ones since its last turn."""
        self._numbers = 0

    def __iter__(self) -> Iterator[Member]:
        for lane in self._lanes.values():
            for queue in lane.queues.values():
                yield from queue

    def add(self, member: Member) -> None:
        """Let a member wait."""
        self._numbers += 1
        member.number = self._numbers
        member.waits = True
        lane = self._lanes.get(self._lane_of(member))
        if lane is None:
            lane = self._lanes[self._lane_of(member)] = Lane()
        lane.add(member)
        priority, tenant = _key(member)
        self.count += 1
        self.size += member.size
        self.tenants[tenant] += 1
        self.priorities[priority] += 1
        if self.tenants[tenant] == 1:
            self._begin_turn(tenant)

    def leave(self, member: Member) -> None:
        """Take a member out that waits."""
        key = self._lane_of(member)
        lane = self._lanes[key]
        lane.drop(member)
        if not lane.count:
            del self._lanes[key]
        priority, tenant = _key(member)
        member.waits = False
        self.count -= 1
        self.size -= member.size
        self.tenants[tenant] -= 1
        if not self.tenants[tenant]:
            del self.tenants[tenant]
        self.priorities[priority] -= 1
        if not self.priorities[priority]:
            del self.priorities[priority], self._passed[priority]

    def _begin_turn(self, tenant: str) -> None:
        """Let a tenant take part that had nobody waiting: it owes what it has had, and has saved nothing up."""
        if len(self._had) >= ACCOUNTS + 2 * len(self.tenants):
            self._had = {one: had for one, had in self._had.items() if one in self.tenants}
        self._had[tenant] = max(self._start, self._had.get(tenant, 0))

    @property
    def full(self) -> bool:
        """Whether as many wait in one lane as may go together."""
        most, size = self.rule.max_items, self.rule.max_bytes
        if self.count < most and self.size < size:
            return False
        return any(lane.count >= most or lane.size >= size for lane in self._lanes.values())

    def oldest(self) -> Member:
        """Return who has waited longest; there must be one."""
        return min((lane.oldest() for lane in self._lanes.values()), key=_number)

    def take(self) -> list[Member]:
        """Take out those who go next, in the order of arrival; there must be one."""
        due = min((priority for priority, count in self._passed.items() if count >= AGE), default=None)
        lane, key = min(
            ((lane, key) for lane in self._lanes.values() for key in lane.queues),
            key=lambda found: (found[1][0] != due, self._claim(found[1], found[0])),
        )
        members = list(self._chosen(lane, next(iter(lane.queues[key]))))
        for member in members:
            tenant = member.call.identity.tenant
            self._start = max(self._start, self._had[tenant])
            self._had[tenant] += _cost(member)
            self.leave(member)
        self._pass({member.call.identity.priority for member in members})
        return sorted(members, key=_number)

    def _claim(self, key: tuple[int, str], lane: Lane) -> Claim:
        """Return the claim of the first in a queue of a lane."""
        priority, tenant = key
        return -priority, self._had[tenant], next(iter(lane.queues[key])).number

    def _chosen(self, lane: Lane, first: Member) -> Iterator[Member]:
        """Return who goes: the first, then by whose turn it is who still fits."""
        yield first
        left, room = self.rule.max_items - 1, self.rule.max_bytes - first.size
        had = {tenant: self._had[tenant] for _, tenant in lane.queues}
        had[first.call.identity.tenant] += _cost(first)
        queues = {key: iter(queue) for key, queue in lane.queues.items()}
        turns: list[tuple[Claim, int, Member]] = []
        for queue in queues.values():
            _line_up(turns, queue, first, had)
        tries = TRIES * self.rule.max_items
        while left and turns and tries:
            tries -= 1
            claim, _, member = heappop(turns)
            key = _key(member)
            if claim[1] < had[key[1]]:  # its tenant has had more since, in another priority or by the first
                heappush(turns, ((claim[0], had[key[1]], member.number), member.number, member))
                continue
            if member.size <= room:
                left -= 1
                room -= member.size
                had[key[1]] += _cost(member)
                yield member
            _line_up(turns, queues[key], first, had)

    def _pass(self, gone: set[int]) -> None:
        """Count who was passed over by the priorities that have gone."""
        highest = max(gone)
        for priority in self.priorities:
            if priority in gone:
                self._passed.pop(priority, None)
            elif priority < highest:
                self._passed[priority] += 1

    def _lane_of(self, member: Member) -> int:
        return size_class(member.size) if self.rule.similar_sizes else 0


def _line_up(
    turns: list[tuple[Claim, int, Member]], queue: Iterator[Member], first: Member, had: dict[str, int]
) -> None:
    """Let the next of a queue, other than the first of the batch, take part."""
    for member in queue:
        if member is not first:
            priority, tenant = _key(member)
            heappush(turns, ((-priority, had[tenant], member.number), member.number, member))
            return


def _key(member: Member) -> tuple[int, str]:
    identity = member.call.identity
    return identity.priority, identity.tenant


def _cost(member: Member) -> int:
    """Return what a call takes of its tenant's turn: bytes, as if it had at least 256."""
    return max(1 << SMALLEST, member.size)


def _number(member: Member) -> int:
    return member.number


def gives_way(call: Call, waiting: Sequence[Waiters]) -> Member | None:
    """Return who must leave a full queue for a new call; None where it has no right to anybody's room.

    The newest of the lowest priority below its own, else the newest of the tenant that has most, where the call's
    tenant has less than its share.
    """
    own = call.identity
    lowest = min((priority for waiters in waiting for priority in waiters.priorities), default=own.priority)
    if lowest < own.priority:
        return _newest(member for member in _all(waiting) if member.call.identity.priority == lowest)
    held = sum((waiters.tenants for waiters in waiting), Counter[str]())
    count = held.total()
    held.setdefault(own.tenant, 0)
    tenant = max(held, key=held.__getitem__)
    if not held[tenant] or held[own.tenant] + 1 > count / len(held):
        return None
    return _newest(member for member in _all(waiting) if member.call.identity.tenant == tenant)


def _all(waiting: Iterable[Waiters]) -> Iterator[Member]:
    for waiters in waiting:
        yield from waiters


def _newest(members: Iterable[Member]) -> Member:
    return max(members, key=lambda member: member.arrived_at)
