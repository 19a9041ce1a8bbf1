"""What is done about findings, and how often: with a time of our own."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.anomalies.policy import OBSERVING, Policy
from bridge.anomalies.records import KINDS, Finding, PoolSight, Rules, WorkerSight
from bridge.anomalies.words import in_words

RULES = Rules(cooldown_s=100.0, window_s=60.0)
SLOW = Finding(kind="slow_worker", action="recycle", worker="w-1", function="work", cause="it takes long")


def sight(size=4, recycled=()):
    workers = (
        WorkerSight(id=f"w-{number}", ready=True, recycle="x" if f"w-{number}" in recycled else "")
        for number in range(1, size + 1)
    )
    return PoolSight(name="rig", workers=tuple(workers), target=size, most=size)


def on(worker, kind="slow_worker"):
    return dataclasses.replace(SLOW, worker=worker, kind=kind)


def acts(policy, times, finding=SLOW, size=4):
    """The times at which something is done, of those at which it is found."""
    found = [(at, policy.decide(at, "act", finding, sight(size))) for at in times]
    return [at for at, anomaly in found if anomaly is not None and anomaly.acted]


def test_an_observed_pool_is_told_once_in_a_cooldown():
    policy = Policy(RULES)
    told = [policy.decide(float(at), "observe", SLOW, sight()) for at in range(250)]
    assert [at for at, anomaly in enumerate(told) if anomaly is not None] == [0, 100, 200]
    assert (told[0].acted, told[0].held) == (False, OBSERVING)
    assert in_words(told[0]) == (
        "worker w-1 is slow: it takes long; it would be replaced, but the pool is only observed"
    )


def test_a_quarter_of_a_pool_in_a_cooldown():
    policy = Policy(RULES)
    decided = [policy.decide(0.0, "act", on(f"w-{number}"), sight(8)) for number in range(1, 6)]
    assert [anomaly.acted for anomaly in decided] == [True, True, False, False, False]
    assert decided[2].held == "the last action was 0 s ago; the next may be in 100 s"


def test_never_twice_within_a_cooldown_which_doubles_where_it_did_not_help():
    assert acts(Policy(RULES), [float(at) for at in range(1600)]) == [0, 100, 300, 700, 1500]


def test_all_kinds_of_replacement_share_a_cooldown():
    policy = Policy(RULES)
    assert acts(policy, [0.0]) == [0]
    assert acts(policy, [50.0], on("w-2", "failing_worker")) == []
    assert acts(policy, [101.0], on("w-2", "failing_worker")) == [101]


def test_after_a_quiet_time_a_cooldown_is_short_again():
    policy = Policy(RULES)
    acts(policy, [0.0, 100.0, 300.0])
    assert acts(policy, [300 + 1600.0, 300 + 1700.0]) == [1900, 2000]


def test_one_that_is_being_replaced_is_no_news():
    assert Policy(RULES).decide(0.0, "act", SLOW, sight(recycled=("w-1",))) is None


def test_memory_waits_for_a_window_only_and_does_not_double():
    leak = dataclasses.replace(SLOW, kind="memory_trend")
    assert acts(Policy(RULES), [float(at) for at in range(300)], leak) == [0, 60, 120, 180, 240]


def test_each_function_has_a_breaker_of_its_own():
    policy = Policy(RULES)
    first, second = (
        Finding(kind="failing_function", action="open_breaker", function=name, cause="") for name in ("a", "b")
    )
    assert acts(policy, [0.0, 50.0, 100.0, 150.0, 200.0], first) == [0, 100, 200]
    assert acts(policy, [60.0], second) == [60]


def test_workers_are_added_whenever_they_are_needed():
    more = Finding(kind="rising_wait", action="scale_up", workers=6, cause="many come")
    policy = Policy(RULES)
    assert acts(policy, [0.0, 1.0, 2.0], more) == [0, 1, 2]
    assert in_words(policy.decide(3.0, "act", more, sight())) == (
        "the queue grows: many come; the pool is to get 6 workers"
    )


def test_what_nobody_can_help_is_told():
    policy = Policy(RULES)
    slow = Finding(kind="slow_function", action="none", function="work", cause="its calls take long")
    told = policy.decide(0.0, "act", slow, sight())
    assert not told.acted
    assert in_words(told) == "function 'work' is slow: its calls take long; nothing is done about it"
    assert policy.decide(50.0, "act", slow, sight()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words(kind):
    finding = Finding(kind=kind, action="none", worker="w-1", function="work", provider="someone", cause="a cause")
    assert "a cause" in in_words(Policy(RULES).decide(0.0, "observe", finding, sight()))


FINDINGS = st.tuples(st.integers(1, 12), st.sampled_from(["slow_worker", "failing_worker"]))


@given(st.lists(st.tuples(st.floats(0.1, 80.0), FINDINGS), max_size=80), st.integers(1, 12))
def test_whatever_is_found_no_more_is_replaced_than_a_quarter_in_any_cooldown(steps, size):
    policy, now, done = Policy(RULES), 0.0, []
    for step, (number, kind) in steps:
        now += step
        anomaly = policy.decide(now, "act", on(f"w-{number}", kind), sight(size))
        if anomaly is not None and anomaly.acted:
            done.append(now)
    most = max(1, size // 4)
    for index, began in enumerate(done):
        within = [at for at in done[index:] if at < began + RULES.cooldown_s]
        assert len(within) <= most
