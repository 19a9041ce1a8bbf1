"""How two sets of service times are compared, and what a trend is: against the definitions, counted out by hand."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.anomalies.histogram import PER_OCTAVE, bucket, compare, excess, median_s
from bridge.anomalies.history import CELLS, PAST_MOST, SLOTS, Cell, History
from bridge.anomalies.trend import POINTS, MemoryTrend, agreement, slope

KEYS = st.dictionaries(st.integers(-40, 40), st.integers(1, 20).map(float), min_size=1, max_size=12)
MIB = 1 << 20


def expanded(counts):
    return [key for key, count in counts.items() for _ in range(int(count))]


def by_definition(left, right):
    """The Mann-Whitney score of two lists: every pair looked at, ties counted as halves."""
    wins = sum((a > b) + (a == b) / 2 for a in left for b in right)
    both = left + right
    m, n, total = len(left), len(right), len(both)
    ties = sum(both.count(value) ** 3 - both.count(value) for value in set(both))
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    return (wins - m * n / 2) / math.sqrt(variance) if variance > 0 else 0.0


@given(KEYS, KEYS)
def test_the_score_of_one_stratum_is_the_rank_test(left, right):
    found = compare([(left, right)])
    assert found.score == pytest.approx(by_definition(expanded(left), expanded(right)), abs=1e-6)


@given(st.lists(st.tuples(KEYS, KEYS), min_size=1, max_size=4))
def test_left_and_right_are_opposites(pairs):
    one, other = compare(pairs), compare([(right, left) for left, right in pairs])
    assert one.score == pytest.approx(-other.score, abs=1e-6)
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert (one.left, one.left_s) == (other.right, other.right_s)


@given(st.lists(st.tuples(KEYS, KEYS), min_size=1, max_size=4), st.integers(-30, 30))
def test_a_faster_machine_changes_nothing(pairs, shift):
    moved = [tuple({key + shift: count for key, count in side.items()} for side in pair) for pair in pairs]
    one, other = compare(pairs), compare(moved)
    assert other.score == pytest.approx(one.score, abs=1e-6)
    assert other.ratio == pytest.approx(one.ratio)


def test_one_outlier_weighs_no_more_than_any_call():
    quiet = {bucket(0.01): 100.0}
    assert compare([({**quiet, bucket(3600): 1.0}, quiet)]).score < 2
    assert compare([({**quiet, bucket(3600): 1.0}, quiet)]).ratio == pytest.approx(1.0, abs=0.01)


def test_other_work_is_no_other_speed():
    """A worker with many slow calls and few quick ones is as fast as its siblings, stratum by stratum."""
    quick, slow = bucket(0.001), bucket(1.0)
    mostly_slow = [({quick: 5.0}, {quick: 95.0}), ({slow: 95.0}, {slow: 5.0})]
    assert compare(mostly_slow).score == 0
    assert compare(mostly_slow).ratio == 1
    mixed = compare([({quick: 5.0, slow: 95.0}, {quick: 95.0, slow: 5.0})])
    assert mixed.score > 10, "thrown together it would look sick"


def test_nothing_to_compare():
    assert compare([]) is None
    assert compare([({}, {1: 3.0}), ({2: 3.0}, {})]) is None


@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=50))
def test_a_median_is_right_to_within_a_bucket(values):
    counts = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0.0) + 1
    low, high = statistics.median_low(values), statistics.median_high(values)
    width = 2 ** (1 / PER_OCTAVE)
    assert low / width <= median_s(counts) <= high * width


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, -3.5, 3.5), (2.0, 4.0, 30.0)])
def test_scores_are_standard_deviations(scale, least, most):
    source = random.Random(7)

    def counts(factor):
        made = {}
        for _ in range(100):
            key = bucket(0.02 * factor * math.exp(source.gauss(0, 0.6)))
            made[key] = made.get(key, 0.0) + 1
        return made

    scores = [compare([(counts(scale), counts(1.0))]).score for _ in range(50)]
    assert all(least < score < most for score in scores)
    if scale == 1.0:
        assert 0.7 < statistics.pstdev(scores) < 1.4


def test_more_failures_than_chance_gives():
    assert excess([(100, 5, 300, 15)]) == 0
    assert excess([(100, 50, 300, 15)]) > 8
    assert excess([(100, 0, 300, 100)]) < -5
    assert excess([(0, 0, 300, 100), (10, 0, 0, 0), (50, 50, 50, 50)]) == 0, "they say nothing"


def test_a_function_that_fails_everywhere_is_no_fault_of_who_runs_it_most():
    assert abs(excess([(90, 81, 10, 9), (10, 0, 290, 0)])) < 0.1


# -- history -----------------------------------------------------------------------------------------------------------


def test_what_is_older_than_a_window_is_the_past_and_fades():
    cell = Cell()
    for _ in range(8):
        cell.add(0, 5)
    assert cell.recent(0, SLOTS) == {5: 8}
    assert cell.past(0) == {}
    cell.turn(SLOTS)
    assert cell.recent(SLOTS, SLOTS) == {}
    assert cell.past(SLOTS) == {5: 8}
    later = SLOTS + 10 * SLOTS
    assert cell.past_sums(later) == pytest.approx((4.0, 20.0))
    assert cell.past(later)[5] == pytest.approx(4.0)
    assert cell.past(later - 1)[5] == pytest.approx(4.0), "a look back changes nothing"
    assert cell.past_sums(later).calls == pytest.approx(4.0)
    assert not cell.is_empty(later)
    assert cell.is_empty(SLOTS * 500)


def test_the_past_weighs_no_more_than_it_may():
    cell = Cell()
    for _ in range(5000):
        cell.add(0, 5)
    cell.turn(SLOTS)
    assert cell.past(SLOTS) == {5: pytest.approx(PAST_MOST)}
    assert cell.past_sums(SLOTS) == pytest.approx((PAST_MOST, 5 * PAST_MOST))


def test_the_last_slots_only():
    cell = Cell()
    for number in range(6):
        cell.add(number, number)
    assert cell.recent(5, 2) == {4: 1, 5: 1}


def test_strata_and_workers_are_bounded():
    history, workers = History(), [f"w-{number}" for number in range(100)]
    history.turn(0, workers)
    for number in range(50):
        history.add(0, "w-1", (f"f{number}", 1), 0)
    assert len(history.cells["w-1"]) == CELLS // len(workers)
    history.turn(SLOTS * 2, workers)
    history.add(SLOTS * 2, "w-1", ("later", 1), 0)
    assert ("later", 1) in history.cells["w-1"], "what is not called any more makes room"
    history.turn(SLOTS * 2 + 1, [])
    assert history.cells == {}


# -- trend -------------------------------------------------------------------------------------------------------------


def test_a_slope_is_not_bent_by_peaks():
    points = [(float(at), 3.0 * at) for at in range(20)]
    points[7] = (7.0, 1e9)
    points[13] = (13.0, -1e9)
    assert slope(points) == pytest.approx(3.0)


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=12, unique=True))
def test_agreement_is_of_the_order_alone(values):
    points = list(enumerate(values))
    assert agreement(points) == pytest.approx(-agreement([(at, -value) for at, value in points]))
    assert agreement(points) == pytest.approx(agreement([(at, value**3) for at, value in points]))


def grown(values, window_s=60.0, step_s=2.0):
    trend = MemoryTrend(window_s)
    for number, value in enumerate(values):
        assert trend.add(number * step_s, int(value))
    return trend


def test_a_leak_is_foreseen():
    forecast = grown([(100 + 4 * number) * MIB for number in range(20)]).forecast(200 * MIB)
    assert forecast.bytes_s == pytest.approx(2 * MIB)
    assert forecast.left_s == pytest.approx((200 - 176) / 2)


def test_shared_pages_are_no_memory_of_its_own():
    trend = grown([(100 + 4 * number) * MIB for number in range(20)])
    trend.shared_bytes = 50 * MIB
    assert trend.forecast(200 * MIB).left_s == pytest.approx((200 - 126) / 2)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([100 * MIB] * 30, id="flat"),
        pytest.param([(200 - number) * MIB for number in range(30)], id="falls"),
        pytest.param([(100 + 80 * (number % 5)) * MIB for number in range(30)], id="a sawtooth of collections"),
        pytest.param([100 * MIB] * 28 + [180 * MIB] * 2, id="a step"),
        pytest.param([100 * MIB] * 5, id="too few"),
    ],
)
def test_what_is_no_trend(values):
    forecast = grown(values).forecast(200 * MIB)
    assert forecast is None or forecast.left_s > 300


def test_a_cache_that_fills_is_taken_by_its_last_slope():
    values = [(100 + 90 * (1 - math.exp(-number / 5))) * MIB for number in range(30)]
    forecast = grown(values).forecast(200 * MIB)
    assert forecast is None or forecast.left_s > 60


def test_samples_that_come_too_often_are_passed_over():
    trend = MemoryTrend(60.0)
    taken = [trend.add(number * 0.1, MIB) for number in range(600)]
    assert sum(taken) == pytest.approx(POINTS, abs=5)
    assert not trend.add(1e6, 0), "a worker that has gone"
