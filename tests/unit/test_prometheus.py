"""What becomes of counts as metrics: bounded series, names as they are, valid text whatever a label holds."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bridge.auto.choice import Why
from bridge.auto.counters import AutoCounters
from bridge.prometheus import families as prometheus
from bridge.prometheus.auto import auto_families
from bridge.prometheus.calls import SERIES
from bridge.receipts.tallies import Tally
from bridge.telemetry import Telemetry, exit_class
from pool.events import WorkerExited, WorkerSuspended
from pool.exits import ExitReport, Killed, out_of_memory

LABELS = ("function", "route", "pool", "code", "cause", "why", "outcome", "event", "le")


class Collector:
    def __init__(self, telemetry, auto):
        self._telemetry = telemetry
        self._auto = auto

    def collect(self):
        return [*prometheus.families({}, self._telemetry, 0.5), *auto_families(self._auto)]


def samples(telemetry, auto=None):
    registry = CollectorRegistry()
    registry.register(Collector(telemetry, auto or AutoCounters()))
    text = generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {key_of(one): one.value for family in families for one in family.samples}


def called(telemetry, counts):
    for name, codes in counts.items():
        telemetry.tallies.functions[name] = Tally()
        telemetry.tallies.functions[name].codes |= codes


def key_of(sample):
    """The name, then the labels in an order that says what they are."""
    return (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels))


def test_too_many_functions_count_together():
    telemetry = Telemetry()
    called(telemetry, {f"f{number}": {0: number} for number in range(1, SERIES + 11)})
    found = samples(telemetry)
    calls = {key[1]: value for key, value in found.items() if key[0] == "bridge_calls_total"}
    assert len(calls) == SERIES + 1
    assert calls["other"] == sum(range(1, 11)), "those that are called least"
    assert sum(calls.values()) == sum(telemetry.tallies.calls.values()), "no call is lost"


def test_a_code_of_a_function_that_counts_as_other():
    telemetry = Telemetry()
    called(telemetry, {f"f{number}": {0: 10} for number in range(SERIES)} | {"rare": {13: 1}})
    assert samples(telemetry)["bridge_calls_total", "other", "INTERNAL"] == 1


def test_hostile_labels_are_valid_text():
    telemetry = Telemetry()
    name = 'a"} 1\nforged{x="y\\ \N{PILE OF POO}'
    called(telemetry, {name: {0: 3}})
    telemetry.exits[name, "signal"] = 2
    telemetry.pool_event(WorkerSuspended(pool=name, worker="w"))
    telemetry.retries[name, True] = 4
    found = samples(telemetry)
    assert found["bridge_pool_events_total", name, "suspended"] == 1
    assert found["bridge_call_retries_total", name, "ok"] == 4
    assert found["bridge_calls_total", name, "OK"] == 3
    assert found["bridge_worker_exits_total", name, "signal"] == 2
    assert not [key for key in found if key[0] == "forged"]


@pytest.mark.parametrize(
    ("killed", "label"),
    [
        (None, "signal"),
        (Killed(why="hung", kind="hung"), "hung"),
        (Killed(why="late", kind="overdue"), "overdue"),
        (Killed(why="bad frame", protocol=True), "protocol"),
        (out_of_memory(5, 4), "memory"),
        (out_of_memory(5, None), "memory"),
    ],
)
def test_ends_are_counted_by_their_cause(killed, label):
    report = ExitReport(
        worker="w", pid=1, cause="c", signal="SIGKILL", exit_code=None, stderr_tail="", exited_at=0.0, killed=killed
    )
    assert exit_class(WorkerExited(pool="p", worker="w", expected=False, report=report)) == label


def test_placement_by_measurement():
    counters = AutoCounters()
    counters.decisions["f", "native", Why.NATIVE_FASTER] = 3
    counters.decisions["f", "pooled", Why.OVER_LIMIT] = 2
    counters.predicted("f", "native", 0.003, 0.002)
    counters.predicted("f", "native", 0.002, 0.002)
    counters.copies["f", "pooled", "gave_way"] = 1
    counters.overruns["f"] = 4
    counters.comparison("f", 0.003, 0.001)
    counters.comparison("f", 0.001, 0.005)
    found = samples(Telemetry(), counters)
    assert found["bridge_auto_decisions_total", "f", "native", "native_faster"] == 3
    assert found["bridge_auto_decisions_total", "f", "pooled", "over_limit"] == 2
    assert found["bridge_auto_prediction_error_ratio_bucket", "f", "native", "0.35"] == 1
    assert found["bridge_auto_prediction_error_ratio_bucket", "f", "native", "0.5"] == 2
    assert found["bridge_auto_prediction_error_ratio_sum", "f", "native"] == pytest.approx(0.5)
    assert found["bridge_auto_copies_total", "f", "pooled", "gave_way"] == 1
    assert found["bridge_auto_overruns_total", "f"] == 4
    assert found["bridge_auto_compared_total", "f"] == 2
    assert found["bridge_auto_compared_seconds_total", "f"] == pytest.approx(0.004)
    assert found["bridge_auto_regret_seconds_total", "f"] == pytest.approx(0.002)
