"""Standing budgets: who has one, for how long, and that it is never overspent."""

import datetime

import pytest

from bridge.call import Identity
from bridge.config import Config
from bridge.errors import BridgeError
from bridge.gateway.standing_budgets import HOLDERS, OTHERS, StandingBudgets, period_end
from bridge.receipts.budgets import Amount

MODELS = {"a": {"model": "bridge/test"}, "b": {"model": "bridge/test"}}


class Clock:
    now = datetime.datetime(2026, 3, 18, 13, 30, tzinfo=datetime.UTC).timestamp()  # a Wednesday

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    return Clock()


def budgets(clock, **rules):
    found = StandingBudgets(clock)
    found.renew(Config(models=MODELS, budgets=rules).budgets)
    return found


def who(tenant="", session=""):
    return Identity("r", tenant=tenant, session_id=session)


def spend(found, identity=None, model="a", key="", tokens=0, usd=0.0):
    found.settle(found.reserve(identity or who(), model, key, tokens, usd), Amount(1, tokens, round(usd * 10**12)))


def refused(found, *arguments, **known):
    with pytest.raises(BridgeError) as caught:
        spend(found, *arguments, **known)
    assert caught.value.reason == "BUDGET_EXCEEDED"
    return caught.value


def at(*moment):
    return datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp()


def test_periods_end_by_the_calendar():
    now = Clock.now
    assert period_end("minute", now) == at(2026, 3, 18, 13, 31)
    assert period_end("hour", now) == at(2026, 3, 18, 14)
    assert period_end("day", now) == at(2026, 3, 19)
    assert period_end("week", now) == at(2026, 3, 23)
    assert period_end("month", now) == at(2026, 4, 1)
    assert period_end("month", at(2026, 12, 31)) == at(2027, 1, 1)


def test_each_tenant_has_its_own_until_the_period_ends(clock):
    found = budgets(clock, tenants={"requests": 2, "period": "day"})
    for _ in range(2):
        spend(found, who("acme"))
    error = refused(found, who("acme"))
    spend(found, who("other"))
    assert error.retry_after_s == at(2026, 3, 19) - clock.now
    assert (error.metadata["name"], error.metadata["budget"], error.metadata["per"]) == (
        "tenants",
        "requests",
        "tenant",
    )
    assert "of tenant 'acme' of 2 requests a day is spent" in error.message
    clock.now = at(2026, 3, 19)
    spend(found, who("acme"))


def test_who_has_one(clock):
    found = budgets(
        clock,
        sessions={"per": "session", "requests": 1},
        keys={"per": "key", "requests": 2},
        of_a={"per": "model", "only": ["a"], "requests": 3},
        all={"per": "server", "requests": 5, "models": ["a"]},
    )
    spend(found, who("t", "s1"), key="env:ONE")
    assert refused(found, who("t", "s1")).metadata["name"] == "sessions"
    spend(found, who("u", "s1"), key="env:ONE")
    assert refused(found, key="env:ONE").metadata["name"] == "keys"
    spend(found, key="env:TWO")
    assert refused(found).metadata["name"] == "of_a"
    for _ in range(3):
        spend(found, model="b")


def test_a_reservation_counts_and_a_refusal_leaves_nothing_behind(clock):
    found = budgets(clock, first={"per": "server", "tokens": 100}, second={"per": "server", "usd": 1.0})
    held = found.reserve(who(), "a", "", 60, 0.6)
    assert refused(found, tokens=60, usd=0.1).metadata["name"] == "first"
    assert refused(found, tokens=10, usd=0.6).metadata["name"] == "second"
    found.settle(held, Amount(1, 5, 0))
    spend(found, tokens=95, usd=1.0)
    assert refused(found, tokens=1).metadata["spent"] == "100"


def test_what_is_not_known_counts_as_it_was_reserved(clock):
    found = budgets(clock, first={"per": "server", "tokens": 100})
    found.settle(found.reserve(who(), "a", "", 60, 0.0), None)
    refused(found, tokens=41)


def test_other_names_do_not_make_more_of_a_budget(clock):
    found = budgets(clock, tenants={"requests": 3})
    for index in range(HOLDERS):
        spend(found, who(f"t{index}"))
    for index in range(3):
        spend(found, who(f"new{index}"))
    assert refused(found, who("yet-another")).reason == "BUDGET_EXCEEDED"
    assert OTHERS in {holder for _, holder, _ in found.accounts()}
    clock.now = at(2026, 3, 19)
    spend(found, who("yet-another"))
    assert [holder for _, holder, _ in found.accounts()] == ["yet-another"]


def test_new_settings_keep_what_was_spent_of_those_that_stay(clock):
    found = budgets(clock, stays={"requests": 1}, changes={"requests": 1, "per": "server"})
    spend(found, who("acme"))
    found.renew(
        Config(models=MODELS, budgets={"stays": {"requests": 1}, "changes": {"requests": 2, "per": "server"}}).budgets
    )
    assert refused(found, who("acme")).metadata["name"] == "stays"
    spend(found, who("other"))


def test_a_tenant_sees_its_own(clock):
    found = budgets(clock, tenants={"requests": 9}, all={"per": "server", "requests": 9})
    spend(found, who("acme"))
    spend(found, who("other"))
    assert [(name, holder) for name, holder, _ in found.accounts("acme")] == [("tenants", "acme")]
    assert len(list(found.accounts())) == 3
