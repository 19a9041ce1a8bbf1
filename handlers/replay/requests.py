"""The requests and responses of calls that can be run again, as plain values. Owns no state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import json_format

from bridge.v1 import invoke_pb2, model_pb2, program_pb2
from handlers.codec import decode_arguments, decode_value, encode_value
from handlers.replay.record import ReplayError
from handlers.replay.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from bridge.v1.common_pb2 import Payload


class _Method(NamedTuple):
    request: type[Message]
    response: type[Message]
    payload: str = ""
    """The field of the request that has its arguments."""
    result: str = ""
    """The field of the response that has its value."""
    streams: bool = False
    unary: str = ""
    """Of a stream whose last message has all: the method that answers with that alone."""


METHODS = {
    "InvokeService/Call": _Method(invoke_pb2.CallRequest, invoke_pb2.CallResponse, "arguments", "result"),
    "InvokeService/StreamCall": _Method(
        invoke_pb2.StreamCallRequest, invoke_pb2.StreamCallResponse, "arguments", "item", streams=True
    ),
    "ProgramService/Run": _Method(program_pb2.RunRequest, program_pb2.RunResponse, "inputs", "outputs"),
    "ProgramService/StreamRun": _Method(
        program_pb2.StreamRunRequest,
        program_pb2.StreamRunResponse,
        "inputs",
        "final",
        streams=True,
        unary="ProgramService/Run",
    ),
    "ModelService/Generate": _Method(model_pb2.GenerateRequest, model_pb2.GenerateResponse),
    "ModelService/StreamGenerate": _Method(
        model_pb2.StreamGenerateRequest, model_pb2.StreamGenerateResponse, "", "final", streams=True
    ),
    "ModelService/Extract": _Method(model_pb2.ExtractRequest, model_pb2.ExtractResponse),
    "ModelService/GenerateBatch": _Method(model_pb2.GenerateBatchRequest, model_pb2.GenerateBatchResponse),
    "ModelService/ExtractBatch": _Method(model_pb2.ExtractBatchRequest, model_pb2.ExtractBatchResponse),
}
"""Of the calls that can be saved."""


def request_to_plain(method: str, body: bytes) -> Any:
    """Return a request as JSON, its payload decoded."""
    how = METHODS[method]
    message = how.request.FromString(body)
    if not how.payload:
        return json_format.MessageToDict(message, preserving_proto_field_name=True)
    payload = getattr(message, how.payload)
    value, form = decode_arguments(payload)
    message.ClearField(how.payload)
    rest = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {**rest, how.payload: {"form": form, "value": to_json(value)}}


def request_of_plain(method: str, plain: dict[str, Any]) -> tuple[str, bytes]:
    """Return the method and the bytes that run a saved request again. Raises ReplayError."""
    how = METHODS.get(method)
    if how is None:
        raise ReplayError(f"calls of {method} can not be run again")
    if how.unary:
        return request_of_plain(how.unary, plain)
    rest = dict(plain)
    payload = rest.pop(how.payload, None) if how.payload else None
    message = how.request()
    try:
        json_format.ParseDict(rest, message)
        if payload is not None:
            encoded = encode_value(from_json(payload["value"]), payload["form"])
            getattr(message, how.payload).CopyFrom(encoded)
    except (json_format.ParseError, ValueError, KeyError, TypeError) as error:
        raise ReplayError(f"its request can not be made again: {error}") from None
    return method, message.SerializeToString()


def result_to_plain(method: str, messages: Sequence[bytes]) -> tuple[Any, list[Any] | None]:
    """Return what a call has answered as JSON: a value, or the items of a stream."""
    how = METHODS[method]
    if not how.streams:
        (body,) = messages
        return _of_message(how, how.response.FromString(body)), None
    found = [how.response.FromString(body) for body in messages]
    if how.result == "final":
        finals = [one.final for one in found if one.HasField("final")]  # type: ignore[attr-defined]
        final = finals[-1] if finals else None
        outputs = final.outputs if isinstance(final, program_pb2.FinalOutputs) else final
        return (None if outputs is None else _of_value(outputs)), None
    return None, [_of_value(getattr(one, how.result)) for one in found if one.HasField(how.result)]


def _of_message(how: _Method, message: Message) -> Any:
    return _of_value(getattr(message, how.result) if how.result else message)


def _of_value(found: Payload | Message) -> Any:
    if found.DESCRIPTOR.full_name == "bridge.v1.Payload":
        return to_json(decode_value(found))  # type: ignore[arg-type]
    return json_format.MessageToDict(found, preserving_proto_field_name=True)
