"""The figures of routes and circuit breakers as Prometheus metrics.

Owns nothing and counts nothing. Labels are names from the configuration and the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bridge.routing.breakers import State

if TYPE_CHECKING:
    from bridge.attempts.counters import RouteCounters
    from bridge.routing.breakers import Breakers
    from bridge.routing.parts import RouteParts


def route_families(routes: RouteParts, changes: Mapping[tuple[str, str], int]) -> Iterable[Metric]:
    """Return everything that is told; `changes` counts those of breakers by key and new state."""
    yield from _breakers(routes.breakers, changes)
    if routes.runner is not None:
        yield from _routes(routes.runner.counters)


def _breakers(breakers: Breakers, changes: Mapping[tuple[str, str], int]) -> Iterable[Metric]:
    state = GaugeMetricFamily(
        "bridge_breaker_state", "1 for the state that a circuit breaker is in.", labels=("breaker", "state")
    )
    refused = CounterMetricFamily(
        "bridge_breaker_refused", "Calls that a circuit breaker has refused.", labels=("breaker",)
    )
    for one in breakers.snapshot():
        for each in State:
            state.add_metric((one.key, each.value), float(one.state is each))
        refused.add_metric((one.key,), one.refused)
    changed = CounterMetricFamily(
        "bridge_breaker_changes",
        "How often circuit breakers have changed, by their new state.",
        labels=("breaker", "state"),
    )
    for (key, new), count in sorted(changes.items()):
        changed.add_metric((key, new), count)
    return state, refused, changed


def _routes(counters: RouteCounters) -> Iterable[Metric]:
    return (
        _counter(
            "bridge_route_attempts",
            "Attempts at calls of routes, by how they ended.",
            ("route", "alternative", "outcome"),
            counters.attempts,
        ),
        _counter(
            "bridge_route_retries",
            "Attempts after a failure that were made, or were not as the budget was spent.",
            ("route", "outcome"),
            counters.retries,
        ),
        _counter(
            "bridge_route_hedges",
            "Second attempts beside the first that won or lost against it, or were not made as the budget was spent.",
            ("route", "outcome"),
            counters.hedges,
        ),
        _counter(
            "bridge_route_fallbacks",
            "Calls that fell back to another function or model.",
            ("route", "alternative"),
            counters.fallbacks,
        ),
        _counter(
            "bridge_route_copies",
            "Copies of calls for comparison, by how their answers compare.",
            ("route", "alternative", "outcome"),
            counters.copies,
        ),
    )


def _counter(
    name: str, about: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family
