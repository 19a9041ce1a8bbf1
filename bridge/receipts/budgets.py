"""Budgets: what a call, and all that is called on its behalf, may spend together. Numbers only: no calls, no clock.

A budget is reserved from before anything is spent and settled after. Nothing that would bring what is spent and what is
reserved above a limit is granted, so that calls at the same time can not overspend. Dollars are counted in millionths
of a millionth, as whole numbers: a hundred times a cent's hundredth is a cent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.errors import BridgeError, Code
from bridge.v1.common_pb2 import BudgetState

PICO = 10**12
"""The parts of a dollar in which dollars are counted."""
_DOLLARS = re.compile(r"[0-9]{1,9}(\.[0-9]{0,12})?|\.[0-9]{1,12}")
_WHOLE = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of each thing that a budget limits."""

    calls: int = 0
    tokens: int = 0
    pico_usd: int = 0

    def __bool__(self) -> bool:
        return bool(self.calls or self.tokens or self.pico_usd)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.pico_usd + other.pico_usd)

    def beyond(self, other: Amount) -> Amount:
        """Return by how much this is more than the other, for each thing."""
        return Amount(
            max(0, self.calls - other.calls),
            max(0, self.tokens - other.tokens),
            max(0, self.pico_usd - other.pico_usd),
        )


NOTHING = Amount()
NAMES = ("calls", "tokens", "pico_usd")


class Budget:
    """One budget. `limits` has None for what has no limit; `spent` and `reserved` count all the same."""

    __slots__ = ("limits", "reserved", "spent")

    def __init__(self, *, calls: int | None = None, tokens: int | None = None, pico_usd: int | None = None) -> None:
        self.limits = (calls, tokens, pico_usd)
        self.spent = self.reserved = NOTHING

    @property
    def of_models(self) -> int:
        """What the use of models must be reserved of: 1 for tokens, 2 for dollars, 3 for both."""
        return (self.limits[1] is not None) + 2 * (self.limits[2] is not None)

    def reserve(self, wanted: Amount) -> None:
        """Reserve an amount. Raises BUDGET_EXCEEDED where that is more than is left, and reserves nothing then."""
        for name, limit in zip(NAMES, self.limits, strict=True):
            if limit is not None:
                taken = getattr(self.spent, name) + getattr(self.reserved, name)
                if taken + getattr(wanted, name) > limit:
                    raise self._exceeded(name, limit, getattr(wanted, name))
        self.reserved += wanted

    def spend(self, amount: Amount) -> None:
        """Spend an amount at once. Raises as `reserve` does."""
        self.reserve(amount)
        self.settle(amount, amount)

    def settle(self, reserved: Amount, spent: Amount) -> None:
        """Give back what was reserved, and count what was spent, be it more."""
        self.reserved = Amount(
            self.reserved.calls - reserved.calls,
            self.reserved.tokens - reserved.tokens,
            self.reserved.pico_usd - reserved.pico_usd,
        )
        self.spent += spent

    def state(self) -> BudgetState:
        """Return what is spent and what is left: what is reserved is neither."""
        state = BudgetState()
        for name, limit in zip(NAMES, self.limits, strict=True):
            if limit is None:
                continue
            spent = getattr(self.spent, name)
            left = limit - spent - getattr(self.reserved, name)
            if name == "pico_usd":
                state.usd_spent, state.usd_left = spent / PICO, left / PICO
            else:
                setattr(state, f"{name}_spent", spent)
                setattr(state, f"{name}_left", left)
        return state

    def _exceeded(self, name: str, limit: int, wanted: int) -> BridgeError:
        what = "usd" if name == "pico_usd" else name
        spent, reserved = getattr(self.spent, name), getattr(self.reserved, name)
        numbers = {"limit": limit, "spent": spent, "reserved": reserved, "wanted": wanted}
        told = {key: dollars(value) if what == "usd" else str(value) for key, value in numbers.items()}
        unit = "US dollars" if what == "usd" else what
        message = (
            f"the budget of {told['limit']} {unit} is too small: {told['spent']} spent, {told['reserved']} reserved "
            f"by what is under way, {told['wanted']} wanted; raise x-budget-{what}, or do less in one call"
        )
        return BridgeError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", message, metadata={"budget": what, **told})


def dollars(pico_usd: int) -> str:
    """Return an amount of dollars as text, without zeros that say nothing."""
    return f"{pico_usd / PICO:.12f}".rstrip("0").rstrip(".")


def pico(usd: float) -> int:
    """Return dollars in the parts in which they are counted."""
    return round(usd * PICO)


def parse_dollars(text: str) -> int | None:
    """Return what a value of x-budget-usd says; None for what is no amount of dollars."""
    if not _DOLLARS.fullmatch(text):
        return None
    whole, _, part = text.partition(".")
    return int(whole or "0") * PICO + int(part.ljust(12, "0"))


def parse_whole(text: str) -> int | None:
    """Return what a value of x-budget-tokens or x-budget-calls says; None for what is no whole number."""
    return int(text) if _WHOLE.fullmatch(text) else None
