"""Figures of ways: quantiles against numpy, fading with time and with calls, and bounds of memory."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.routing.stats import CLASSES, LEAST_S, Fading, RouteStats, class_bounds, joint_quantile, size_class
from pool.testing import FakeClock

SECONDS = st.floats(1e-6, 1e4, allow_nan=False)
FOREVER = 1e18


def fading_of(times, half_life_s=FOREVER, half_life_calls=FOREVER):
    fading = Fading(half_life_s, half_life_calls)
    for seconds in times:
        fading.add(seconds, 0.0)
    return fading


@settings(max_examples=200, deadline=None)
@given(times=st.lists(SECONDS, min_size=1, max_size=300), q=st.floats(0.0, 1.0))
def test_a_quantile_is_that_of_numpy_within_the_width_of_a_bucket(times, q):
    expected = np.quantile(times, q, method="inverted_cdf")
    found = fading_of(times).quantile(q)
    ranks = np.searchsorted(np.sort(times), [found / 1.026, found * 1.026]) / len(times)
    assert found == pytest.approx(expected, rel=0.026) or ranks[0] - 1e-6 <= q <= ranks[1] + 1e-6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SECONDS, st.floats(0.0, 30.0)), min_size=2, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_old_times_count_less_by_their_age(pairs, q):
    half_life_s, now = 20.0, 0.0
    fading, at = Fading(half_life_s, FOREVER), []
    for seconds, pause in pairs:
        now += pause
        fading.add(seconds, now)
        at.append(now)
    times = np.array([seconds for seconds, _ in pairs])
    weights = 2.0 ** ((np.array(at) - now) / half_life_s)
    order = np.argsort(times)
    part = np.cumsum(weights[order]) / weights.sum()
    found = fading.quantile(q)
    below = part[np.searchsorted(times[order], found * 1.026, side="right") - 1] if found * 1.026 >= times.min() else 0
    least = np.searchsorted(times[order], found / 1.026, side="left")
    above = part[least - 1] if least else 0.0
    assert above - 1e-5 <= q <= below + 1e-5
    assert fading.samples(now) == pytest.approx(weights.sum(), rel=1e-4)
    assert fading.mean == pytest.approx((weights * times).sum() / weights.sum(), rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.lists(SECONDS, min_size=1, max_size=200), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_several_quantiles_in_one_pass_are_those_that_are_asked_for_singly(times, wanted):
    fading = fading_of(times, 50.0, 100.0)
    assert fading.quantiles(tuple(sorted(wanted))) == tuple(fading.quantile(q) for q in sorted(wanted))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-4, 8e-4), min_size=1, max_size=100))
def test_what_is_usual_is_the_mean_where_nothing_is_far_off(times):
    fading = fading_of(times)
    assert fading.usual == pytest.approx(fading.mean, rel=0.026)


def test_what_is_far_off_counts_little_in_what_is_usual():
    fading = fading_of([0.001] * 9 + [5.0])
    assert fading.mean > 0.5
    assert fading.usual == pytest.approx((9 * 0.001 + 0.01) / 10, rel=0.03)
    assert fading_of([]).usual == 0.0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(SECONDS, min_size=1, max_size=60), min_size=1, max_size=3), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_of_several_streams_is_that_of_all_their_times(streams, q):
    together = fading_of([seconds for times in streams for seconds in times])
    assert joint_quantile(map(fading_of, streams), q, 0.0) == together.quantile(q)


def test_streams_count_in_a_joint_quantile_by_what_they_are_still_worth():
    old, new = Fading(half_life_s=1.0), Fading(half_life_s=1.0)
    for _ in range(100):
        old.add(5.0, 0.0)
    for _ in range(10):
        new.add(0.001, 10.0)
    assert joint_quantile((old, new), 0.9, 10.0) == pytest.approx(0.001, rel=0.03)
    assert joint_quantile((), 0.9, 10.0) is None


def test_many_calls_push_old_ones_out_without_time_passing():
    fading = fading_of([1.0] * 5000 + [0.001] * 2000, half_life_calls=100.0)
    assert fading.quantile(0.99) == pytest.approx(0.001, rel=0.03)
    assert fading.samples(0.0) == pytest.approx(100.0 / math.log(2), rel=0.02)


def test_what_is_known_is_worth_less_as_time_passes_and_says_the_same():
    fading = Fading(half_life_s=10.0)
    for number in range(100):
        fading.add(0.02, number * 0.001)
    before = fading.samples(0.1)
    assert fading.samples(10.1) == pytest.approx(before / 2)
    assert fading.quantile(0.5) == pytest.approx(0.02, rel=0.026)


def test_weights_stay_finite_over_years():
    fading = Fading(half_life_s=1.0)
    for number in range(3000):
        fading.add(0.001 if number % 2 else 0.004, number * 40.0)
    fading.add(0.004, 3000 * 40.0)
    assert fading.quantile(0.5) == pytest.approx(0.004, rel=0.026)
    assert fading.samples(3000 * 40.0) == pytest.approx(1.0, abs=0.01)
    assert len(fading._buckets) <= 2


def test_what_is_ages_old_counts_for_nothing():
    fading = fading_of([5.0] * 1000, half_life_s=1.0)
    assert fading.samples(1e9) == 0.0
    fading.add(0.001, 1e9)
    assert fading.quantiles((0.0, 1.0)) == pytest.approx((0.001, 0.001), rel=0.026)
    assert fading.mean == pytest.approx(0.001)


def test_buckets_are_bounded_by_the_range_of_times():
    fading = fading_of([10.0 ** (number / 300 - 12) for number in range(7200)])
    assert len(fading._buckets) <= 600
    assert fading.quantile(0.0) == pytest.approx(LEAST_S, rel=0.03)


def test_functions_and_ways_are_apart_and_failures_do_not_count_as_quick():
    stats = RouteStats(lambda: 0.0)
    for _ in range(3):
        stats.observe("f", "native", seconds=0.001, ok=True)
        stats.observe("f", "pool/general", seconds=0.004, ok=True, cost_usd=0.5)
    stats.observe("f", "pool/general", seconds=1e-5, ok=False, cost_usd=0.1)
    assert stats.quantile("f", "native", 0.5) == pytest.approx(0.001, rel=0.026)
    assert stats.quantile("f", "pool/general", 0.0) == pytest.approx(0.004, rel=0.026)
    assert stats.mean("f", "pool/general") == pytest.approx(0.004)
    assert stats.failure_rate("f", "pool/general") == pytest.approx(0.25, rel=1e-2)
    assert stats.failure_rate("f", "native") == 0.0
    assert stats.samples("f", "pool/general") == pytest.approx(4, rel=1e-2)
    assert stats.cost_usd("f", "pool/general") == pytest.approx(0.4, rel=1e-2)
    assert stats.cost_usd("f", "native") is None


def test_nothing_is_known_of_what_was_never_seen():
    stats = RouteStats(lambda: 0.0)
    stats.observe("g", "native", seconds=1.0, ok=False)
    for function in ("f", "g"):
        assert stats.quantile(function, "native", 0.5) is None
        assert stats.mean(function, "native") is None
    assert stats.failure_rate("f", "native") is None
    assert stats.samples("f", "native") == 0.0


def test_a_failure_rate_fades():
    clock = FakeClock()
    stats = RouteStats(clock.now, half_life_s=10.0)
    for _ in range(10):
        stats.observe("f", "a", seconds=1.0, ok=False)
    clock.turn(100.0)
    for _ in range(10):
        stats.observe("f", "a", seconds=1.0, ok=True)
    assert stats.failure_rate("f", "a") < 0.01


def test_sizes_are_told_apart_by_powers_of_two():
    stats = RouteStats(lambda: 0.0)
    for size in (100, 120, 1000, 0):
        stats.observe("f", "native", seconds=size / 1000 + 1e-3, ok=True, bytes_in=size)
    assert sorted(stats.sizes("f", "native")) == [7, 10]
    assert stats.sizes("f", "native")[7].quantile(1.0) == pytest.approx(0.121, rel=0.026)
    assert stats.times("f", "native").samples(0.0) == pytest.approx(4, rel=1e-2)
    assert stats.sizes("g", "native") == {}


@given(st.integers(0, 1 << 45))
def test_every_size_is_within_the_bounds_of_its_class(size):
    kind = size_class(size)
    least, most = class_bounds(kind)
    assert least <= size
    assert size <= most or kind == CLASSES - 1


def test_of_too_many_those_unused_longest_are_forgotten():
    stats = RouteStats(lambda: 0.0, keys=3)
    for function in ("a", "b", "c", "a", "d"):
        stats.observe(function, "native", seconds=1.0, ok=True)
    assert [stats.samples(function, "native") > 0 for function in "abcd"] == [True, False, True, True]
    stats.forget("a")
    assert stats.samples("a", "native") == 0.0
    assert stats.samples("d", "native") > 0
