"""The fronts' figures as Prometheus metrics. Owns nothing and counts nothing. Needs the extra `prometheus`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from bridge.fronts.fronts import Fronts

_FRONT = ("front",)


def families(fronts: Fronts) -> list[Metric]:
    """Return everything that is told of fronts, as it stands now. For the event loop's thread."""
    serving = GaugeMetricFamily("bridge_front_serving", "1 for a front that takes connections.", labels=_FRONT)
    calls = CounterMetricFamily("bridge_front_calls", "Requests that a front has taken.", labels=_FRONT)
    open_calls = GaugeMetricFamily("bridge_front_open_calls", "Requests of a front without an answer.", labels=_FRONT)
    cpu = CounterMetricFamily("bridge_front_cpu_seconds", "Processor time of a front.", labels=_FRONT)
    memory = GaugeMetricFamily("bridge_front_rss_bytes", "Resident memory of a front.", labels=_FRONT)
    lag = GaugeMetricFamily(
        "bridge_front_loop_lag_seconds",
        "Worst delay of a front's event loop in the last one to two minutes.",
        labels=_FRONT,
    )
    delay = GaugeMetricFamily(
        "bridge_front_link_delay_seconds", "How long a front's last figures took to reach the server.", labels=_FRONT
    )
    for front in fronts.fronts:
        label = (front.name,)
        serving.add_metric(label, float(front.state == "serving"))
        calls.add_metric(label, front.calls)
        open_calls.add_metric(label, front.open_calls)
        if (figures := front.figures) is not None:
            cpu.add_metric(label, figures.cpu_s)
            memory.add_metric(label, figures.rss_bytes)
            lag.add_metric(label, figures.loop_lag_s)
            delay.add_metric(label, front.link_delay_s)
    restarts = CounterMetricFamily(
        "bridge_front_restarts", "Fronts that ended although they were to serve.", value=fronts.restarts
    )
    return [serving, calls, open_calls, cpu, memory, lag, delay, restarts]
