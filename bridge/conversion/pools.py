"""Pools, their workers and what happened to them, as the API's messages: pure functions, one per message."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.anomalies.words import in_words
from bridge.attempts.work import Attempts
from bridge.conversion.calls import set_duration
from bridge.v1 import pool_pb2
from pool.calls import Call as Job
from pool.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.anomalies.records import Anomaly
    from bridge.call import Call
    from pool.options import PoolOptions
    from pool.snapshot import PoolSnapshot, WorkerSnapshot

_POOL_STATES = {
    "starting": pool_pb2.POOL_STATE_STARTING,
    "ready": pool_pb2.POOL_STATE_READY,
    "failed": pool_pb2.POOL_STATE_FAILED,
    "draining": pool_pb2.POOL_STATE_DRAINING,
}
_WORKER_STATES = {
    State.STARTING: pool_pb2.WORKER_STATE_STARTING,
    State.READY: pool_pb2.WORKER_STATE_READY,
    State.SUSPENDED: pool_pb2.WORKER_STATE_SUSPENDED,
    State.DRAINING: pool_pb2.WORKER_STATE_DRAINING,
    State.STOPPING: pool_pb2.WORKER_STATE_STOPPING,
    State.DEAD: pool_pb2.WORKER_STATE_STOPPING,
}


def pool_message(
    options: PoolOptions, snapshot: PoolSnapshot, functions: list[str], anomalies: Iterable[Anomaly] = ()
) -> pool_pb2.Pool:
    """Describe a pool."""
    message = pool_pb2.Pool(
        name=snapshot.name,
        state=_POOL_STATES[snapshot.state],
        cause=snapshot.cause,
        size=snapshot.target,
        min_size=snapshot.least,
        max_size=snapshot.most,
        start_kind=snapshot.started.kind,
        start_reason=snapshot.started.why,
        template_pid=snapshot.started.template_pid or 0,
        cgroups=snapshot.started.cgroups,
        concurrency=options.concurrency,
        queued=snapshot.waiting,
        queue_limit=options.queue_limit,
        queued_bytes=snapshot.waiting_bytes,
        queue_bytes_limit=options.queue_bytes,
        running=sum(worker.running for worker in snapshot.workers),
        memory_limit_bytes=options.memory_limit_bytes or 0,
        memory_soft_limit_bytes=options.memory_soft_limit_bytes or 0,
        restarts=snapshot.restarts,
        calls=snapshot.calls,
        functions=functions,
        workers=[_worker(worker) for worker in snapshot.workers],
    )
    set_duration(message.check_interval, options.check_interval_s)
    set_duration(message.check_timeout, options.check_timeout_s)
    set_duration(message.grace, options.grace_s)
    if snapshot.proof_age_s is not None:
        set_duration(message.proof_age, snapshot.proof_age_s)
    for report, age_s in snapshot.exits:
        exit_ = message.exits.add(
            worker=report.worker, cause=report.cause, stderr_tail=report.stderr_tail, ordered=report.ordered
        )
        set_duration(exit_.age, age_s)
    for refused in snapshot.quarantine:
        input_ = message.quarantine.add(
            function=refused.function, fingerprint=refused.fingerprint, deaths=refused.deaths
        )
        set_duration(input_.left, refused.left_s)
    for anomaly in anomalies:
        message.anomalies.append(_anomaly(anomaly))
    for growth in snapshot.growth:
        message.growth.add(function=growth.function, grown_bytes=growth.grown_bytes, calls=growth.calls)
    return message


def _anomaly(anomaly: Anomaly) -> pool_pb2.Anomaly:
    finding = anomaly.finding
    action = "unspecified" if finding.action == "none" else finding.action
    message = pool_pb2.Anomaly(
        kind=f"ANOMALY_KIND_{finding.kind.upper()}",
        action=f"ANOMALY_ACTION_{action.upper()}",
        acted=anomaly.acted,
        cause=in_words(anomaly),
        worker=finding.worker,
        function=finding.function,
        provider=finding.provider,
        numbers=finding.numbers,
    )
    set_duration(message.age, max(0.0, time.monotonic() - anomaly.at))
    return message


def open_call(call: Call) -> pool_pb2.OpenCall:
    """Describe a call that has not ended."""
    message = pool_pb2.OpenCall(
        request_id=call.identity.request_id,
        function=call.method if call.spec is None else call.spec.name,
        pool=call.pool,
    )
    job = call.job
    if isinstance(job, Attempts) and (attempt := job.newest) is not None:
        message.pool, job = attempt.pool, attempt.job
    if isinstance(job, Job) and job.worker is not None and not job.lined:
        message.worker = job.worker.id
    set_duration(message.age, time.perf_counter() - call.started_at)
    return message


def missing_pool(name: str, extra: str) -> pool_pb2.Pool:
    """Describe a built-in pool that does not exist because its extra is not installed."""
    cause = f"needs the extra '{extra}': pip install 'polyglot-bridge[{extra}]'"
    return pool_pb2.Pool(name=name, state=pool_pb2.POOL_STATE_MISSING_EXTRA, cause=cause)


def _worker(worker: WorkerSnapshot) -> pool_pb2.Worker:
    message = pool_pb2.Worker(
        id=worker.id,
        pid=worker.pid,
        state=_WORKER_STATES[worker.state],
        running=worker.running,
        calls=max(0, worker.answered - worker.canaries),  # one may be on its way
        rss_bytes=worker.rss_bytes,
        place=worker.place,
        recycle_reason=worker.recycle,
        sessions=worker.sessions,
    )
    set_duration(message.age, worker.age_s)
    if worker.state is not State.STARTING:
        set_duration(message.since_answer, worker.quiet_s)
    return message
