"""Queues that grow, told by counts of our own: when workers are asked for ahead of time, and how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.anomalies.loads import Loads
from bridge.anomalies.records import PoolSight, WorkerSight


def sight(waiting, arrivals, *, ready=2, target=None, most=8, running=None, start_s=0.0, wait_s=2.0):
    workers = tuple(WorkerSight(id=f"w-{number}", ready=True) for number in range(ready))
    return PoolSight(
        name="rig",
        workers=workers,
        target=ready if target is None else target,
        most=most,
        waiting=waiting,
        running=ready if running is None else running,
        arrivals=arrivals,
        scale_up_wait_s=wait_s,
        start_s=start_s,
    )


def looks(come, served, count=6, **known):
    """What is found when so many calls come and are served each second."""
    loads = Loads()
    found = []
    for number in range(count):
        waiting = max(0, int((come - served) * number))
        found.append(loads.look(float(number), sight(waiting, come * number, **known)))
    return found


def first(found):
    return next((finding for finding in found if finding is not None), None)


def test_more_comes_than_is_served():
    finding = first(looks(30, 10))
    assert (finding.kind, finding.action) == ("rising_wait", "scale_up")
    assert finding.workers == 4, "no more than twice as many at once"
    assert finding.numbers["arrivals_per_s"] == pytest.approx(30)
    assert finding.numbers["served_per_s"] == pytest.approx(10)
    assert finding.numbers["needed"] == 8


def test_it_is_found_before_calls_have_waited_for_as_long_as_the_usual_rule_wants():
    found = looks(30, 10, wait_s=6.0)
    at = next(number for number, finding in enumerate(found) if finding is not None)
    assert at < 6
    assert found[at].numbers["wait_s"] >= 6.0


def test_a_long_start_is_begun_the_sooner():
    assert first(looks(12, 10, wait_s=5.0)) is None
    assert first(looks(12, 10, wait_s=5.0, start_s=30.0)).numbers["wait_s"] >= 5.0


@pytest.mark.parametrize(
    ("come", "served", "known"),
    [
        pytest.param(10, 10, {}, id="as many come as are served"),
        pytest.param(11, 10, {}, id="it grows so slowly that the usual rule is in time"),
        pytest.param(30, 10, {"running": 1}, id="a worker is free"),
        pytest.param(30, 10, {"most": 2}, id="no more workers are allowed"),
        pytest.param(30, 10, {"target": 8}, id="as many start as are allowed"),
        pytest.param(30, 10, {"ready": 0}, id="none is ready"),
        pytest.param(30, 10, {"count": 3}, id="two differences are no trend"),
    ],
)
def test_nothing_to_do(come, served, known):
    assert first(looks(come, served, **known)) is None


def test_a_queue_that_was_long_and_gets_shorter():
    loads = Loads()
    assert [loads.look(float(at), sight(500 - 50 * at, 10 * at)) for at in range(8)] == [None] * 8


def test_after_new_workers_everything_is_seen_anew():
    loads = Loads()
    found = [loads.look(float(at), sight(20 * at, 30 * at, ready=2 + at // 2)) for at in range(12)]
    assert found == [None] * 12


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60)), min_size=1, max_size=30), st.integers(1, 12))
def test_never_more_than_allowed_nor_fewer_than_there_are(steps, most):
    loads, arrivals = Loads(), 0
    for at, (waiting, come) in enumerate(steps):
        arrivals += come
        finding = loads.look(float(at), sight(waiting, arrivals, ready=1, most=most))
        assert finding is None or 1 < finding.workers <= min(most, 2)
