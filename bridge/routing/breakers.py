"""Circuit breakers: what keeps failing gets no calls for a while, then a few on trial, then all again.

Pure: the clock comes in, every change goes out as a `BreakerChanged`. Owns the state of each breaker, known by a key
such as `function/NAME/WAY` or `provider/NAME`; knows nothing of calls. What is never asked about costs nothing. A
breaker that waits to try again changes when somebody asks, so it needs no timer.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from bridge.errors import BridgeError, Code

BUCKETS = 10
"""Parts that a window has: what has happened is forgotten a tenth of the window at a time."""
TRIAL_S = 60.0
"""A trial of which nothing is heard for so long is given to another call."""
RETRY_S = 0.5
"""What a caller is told to wait while trials run."""
MOST = 4096
"""Breakers that are remembered; beyond that, the closed one that is known longest is forgotten."""
CAUSE_CHARACTERS = 200
PROVIDER = "provider/"
"""How the keys of providers' breakers begin."""


class State(Enum):
    """What a breaker does with calls: let all through, none, or a few on trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When a breaker opens, and how it closes again."""

    failure_rate: float = 0.5
    """It opens when this share of the calls in the window has failed,"""
    min_calls: int = 20
    """but not before there were so many."""
    window_s: float = 30.0
    open_s: float = 5.0
    """How long it stays open the first time; each failed trial doubles that."""
    max_open_s: float = 60.0
    trials: int = 1
    """Calls on trial at a time."""
    close_after: int = 2
    """Trials that must go well, one after the other, until it closes."""


USUAL = BreakerRule()
"""By what a breaker closes that opens by order alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A breaker has changed: why, and by which numbers. `seconds` is how long it stays open; 0 where it does not."""

    key: str
    old: State
    new: State
    cause: str
    seconds: float = 0.0
    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSnapshot:
    """A breaker as it stands."""

    key: str
    state: State
    cause: str
    remaining_s: float
    """Until it takes calls on trial; 0 where it is not open."""
    calls: int
    failures: int
    """In its window."""
    refused: int
    """Calls, since it was first asked."""


class _Breaker:
    __slots__ = (
        "buckets",
        "cause",
        "open_s",
        "passed",
        "refused",
        "rule",
        "state",
        "ticket",
        "trials",
        "until",
    )

    def __init__(self, rule: BreakerRule | None, ticket: int) -> None:
        self.rule = rule
        self.state = State.CLOSED
        self.cause = ""
        self.until = 0.0
        self.open_s = 0.0
        """How long it was open last; 0 after it has closed."""
        self.passed = 0
        """Trials that went well since it is half open."""
        self.ticket = ticket
        """Of the calls that it lets through while it is closed: another one each time that it closes."""
        self.trials: dict[int, float] = {}
        """When each running trial began, by its ticket."""
        self.buckets: deque[list[float]] = deque()
        """[begin, calls, failures] of each part of the window that has had calls."""
        self.refused = 0

    def count(self, ok: bool, now: float) -> None:
        assert self.rule is not None
        self.forget(now)
        if not self.buckets or now - self.buckets[-1][0] >= self.rule.window_s / BUCKETS:
            self.buckets.append([now, 0, 0])
        self.buckets[-1][1] += 1
        self.buckets[-1][2] += not ok

    def forget(self, now: float) -> None:
        window_s = (self.rule or USUAL).window_s
        while self.buckets and now - self.buckets[0][0] >= window_s:
            self.buckets.popleft()

    def counted(self) -> tuple[int, int]:
        return int(sum(bucket[1] for bucket in self.buckets)), int(sum(bucket[2] for bucket in self.buckets))


class Breakers:
    """All breakers of one server. `rule_of` says by what rule a key's breaker opens by itself; None: only by order."""

    def __init__(
        self,
        clock: Callable[[], float],
        listener: Callable[[BreakerChanged], None],
        rule_of: Callable[[str], BreakerRule | None],
    ) -> None:
        self._clock = clock
        self._listener = listener
        self._rule_of = rule_of
        self._breakers: dict[str, _Breaker] = {}
        self._tickets = itertools.count(1)
        self._unsound = 0
        """Breakers of providers that are not closed."""

    def renew(self, rule_of: Callable[[str], BreakerRule | None]) -> None:
        """Take over other rules. What is open stays so."""
        self._rule_of = rule_of
        for key, breaker in self._breakers.items():
            breaker.rule = rule_of(key)

    @property
    def providers_sound(self) -> bool:
        """Whether no provider's breaker keeps any call back."""
        return not self._unsound

    def allows(self, key: str) -> bool:
        """Return whether a call would be let through now. Only `enter` takes a trial."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.state is State.CLOSED:
            return True
        return self._has_trial(breaker, self._clock())

    def enter(self, key: str) -> int:
        """Let a call through; `record` or `leave` must follow, with the ticket. Raises BREAKER_OPEN."""
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._make(key)
        if breaker.state is State.CLOSED:
            return breaker.ticket
        now = self._clock()
        if not self._has_trial(breaker, now):
            breaker.refused += 1
            raise self.refusal(key)
        if breaker.state is State.OPEN:
            self._change(key, breaker, State.HALF_OPEN, "its time is over: calls on trial")
        ticket = next(self._tickets)
        breaker.trials[ticket] = now
        return ticket

    def _has_trial(self, breaker: _Breaker, now: float) -> bool:
        if breaker.state is State.OPEN:
            return now >= breaker.until
        for ticket in [ticket for ticket, began in breaker.trials.items() if now - began >= TRIAL_S]:
            del breaker.trials[ticket]
        return len(breaker.trials) < (breaker.rule or USUAL).trials

    def record(self, key: str, ok: bool, ticket: int | None = None) -> None:
        """Say how a call ended, as far as what the breaker guards is to blame.

        What began before the breaker changed is passed over, by its ticket; without one it counts where the breaker is
        closed.
        """
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._make(key)
        if breaker.state is State.CLOSED:
            if ticket is None or ticket == breaker.ticket:
                self._count(key, breaker, ok)
        elif ticket is not None and breaker.trials.pop(ticket, None) is not None:
            self._judge(key, breaker, ok)

    def leave(self, key: str, ticket: int) -> None:
        """Say that a call ended of which nothing can be learnt, such as a cancelled one."""
        breaker = self._breakers.get(key)
        if breaker is not None:
            breaker.trials.pop(ticket, None)

    def _count(self, key: str, breaker: _Breaker, ok: bool) -> None:
        rule = breaker.rule
        if rule is None:
            return
        breaker.count(ok, self._clock())
        if ok:
            return
        calls, failures = breaker.counted()
        if calls >= rule.min_calls and failures >= rule.failure_rate * calls:
            cause = f"{failures} of {calls} calls failed within {rule.window_s:g} s"
            self._open(key, breaker, cause, rule.open_s)

    def _judge(self, key: str, breaker: _Breaker, ok: bool) -> None:
        """Take the end of a trial into account."""
        rule = breaker.rule or USUAL
        if not ok:
            self._open(key, breaker, "a call on trial failed", min(rule.max_open_s, 2 * breaker.open_s))
            return
        breaker.passed += 1
        if breaker.passed >= rule.close_after:
            self._close(key, breaker, f"{breaker.passed} calls on trial went well")

    def open(self, key: str, cause: str, seconds: float) -> None:
        """Open a breaker by order, for so many seconds from now; one that is open longer stays so."""
        if not seconds > 0:
            raise ValueError(f"seconds must be more than 0, got {seconds}")
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._make(key)
        if breaker.state is not State.OPEN or self._clock() + seconds > breaker.until:
            self._open(key, breaker, cause, seconds)

    def close(self, key: str, cause: str) -> bool:
        """Close a breaker by order; return whether it was not closed."""
        breaker = self._breakers.get(key)
        if breaker is None or breaker.state is State.CLOSED:
            return False
        self._close(key, breaker, cause)
        return True

    def _close(self, key: str, breaker: _Breaker, cause: str) -> None:
        breaker.open_s = 0.0
        breaker.ticket = next(self._tickets)
        self._change(key, breaker, State.CLOSED, cause)
        breaker.cause = ""
        breaker.buckets.clear()

    def _open(self, key: str, breaker: _Breaker, cause: str, seconds: float) -> None:
        breaker.open_s = seconds
        breaker.until = self._clock() + seconds
        self._change(key, breaker, State.OPEN, cause, seconds)

    def _change(self, key: str, breaker: _Breaker, new: State, cause: str, seconds: float = 0.0) -> None:
        old, breaker.state = breaker.state, new
        if key.startswith(PROVIDER):
            self._unsound += (new is not State.CLOSED) - (old is not State.CLOSED)
        breaker.trials.clear()
        breaker.passed = 0
        if new is State.OPEN:
            breaker.cause = cause[:CAUSE_CHARACTERS]
        calls, failures = breaker.counted()
        self._listener(
            BreakerChanged(key=key, old=old, new=new, cause=cause, seconds=seconds, calls=calls, failures=failures)
        )

    def _make(self, key: str) -> _Breaker:
        if len(self._breakers) >= MOST:
            closed = (name for name, breaker in self._breakers.items() if breaker.state is State.CLOSED)
            if (oldest := next(closed, None)) is not None:
                del self._breakers[oldest]
        breaker = self._breakers[key] = _Breaker(self._rule_of(key), next(self._tickets))
        return breaker

    def state(self, key: str) -> State:
        """Return what a breaker does now; one that nobody has asked about is closed."""
        breaker = self._breakers.get(key)
        return State.CLOSED if breaker is None else self._state(breaker)

    def _state(self, breaker: _Breaker) -> State:
        if breaker.state is State.OPEN and self._clock() >= breaker.until:
            return State.HALF_OPEN
        return breaker.state

    def refusal(self, key: str) -> BridgeError:
        """Return the failure of a call that is not let through."""
        breaker = self._breakers[key]
        left_s = max(0.0, breaker.until - self._clock()) if breaker.state is State.OPEN else 0.0
        kind, _, name = key.partition("/")
        state = f"no calls for {left_s:.1f} s more" if left_s else "calls on trial are running"
        message = f"the circuit breaker of {kind} '{name}' is open ({breaker.cause}): {state}"
        metadata = {"breaker": key, "cause": breaker.cause}
        return BridgeError(
            Code.UNAVAILABLE, "BREAKER_OPEN", message, metadata=metadata, retry_after_s=left_s or RETRY_S
        )

    def snapshot(self) -> tuple[BreakerSnapshot, ...]:
        """Return all breakers that have ever been asked about, by key."""
        now = self._clock()
        found = []
        for key, breaker in sorted(self._breakers.items()):
            breaker.forget(now)
            calls, failures = breaker.counted()
            state = self._state(breaker)
            left_s = breaker.until - now if state is State.OPEN else 0.0
            found.append(
                BreakerSnapshot(
                    key=key,
                    state=state,
                    cause=breaker.cause,
                    remaining_s=left_s,
                    calls=calls,
                    failures=failures,
                    refused=breaker.refused,
                )
            )
        return tuple(found)


def function_key(function: str, way: str) -> str:
    """Return the key of a function's breaker on one way: `native`, `pool/NAME` or an alternative's name."""
    return f"function/{function}/{way}"


def by_order(key: str) -> bool:
    """Whether a key is that of a function where it runs: such a breaker opens by order alone, never by a rule."""
    kind, _, rest = key.partition("/")
    way = rest.partition("/")[2]
    return kind == "function" and (way == "native" or way.startswith("pool/"))


def provider_key(provider: str) -> str:
    """Return the key of a provider's breaker."""
    return PROVIDER + provider
