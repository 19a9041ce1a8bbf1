"""Figures of `bridge bench`: percentiles within a percent, when a rising load is enough, and the report's page."""

import random
import re
from collections import Counter
from xml.dom import minidom

import pytest

from bridge.cli.benchmark_figures import PARTS, Latencies, Split, Step, is_enough, saturation, shown_parts
from bridge.cli.benchmark_html import page


def step(goodput, p99_s=0.001, errors=0, concurrency=1, model_s=0.0):
    made = Step(concurrency=concurrency, seconds=1.0, errors=Counter({"UNAVAILABLE": errors} if errors else {}))
    for _ in range(goodput):
        made.latencies.add(p99_s)
        made.split.add(p99_s, p99_s / 2, p99_s / 8, p99_s / 8, model_s)
    return made


def test_percentiles_are_right_within_two_percent():
    chance = random.Random(1)
    values = [chance.lognormvariate(-6, 1.5) for _ in range(20_000)]
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    values.sort()
    for percent in (1, 50, 90, 99, 99.9):
        exact = values[max(0, -(-len(values) * percent // 100).__int__() - 1)]
        assert latencies.percentile(percent) == pytest.approx(exact, rel=0.02)
    assert latencies.percentile(100) == pytest.approx(values[-1])
    assert latencies.mean_s == pytest.approx(sum(values) / len(values))


def test_histograms_add_up():
    one, two, both = Latencies(), Latencies(), Latencies()
    for index in range(100):
        (one if index % 2 else two).add(index / 1000)
        both.add(index / 1000)
    one.merge(two)
    assert one.curve() == both.curve()
    assert (one.count, one.max_s) == (100, 0.099)


def test_nothing_has_no_percentiles():
    assert Latencies().percentile(99) == 0
    assert Split().means() is None
    assert Step(concurrency=1).goodput == 0


def test_the_parts_of_a_call_add_up_to_its_latency():
    split = Split()
    split.add(latency_s=1.0, total_s=0.9, queue_s=0.1, worker_s=0.5, model_s=0.3)
    means = split.means()
    assert means == pytest.approx({"queue": 0.1, "worker": 0.2, "model": 0.3, "front": 0.3, "transfer": 0.1})
    assert sum(means.values()) == pytest.approx(1.0)


def test_a_model_is_a_part_only_of_calls_that_ask_one():
    assert "model" not in shown_parts([step(10)])
    assert shown_parts([step(10), step(10, model_s=0.0001)]) == list(PARTS)


@pytest.mark.parametrize(
    ("steps", "enough"),
    [
        ([step(100)], False),
        ([step(100), step(190)], False),
        ([step(100), step(190), step(195)], False),
        ([step(100), step(190), step(195), step(196)], True),
        ([step(100), step(100), step(190)], False),
        ([step(100), step(101, p99_s=0.03)], True),
        ([step(100), step(190, p99_s=0.03)], False),
        ([step(100), step(190, errors=20)], True),
        ([step(0)], True),
    ],
    ids=["one", "grows", "once", "twice", "again", "exploded", "slow but grows", "errors", "nothing"],
)
def test_when_it_is_enough(steps, enough):
    assert is_enough(steps) is enough


def test_the_smallest_load_that_does_it_is_where_it_saturates():
    steps = [step(100, concurrency=1), step(195, concurrency=2), step(200, concurrency=4)]
    assert saturation(steps).concurrency == 2
    assert saturation([step(0)]) is None


def test_the_page_needs_nothing_from_anywhere_and_escapes_what_it_shows():
    steps = [step(50), step(60, errors=3), step(0)]
    name = "host:1 <script>alert(1)</script>"
    target = {"address": name, "steps": [one.as_fields() for one in steps], "saturation": None}
    report = {"function": "f<b>", "request_bytes": 10, "loop": "closed", "targets": [target]}
    text = page(report, {name: steps})
    assert "<script>alert" not in text
    assert "f<b>" not in text.replace("\\u003c", "<") or "f&lt;b&gt;" in text
    assert not re.search(r'(src|href|url)\s*[=(]\s*["\']?http', text)
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 5
    assert "<td>-</td>" in text, "a step without an answer has no percentiles"
    for plot in plots:
        minidom.parseString(plot)
        assert "nan" not in plot
