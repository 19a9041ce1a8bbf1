"""The gate's figures as Prometheus metrics. Owns nothing. Needs the extra `prometheus`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from bridge.keys.gate import Gate

REASONS = ("CREDENTIALS_INVALID", "CREDENTIALS_MISSING", "CREDENTIALS_REVOKED", "ROLE_MISSING")


def families(gate: Gate) -> list[Metric]:
    """Return all of them as they stand now."""
    refused = CounterMetricFamily(
        "bridge_requests_refused", "Requests that were refused for their API key, by reason.", labels=("reason",)
    )
    for reason in REASONS:
        refused.add_metric((reason,), gate.refused[reason])
    keys = GaugeMetricFamily("bridge_api_keys", "API keys by state.", labels=("state",))
    for state, count in zip(("valid", "revoked"), gate.keys, strict=True):
        keys.add_metric((state,), count)
    stale = GaugeMetricFamily(
        "bridge_api_keys_stale",
        "1 while the key file can not be used, and the keys are those of before.",
        value=float(gate.is_stale),
    )
    return [refused, keys, stale]
