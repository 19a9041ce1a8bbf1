"""The front or a worker: every reason why a call goes where it goes, and that no slow call is let into the front."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.auto.choice import (
    BUSIEST,
    HOP_FRONT_S,
    OVERLOADED,
    Why,
    choose,
    excluded,
    native_burden_s,
    pooled_burden_s,
    waiters,
)
from bridge.auto.runner import in_words, shown
from bridge.routing.router import NativeLimits

LIMITS = NativeLimits(max_request_bytes=1000, concurrency=4, max_p99_s=0.005)
QUICK = {"timed": True, "native_s": 100e-6, "native_p99_s": 200e-6, "service_s": 100e-6, "transfer_s": 200e-6}
IDLE = {"busy": 0.1, "calls_per_s": 10.0, "lag_s": 0.0, "turn_s": 0.0}


def known(**changed):
    return SimpleNamespace(**{"deadly": False, "overran": False, **QUICK, **changed})


def load(**changed):
    return SimpleNamespace(**{**IDLE, **changed})


@pytest.mark.parametrize(
    ("figures", "front", "wait_s", "size", "running", "expected"),
    [
        pytest.param({}, {}, 0.0, 100, 0, Why.NATIVE_FASTER, id="quick"),
        pytest.param({}, {}, 0.0, 1000, 3, Why.NATIVE_FASTER, id="just within the limits"),
        pytest.param({}, {}, 0.0, 1001, 0, Why.TOO_LARGE, id="too large"),
        pytest.param({}, {}, 0.0, 100, 4, Why.RUNNING, id="too many run"),
        pytest.param({"timed": False}, {}, 9.0, 100, 0, Why.UNTIMED, id="nothing is known"),
        pytest.param({"native_p99_s": 0.0051}, {}, 9.0, 100, 0, Why.OVER_LIMIT, id="slow in one of a hundred"),
        pytest.param({"native_p99_s": 0.005}, {}, 0.0, 100, 0, Why.NATIVE_FASTER, id="at the limit"),
        pytest.param({"overran": True}, {}, 9.0, 100, 0, Why.OVERRAN, id="has just overrun"),
        pytest.param({"deadly": True}, {}, 9.0, 100, 0, Why.DEADLY, id="a worker died in it"),
        pytest.param({}, {"turn_s": 0.00495}, 9.0, 100, 0, Why.BUSY, id="this turn of the loop is long already"),
        pytest.param({}, {"lag_s": 0.006, "busy": 0.6}, 9.0, 100, 0, Why.BUSY, id="the loop is late"),
        pytest.param({}, {"lag_s": 0.006}, 0.0, 100, 0, Why.NATIVE_FASTER, id="late, as the whole machine is"),
        pytest.param(
            {"native_s": 30e-6},
            {"lag_s": 0.006, "busy": 0.6},
            0.0,
            100,
            0,
            Why.NATIVE_FASTER,
            id="late, but the hop costs it more",
        ),
        pytest.param({"native_s": 350e-6}, {}, 0.0, 100, 0, Why.POOLED_FASTER, id="slower in the front"),
        pytest.param({"native_s": 350e-6}, {}, 0.01, 100, 0, Why.NATIVE_FASTER, id="others wait for workers"),
        pytest.param(
            {"native_s": 0.002, "service_s": 0.002},
            {"calls_per_s": 500.0},
            0.0,
            100,
            0,
            Why.POOLED_FASTER,
            id="others come meanwhile",
        ),
        pytest.param({}, {"busy": 0.85}, 0.0, 100, 0, Why.POOLED_FASTER, id="others wait for the front"),
        pytest.param({"native_s": 20e-6}, {"busy": 1.0}, 0.0, 100, 0, Why.NATIVE_FASTER, id="a trifle"),
        pytest.param({"native_s": 0.004, "service_s": 0.004}, {"busy": 0.0}, 0.0, 9, 0, Why.NATIVE_FASTER, id="idle"),
    ],
)
def test_the_choice(figures, front, wait_s, size, running, expected):
    assert choose(known(**figures), wait_s, load(**front), LIMITS, size, running) is expected


SECONDS = st.floats(0.0, 10.0)
KNOWN = st.builds(
    known,
    timed=st.booleans(),
    overran=st.booleans(),
    deadly=st.booleans(),
    native_s=SECONDS,
    native_p99_s=SECONDS,
    service_s=SECONDS,
    transfer_s=SECONDS,
)
LOAD = st.builds(load, busy=st.floats(0.0, 1.0), calls_per_s=st.floats(0.0, 1e4), lag_s=SECONDS, turn_s=SECONDS)
ANY_LIMITS = st.builds(
    NativeLimits,
    max_request_bytes=st.integers(1, 5000),
    concurrency=st.integers(1, 8),
    max_p99_s=st.floats(1e-4, 2.0),
)


@settings(max_examples=500, deadline=None)
@given(KNOWN, SECONDS, LOAD, ANY_LIMITS, st.integers(1, 6000), st.integers(0, 9))
def test_nothing_over_a_limit_is_ever_native(figures, wait_s, front, limits, size, running):
    if choose(figures, wait_s, front, limits, size, running) is Why.NATIVE_FASTER:
        assert figures.timed
        assert not figures.overran
        assert not figures.deadly
        assert figures.native_p99_s <= limits.max_p99_s
        assert front.turn_s + figures.native_s <= limits.max_p99_s
        assert front.lag_s <= limits.max_p99_s or front.busy <= OVERLOADED or figures.native_s <= HOP_FRONT_S
        assert size <= limits.max_request_bytes
        assert running < limits.concurrency
        assert native_burden_s(figures, front) <= pooled_burden_s(figures, front, wait_s)


@settings(max_examples=200, deadline=None)
@given(KNOWN, SECONDS, LOAD, st.floats(0.0, 1.0))
def test_a_busier_front_takes_no_more_of_what_costs_it_more_than_the_hop(figures, wait_s, front, busier):
    more = load(**{**vars(front), "busy": max(front.busy, busier)})
    if figures.native_s > HOP_FRONT_S and choose(figures, wait_s, front, LIMITS, 9, 0) is not Why.NATIVE_FASTER:
        assert choose(figures, wait_s, more, LIMITS, 9, 0) is not Why.NATIVE_FASTER


def test_how_many_wait_is_bounded():
    assert waiters(load(busy=0.0)) == 0.0
    assert waiters(load(busy=0.5)) == pytest.approx(0.5)
    assert waiters(load(busy=1.0)) == waiters(load(busy=BUSIEST)) == pytest.approx(8.1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00012, "0.12 ms"),
        (0.000004, "0.004 ms"),
        (0.0345, "34 ms"),
        (0.0999, "0.1 s"),
        (1.24, "1.2 s"),
        (250, "250 s"),
    ],
)
def test_times_are_shown_with_two_digits(seconds, text):
    assert shown(seconds) == text


def test_every_reason_has_its_numbers():
    figures = known(native_p99_s=0.012)
    texts = {why: in_words(why, figures, 0.0011, load(busy=0.87, lag_s=0.02), LIMITS, 1234) for why in Why}
    assert texts[Why.NATIVE_FASTER] == "auto: native 0.1 ms against pooled 1.4 ms"
    assert texts[Why.POOLED_FASTER] == "auto: pooled 1.4 ms against native 0.1 ms, the front is 87% busy"
    assert texts[Why.OVER_LIMIT] == "auto: pooled, native p99 of 12 ms is over 5 ms"
    assert texts[Why.TOO_LARGE] == "auto: pooled, its request of 1234 bytes is over 1000"
    assert texts[Why.BUSY] == "auto: pooled, the front is behind by 20 ms"
    assert texts[Why.RUNNING] == "auto: pooled, 4 native calls run already"
    assert len(set(texts.values())) == len(Why)
    slower = in_words(Why.POOLED_FASTER, known(native_s=0.004), 0.0, load(), LIMITS, 1)
    assert slower == "auto: pooled 0.3 ms against native 4 ms"


def test_what_excludes_a_call_is_told_in_one_order():
    assert excluded(known(timed=False, deadly=True), load(lag_s=1.0), LIMITS, 10**6, 99) is Why.TOO_LARGE
    assert excluded(known(timed=False, deadly=True), load(lag_s=1.0), LIMITS, 1, 99) is Why.DEADLY
