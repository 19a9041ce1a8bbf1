"""Budgets as numbers: what is granted, what is refused, and that nobody can overspend whatever the order of things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.receipts.budgets import NOTHING, PICO, Amount, Budget, dollars, parse_dollars, parse_whole, pico
from bridge.receipts.spending import FUNCTIONS, Estimates, Spending

AMOUNTS = st.builds(Amount, st.integers(0, 3), st.integers(0, 50), st.integers(0, 50))
LIMITS = st.one_of(st.none(), st.integers(0, 100))
MOVES = st.lists(st.tuples(st.sampled_from(("reserve", "settle", "lose")), AMOUNTS, st.integers(0, 1000)), max_size=60)


@given(calls=LIMITS, tokens=LIMITS, usd=LIMITS, moves=MOVES)
def test_what_is_spent_within_what_was_reserved_never_exceeds_a_limit(calls, tokens, usd, moves):
    budget = Budget(calls=calls, tokens=tokens, pico_usd=usd)
    held, refused = [], 0
    for move, amount, pick in moves:
        if move == "reserve":
            before = budget.reserved, budget.spent
            try:
                budget.reserve(amount)
                held.append(amount)
            except BridgeError:
                refused += 1
                assert (budget.reserved, budget.spent) == before, "all of it or nothing"
        elif held:
            reserved = held.pop(pick % len(held))
            used = reserved if move == "lose" else Amount(reserved.calls, reserved.tokens // 2, reserved.pico_usd // 3)
            budget.settle(reserved, used)
        for limit, spent, reserved in zip(
            budget.limits,
            (budget.spent.calls, budget.spent.tokens, budget.spent.pico_usd),
            (budget.reserved.calls, budget.reserved.tokens, budget.reserved.pico_usd),
            strict=True,
        ):
            assert reserved >= 0
            assert limit is None or spent + reserved <= limit
    assert budget.reserved == sum(held, NOTHING)
    assert refused == 0 or (calls, tokens, usd) != (None, None, None)


def test_an_overrun_is_counted_and_nothing_follows():
    budget = Budget(tokens=100)
    budget.reserve(Amount(tokens=40))
    budget.settle(Amount(tokens=40), Amount(tokens=130))
    state = budget.state()
    assert (state.tokens_spent, state.tokens_left) == (130, -30)
    with pytest.raises(BridgeError) as refused:
        budget.reserve(NOTHING)
    assert refused.value.reason == "BUDGET_EXCEEDED"
    assert refused.value.metadata == {
        "budget": "tokens",
        "limit": "100",
        "spent": "130",
        "reserved": "0",
        "wanted": "0",
    }


def test_dollars_are_exact():
    budget = Budget(pico_usd=parse_dollars("0.01"))
    for _ in range(100):
        budget.spend(Amount(pico_usd=pico(0.0001)))
    assert budget.state().usd_left == 0
    with pytest.raises(BridgeError, match=r"budget of 0\.01 US dollars is too small: 0\.01 spent"):
        budget.reserve(Amount(pico_usd=1))


@given(whole=st.integers(0, 10**9 - 1), part=st.text("0123456789", max_size=12))
def test_dollars_are_read_as_they_are_written(whole, part):
    found = parse_dollars(f"{whole}.{part}")
    assert found == whole * PICO + int(part.ljust(12, "0"))
    assert parse_dollars(dollars(found)) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "+1", "1e3", "1,5", "0x1", "inf", "1.", "1234567890", " 1", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_what_is_no_amount_of_dollars(text):
    assert (parse_dollars(text) is None) == (text != "1.")


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("15", 15), ("-1", None), ("1.0", None), ("", None), ("\N{ARABIC-INDIC DIGIT ONE}", None)],
)
def test_whole_numbers(text, number):
    assert parse_whole(text) == number


def test_a_request_whose_outcome_is_not_known_counts_as_it_was_reserved():
    spending = Spending(Budget(tokens=1000))
    spending.budget.reserve(Amount(tokens=300))
    spending.open[1] = Amount(tokens=300)
    spending.end(NOTHING, known=True)
    assert spending.budget.spent == Amount(tokens=300)
    assert spending.budget.reserved == NOTHING


def test_what_was_settled_request_by_request_is_not_counted_again_at_the_end():
    spending = Spending(Budget(tokens=1000))
    spending.budget.reserve(Amount(calls=1, tokens=50))
    spending.ahead = Amount(calls=1, tokens=50)
    spending.budget.settle(NOTHING, Amount(tokens=70))
    spending.settled = Amount(tokens=70)
    spending.end(Amount(calls=1, tokens=90), known=True)
    assert spending.budget.spent == Amount(calls=1, tokens=90)
    assert spending.budget.reserved == NOTHING


def test_estimates_are_of_the_most_that_was_used_and_fade():
    estimates = Estimates()
    assert estimates.of("f") == NOTHING
    estimates.learn("f", Amount(tokens=100))
    estimates.learn("f", Amount(tokens=10))
    assert estimates.of("f") == Amount(tokens=95)
    estimates.learn("f", Amount(tokens=200, pico_usd=7))
    assert estimates.of("f") == Amount(tokens=200, pico_usd=7)


def test_estimates_are_bounded_and_functions_that_use_nothing_have_none():
    estimates = Estimates()
    for number in range(2 * FUNCTIONS):
        estimates.learn(f"f{number}", Amount(tokens=1))
        estimates.learn(f"none{number}", NOTHING)
    assert len(estimates._known) == FUNCTIONS
    assert estimates.of(f"f{2 * FUNCTIONS - 1}") == Amount(tokens=1)
