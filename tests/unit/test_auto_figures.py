"""What is known of a function by the size of its requests: when it suffices, whose figures stand in, what is held."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.auto.figures import HOLD_MOST_S, HOLD_S, LEAST, SURE, Figures
from bridge.routing.stats import size_class
from pool.testing import FakeClock

ENOUGH = int(LEAST) + 1


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def figures(clock):
    return Figures(clock.now)


def pooled(figures, size, service_s, count=ENOUGH, transfer_s=0.0002):
    for _ in range(count):
        figures.ran_pooled("f", "general", size, service_s, transfer_s)


def native(figures, size, seconds, count=ENOUGH):
    for _ in range(count):
        figures.ran_native("f", size, seconds)


def look(figures, clock, size):
    clock.turn(0.06)  # what was reckoned before counts no more
    return figures.known("f", "general", size)


def test_nothing_is_known_before_a_few_calls(figures, clock):
    assert not look(figures, clock, 100).timed
    pooled(figures, 100, 0.001, count=int(LEAST) - 1)
    assert not look(figures, clock, 100).timed
    pooled(figures, 100, 0.001, count=2)
    known = look(figures, clock, 100)
    assert known.timed
    assert known.service_s == known.native_s == pytest.approx(0.001, rel=0.03)
    assert known.native_p99_s == pytest.approx(0.001, rel=0.03)
    assert known.transfer_s == pytest.approx(0.0002, rel=0.03)


def test_a_size_without_times_takes_those_of_the_next_larger_one(figures, clock):
    pooled(figures, 1000, 0.002)
    pooled(figures, 10_000, 0.02)
    assert look(figures, clock, 100).native_s == pytest.approx(0.002, rel=0.03)
    assert look(figures, clock, 3000).native_s == pytest.approx(0.02, rel=0.03)
    assert not look(figures, clock, 50_000).timed, "what smaller requests take says nothing of it"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.floats(1e-5, 1.0)), max_size=60), st.integers(1, 1 << 20))
def test_a_size_is_timed_only_by_calls_that_were_as_large(calls, size):
    clock = FakeClock()
    figures = Figures(clock.now)
    for one, seconds in calls:
        figures.ran_pooled("f", "general", one, seconds, 0.0)
    by_class = {}
    for one, _ in calls:
        by_class[size_class(one)] = by_class.get(size_class(one), 0) + 1
    expected = any(kind >= size_class(size) and count > LEAST for kind, count in by_class.items())
    assert figures.known("f", "general", size).timed == expected


def test_both_ways_count_until_the_front_has_enough_times_of_its_own(figures, clock):
    pooled(figures, 100, 0.004)
    native(figures, 100, 0.0001)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.004, rel=0.03)
    assert look(figures, clock, 100).native_s == pytest.approx(0.0001, rel=0.03)
    native(figures, 100, 0.0001, count=int(SURE))
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.0001, rel=0.03)
    native(figures, 100, 0.05, count=2)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.05, rel=0.03), "two of 111 are the worst of 100"


def test_one_slow_native_call_counts_where_few_are_known(figures, clock):
    pooled(figures, 100, 0.0001, count=50)
    native(figures, 100, 0.03, count=1)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.03, rel=0.03)
    pooled(figures, 100, 0.0001, count=100)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.0001, rel=0.03), "it was one of many"


def test_a_size_that_overran_is_held_longer_each_time(figures, clock):
    native(figures, 100, 0.0001, count=50)
    held = []
    for _ in range(15):
        known = look(figures, clock, 100)
        assert not known.overran
        figures.overran(known)
        held.append(known.hold_until - clock.now())
        assert known.overran
        assert look(figures, clock, 100).overran
        assert not figures.known("f", "general", 5000).overran, "another size goes on"
        clock.turn(held[-1])
    assert held[:4] == pytest.approx([HOLD_S, 2 * HOLD_S, 4 * HOLD_S, 8 * HOLD_S])
    assert max(held) == pytest.approx(HOLD_MOST_S)
    clock.turn(20 * HOLD_MOST_S)
    known = look(figures, clock, 100)
    figures.overran(known)
    assert known.hold_until - clock.now() == pytest.approx(HOLD_S), "that is long ago"


def test_after_an_overrun_workers_are_believed_again(figures, clock):
    native(figures, 100, 0.0001, count=int(SURE) + 40)
    pooled(figures, 100, 0.02, count=ENOUGH)
    known = look(figures, clock, 100)
    assert known.native_p99_s == pytest.approx(0.0001, rel=0.03)
    figures.overran(known)
    clock.turn(HOLD_S)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.02, rel=0.03)
    clock.turn(11 * HOLD_S)
    assert look(figures, clock, 100).native_p99_s == pytest.approx(0.0001, rel=0.03)


def test_a_deadly_function_is_deadly_at_every_size_until_the_code_changes(figures, clock):
    pooled(figures, 100, 0.0001)
    figures.deadly.add("f")
    assert look(figures, clock, 100).deadly
    assert look(figures, clock, 9).deadly
    assert not figures.known("g", "general", 100).deadly
    figures.forget()
    known = look(figures, clock, 100)
    assert not known.deadly
    assert not known.timed


def test_old_times_do_not_suffice(figures, clock):
    pooled(figures, 100, 0.0001, count=20)
    assert look(figures, clock, 100).timed
    clock.turn(3600.0)
    assert not look(figures, clock, 100).timed


def test_what_was_reckoned_is_used_for_a_moment(figures, clock):
    pooled(figures, 100, 0.001)
    known = look(figures, clock, 100)
    pooled(figures, 100, 0.009)
    assert figures.known("f", "general", 100).service_s == pytest.approx(0.001, rel=0.03)
    assert look(figures, clock, 100) is known
    assert known.service_s == pytest.approx(0.005, rel=0.03)
