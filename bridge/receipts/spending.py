"""What one call takes of its budget: reserved before its dispatch and before each request to a model, settled after.

Owns the reservations of one call. What is known to be spent is what the worker reports; where it can not report any
more, since it has died or was cancelled, what was reserved counts as spent.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.nested import inside_of
from bridge.receipts import receipts
from bridge.receipts.budgets import NOTHING, Amount, Budget, pico

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bridge.call import Call
    from bridge.dispatch import Runner
    from handlers.contract import ReplyMeta

FADES = 0.95
"""By how much the estimate of a function's use falls with each call that uses less."""
FUNCTIONS = 1024


class Spending:
    """The reservations of one call. `open` are those of requests to models that are under way."""

    __slots__ = ("ahead", "budget", "open", "settled")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.ahead = NOTHING
        """What was reserved when the call was dispatched."""
        self.open: dict[int, Amount] = {}
        self.settled = NOTHING
        """What requests that were reserved have used: the call reports it once more at its end."""

    def take(self, other: Spending) -> None:
        """Take over what an attempt at the call has reserved and used."""
        self.open |= other.open
        self.settled += other.settled

    def end(self, used: Amount, *, known: bool) -> None:
        """Settle the call. `used` is what it has reported, `known` whether that is all."""
        if not known:
            used = used + self.ahead
        for amount in self.open.values():
            self.budget.settle(amount, amount)
        self.open.clear()
        self.budget.settle(self.ahead, used.beyond(self.settled))
        self.ahead = NOTHING


class Estimates:
    """What functions use of models beside what they reserve for: through clients of their own. By function."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Amount] = OrderedDict()

    def of(self, function: str) -> Amount:
        """Return what a call of a function is expected to use; nothing where it has used nothing yet."""
        return self._known.get(function, NOTHING)

    def learn(self, function: str, used: Amount) -> None:
        """Take in what a call has used: the most counts, and fades."""
        old = self._known.pop(function, NOTHING)
        if not old and not used:
            return
        self._known[function] = Amount(
            0, max(used.tokens, int(old.tokens * FADES)), max(used.pico_usd, int(old.pico_usd * FADES))
        )
        if len(self._known) > FUNCTIONS:
            self._known.popitem(last=False)


class BudgetedRunner:
    """Runs calls that have a budget, by another runner."""

    def __init__(self, inner: Runner, estimates: Estimates) -> None:
        self._inner = inner
        self._estimates = estimates

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises BUDGET_EXCEEDED, and as the other runner does."""
        spending = self._begin(call)
        try:
            return await self._inner.run(call)
        finally:
            self._end(call, spending)

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call. Raises as `run` does."""
        spending = self._begin(call)
        try:
            async with aclosing(self._inner.stream(call)) as batches:
                async for messages in batches:
                    yield messages
        finally:
            self._end(call, spending)

    def cancel(self, call: Call) -> bool:
        """End a call with CANCELLED_BY_OPERATOR."""
        return self._inner.cancel(call)

    def turn_away(self, call: Call) -> None:
        """End a call with SHUTTING_DOWN where it has not begun."""
        self._inner.turn_away(call)

    def _begin(self, call: Call) -> Spending:
        budget = call.identity.budget
        assert budget is not None
        spending = inside_of(call).spending = Spending(budget)
        ahead = Amount(calls=1) + self._estimates.of(call.function)
        budget.reserve(ahead)
        spending.ahead = ahead
        return spending

    def _end(self, call: Call, spending: Spending) -> None:
        began = call.route == receipts.NATIVE or call.leased_at is not None
        used = used_of(call.meta)
        self._estimates.learn(call.function, used.beyond(spending.settled))
        if not began:
            spending.ahead, unused = NOTHING, spending.ahead
            spending.budget.settle(unused, NOTHING)
            spending.end(used, known=True)
        elif call.worker_ns:
            spending.end(used + Amount(calls=1), known=True)
        else:
            spending.end(used, known=False)


def afford(call: Call) -> bool:
    """Let a call pay for one attempt more; return whether its budget suffices."""
    budget = call.identity.budget
    if budget is None:
        return True
    try:
        budget.spend(Amount(calls=1))
    except BridgeError:
        return False
    return True


def used_of(meta: ReplyMeta) -> Amount:
    """Return what a call has reported of the use of models."""
    tokens = sum(use.input_tokens + use.output_tokens for use in meta.usage)
    return Amount(0, tokens, pico(sum(use.cost_usd or 0.0 for use in meta.usage)))


def spending_of(call: Call) -> Spending | None:
    """Return the spending of a call, made where it is an attempt at another; None where it has no budget."""
    if call.identity.budget is None:
        return None
    inside = inside_of(call)
    if inside.spending is None:
        inside.spending = Spending(call.identity.budget)
    return inside.spending


def reserve(caller: Call, number: int, tokens: int, usd: float) -> int:
    """Reserve for a request to a model under a number; return it, or 0 for a call without a budget.

    Raises BUDGET_EXCEEDED.
    """
    spending = spending_of(caller)
    if spending is None:
        return 0
    wanted = Amount(0, max(0, tokens), pico(max(0.0, usd)))
    spending.budget.reserve(wanted)
    spending.open[number] = wanted
    return number


def settle(caller: Call, number: int, tokens: int, usd: float) -> None:
    """Settle what was reserved under a number, unless the call has ended meanwhile."""
    spending = spending_of(caller) if number else None
    if spending is not None and (reserved := spending.open.pop(number, None)) is not None:
        used = Amount(0, max(0, tokens), pico(max(0.0, usd)))
        spending.budget.settle(reserved, used)
        spending.settled += used


def asking(outer: Call, within: int) -> Call:
    """Return which of the calls that a worker runs for `outer` asks."""
    if outer.inside is not None and within in outer.inside.hosted:
        return outer.inside.hosted[within][0]
    return outer
