"""The bridge's messages to the client's records. Pure; every function takes a message and returns a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge_client import records
from bridge_client.pool_records import Pool
from bridge_client.reading import enum_name, json_object, read
from bridge_client.session_records import SessionInfo
from bridge_client.v1 import model_pb2, tool_pb2

if TYPE_CHECKING:
    from bridge_client.v1 import common_pb2, embedding_pb2, metric_pb2, pool_pb2, program_pb2, session_pb2


def usage(message: common_pb2.ModelUsage) -> records.ModelUsage:
    """Use of one model."""
    return read(records.ModelUsage, message)


def receipt(message: common_pb2.Receipt) -> records.Receipt:
    """The receipt of a call."""
    return read(records.Receipt, message)


def budget(message: common_pb2.BudgetState) -> records.BudgetState:
    """What is left of a budget."""
    return read(records.BudgetState, message)


def function_info(message: common_pb2.FunctionInfo) -> records.FunctionInfo:
    """One function of the catalogue."""
    return read(records.FunctionInfo, message)


def tool_info(message: tool_pb2.ToolInfo) -> records.ToolInfo:
    """A tool that a client hosts."""
    return records.ToolInfo(
        name=message.tool.name,
        description=message.tool.description,
        arguments_schema=json_object(message.tool.arguments_schema),
        on_error=enum_name(tool_pb2.ToolErrorPolicy, message.tool.on_error, "TOOL_ERROR_POLICY_"),
        timeout_ms=message.tool.timeout_ms,
        max_concurrent=message.tool.max_concurrent,
        idempotent=message.tool.idempotent,
        registration=message.registration,
        connected=message.connected,
        open_calls=message.open_calls,
    )


def program_info(message: program_pb2.ProgramInfo) -> records.ProgramInfo:
    """One DSPy program."""
    return read(records.ProgramInfo, message)


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
    return read(records.MetricInfo, message)


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


def session_info(message: session_pb2.Session) -> SessionInfo:
    """A session."""
    return read(SessionInfo, message)


def pool(message: pool_pb2.Pool) -> Pool:
    """A pool with its workers."""
    return read(Pool, message)
