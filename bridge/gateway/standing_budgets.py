"""Standing budgets: what a tenant, a session, a key, a model or the whole server may spend on models in a period.

`[budgets.NAME]` of the configuration. Reserved before a request goes out and settled after, as the budgets that calls
bring. Periods are those of the calendar, in UTC. Owns what was spent in the present period; `spent_file` keeps it over
restarts. The number of holders that are counted apart is bounded: those beyond it share one account, so that
nobody gets more by calling himself something else.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import BridgeError
from bridge.gateway.spent_file import Spent
from bridge.receipts.budgets import Amount, Budget, pico

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.call import Identity
    from bridge.settings.model_tables import BudgetConfig

HOLDERS = 10_000
OTHERS = "(others)"
_LENGTHS = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
_MONDAY = 4 * 86400
"""The first Monday of 1970."""


class Account(NamedTuple):
    """What one holder has of a budget until its period ends."""

    budget: Budget
    ends_at: float


Reservation = list[tuple[Budget, Amount]]


def period_end(period: str, now: float) -> float:
    """Return when the period that `now` (seconds since 1970) lies in ends."""
    if period == "month":
        day = datetime.datetime.fromtimestamp(now, datetime.UTC)
        year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
        return datetime.datetime(year, month, 1, tzinfo=datetime.UTC).timestamp()
    length = _LENGTHS[period]
    start = _MONDAY if period == "week" else 0
    return start + ((now - start) // length + 1) * length


class StandingBudgets:
    """The budgets of the configuration. `wall` tells seconds since 1970."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._rules: Mapping[str, BudgetConfig] = {}
        self._accounts: dict[str, dict[tuple[str, str], Account]] = {}
        self.changed: Callable[[], None] | None = None
        """Called when something has been spent."""

    def restore(self, records: Iterable[Spent]) -> None:
        """Take over what was spent before, of budgets that count the same and whose period has not ended."""
        now = self._wall()
        for one in records:
            rule = self._rules.get(one.budget)
            if rule is None or one.ends_at <= now or scope(rule) != one.scope:
                continue
            budget = _limits(rule)
            budget.spent = Amount(one.requests, one.tokens, one.pico_usd)
            self._accounts.setdefault(one.budget, {})[one.tenant, one.holder] = Account(budget, one.ends_at)

    def records(self) -> Iterator[Spent]:
        """Yield what was spent in the present periods, as `restore` takes it."""
        now = self._wall()
        for name, accounts in self._accounts.items():
            counted = scope(self._rules[name])
            for (tenant, holder), (budget, ends_at) in accounts.items():
                if ends_at > now and (spent := budget.spent):
                    yield Spent(
                        budget=name,
                        scope=counted,
                        tenant=tenant,
                        holder=holder,
                        ends_at=ends_at,
                        requests=spent.calls,
                        tokens=spent.tokens,
                        pico_usd=spent.pico_usd,
                    )

    def renew(self, rules: Mapping[str, BudgetConfig]) -> None:
        """Take over other rules; what was spent of a rule that stays is kept."""
        kept = {name for name, rule in rules.items() if self._rules.get(name) == rule}
        self._accounts = {name: found for name, found in self._accounts.items() if name in kept}
        self._rules = dict(rules)

    def reserve(self, identity: Identity, model: str, key: str, tokens: int, usd: float) -> Reservation:
        """Reserve for one request of each budget that it falls under. Raises BUDGET_EXCEEDED, with nothing reserved."""
        if not self._rules:
            return []
        wanted = Amount(1, tokens, pico(usd))
        reserved: Reservation = []
        for name, rule in self._rules.items():
            holder = _holder(rule, identity, model, key)
            if holder is None:
                continue
            account = self._account(name, rule, holder)
            try:
                account.budget.reserve(wanted)
            except BridgeError as error:
                self.settle(reserved, Amount())
                raise self._exceeded(error, name, rule, holder, account) from None
            reserved.append((account.budget, wanted))
        return reserved

    def settle(self, reserved: Reservation, spent: Amount | None) -> None:
        """Settle a reservation; None where it is not known what was spent: what was reserved counts then."""
        for budget, wanted in reserved:
            budget.settle(wanted, wanted if spent is None else spent)
        if reserved and self.changed is not None:
            self.changed()

    def accounts(self, tenant: str = "") -> Iterator[tuple[str, str, Account]]:
        """Yield what is known: name, holder, account; with a tenant only that one's own."""
        now = self._wall()
        for name, accounts in self._accounts.items():
            per = self._rules[name].per
            for (owner, holder), account in accounts.items():
                if account.ends_at > now and (not tenant or (per in ("tenant", "session") and owner == tenant)):
                    yield name, holder, account

    def _account(self, name: str, rule: BudgetConfig, holder: tuple[str, str]) -> Account:
        accounts = self._accounts.setdefault(name, {})
        now = self._wall()
        found = accounts.get(holder)
        if found is not None and found.ends_at > now:
            return found
        if found is None and len(accounts) >= HOLDERS:
            for old in [key for key, account in accounts.items() if account.ends_at <= now]:
                del accounts[old]
            if len(accounts) >= HOLDERS:
                holder = ("", OTHERS)
                if (found := accounts.get(holder)) is not None and found.ends_at > now:
                    return found
        accounts[holder] = Account(_limits(rule), period_end(rule.period, now))
        return accounts[holder]

    def _exceeded(
        self, error: BridgeError, name: str, rule: BudgetConfig, holder: tuple[str, str], account: Account
    ) -> BridgeError:
        left_s = max(0.0, account.ends_at - self._wall())
        about = error.metadata
        what = {"calls": "requests"}.get(about["budget"], about["budget"])
        whose = f" of {rule.per} '{holder[1]}'" if holder[1] else ""
        message = (
            f"the budget '{name}'{whose} of {about['limit']} {what} a {rule.period} is spent: {about['spent']} spent, "
            f"{about['reserved']} reserved by what is under way, {about['wanted']} wanted; the next {rule.period} "
            f"begins in {left_s:.0f} s (budgets.{name}.{what} raises it)"
        )
        metadata = {**about, "budget": what, "name": name, "per": rule.per, "period": rule.period}
        return BridgeError(error.code, error.reason, message, metadata=metadata, retry_after_s=left_s)


def scope(rule: BudgetConfig) -> str:
    """Return what a budget counts, as text: its limits may change, and what was spent still counts."""
    return f"{rule.period} per {rule.per}; only {sorted(rule.only)}; models {sorted(rule.models)}"


def _limits(rule: BudgetConfig) -> Budget:
    return Budget(calls=rule.requests, tokens=rule.tokens, pico_usd=None if rule.usd is None else pico(rule.usd))


def _holder(rule: BudgetConfig, identity: Identity, model: str, key: str) -> tuple[str, str] | None:
    """Return whose account a request counts on, with its tenant; None where the budget does not hold for it."""
    if rule.models and model not in rule.models:
        return None
    per = rule.per
    if per == "tenant":
        found: tuple[str, str] | None = (identity.tenant, identity.tenant)
    elif per == "session":
        found = (identity.tenant, identity.session_id) if identity.session_id else None
    elif per == "key":
        found = ("", key) if key else None
    else:
        found = ("", model if per == "model" else "")
    if found is None or (rule.only and found[1] not in rule.only):
        return None
    return found
