"""What is told of calls that are placed by measurement, as Prometheus metrics. Owns nothing; needs `prometheus`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

if TYPE_CHECKING:
    from bridge.auto.counters import AutoCounters


def auto_families(counters: AutoCounters) -> list[Metric]:
    """Return the counters as they stand now. There is a series for each function with placement auto."""
    return [_decisions(counters), _errors(counters), _copies(counters), _overruns(counters), *_regret(counters)]


def _decisions(counters: AutoCounters) -> Metric:
    decisions = CounterMetricFamily(
        "bridge_auto_decisions",
        "Calls that were placed by measurement, by where they went and why.",
        labels=("function", "route", "why"),
    )
    for (function, way, why), count in sorted(counters.decisions.items()):
        decisions.add_metric((function, way, why.value), count)
    return decisions


def _errors(counters: AutoCounters) -> Metric:
    errors = HistogramMetricFamily(
        "bridge_auto_prediction_error_ratio",
        "How far the predicted time of a call was off, as a part of the time that it took.",
        labels=("function", "route"),
    )
    for (function, way), histogram in sorted(counters.errors.items()):
        errors.add_metric((function, way), histogram.buckets(), histogram.sum)
    return errors


def _copies(counters: AutoCounters) -> Metric:
    copies = CounterMetricFamily(
        "bridge_auto_copies",
        "Calls that were run a second time on the way that was not taken, by that way and what became of them.",
        labels=("function", "route", "outcome"),
    )
    for (function, way, outcome), count in sorted(counters.copies.items()):
        copies.add_metric((function, way, outcome), count)
    return copies


def _overruns(counters: AutoCounters) -> Metric:
    overruns = CounterMetricFamily(
        "bridge_auto_overruns",
        "Calls that held up the front for longer than native.max_p99_ms.",
        labels=("function",),
    )
    for function, count in sorted(counters.overruns.items()):
        overruns.add_metric((function,), count)
    return overruns


def _regret(counters: AutoCounters) -> tuple[Metric, Metric, Metric]:
    compared = CounterMetricFamily(
        "bridge_auto_compared", "Calls whose copy was answered on the other way.", labels=("function",)
    )
    taken = CounterMetricFamily("bridge_auto_compared_seconds", "What these calls took.", labels=("function",))
    regret = CounterMetricFamily(
        "bridge_auto_regret_seconds",
        "Of that, what would have been saved had each gone the quicker of the two ways.",
        labels=("function",),
    )
    for function, count in sorted(counters.compared.items()):
        compared.add_metric((function,), count)
        taken.add_metric((function,), counters.taken_s[function])
        regret.add_metric((function,), counters.regret_s[function])
    return compared, taken, regret
