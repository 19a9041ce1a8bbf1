"""The bridge's messages to the client's records. Pure; every function takes a message and returns a record."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bridge_client import records
from bridge_client.errors import UnexpectedReply
from bridge_client.v1 import common_pb2, metric_pb2, model_pb2, pool_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge_client.v1 import duration_pb2, embedding_pb2, program_pb2, session_pb2

_ROUTES: Mapping[int, records.RouteName] = {common_pb2.ROUTE_NATIVE: "native", common_pb2.ROUTE_POOLED: "pooled"}


def enum_name(wrapper: Any, number: int, prefix: str) -> str:
    """``POOL_STATE_READY`` as ``ready``; a number that a newer server has added as ``unknown_7``."""
    try:
        name: str = wrapper.Name(number)
    except ValueError:
        return f"unknown_{number}"
    return name.removeprefix(prefix).lower()


def json_object(text: str) -> dict[str, Any]:
    """A JSON object that the server sent as text; empty text is an empty object."""
    if not text:
        return {}
    value = json_value(text)
    if not isinstance(value, dict):
        msg = f"expected a JSON object in the reply, got {type(value).__name__}"
        raise UnexpectedReply(msg)
    return value


def json_value(text: str) -> Any:
    """A JSON value that the server sent as text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        msg = f"expected JSON in the reply, got something else: {error}"
        raise UnexpectedReply(msg) from error


def seconds(duration: duration_pb2.Duration) -> float:
    """A duration as float seconds."""
    return duration.seconds + duration.nanos / 1e9


def usage(message: common_pb2.ModelUsage) -> records.ModelUsage:
    """Use of one model."""
    return records.ModelUsage(
        model=message.model,
        calls=message.calls,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        cached_tokens=message.cached_tokens,
        cost_usd=message.cost_usd if message.HasField("cost_usd") else None,
        cached_calls=message.cached_calls,
        unpriced_calls=message.unpriced_calls,
    )


def receipt(message: common_pb2.Receipt) -> records.Receipt:
    """The receipt of a call."""
    return records.Receipt(
        request_id=message.request_id,
        function=message.function,
        route=_ROUTES.get(message.route, "unknown"),
        reason=message.reason,
        pool=message.pool,
        worker=message.worker,
        session_epoch=message.session_epoch,
        queue_us=message.queue_us,
        worker_us=message.worker_us,
        model_us=message.model_us,
        total_us=message.total_us,
        bytes_in=message.bytes_in,
        bytes_out=message.bytes_out,
        memory_change_bytes=message.memory_change_bytes if message.HasField("memory_change_bytes") else None,
        usage=tuple(usage(used) for used in message.usage),
        batch_size=message.batch_size,
        batch_us=message.batch_us,
        nested=_nested(message.nested) if message.HasField("nested") else None,
        budget=budget(message.budget) if message.HasField("budget") else None,
        answers=tuple(_answer(one) for one in message.answers),
    )


def _answer(message: common_pb2.ModelAnswer) -> records.ModelAnswer:
    return records.ModelAnswer(
        model=message.model,
        cause=message.cause,
        passed=tuple(message.passed),
        age_ms=message.age_ms,
        origin_request_id=message.origin_request_id,
    )


def _nested(message: common_pb2.NestedCalls) -> records.NestedCalls:
    return records.NestedCalls(
        calls=message.calls,
        failed=message.failed,
        total_us=message.total_us,
        queue_us=message.queue_us,
        worker_us=message.worker_us,
        model_us=message.model_us,
        bytes_in=message.bytes_in,
        bytes_out=message.bytes_out,
        usage=tuple(usage(used) for used in message.usage),
        listed=tuple(_nested_call(one) for one in message.listed),
        unlisted=message.unlisted,
    )


def _nested_call(message: common_pb2.NestedCall) -> records.NestedCall:
    return records.NestedCall(
        function=message.function,
        code=message.code,
        reason=message.reason,
        worker=message.worker,
        total_us=message.total_us,
        worker_us=message.worker_us,
        tokens=message.tokens,
        cost_usd=message.cost_usd if message.HasField("cost_usd") else None,
        calls=message.calls,
    )


def budget(message: common_pb2.BudgetState) -> records.BudgetState:
    """What is left of a budget."""

    def known(name: str) -> Any:
        return getattr(message, name) if message.HasField(name) else None

    return records.BudgetState(
        usd_spent=known("usd_spent"),
        usd_left=known("usd_left"),
        tokens_spent=known("tokens_spent"),
        tokens_left=known("tokens_left"),
        calls_spent=known("calls_spent"),
        calls_left=known("calls_left"),
    )


def function_info(message: common_pb2.FunctionInfo) -> records.FunctionInfo:
    """One function of the catalogue."""
    return records.FunctionInfo(
        name=message.name,
        kind=enum_name(common_pb2.FunctionKind, message.kind, "FUNCTION_KIND_"),
        doc=message.doc,
        pool=message.pool,
        placement=enum_name(common_pb2.Placement, message.placement, "PLACEMENT_"),
        streaming=message.streaming,
        idempotent=message.idempotent,
        arguments_schema=json_object(message.arguments_schema),
        result_schema=json_object(message.result_schema),
        example=json_object(message.example),
    )


def program_info(message: program_pb2.ProgramInfo) -> records.ProgramInfo:
    """One DSPy program."""
    return records.ProgramInfo(
        name=message.name,
        doc=message.doc,
        signature=message.signature,
        module=message.module,
        pool=message.pool,
        inputs_schema=json_object(message.inputs_schema),
        outputs_schema=json_object(message.outputs_schema),
        example=json_object(message.example),
        version=message.version,
    )


def generation(message: model_pb2.GenerateResponse) -> records.Generation:
    """A model's whole answer."""
    return records.Generation(
        text=message.text,
        finish_reason=enum_name(model_pb2.FinishReason, message.finish_reason, "FINISH_REASON_"),
        model=message.model,
        usage=usage(message.usage),
        tool_calls=tuple(
            records.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in message.tool_calls
        ),
    )


def embeddings(message: embedding_pb2.EmbedResponse) -> records.Embeddings:
    """Vectors."""
    return records.Embeddings(
        vectors=tuple(tuple(vector.values) for vector in message.embeddings),
        model=message.model,
        dimensions=message.dimensions,
    )


def similarities(message: embedding_pb2.SimilarityResponse) -> records.Similarities:
    """Scores of texts against texts."""
    return records.Similarities(rows=tuple(tuple(row.scores) for row in message.rows), model=message.model)


def metric_info(message: metric_pb2.MetricInfo) -> records.MetricInfo:
    """One metric."""
    return records.MetricInfo(
        name=message.name,
        doc=message.doc,
        parameters_schema=json_object(message.parameters_schema),
        placement=enum_name(common_pb2.Placement, message.placement, "PLACEMENT_"),
        pool=message.pool,
        available=message.available,
        missing_extra=message.missing_extra,
    )


def metric_value(message: metric_pb2.MetricScore) -> records.MetricValue:
    """A score and its parts."""
    return records.MetricValue(value=message.value, details=dict(message.details))


def score(message: metric_pb2.ScoreResponse) -> records.Score:
    """The score of one prediction."""
    return records.Score(
        value=message.score.value,
        details=dict(message.score.details),
        parameters=json_object(message.parameters),
        signature=message.signature,
    )


def batch_score(message: metric_pb2.ScoreBatchResponse) -> records.BatchScore:
    """The scores of many predictions."""
    return records.BatchScore(
        scores=tuple(metric_value(one) for one in message.scores),
        aggregate=metric_value(message.aggregate),
        parameters=json_object(message.parameters),
        signature=message.signature,
    )


def session_info(message: session_pb2.Session) -> records.SessionInfo:
    """A session."""
    return records.SessionInfo(
        id=message.id,
        workers=dict(message.workers),
        epoch=message.epoch,
        opened_at=message.opened_at.ToDatetime(tzinfo=datetime.UTC),
        ttl=seconds(message.ttl),
        calls=message.calls,
    )


def pool(message: pool_pb2.Pool) -> records.Pool:
    """A pool with its workers."""
    return records.Pool(
        name=message.name,
        state=enum_name(pool_pb2.PoolState, message.state, "POOL_STATE_"),
        cause=message.cause,
        size=message.size,
        concurrency=message.concurrency,
        queued=message.queued,
        queue_limit=message.queue_limit,
        running=message.running,
        memory_limit_bytes=message.memory_limit_bytes,
        restarts=message.restarts,
        calls=message.calls,
        functions=tuple(message.functions),
        workers=tuple(worker(one) for one in message.workers),
        proof_age_s=seconds(message.proof_age) if message.HasField("proof_age") else None,
        exits=tuple(worker_exit(one) for one in message.exits),
    )


def worker(message: pool_pb2.Worker) -> records.Worker:
    """A worker process."""
    return records.Worker(
        id=message.id,
        pid=message.pid,
        state=enum_name(pool_pb2.WorkerState, message.state, "WORKER_STATE_"),
        running=message.running,
        calls=message.calls,
        rss_bytes=message.rss_bytes,
        age_s=seconds(message.age),
    )


def worker_exit(message: pool_pb2.WorkerExit) -> records.WorkerExit:
    """The end of a worker process."""
    return records.WorkerExit(
        worker=message.worker, cause=message.cause, stderr_tail=message.stderr_tail, age_s=seconds(message.age)
    )
