"""Whose turn it is among waiting calls of several priorities and tenants, and who must give way when the queue is full.

Pure: no clock, no workers. Of priorities the highest goes first; one that was passed over `AGE` times goes next all the
same. Within a priority tenants take turns by the service time that they have had. Pools whose calls bring neither
tenant nor priority never come here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge

from pool.calls import Call
from pool.estimates import ServiceTimes

AGE = 8
"""How often calls of a priority are passed over by those of a higher one before one of them is due."""
KEPT_PART = 8
"""A lower priority keeps this part of the queue (one in eight): only what it holds beyond gives way to a higher one."""
ACCOUNTS = 1024
"""Tenants that are remembered though none of their calls wait."""


class Account:
    """A tenant in one priority. `turn_s` grows by the service time that it has had; the least has the next turn."""

    __slots__ = ("bytes", "count", "lanes", "priority", "tenant", "turn_s")

    def __init__(self, priority: int, tenant: str) -> None:
        self.priority = priority
        self.tenant = tenant
        self.turn_s = 0.0
        self.count = 0
        self.bytes = 0
        self.lanes: dict[str | None, Lane] = {}
        """By the worker that the calls wait for; None for any."""


class Lane(deque[Call]):
    """Calls of one account that wait for the same worker, or for any: the oldest first.

    `work_s` is the least time that those take that have not left.
    """

    __slots__ = ("account", "pin", "work_s")

    def __init__(self, account: Account, pin: str | None) -> None:
        super().__init__()
        self.account = account
        self.pin = pin
        self.work_s = 0.0


class Turns:
    """Owns the accounts, and how often each priority was passed over."""

    def __init__(self, times: ServiceTimes) -> None:
        self._times = times
        self._accounts: dict[tuple[int, str], Account] = {}
        self._clock: dict[int, float] = {}
        """By priority, the highest `turn_s` that has had a turn: who comes new starts there, without credit."""
        self._passed: dict[tuple[str | None, int], int] = {}

    def account(self, priority: int, tenant: str) -> Account:
        """Return the account of a tenant, which starts a turn like everyone if none of its calls wait."""
        account = self._accounts.get((priority, tenant))
        if account is None:
            if len(self._accounts) >= ACCOUNTS:
                self._forget_idle()
            account = self._accounts[priority, tenant] = Account(priority, tenant)
        if not account.count:
            self.wake(account)
        return account

    def wake(self, account: Account) -> None:
        """Let an account that had nobody waiting take part; it has saved nothing up."""
        account.turn_s = max(account.turn_s, self._clock.get(account.priority, 0.0))

    def _forget_idle(self) -> None:
        idle = [key for key, account in self._accounts.items() if not account.count]
        even = [key for key in idle if self._accounts[key].turn_s <= self._clock.get(key[0], 0.0)]
        for key in even or idle:
            del self._accounts[key]

    def choose(self, lanes: Sequence[Lane]) -> Lane:
        """Return whose turn it is among lanes, of which none is empty and each begins with a call that still waits."""
        passed = self._passed
        best, best_key = lanes[0], None
        for lane in lanes:
            account = lane.account
            due = passed.get((lane.pin, account.priority), 0) >= AGE
            key = (-account.priority - (AGE if due else 0), account.turn_s, lane[0].number)
            if best_key is None or key < best_key:
                best, best_key = lane, key
        return best

    def took(self, call: Call, lane: Lane, lanes: Iterable[Lane]) -> None:
        """Say that a call was taken from a lane past the others: its tenant pays, lower priorities grow older."""
        account = lane.account
        self._clock[account.priority] = max(self._clock.get(account.priority, 0.0), account.turn_s)
        call.account = account
        call.charge_s = self._times.mean_s(call.function)
        account.turn_s += call.charge_s
        for group in {
            (other.pin, other.account.priority) for other in lanes if other.account.priority < account.priority
        }:
            self._passed[group] = self._passed.get(group, 0) + 1
        self._passed.pop((lane.pin, account.priority), None)

    def settle(self, call: Call, used_s: float) -> None:
        """Correct what a call was charged by what it has really used."""
        if call.account is not None:
            call.account.turn_s += used_s - call.charge_s
            call.account = None

    def rest(self) -> None:
        """Say that no call waits any more."""
        self._passed.clear()

    def forget(self, pin: str) -> None:
        """Say that no call waits for this worker alone any more."""
        for group in [group for group in self._passed if group[0] == pin]:
            del self._passed[group]


class Need:
    """What must leave the queue so that a new call has room in it, and how much each may hold."""

    __slots__ = ("by_bytes", "bytes", "calls", "limit")

    def __init__(self, calls: int, size: int, limit: int, limit_bytes: int) -> None:
        self.calls = calls
        self.bytes = size
        self.by_bytes = calls <= 0
        self.limit = limit_bytes if self.by_bytes else limit

    @property
    def met(self) -> bool:
        """Whether enough has left."""
        return self.calls <= 0 and self.bytes <= 0

    def of(self, call: Call) -> int:
        """Return what a call counts, in what there is too much of: 1, or its bytes."""
        return len(call.body) if self.by_bytes else 1

    def held(self, account: Account) -> int:
        """Return what an account holds of it."""
        return account.bytes if self.by_bytes else account.count


def give_way(call: Call, accounts: Sequence[Account], need: Need) -> list[Call]:
    """Return the waiting calls that must leave for a new one; empty where it has no right to their room.

    Lower priorities give way, the lowest first, down to the part of the queue that each keeps. Within its own priority
    a call of a tenant that holds less than its share displaces the newest calls of tenants that hold more.
    """
    taken: list[Call] = []
    for priority in sorted({account.priority for account in accounts if account.priority < call.priority}):
        group = [account for account in accounts if account.priority == priority]
        _take(group, need, taken, keep=need.limit // KEPT_PART, share=0)
    group = [account for account in accounts if account.priority == call.priority and account.count]
    if not need.met and group:
        own = next((account for account in group if account.tenant == call.tenant), None)
        share = sum(map(need.held, group)) / (len(group) + (own is None))
        if (need.held(own) if own is not None else 0) + need.of(call) <= share:
            _take(group, need, taken, keep=0, share=share)
    return taken if need.met else []


def _take(group: Sequence[Account], need: Need, taken: list[Call], *, keep: float, share: float) -> None:
    """Let the newest call of who holds the most leave, until enough has left or nobody has too much."""
    held = {account: need.held(account) for account in group}
    newest = {account: _newest_first(account) for account in group}
    left = sum(held.values())
    while not need.met and held and left > keep:
        most = max(held, key=held.__getitem__)
        if held[most] <= share:
            return
        victim = next(newest[most], None)
        if victim is None:
            del held[most]
            continue
        held[most] -= need.of(victim)
        left -= need.of(victim)
        need.calls -= 1
        need.bytes -= len(victim.body)
        taken.append(victim)


def _newest_first(account: Account) -> Iterator[Call]:
    lanes = [(call for call in reversed(lane) if call.queued) for lane in account.lanes.values()]
    return merge(*lanes, key=lambda call: -call.number)
