"""When a dead worker's place is filled again, with times of our own."""

import pytest

from pool.restart import RestartBudget, RestartOptions, RestartPolicy
from pool.testing import FakeClock

OPTIONS = RestartOptions(backoff_s=0.1, backoff_max_s=1.0, budget=8, period_s=60.0, slow_s=10.0, settled_s=10.0)


def policy(random=lambda: 0.5):
    return RestartPolicy(OPTIONS, random)


def test_the_first_restart_is_immediate_and_the_next_wait_longer_up_to_a_limit():
    clock, record = FakeClock(), policy()
    assert [record.died(clock.now(), 0.1) for _ in range(7)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(("random", "expected"), [(0.0, 0.05), (1.0, 0.15)])
def test_jitter_is_half_the_backoff_either_way(random, expected):
    record = policy(lambda: random)
    record.died(0.0, 0.0)
    assert record.died(0.0, 0.0) == pytest.approx(expected)


def test_a_worker_that_lived_long_ends_the_row():
    clock, record = FakeClock(), policy()
    for _ in range(3):
        record.died(clock.now(), 0.0)
    clock.turn(11.0)
    assert record.died(clock.now(), 11.0) == 0.0


def test_too_many_deaths_in_the_period_exhaust_the_budget_until_they_are_old():
    clock, record = FakeClock(100.0), policy()
    for _ in range(7):
        record.died(clock.now(), 0.0)
        clock.turn(1.0)
    assert not record.exhausted(clock.now())
    assert record.died(clock.now(), 0.0) == 10.0
    assert record.exhausted(clock.now())
    clock.turn(52.9)
    assert record.exhausted(clock.now())
    clock.turn(0.1)
    assert not record.exhausted(clock.now()), "the first death is a period ago"


def test_a_failed_pool_is_tried_at_the_slow_pace():
    clock, record = FakeClock(), policy()
    pauses = [record.died(clock.now(), 0.0) for _ in range(12)]
    assert pauses[7:] == [10.0] * 5


def test_a_place_that_flaps_slows_no_other():
    budget = RestartBudget(OPTIONS)
    flapping, quiet = RestartPolicy(OPTIONS, lambda: 0.5, budget), RestartPolicy(OPTIONS, lambda: 0.5, budget)
    for _ in range(5):
        flapping.died(0.0, 0.0)
    assert quiet.died(0.0, 0.0) == 0.0, "its row is its own"
    for _ in range(5):
        flapping.died(0.0, 0.0)
    assert flapping.died(0.0, 0.0) == 10.0, "the budget is spent"
    assert quiet.died(0.0, 10.0) == 0.0, "a worker that had settled is replaced at once all the same"
    assert quiet.died(0.0, 0.0) == 10.0


def test_a_row_of_slow_starts_that_fail_exhausts_the_budget_too():
    """Where an import takes a quarter of a minute there are never many deaths in a minute."""
    record = policy()
    pauses = [record.died(now, 0.0) for now in (0.0, 15.0, 30.0, 45.0)]
    assert max(pauses) < 1.0
    assert not record.exhausted(45.0)
    assert record.died(60.0, 0.0) == 10.0
    assert record.exhausted(60.0)
    assert record.died(90.0, 10.0) == 0.0, "one that has served ends the row"
    assert not record.exhausted(90.0)
