"""How many workers a pool is to have, decided from loads and times of our own."""

import pytest

from pool.recycling import cause_to_recycle, jittered, most_at_once
from pool.scaling import Bounds, Load, Scaling, Waits

BOUNDS = Bounds(least=1, most=4, up_wait_s=0.5, down_idle_s=60.0)


def load(target=2, ready=None, idle=0, waited_s=0.0):
    return Load(target=target, ready=target if ready is None else ready, idle=idle, waited_s=waited_s)


def decide(*loads, step_s=1.0, bounds=BOUNDS):
    """The decision after each look."""
    scaling = Scaling()
    return [scaling.decide(number * step_s, one, bounds)[0] for number, one in enumerate(loads)]


def test_one_more_where_a_call_has_waited_too_long():
    assert decide(load(waited_s=0.49), load(waited_s=0.5)) == [2, 3]
    _, cause = Scaling().decide(0.0, load(waited_s=0.7), BOUNDS)
    assert cause == "a call has waited 0.7 s for a worker"


def test_none_more_while_one_starts_or_above_the_most():
    assert decide(load(target=3, ready=2, waited_s=9.0)) == [3]
    assert decide(load(target=4, waited_s=9.0)) == [4]


def test_one_fewer_where_one_could_be_spared_all_along():
    quiet = [load(idle=1)] * 61
    assert decide(*quiet)[-2:] == [2, 1]


def test_a_moment_without_an_idle_worker_starts_the_time_anew():
    quiet = [load(idle=1)] * 60
    assert set(decide(*quiet, load(idle=0), *quiet)) == {2}


def test_never_fewer_than_the_least():
    assert set(decide(*[load(target=1, idle=1)] * 200)) == {1}


@pytest.mark.parametrize(("target", "wanted"), [(0, 1), (9, 4), (3, 3)])
def test_new_bounds_hold_at_once(target, wanted):
    assert Scaling().decide(0.0, load(target=target), BOUNDS)[0] == wanted


def test_how_long_a_call_has_waited_is_known_by_who_had_come_at_each_look():
    waits = Waits()
    assert waits.look(0.0, 10, None) == 0.0
    assert waits.look(1.0, 12, 11) == 0.0, "it has come since the last look"
    assert waits.look(2.0, 15, 11) == 1.0
    assert waits.look(3.0, 15, 11) == 2.0
    assert waits.look(4.0, 15, 14) == 2.0, "number 14 was there at 2.0"
    assert waits.look(5.0, 15, None) == 0.0
    assert waits.look(6.0, 16, 16) == 0.0


def test_a_worker_is_due_by_calls_or_age():
    assert cause_to_recycle(99, 5.0, 100, None) == ""
    assert cause_to_recycle(100, 5.0, 100, None) == "it has answered 100 calls"
    assert cause_to_recycle(0, 60.0, None, 60.0) == "it is 60 s old"
    assert cause_to_recycle(10**9, 1e9, None, None) == ""


def test_jitter_spreads_those_that_started_together():
    assert jittered(None, lambda: 0.5) is None
    assert jittered(1000, lambda: 0.0) == 1000
    assert jittered(1000, lambda: 1.0) == 900


@pytest.mark.parametrize(("target", "most"), [(1, 1), (3, 1), (4, 1), (8, 2), (32, 8)])
def test_few_are_replaced_at_a_time(target, most):
    assert most_at_once(target) == most
