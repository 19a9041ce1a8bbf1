"""The benchmark itself: that it notices refused calls, divides like with like, and keeps bench.json's form."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCH = Path(__file__).resolve().parent
SUMMARY = """\
requests: 100 total, 100 started, 100 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
traffic: 713.84KB (730976) total, 49.89KB (51090) headers (space savings 96.29%), 149.46KB ({data}) data
"""


@pytest.fixture
def bench(monkeypatch):
    """The benchmark's modules, which run as scripts and so are no package."""
    monkeypatch.syspath_prepend(str(BENCH))
    names = ("scenarios", "generators", "goals", "results", "run_streams", "embeddings_bench", "run")
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        sys.modules.pop(name, None)


def test_replies_of_the_right_size_pass(bench):
    bench.generators.check_replies(SUMMARY.format(succeeded=100, failed=0, data=100 * 127 + 64), 127, 16)


@pytest.mark.parametrize(
    ("succeeded", "failed", "data"),
    [(100, 0, 0), (100, 0, 99 * 127), (100, 0, 100 * 150), (99, 1, 100 * 127), (0, 0, 0)],
    ids=["every call refused", "one call refused", "longer replies", "one call failed", "no calls"],
)
def test_other_replies_are_an_error(bench, succeeded, failed, data):
    with pytest.raises(bench.generators.LoadError):
        bench.generators.check_replies(SUMMARY.format(succeeded=succeeded, failed=failed, data=data), 127, 16)


def test_the_warm_up_does_not_count(bench):
    slow = [f"{1_000_000 + 100_000 * index}\t200\t90000" for index in range(2)]
    fast = [f"{1_300_000 + 10_000 * index}\t200\t1000" for index in range(50)]
    result = bench.generators.evaluate(slow + fast, 1.0)
    assert result.calls_per_s == pytest.approx(50)
    assert result.p50_s == pytest.approx(0.001)


def test_a_figure_is_the_median_of_the_rounds_own_ratios(bench):
    def one_round(bare, pooled):
        result = bench.generators.Result
        return {
            ("c16", "bare"): result(calls_per_s=bare, p50_s=0.1),
            ("c16", "pooled"): result(calls_per_s=pooled, p50_s=0.1),
        }

    rounds = [one_round(1000, 800), one_round(10, 9), one_round(500, 300)]
    values = bench.results.figure_values(rounds)
    assert set(values) == {"pooled_echo_c16"}
    value = values["pooled_echo_c16"]
    assert (value.value, value.low, value.high, value.runs) == (0.8, 0.6, 0.9, 3)


def test_a_latency_ratio_must_be_low_and_a_rate_high(bench):
    latency, rate = bench.goals.GOALS["pooled_p50_c1"], bench.goals.GOALS["pooled_echo_c16"]
    assert [latency.verdict(value) for value in (1.3, 1.4, 1.6)] == ["aim met", "met", "MISSED"]
    assert [rate.verdict(value) for value in (0.9, 0.81, 0.7)] == ["aim met", "met", "MISSED"]
    assert bench.goals.GOALS["bare_1000"].verdict(0.1) == ""
    value = bench.results.Value
    values = {"pooled_p50_c1": value(value=1.6, low=1, high=2), "pooled_echo_c16": value(value=0.9, low=0, high=1)}
    assert bench.results.missed(values) == ["pooled_p50_c1"]


def test_every_figure_has_its_goal_and_every_goal_a_part_that_measures_it(bench):
    measured = {figure.name for figure in bench.scenarios.FIGURES}
    for names in bench.run.FIGURES_OF.values():
        measured |= set(names)
    assert measured | {"front_memory_100k"} == set(bench.goals.GOALS)
    assert {figure.name for figure in bench.run_streams.FIGURES} == set(bench.run.FIGURES_OF["streams"])
    assert set(bench.embeddings_bench.FIGURES) == set(bench.run.FIGURES_OF["embeddings"])
    assert set(bench.run.FIGURES_OF) | {"echo"} == set(bench.run.PARTS)


def test_a_part_that_fails_leaves_its_figures_out_by_name(bench):
    value = bench.results.Value(value=1.1, low=1.0, high=1.2)
    ran = ["echo", "clients", "memory"]
    gone = bench.run.absent({"echo": "FAILED", "memory": "FAILED"}, {"client_python_p50": value}, ran)
    assert gone["pooled_echo_c16"] == gone["front_memory"] == "FAILED"
    assert gone["client_go_p50"] == "not here"
    assert not {"multiplex_50", "client_python_p50"} & gone.keys()


def test_every_figure_names_a_load_that_its_contender_runs(bench):
    loads = {load.name: load for load in bench.scenarios.LOADS}
    for figure in bench.scenarios.FIGURES:
        if figure.load:
            assert {figure.contender, bench.scenarios.BARE} <= set(loads[figure.load].contenders), figure.name
        if figure.base is not None:
            assert figure.contender in loads[figure.base].contenders, figure.name


def test_a_figure_with_a_base_is_divided_by_its_own_result_under_that(bench):
    result = bench.generators.Result
    rates = {("c16", "bare"): 1000, ("c16", "pooled"): 800, ("c1000", "bare"): 500, ("c1000", "pooled"): 600}
    round_ = {key: result(calls_per_s=rate, p50_s=0.1) for key, rate in rates.items()}
    values = bench.results.figure_values([round_])
    assert values["queue_1000"].value == 0.75
    assert values["bare_1000"].value == 0.5


def test_bench_json_keeps_the_figures_of_others(bench, tmp_path):
    path = tmp_path / "bench.json"
    other = {"value": 1.0, "low": 0.9, "high": 1.1, "target": None}
    path.write_text(json.dumps({"commit": "abc", "machine": "m", "figures": {"other": other}}))
    value = bench.results.Value(value=0.8, low=0.7, high=0.9, runs=9)
    bench.results.write(path, {"pooled_echo_c16": value}, commit="abc", machine="m")
    entry = {"value": 0.8, "low": 0.7, "high": 0.9, "runs": 9, "target": 0.8, "aim": 0.87}
    entry |= {"better": "higher", "met": True}
    assert json.loads(path.read_text()) == {
        "commit": "abc",
        "machine": "m",
        "figures": {"other": other, "pooled_echo_c16": entry},
    }
    bench.results.write(path, {}, commit="def", machine="m")
    assert json.loads(path.read_text())["figures"] == {}, "figures of another commit must not be passed on"


@pytest.mark.parametrize("generator", ["grpc", "h2load"])
def test_bare_against_bare(generator):
    """One short run of everything but the bridge: servers start, answer, are measured, and are gone at the end."""
    if generator == "h2load" and not any(Path(folder, "h2load").exists() for folder in os.get_exec_path()):
        pytest.skip("h2load is not installed (Debian: nghttp2-client)")
    options = ["--calibrate", "--rounds", "1", "--duration", "0.5", "--load", "c16", "--generator", generator]
    command = [sys.executable, str(BENCH / "run.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pooled_echo_c16" in done.stdout
