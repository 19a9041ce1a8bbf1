"""The doors' figures as Prometheus metrics. Owns nothing and counts nothing. Needs the extra `prometheus`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from bridge.doors.tls import Tls
    from bridge.doors.unix_door import UnixDoor


def families(tls: Tls | None, door: UnixDoor | None) -> list[Metric]:
    """Return what is told of TLS and of the unix socket, where they are."""
    found: list[Metric] = []
    if tls is not None:
        state = tls.state
        found += [
            GaugeMetricFamily(
                "bridge_tls_certificate_end_timestamp_seconds",
                "When the certificate that is served ends.",
                value=state.validity.not_after,
            ),
            GaugeMetricFamily(
                "bridge_tls_files_rejected", "1 while the files can not be served.", value=float(bool(state.problem))
            ),
            CounterMetricFamily("bridge_tls_renewals", "Certificates served after the first.", value=state.renewals),
            CounterMetricFamily(
                "bridge_tls_rejections", "Changes of the files that could not be served.", value=state.failures
            ),
        ]
    if door is not None:
        refused = CounterMetricFamily(
            "bridge_unix_refused_connections", "Connections of users who may not connect.", value=door.refused
        )
        found.append(refused)
    return found
