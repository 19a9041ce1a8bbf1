"""Anomalies as people read them, in the log and in `bridge status`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.anomalies.records import Anomaly, Finding, Kind

_WHAT: dict[Kind, str] = {
    "slow_worker": "worker {worker} is slow",
    "slow_function": "function '{function}' is slow",
    "failing_worker": "worker {worker} fails",
    "failing_function": "function '{function}' fails",
    "failing_provider": "provider '{provider}' fails",
    "memory_trend": "worker {worker} is running out of memory",
    "rising_wait": "the queue grows",
}


def in_words(anomaly: Anomaly) -> str:
    """Return what is wrong, why that is believed, and what is done about it."""
    finding = anomaly.finding
    return f"{what(finding)}: {finding.cause}; {_done(anomaly)}"


def what(finding: Finding) -> str:
    """Return briefly what is wrong."""
    about = {"worker": finding.worker, "function": finding.function, "provider": finding.provider}
    return _WHAT[finding.kind].format(**about)


def _done(anomaly: Anomaly) -> str:
    finding = anomaly.finding
    would = {
        "recycle": "be replaced",
        "open_breaker": "get no calls for a while",
        "scale_up": f"get {finding.workers} workers",
        "none": "",
    }[finding.action]
    if finding.action == "none":
        return "nothing is done about it"
    who = "the pool" if finding.action == "scale_up" else "it"
    return f"{who} is to {would}" if anomaly.acted else f"{who} would {would}, but {anomaly.held}"
