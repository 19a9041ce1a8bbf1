"""The server's figures as Prometheus metrics: one function from what the front knows now to metric families.

Owns nothing and counts nothing: counters are those of `telemetry` and the pools. Needs the extra `prometheus`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from bridge.prometheus.calls import call_families
from pool.lifecycle import State

if TYPE_CHECKING:
    from bridge.batching.counters import BatchCounters
    from bridge.telemetry import Telemetry
    from pool.pool import Pool
    from pool.snapshot import PoolSnapshot

_POOL_STATES = ("starting", "ready", "failed", "draining")


def families(
    pools: Mapping[str, Pool], telemetry: Telemetry, loop_lag_s: float, batches: BatchCounters | None = None
) -> list[Metric]:
    """Return everything that is told, as it stands now. For the event loop's thread."""
    snapshots = [pool.snapshot() for pool in pools.values()]
    lag = GaugeMetricFamily(
        "bridge_loop_lag_seconds", "Worst delay of the event loop in the last one to two minutes.", value=loop_lag_s
    )
    return [
        lag,
        *call_families(telemetry.tallies),
        *(() if batches is None else _batches(batches)),
        _retries(telemetry.retries),
        _exits(telemetry.exits),
        _events(telemetry.events),
        _anomalies(telemetry.anomalies),
        *_pools(snapshots),
        *_workers(snapshots),
    ]


def _batches(counters: BatchCounters) -> Iterable[Metric]:
    size = HistogramMetricFamily("bridge_batch_size", "Calls that ran together.", labels=("function",))
    wait = HistogramMetricFamily(
        "bridge_batch_wait_seconds", "How long calls had waited for others when they went.", labels=("function",)
    )
    left = CounterMetricFamily(
        "bridge_batch_left", "Calls that left before their batch had answered them.", labels=("function",)
    )
    waiting = GaugeMetricFamily("bridge_batch_waiting_calls", "Calls that wait for others.", labels=("function",))
    for function in sorted({*counters.sizes, *counters.waiting}):
        waiting.add_metric((function,), counters.waiting[function])
    for function in sorted(counters.sizes):
        sizes, waits = counters.sizes[function], counters.waits[function]
        size.add_metric((function,), sizes.buckets(), sizes.sum)
        wait.add_metric((function,), waits.buckets(), waits.sum)
        left.add_metric((function,), counters.left[function])
    return waiting, size, wait, left


def _retries(counts: Mapping[tuple[str, bool], int]) -> Metric:
    retries = CounterMetricFamily(
        "bridge_call_retries", "Calls that were tried again after their worker had died.", labels=("pool", "outcome")
    )
    for (pool, well), count in sorted(counts.items()):
        retries.add_metric((pool, "ok" if well else "failed"), count)
    return retries


def _exits(counts: Mapping[tuple[str, str], int]) -> Metric:
    exits = CounterMetricFamily(
        "bridge_worker_exits", "Worker processes that ended, by the class of the cause.", labels=("pool", "cause")
    )
    for (pool, cause), count in sorted(counts.items()):
        exits.add_metric((pool, cause), count)
    return exits


def _events(counts: Mapping[tuple[str, str], int]) -> Metric:
    events = CounterMetricFamily(
        "bridge_pool_events", "What happened to a pool beside starts and ends of processes.", labels=("pool", "event")
    )
    for (pool, event), count in sorted(counts.items()):
        events.add_metric((pool, event), count)
    return events


def _anomalies(counts: Mapping[tuple[str, str, str], int]) -> Metric:
    anomalies = CounterMetricFamily(
        "bridge_anomalies",
        "Anomalies that were told, by what they are and what was done.",
        labels=("pool", "kind", "action"),
    )
    for (pool, kind, action), count in sorted(counts.items()):
        anomalies.add_metric((pool, kind, action), count)
    return anomalies


def _pools(snapshots: list[PoolSnapshot]) -> Iterable[Metric]:
    ready = GaugeMetricFamily("bridge_pool_state", "1 for the state that a pool is in.", labels=("pool", "state"))
    waiting = GaugeMetricFamily("bridge_pool_waiting_calls", "Calls that wait for a worker.", labels=("pool",))
    running = GaugeMetricFamily("bridge_pool_running_calls", "Calls that run on workers.", labels=("pool",))
    restarts = CounterMetricFamily("bridge_pool_restarts", "Workers that were started again.", labels=("pool",))
    proof = GaugeMetricFamily(
        "bridge_pool_proof_age_seconds", "Time since a call went through the pool's whole path.", labels=("pool",)
    )
    waiting_bytes = GaugeMetricFamily("bridge_pool_waiting_bytes", "Bytes of requests that wait.", labels=("pool",))
    refused = GaugeMetricFamily(
        "bridge_quarantined_inputs", "Inputs that are refused because they killed workers.", labels=("pool",)
    )
    for pool in snapshots:
        waiting_bytes.add_metric((pool.name,), pool.waiting_bytes)
        refused.add_metric((pool.name,), len(pool.quarantine))
        for state in _POOL_STATES:
            ready.add_metric((pool.name, state), float(pool.state == state))
        waiting.add_metric((pool.name,), pool.waiting)
        running.add_metric((pool.name,), sum(worker.running for worker in pool.workers))
        restarts.add_metric((pool.name,), pool.restarts)
        if pool.proof_age_s is not None:
            proof.add_metric((pool.name,), pool.proof_age_s)
    return ready, waiting, waiting_bytes, running, restarts, proof, refused


def _workers(snapshots: list[PoolSnapshot]) -> Iterable[Metric]:
    workers = GaugeMetricFamily("bridge_pool_workers", "Worker processes by state.", labels=("pool", "state"))
    memory = GaugeMetricFamily(
        "bridge_worker_rss_bytes", "Resident memory of a worker and its descendants.", labels=("pool", "worker")
    )
    for pool in snapshots:
        states = Counter(worker.state for worker in pool.workers)
        for state in State:
            if state is not State.DEAD:
                workers.add_metric((pool.name, state.value), states[state])
        for worker in pool.workers:
            memory.add_metric((pool.name, worker.id), worker.rss_bytes)
    return workers, memory
