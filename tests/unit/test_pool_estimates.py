"""Running estimates: how long calls take, and when refused callers are told to come again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.estimates import FUNCTIONS, RETRY_LEAST_S, RETRY_MOST_S, Appointments, ServiceTimes


@settings(max_examples=60, deadline=None)
@given(refusals=st.integers(1, 400), each=st.floats(1e-5, 5.0), waiting=st.integers(0, 1000), chance=st.floats(0, 1))
def test_refused_callers_are_told_to_come_one_after_the_other(refusals, each, waiting, chance):
    appointments = Appointments(lambda: chance)
    told = [appointments.next_s(100.0, each * waiting, each) for _ in range(refusals)]
    assert all(RETRY_LEAST_S <= seconds <= 1.25 * RETRY_MOST_S for seconds in told)
    assert told == sorted(told)
    if told[-1] < RETRY_MOST_S and told[0] > 1.25 * RETRY_LEAST_S:
        assert told[-1] - told[0] == pytest.approx(each * (refusals - 1) * (1 + 0.25 * chance)), "not all at once"


def test_appointments_are_forgotten_with_time():
    appointments = Appointments(lambda: 0.0)
    for _ in range(1000):
        appointments.next_s(100.0, 1.0, 0.1)
    assert appointments.next_s(200.0, 1.0, 0.1) == 1.0


def test_the_times_of_few_functions_are_kept():
    times = ServiceTimes()
    for number in range(2000):
        times.observe(0.1, f"f{number}")
    assert len(times._functions) <= FUNCTIONS
    assert times.mean_s("f1999") == pytest.approx(0.1)
    assert times.least_s("f1999") == 0.0
