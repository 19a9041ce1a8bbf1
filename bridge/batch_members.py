"""Calls that wait to run together: who they are, and which of them go next. Pure: no clock, no pools.

Owns the waiting members of one group. Members whose requests are of similar size share a lane, so that a function that
pads its items to the longest wastes little. Where more wait than may go, higher priorities go first, the tenants of one
priority take turns, and the oldest of a tenant goes first; who was passed over `AGE` times is due all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from bridge.batch_answers import Batch, Outcome
    from bridge.batch_group import Group
    from bridge.call import Call
    from handlers.contract import BatchRule

AGE = 8
"""How often a member is passed over before it is due."""
DUE = 2
"""The priority of who is due: above all others."""
SMALLEST = 8
"""Requests of up to 256 bytes (this many bits) are of one size; from there each lane reaches to four times as much."""


class Member:
    """One call that waits to run with others, or does. Its future has its answer; None lets it run alone."""

    __slots__ = ("alone", "arrived_at", "batch", "bucket", "call", "future", "group", "passed", "size", "waits")

    def __init__(self, call: Call, group: Group, future: asyncio.Future[Outcome | None], arrived_at: float) -> None:
        self.call = call
        self.group = group
        self.future = future
        self.arrived_at = arrived_at
        """On the loop's clock."""
        self.size = call.bytes_in
        self.passed = 0
        """How often others of its lane or group have gone before it."""
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


def size_class(size: int) -> int:
    """Return which lane a request of this size belongs to."""
    return max(0, (max(0, size - 1).bit_length() - SMALLEST + 1) // 2)


class Waiters:
    """The members of one group that wait. `count` and `size` are of all of them; sizes in bytes."""

    def __init__(self, rule: BatchRule) -> None:
        self.rule = rule
        self.count = 0
        self.size = 0
        self._lanes: dict[int, dict[Member, None]] = {}

    def __iter__(self) -> Iterator[Member]:
        for lane in self._lanes.values():
            yield from lane

    def add(self, member: Member) -> None:
        """Let a member wait."""
        key = size_class(member.size) if self.rule.similar_sizes else 0
        self._lanes.setdefault(key, {})[member] = None
        member.waits = True
        self.count += 1
        self.size += member.size

    def leave(self, member: Member) -> None:
        """Take a member out that waits."""
        for key, lane in self._lanes.items():
            if member in lane:
                self._take(key, (member,))
                return

    @property
    def full(self) -> bool:
        """Whether as many wait in one lane as may go together."""
        most, size = self.rule.max_items, self.rule.max_bytes
        if self.count < most and self.size < size:
            return False
        return any(len(lane) >= most or sum(one.size for one in lane) >= size for lane in self._lanes.values())

    def oldest(self) -> Member:
        """Return who has waited longest; there must be one."""
        return min((next(iter(lane)) for lane in self._lanes.values()), key=_arrival)

    def take(self) -> list[Member]:
        """Take out those who go next, in the order of arrival; there must be one."""
        key = max(self._lanes, key=self._claim)
        lane = self._lanes[key]
        chosen = set(self._chosen(lane))
        members = [member for member in lane if member in chosen]
        self._take(key, members)
        for left in self:
            left.passed += 1
        return members

    def _claim(self, key: int) -> tuple[int, float]:
        """Return by what lanes are compared: the highest priority in it, then the oldest of that."""
        return max((_priority(member), -member.arrived_at) for member in self._lanes[key])

    def _chosen(self, lane: Iterable[Member]) -> Iterator[Member]:
        left, room = self.rule.max_items, self.rule.max_bytes
        for number, member in enumerate(_in_turn(lane)):
            if left and (member.size <= room or not number):
                left -= 1
                room -= member.size
                yield member

    def _take(self, key: int, members: Iterable[Member]) -> None:
        lane = self._lanes[key]
        for member in members:
            del lane[member]
            member.waits = False
            self.count -= 1
            self.size -= member.size
        if not lane:
            del self._lanes[key]


def _in_turn(lane: Iterable[Member]) -> list[Member]:
    """Return a lane's members by whose turn it is."""
    turns: Counter[tuple[int, str]] = Counter()
    order: list[tuple[int, int, float, int, Member]] = []
    for member in lane:
        priority, tenant = _priority(member), member.call.identity.tenant
        order.append((-priority, turns[priority, tenant], member.arrived_at, len(order), member))
        turns[priority, tenant] += 1
    return [entry[-1] for entry in sorted(order)]


def _priority(member: Member) -> int:
    return DUE if member.passed >= AGE else member.call.identity.priority


def _arrival(member: Member) -> float:
    return member.arrived_at


def gives_way(call: Call, waiting: Iterable[Member]) -> Member | None:
    """Return who must leave a full queue for a new call; None where it has no right to anybody's room.

    The newest of the lowest priority below its own, else the newest of the tenant that has most, where the call's
    tenant has less than its share.
    """
    members = list(waiting)
    lowest = min((member.call.identity.priority for member in members), default=call.identity.priority)
    if lowest < call.identity.priority:
        return max((member for member in members if member.call.identity.priority == lowest), key=_arrival)
    held = Counter(member.call.identity.tenant for member in members)
    held.setdefault(call.identity.tenant, 0)
    tenant = max(held, key=held.__getitem__)
    if not held[tenant] or held[call.identity.tenant] + 1 > sum(held.values()) / len(held):
        return None
    return max((member for member in members if member.call.identity.tenant == tenant), key=_arrival)
