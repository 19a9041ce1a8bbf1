"""Circuit breakers: when they open, whom they let through on trial, when they close, and what they tell."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.errors import BridgeError, Code
from bridge.routing.breakers import (
    BUCKETS,
    MOST,
    TRIAL_S,
    BreakerRule,
    Breakers,
    State,
    by_order,
    function_key,
    provider_key,
)

RULE = BreakerRule(failure_rate=0.5, min_calls=4, window_s=10.0, open_s=5.0, max_open_s=15.0, trials=2, close_after=2)
KEY = "function/f/pool/general"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Made:
    """Breakers with a clock that a test moves, and what they have told."""

    def __init__(self, rule=RULE):
        self.clock = Clock()
        self.told = []
        self.breakers = Breakers(self.clock, self.told.append, lambda _key: rule)

    def fail(self, times=1, ok=False):
        for _ in range(times):
            self.breakers.record(KEY, ok, self.breakers.enter(KEY))

    def refusal(self):
        with pytest.raises(BridgeError) as caught:
            self.breakers.enter(KEY)
        return caught.value


@pytest.fixture
def made():
    return Made()


def test_it_lets_all_through_while_too_few_calls_have_been_made(made):
    made.fail(3)
    assert made.breakers.state(KEY) is State.CLOSED
    assert made.told == []


def test_it_opens_when_enough_of_them_failed_and_says_why(made):
    made.fail(2, ok=True)
    made.fail(2)
    (event,) = made.told
    assert (event.key, event.old, event.new) == (KEY, State.CLOSED, State.OPEN)
    assert (event.cause, event.calls, event.failures) == ("2 of 4 calls failed within 10 s", 4, 2)
    assert event.seconds == 5.0
    assert not made.breakers.allows(KEY)


def test_a_lower_share_of_failures_leaves_it_closed(made):
    made.fail(40, ok=True)
    made.fail(30)
    assert made.breakers.state(KEY) is State.CLOSED
    made.fail(10)
    assert made.breakers.state(KEY) is State.OPEN


def test_what_failed_long_ago_is_forgotten(made):
    made.fail(3)
    made.clock.now += RULE.window_s
    made.fail(1)
    assert made.breakers.state(KEY) is State.CLOSED


def test_the_refusal_has_what_a_caller_needs(made):
    made.fail(4)
    made.clock.now += 2.0
    refusal = made.refusal()
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "BREAKER_OPEN")
    assert refusal.retry_after_s == pytest.approx(3.0)
    assert refusal.metadata == {"breaker": KEY, "cause": "4 of 4 calls failed within 10 s"}
    assert "no calls for 3.0 s more" in refusal.message


def test_after_its_time_a_few_calls_are_let_through_on_trial(made):
    made.fail(4)
    made.clock.now += 5.0
    assert made.breakers.state(KEY) is State.HALF_OPEN
    assert made.breakers.allows(KEY)
    first, second = made.breakers.enter(KEY), made.breakers.enter(KEY)
    assert not made.breakers.allows(KEY)
    assert made.refusal().retry_after_s == 0.5
    made.breakers.record(KEY, True, first)
    assert made.breakers.state(KEY) is State.HALF_OPEN
    made.breakers.record(KEY, True, second)
    assert [event.new for event in made.told] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    made.fail(3)
    assert made.breakers.state(KEY) is State.CLOSED, "what was before is forgotten"


def test_a_trial_that_fails_opens_it_for_twice_as_long_up_to_a_limit(made):
    made.fail(4)
    for expected in (10.0, 15.0, 15.0):
        made.clock.now += made.told[-1].seconds
        made.breakers.record(KEY, False, made.breakers.enter(KEY))
        assert (made.told[-1].new, made.told[-1].seconds) == (State.OPEN, expected)
        assert made.told[-1].cause == "a call on trial failed"


def test_a_trial_that_teaches_nothing_gives_its_place_back(made):
    made.fail(4)
    made.clock.now += 5.0
    first, _ = made.breakers.enter(KEY), made.breakers.enter(KEY)
    made.breakers.leave(KEY, first)
    assert made.breakers.allows(KEY)
    assert made.breakers.state(KEY) is State.HALF_OPEN


def test_a_trial_of_which_nothing_is_heard_is_given_to_another(made):
    made.fail(4)
    made.clock.now += 5.0
    lost = made.breakers.enter(KEY)
    made.breakers.enter(KEY)
    made.clock.now += TRIAL_S
    made.breakers.record(KEY, True, made.breakers.enter(KEY))
    made.breakers.record(KEY, True, lost)
    assert made.breakers.state(KEY) is State.HALF_OPEN, "a lost trial proves nothing"


def test_calls_that_began_before_a_change_do_not_count_after_it(made):
    old = [made.breakers.enter(KEY) for _ in range(20)]
    made.fail(4)
    for ticket in old[:10]:
        made.breakers.record(KEY, True, ticket)
    assert made.breakers.state(KEY) is State.OPEN
    made.clock.now += 5.0
    made.fail(2, ok=True)
    assert made.breakers.state(KEY) is State.CLOSED
    for ticket in old[10:]:
        made.breakers.record(KEY, False, ticket)
    assert made.breakers.state(KEY) is State.CLOSED


def test_it_opens_by_order_whatever_its_rule():
    made = Made(rule=None)
    made.fail(1000)
    assert made.breakers.state(KEY) is State.CLOSED
    made.breakers.open(KEY, "its p99 tripled", 7.0)
    assert (made.told[-1].cause, made.told[-1].seconds) == ("its p99 tripled", 7.0)
    made.breakers.open(KEY, "sooner", 1.0)
    assert made.refusal().retry_after_s == 7.0, "an order never shortens it"
    made.clock.now += 7.0
    made.fail(2, ok=True)
    assert made.breakers.state(KEY) is State.CLOSED


def test_it_closes_by_order(made):
    assert not made.breakers.close(KEY, "an operator said so")
    made.fail(4)
    assert made.breakers.close(KEY, "an operator said so")
    assert made.told[-1].cause == "an operator said so"
    made.fail(3)
    assert made.breakers.state(KEY) is State.CLOSED


def test_an_order_for_no_time_is_a_mistake(made):
    with pytest.raises(ValueError, match="more than 0"):
        made.breakers.open(KEY, "cause", 0.0)


def test_other_rules_can_be_taken_over(made):
    made.fail(3)
    made.breakers.renew(lambda _key: None)
    made.fail(10)
    assert made.breakers.state(KEY) is State.CLOSED
    made.breakers.renew(lambda _key: RULE)
    made.fail(1)
    assert made.breakers.state(KEY) is State.OPEN, "the fourth failure that counts"


def test_a_snapshot_has_the_figures(made):
    made.fail(4)
    made.refusal()
    made.clock.now += 1.0
    (shown,) = made.breakers.snapshot()
    assert (shown.key, shown.state, shown.remaining_s, shown.refused) == (KEY, State.OPEN, 4.0, 1)
    assert (shown.calls, shown.failures) == (4, 4)


def test_keys_that_come_and_go_do_not_pile_up(made):
    made.fail(4)
    for number in range(MOST + 10):
        made.breakers.record(f"function/g{number}/native", True)
    assert len(made.breakers.snapshot()) == MOST
    assert made.breakers.state(KEY) is State.OPEN, "what is open is never forgotten"


def test_the_names_of_keys():
    assert function_key("f", "native") == "function/f/native"
    assert provider_key("openai") == "provider/openai"


class Walk(RuleBasedStateMachine):
    """Any order of calls, ends and time, held to what a breaker promises."""

    def __init__(self):
        super().__init__()
        self.made = Made()
        self.breakers = self.made.breakers
        self.running = []
        """(ticket, number of changes when it began, time when it began)"""
        self.results = []
        """(time, ok) since it last closed."""

    @property
    def state(self):
        return self.breakers.state(KEY)

    @rule()
    def enter(self):
        before, told = self.state, len(self.made.told)
        allowed = self.breakers.allows(KEY)
        assert len(self.made.told) == told, "to ask changes nothing"
        if not allowed:
            assert before is not State.CLOSED
            assert self.made.refusal().retry_after_s > 0
            return
        assert before is not State.OPEN
        ticket = self.breakers.enter(KEY)
        self.running.append((ticket, len(self.made.told), self.made.clock.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), ok=st.booleans())
    def end(self, data, ok):
        ticket, began, at = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before, told = self.state, len(self.made.told)
        self.breakers.record(KEY, ok, ticket)
        changed = len(self.made.told) - told
        if began != told:
            assert not changed, "what began before a change counts no more"
        elif before is State.CLOSED:
            self.results.append((self.made.clock.now, ok))
            self.judge_opening(changed)
        elif not ok and self.made.clock.now - at < TRIAL_S:
            assert changed
            assert self.state is State.OPEN, "a failed trial"
        if changed and self.made.told[-1].new is State.CLOSED:
            self.results = []

    def judge_opening(self, changed):
        """The window is kept in parts, so it is exact but for one of them."""
        now, part = self.made.clock.now, RULE.window_s / BUCKETS
        last = [ok for at, ok in self.results if now - at < RULE.window_s]
        sure = [ok for at, ok in self.results if now - at < RULE.window_s - part]
        if changed:
            assert len(last) >= RULE.min_calls
            assert last.count(False)
            self.results = []
        elif sure == last and len(last) >= RULE.min_calls and not last[-1]:
            assert last.count(False) < RULE.failure_rate * len(last)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data):
        ticket, *_ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        told = len(self.made.told)
        self.breakers.leave(KEY, ticket)
        assert len(self.made.told) == told

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 10.0]))
    def wait(self, seconds):
        self.made.clock.now += seconds

    @rule(seconds=st.sampled_from([1.0, 8.0]))
    def order(self, seconds):
        self.breakers.open(KEY, "an order", seconds)
        assert self.state is State.OPEN
        self.results = []

    @invariant()
    def changes_are_told_in_a_row(self):
        told = self.made.told
        assert all(before.new is after.old for before, after in itertools.pairwise(told))
        assert not told or told[0].old is State.CLOSED
        assert all(event.cause for event in told)

    @invariant()
    def trials_are_bounded(self):
        if self.made.told and self.made.told[-1].new is State.HALF_OPEN:
            now, changes = self.made.clock.now, len(self.made.told)
            assert sum(began == changes and now - at < TRIAL_S for _, began, at in self.running) <= RULE.trials


Walk.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
test_any_order_of_events = Walk.TestCase


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (function_key("f", "pool/general"), True),
        (function_key("f", "native"), True),
        (function_key("f", "g"), False),
        (function_key("f", "f@general"), False),
        (provider_key("pool/general"), False),
    ],
)
def test_functions_where_they_run_have_breakers_by_order_alone(key, expected):
    assert by_order(key) is expected
