"""Which alternative is chosen: weights, sticky keys, measured figures, bounds, breakers."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.attempts.choice import KNOWN, PROBE_S, REFRESH_S, Chooser
from bridge.routing.breakers import Breakers
from bridge.routing.routes import Alternative, Route
from bridge.routing.stats import RouteStats
from bridge.settings.route_tables import RouteConfig


class Made:
    """A chooser with a clock, figures and breakers that a test sets."""

    def __init__(self, weights, **config):
        self.now = 0.0
        self.told = []
        self.stats = RouteStats(lambda: self.now)
        self.breakers = Breakers(lambda: self.now, lambda _event: None, lambda _key: None)
        self.chooser = Chooser(self.stats, self.breakers, lambda: self.now, self.told.append, random.Random(7))
        alternatives = tuple(
            Alternative(label=label, function=label, spec=None, weight=weight) for label, weight in weights.items()
        )
        self.route = Route(name="r", config=RouteConfig(**config), alternatives=alternatives)

    def measure(self, label, seconds=0.01, *, calls=50, failed=0, cost_usd=0.0):
        for number in range(calls):
            self.stats.observe("r", label, seconds=seconds, ok=number >= failed, cost_usd=cost_usd)
        self.now += 2 * REFRESH_S

    def choose(self, sticky="", tried=()):
        choice = self.chooser.choose(self.route, sticky, tried)
        return None if choice is None else choice.alternative.label

    def why(self):
        return self.chooser.choose(self.route, "").why

    def shares(self, calls=2000):
        counts = Counter(self.choose() for _ in range(calls))
        return {label: count / calls for label, count in counts.items()}


def test_weights_are_shares():
    made = Made({"a": 3, "b": 1, "never": 0})
    assert made.shares() == {"a": pytest.approx(0.75, abs=0.04), "b": pytest.approx(0.25, abs=0.04)}
    assert made.why() in {"weight 3 of 4", "weight 1 of 4"}


def test_a_sticky_key_has_one_alternative_and_keys_are_shared_by_weight():
    made = Made({"a": 3, "b": 1})
    for number in range(50):
        assert len({made.choose(f"s{number}") for _ in range(5)}) == 1
    shares = Counter(made.choose(f"s{number}") for number in range(2000))
    assert shares["a"] / 2000 == pytest.approx(0.75, abs=0.04)
    assert made.chooser.choose(made.route, "s1").why.startswith("kept to it: weight ")


def test_a_changed_weight_moves_few_keys_and_in_one_direction():
    before, after = Made({"a": 95, "b": 5}), Made({"a": 90, "b": 10})
    moved = [(before.choose(f"s{n}"), after.choose(f"s{n}")) for n in range(2000)]
    assert {pair for pair in moved if pair[0] != pair[1]} == {("a", "b")}
    assert 0.02 < sum(old != new for old, new in moved) / 2000 < 0.08


@pytest.mark.parametrize(
    ("by", "good", "bad", "words"),
    [
        ("latency", {"seconds": 0.01}, {"seconds": 0.02}, "p50 9.77 ms"),
        ("cost", {"cost_usd": 0.001}, {"cost_usd": 0.002}, "0.001 USD a call"),
        ("success", {"failed": 0}, {"failed": 25}, "100.0% go well"),
    ],
)
def test_the_best_by_its_figure_is_chosen(by, good, bad, words):
    made = Made({"a": 1, "b": 1}, choose=by, explore=0.0)
    made.measure("a", **bad)
    made.measure("b", **good)
    assert made.shares(100) == {"b": 1.0}
    assert made.why().startswith(words)
    assert made.why().endswith("the best of 2")


def test_equal_ones_share_by_weight():
    made = Made({"a": 3, "b": 1, "c": 1}, choose="success", explore=0.0)
    made.measure("a")
    made.measure("b")
    made.measure("c", failed=25)
    assert made.shares() == {"a": pytest.approx(0.75, abs=0.04), "b": pytest.approx(0.25, abs=0.04)}


def test_until_all_are_measured_they_are_chosen_by_weight():
    made = Made({"a": 1, "b": 1}, choose="latency")
    made.measure("a", calls=KNOWN - 1)
    made.measure("b")
    assert made.shares()["a"] == pytest.approx(0.5, abs=0.05)
    made.measure("a", calls=1)
    made.measure("a", seconds=0.5)
    assert made.shares() == {"a": pytest.approx(0.05, abs=0.02), "b": pytest.approx(0.95, abs=0.02)}


def test_figures_that_fade_stay_known():
    made = Made({"a": 1, "b": 1}, choose="latency", explore=0.0)
    made.measure("a", seconds=0.5)
    made.measure("b")
    assert made.choose() == "b"
    made.now += 3600
    assert made.shares(100) == {"b": 1.0}


def test_one_outside_its_bounds_is_not_chosen_and_measured_anew_now_and_then():
    made = Made({"a": 1, "b": 1}, max_p95_ms=100.0)
    made.measure("a", seconds=0.5)
    made.measure("b")
    assert made.shares(200) == {"b": 1.0}
    (event,) = made.told
    assert (event.route, event.alternative) == ("r", "a")
    assert event.outside == "p95 509 ms over 100", "as far as buckets of times are exact"
    made.now += PROBE_S
    assert [made.choose() for _ in range(5)] == ["a", "b", "b", "b", "b"]
    made.now += PROBE_S
    made.measure("a", seconds=0.01, calls=5000)
    assert made.shares()["a"] == pytest.approx(0.5, abs=0.05)
    assert made.told[-1].outside == ""


@pytest.mark.parametrize(
    ("bound", "bad", "words"),
    [
        ({"max_cost_usd": 0.002}, {"cost_usd": 0.01}, "0.01 USD a call over 0.002"),
        ({"min_success": 0.95}, {"failed": 10}, "80.3% go well, under 95.0%"),
    ],
)
def test_the_other_bounds(bound, bad, words):
    made = Made({"a": 1, "b": 1}, **bound)
    made.measure("a", **bad)
    made.measure("b")
    assert made.shares(100) == {"b": 1.0}
    assert made.told[0].outside == words


def test_where_all_are_outside_one_is_chosen_all_the_same():
    made = Made({"a": 1, "b": 1}, choose="latency", explore=0.0, max_p95_ms=1.0)
    made.measure("a", seconds=0.5)
    made.measure("b", seconds=0.2)
    assert made.shares(100) == {"b": 1.0}
    assert made.why().startswith("all are outside their bounds (p95 ")


def test_an_open_breaker_takes_an_alternative_out_and_all_of_them_everything():
    made = Made({"a": 1, "b": 1})
    made.breakers.open("function/r/a", "cause", 5.0)
    assert made.shares(100) == {"b": 1.0}
    assert made.why() == "the only one left"
    made.breakers.open("function/r/b", "cause", 5.0)
    assert made.choose() is None
    made.now += 5.0
    assert made.choose() in {"a", "b"}, "on trial"


def test_what_was_tried_is_left_out():
    made = Made({"a": 1, "b": 1})
    assert {made.choose(tried=("a",)) for _ in range(20)} == {"b"}
    assert made.choose(tried=("a", "b")) is None


FIGURES = st.tuples(st.floats(0.001, 1.0), st.integers(0, 40), st.floats(0.0, 0.1), st.booleans())


@settings(max_examples=80, deadline=None)
@given(
    st.lists(FIGURES, min_size=1, max_size=4),
    st.sampled_from(["weights", "latency", "cost", "success"]),
    st.one_of(st.none(), st.floats(1.0, 1000.0)),
    st.one_of(st.none(), st.floats(0.0, 1.0)),
)
def test_a_choice_is_within_the_bounds_while_one_is_and_never_behind_an_open_breaker(figures, by, p95_ms, success):
    labels = [f"alt{number}" for number in range(len(figures))]
    made = Made(dict.fromkeys(labels, 1.0), choose=by, max_p95_ms=p95_ms, min_success=success)
    for label, (seconds, failed, cost, is_open) in zip(labels, figures, strict=True):
        made.measure(label, seconds, calls=40, failed=failed, cost_usd=cost)
        if is_open:
            made.breakers.open(f"function/r/{label}", "cause", 1e6)
    allowed = [label for label, figure in zip(labels, figures, strict=True) if not figure[3]]
    outside = {one.alternative.label for one in made.chooser.predictions(made.route) if one.outside}
    inside = [label for label in allowed if label not in outside]
    for _ in range(5):
        assert made.choose() in (inside or allowed or [None])
