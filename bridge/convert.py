"""Between the front's records and the API's messages: pure functions, one per pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.v1 import common_pb2, metric_pb2, pool_pb2, program_pb2, session_pb2
from pool.lifecycle import State

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from bridge.sessions import Session
    from handlers.contract import FunctionSpec
    from pool.options import PoolOptions
    from pool.snapshot import PoolSnapshot, WorkerSnapshot

_KINDS = {
    "function": common_pb2.FUNCTION_KIND_FUNCTION,
    "program": common_pb2.FUNCTION_KIND_PROGRAM,
    "builtin": common_pb2.FUNCTION_KIND_BUILTIN,
}
_PLACEMENTS = {"native": common_pb2.PLACEMENT_NATIVE, "pooled": common_pb2.PLACEMENT_POOLED}
_POOL_STATES = {
    "starting": pool_pb2.POOL_STATE_STARTING,
    "ready": pool_pb2.POOL_STATE_READY,
    "failed": pool_pb2.POOL_STATE_FAILED,
    "draining": pool_pb2.POOL_STATE_DRAINING,
}
_WORKER_STATES = {
    State.STARTING: pool_pb2.WORKER_STATE_STARTING,
    State.READY: pool_pb2.WORKER_STATE_READY,
    State.SUSPENDED: pool_pb2.WORKER_STATE_READY,
    State.DRAINING: pool_pb2.WORKER_STATE_DRAINING,
    State.STOPPING: pool_pb2.WORKER_STATE_STOPPING,
    State.DEAD: pool_pb2.WORKER_STATE_STOPPING,
}


def function_info(spec: FunctionSpec, *, whole: bool) -> common_pb2.FunctionInfo:
    """Describe a function; without `whole` the schemas and the example are left out."""
    info = common_pb2.FunctionInfo(
        name=spec.name,
        kind=_KINDS[spec.kind],
        doc=spec.doc,
        pool=spec.pool or "",
        placement=_PLACEMENTS[spec.placement],
        streaming=spec.streaming,
        idempotent=spec.idempotent,
    )
    if whole:
        info.arguments_schema = spec.arguments_schema
        info.result_schema = spec.result_schema
        info.example = spec.example
    return info


def program_info(spec: FunctionSpec, *, whole: bool) -> program_pb2.ProgramInfo:
    """Describe a program; without `whole` the schemas and the example are left out."""
    assert spec.program is not None
    info = program_pb2.ProgramInfo(
        name=spec.name,
        doc=spec.doc,
        signature=spec.program.signature,
        module=spec.program.module,
        pool=spec.pool or "",
    )
    if whole:
        info.inputs_schema = spec.arguments_schema
        info.outputs_schema = spec.result_schema
        info.example = spec.example
    return info


def metric_info(
    name: str, doc: str, parameters_schema: str, placement: str, pool: str, missing_extra: str
) -> metric_pb2.MetricInfo:
    """Describe a metric; `missing_extra` is empty where it can be asked for."""
    return metric_pb2.MetricInfo(
        name=name,
        doc=doc,
        parameters_schema=parameters_schema,
        placement=_PLACEMENTS[placement],
        pool=pool,
        available=not missing_extra,
        missing_extra=missing_extra,
    )


def session_message(session: Session) -> session_pb2.Session:
    """Describe a session."""
    message = session_pb2.Session(
        id=session.id,
        mode=session_pb2.SESSION_MODE_HINT,
        workers=session.workers,
        epoch=session.epoch,
        calls=session.calls,
    )
    message.opened_at.FromNanoseconds(int(session.opened_at * 1e9))
    _set(message.ttl, session.ttl_s)
    return message


def pool_message(options: PoolOptions, snapshot: PoolSnapshot, functions: list[str]) -> pool_pb2.Pool:
    """Describe a pool."""
    message = pool_pb2.Pool(
        name=snapshot.name,
        state=_POOL_STATES[snapshot.state],
        cause=snapshot.cause,
        size=options.size,
        concurrency=options.concurrency,
        queued=snapshot.waiting,
        queue_limit=options.queue_limit,
        running=sum(worker.running for worker in snapshot.workers),
        memory_limit_bytes=options.memory_limit_bytes or 0,
        restarts=snapshot.restarts,
        calls=snapshot.calls,
        functions=functions,
        workers=[_worker(worker) for worker in snapshot.workers],
    )
    if snapshot.proof_age_s is not None:
        _set(message.proof_age, snapshot.proof_age_s)
    for report, age_s in snapshot.exits:
        exit_ = message.exits.add(worker=report.worker, cause=report.cause, stderr_tail=report.stderr_tail)
        _set(exit_.age, age_s)
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
        calls=worker.answered,
        rss_bytes=worker.rss_bytes,
    )
    _set(message.age, worker.age_s)
    return message


def _set(duration: Duration, seconds: float) -> None:
    duration.FromNanoseconds(int(seconds * 1e9))
