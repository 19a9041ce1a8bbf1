"""The events of a running program: plain immutable records, and how they are read. Owns nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge_client import convert
from bridge_client.reading import enum_name
from bridge_client.v1 import program_pb2
from bridge_client.wire import UnknownEvent

if TYPE_CHECKING:
    from bridge_client.receipts import ModelUsage
    from bridge_client.records import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDelta:
    """Text that was added to an output field of a running program."""

    sequence: int
    predictor: str
    field: str
    text: str
    last: bool
    """Whether the field is complete now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The end of a running program: always the last event."""

    sequence: int
    outputs: Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """Where a run has come to."""

    sequence: int
    step: str
    """``started``, ``predictor_started``, ``predictor_ended``, ``model_started``, ``model_ended`` or ``message``."""
    predictor: str
    """Its name inside the program; empty where the step is none of a predictor, or of a copy that DSPy has made."""
    model: str
    seconds: float
    """How long the step took, where it has ended."""
    error: str
    """Why the step failed; empty where it did not. The program may go on."""
    message: str
    omitted: int
    """Steps and tools that were left out before this event, since this client was so slow to read."""
    resume_token: str = ""
    """In the first event of a resumable run: what `programs.resume` takes. A secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """Text that a model has added to its thoughts, which are no part of its answer."""

    sequence: int
    predictor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToolCall:
    """A call of a tool by the program; the server sees to it."""

    sequence: int
    id: str
    tool: str
    arguments: str
    """JSON; cut off where `truncated`."""
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunToolResult:
    """How a call of a tool has ended."""

    sequence: int
    id: str
    tool: str
    result: str
    """JSON; cut off where `truncated`, empty where it failed."""
    error: str
    seconds: float
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """What the run has used so far, one record per model."""

    sequence: int
    usage: tuple[ModelUsage, ...]


ProgramEvent = FieldDelta | Final | RunStatus | ReasoningDelta | RunToolCall | RunToolResult | RunUsage


def program_event(reply: program_pb2.StreamRunResponse) -> ProgramEvent:
    """Read any event but the final one. Raises UnknownEvent for one that a newer server has added."""
    kind, sequence = reply.WhichOneof("event"), reply.sequence
    match kind:
        case "field_delta":
            delta = reply.field_delta
            return FieldDelta(
                sequence=sequence, predictor=delta.predictor, field=delta.field, text=delta.text, last=delta.last
            )
        case "status":
            return _status(reply, reply.status)
        case "reasoning_delta":
            thought = reply.reasoning_delta
            return ReasoningDelta(sequence=sequence, predictor=thought.predictor, text=thought.text)
        case "tool_call":
            call = reply.tool_call
            return RunToolCall(
                sequence=sequence, id=call.id, tool=call.tool, arguments=call.arguments, truncated=call.truncated
            )
        case "tool_result":
            return _tool_result(sequence, reply.tool_result)
        case "usage":
            return RunUsage(sequence=sequence, usage=tuple(map(convert.usage, reply.usage.usage)))
    raise UnknownEvent


def _status(reply: program_pb2.StreamRunResponse, status: program_pb2.RunStatus) -> RunStatus:
    return RunStatus(
        sequence=reply.sequence,
        resume_token=reply.resume_token,
        step=enum_name(program_pb2.RunStep, status.step, "RUN_STEP_"),
        predictor=status.predictor,
        model=status.model,
        seconds=status.seconds,
        error=status.error,
        message=status.message,
        omitted=status.omitted,
    )


def _tool_result(sequence: int, result: program_pb2.RunToolResult) -> RunToolResult:
    return RunToolResult(
        sequence=sequence,
        id=result.id,
        tool=result.tool,
        result=result.result,
        error=result.error,
        seconds=result.seconds,
        truncated=result.truncated,
    )
