"""What both Python runners share: values, results, and the loop over lines. Knows the protocol and the records.

README.md of this folder's parent has the protocol. Asserts nothing: it reports what the client gave.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bridge_client
from bridge_client import BridgeError, Budget

LARGEST = 2**53 - 1
OPTIONS = {"timeout_ms", "metadata", "request_id", "idempotency_key", "session", "budget", "retries"}
COMMON = {"op", "connection", "receipt", "digest", "patience_ms", "background"}


class Skip(Exception):
    """The client can not do what the case asks for."""


class Crash(Exception):
    """The case, or the harness, is not what the protocol says."""


def to_python(value: Any) -> Any:
    """A value of a case as the client takes it."""
    if isinstance(value, list):
        return [to_python(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, held),) = value.items()
        match tag:
            case "$int":
                return int(held)
            case "$float":
                return float(held)
            case "$bytes":
                return base64.b64decode(held, validate=True)
            case "$tensor":
                data = base64.b64decode(held["data"], validate=True)
                return bridge_client.Tensor(dtype=held["dtype"], shape=tuple(held["shape"]), data=data)
            case "$fill" if "text" in held:
                return held["text"] * held["count"]
            case "$fill":
                return bytes([held["byte"]]) * held["count"]
    return {key: to_python(item) for key, item in value.items()}


def from_python(value: Any) -> Any:
    """What the client gave, as a value of a result. Raises Crash for what no client of the bridge should give."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= LARGEST else {"$int": str(value)}
        case float() if math.isfinite(value):
            return value
        case float():
            return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case Mapping():
            return {key: from_python(item) for key, item in value.items()}
        case list() | tuple():
            return [from_python(item) for item in value]
        case bridge_client.Tensor():
            return _tensor(value.dtype, value.shape, value.data)
    if type(value).__module__ == "numpy":
        return _tensor(_dtype(value), value.shape, value.astype(value.dtype.newbyteorder("<")).tobytes())
    msg = f"the client gave a {type(value).__qualname__}"
    raise Crash(msg)


def _tensor(dtype: str, shape: Iterable[int], data: bytes) -> dict[str, Any]:
    return {"$tensor": {"dtype": dtype, "shape": list(shape), "data": base64.b64encode(data).decode()}}


def _dtype(array: Any) -> str:
    if array.dtype.name == "bool":
        return "BOOL"
    return re.sub("^float", "fp", array.dtype.name).upper()


def digest(value: Any) -> dict[str, Any]:
    """What a step with `digest` reports of a text or of bytes."""
    if not isinstance(value, str | bytes):
        msg = f"expected a text or bytes to make a digest of, got {type(value).__name__}"
        raise Crash(msg)
    data = value.encode() if isinstance(value, str) else value
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def error_of(error: BridgeError) -> dict[str, Any]:
    """E of the protocol."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "violations": [{"field": one.field, "description": one.description} for one in error.violations],
        "metadata": dict(error.metadata),
        "retry_after_ms": None if error.retry_after_s is None else round(error.retry_after_s * 1000),
        "request_id": error.request_id,
    }


def failure_of(error: BaseException) -> dict[str, Any]:
    """E for whatever a call has raised; what the client refuses to send is an invalid argument."""
    if isinstance(error, BridgeError):
        return error_of(error)
    cancelled = type(error).__name__ == "CancelledError"
    if not cancelled and not isinstance(error, ValueError | TypeError):
        raise error
    code = "CANCELLED" if cancelled else "INVALID_ARGUMENT"
    told = {"message": str(error), "violations": [], "metadata": {}, "retry_after_ms": None, "request_id": ""}
    return {"code": code, "reason": "", **told}


def receipt_of(receipts: list[bridge_client.Receipt]) -> dict[str, Any] | None:
    """R of the protocol."""
    if not receipts:
        return None
    one = receipts[-1]
    names = (
        "request_id", "function", "route", "reason", "pool", "worker", "session_epoch", "bytes_in", "bytes_out",
        "total_us", "worker_us", "queue_us",
    )  # fmt: skip
    return {**{name: getattr(one, name) for name in names}, "usage": usage_of(one.usage)}


def usage_of(usage: Iterable[bridge_client.ModelUsage]) -> list[dict[str, Any]]:
    """The use of models, as receipts and events have it."""
    names = ("model", "calls", "input_tokens", "output_tokens")
    return [{name: getattr(one, name) for name in names} for one in usage]


def session_of(info: bridge_client.SessionInfo) -> dict[str, Any]:
    """S of the protocol."""
    ttl_ms = round(info.ttl * 1000)
    return {"id": info.id, "mode": info.mode, "epoch": info.epoch, "calls": info.calls, "ttl_ms": ttl_ms}


EVENTS = {
    bridge_client.FieldDelta: "field_delta",
    bridge_client.RunStatus: "status",
    bridge_client.ReasoningDelta: "reasoning_delta",
    bridge_client.RunToolCall: "tool_call",
    bridge_client.RunToolResult: "tool_result",
    bridge_client.RunUsage: "usage",
    bridge_client.Final: "final",
}


def event_of(event: Any) -> dict[str, Any]:
    """P of the protocol."""
    told = {name.name: getattr(event, name.name) for name in dataclasses.fields(event) if name.name != "resume_token"}
    if "usage" in told:
        told["usage"] = usage_of(told["usage"])
    return {"type": EVENTS[type(event)], **{name: from_python(value) for name, value in told.items()}}


def function_of(info: bridge_client.FunctionInfo) -> dict[str, Any]:
    """What `describe` gives."""
    names = ("name", "doc", "pool", "streaming", "arguments_schema", "result_schema")
    return {name: from_python(getattr(info, name)) for name in names}


def options_of(step: Mapping[str, Any], sessions: Mapping[str, str]) -> dict[str, Any]:
    """The client's options for a step."""
    found: dict[str, Any] = {}
    for name in ("metadata", "request_id", "idempotency_key", "retries"):
        if name in step:
            found[name] = step[name]
    if "timeout_ms" in step:
        found["timeout"] = step["timeout_ms"] / 1000
    if "session" in step:
        found["session_id"] = sessions[step["session"]]
    if "budget" in step:
        found["budget"] = Budget(**step["budget"])
    return found


def connect_arguments(connect: Mapping[str, Any]) -> dict[str, Any]:
    """The client's own arguments for `connect` of the protocol."""
    if unknown := set(connect) - {"address", "max_message_bytes", "key", "tls"}:
        raise Crash(f"connect with {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"address": connect["address"]}
    if "key" in connect:
        found["key"] = connect["key"]
    if "tls" in connect:
        found["tls"] = bridge_client.Tls(**connect["tls"])
    if "max_message_bytes" in connect:
        found["channel"] = bridge_client.ChannelOptions(max_message_bytes=connect["max_message_bytes"])
    return found


def session_arguments(step: Mapping[str, Any]) -> dict[str, Any]:
    """The client's own arguments for a session."""
    found: dict[str, Any] = {name: step[name] for name in ("id", "mode", "ordered") if name in step}
    if "ttl_ms" in step:
        found["ttl"] = step["ttl_ms"] / 1000
    return found


def hosted_tool(spec: Mapping[str, Any], function: Callable[..., Any]) -> bridge_client.HostedTool:
    """A tool of the protocol as the client has it."""
    return bridge_client.HostedTool(
        function=function,
        name=spec["name"],
        description=spec.get("doc", ""),
        schema=spec["schema"],
        on_error="abort" if spec["behaviour"] == "abort" else "observe",
        timeout=spec["timeout_ms"] / 1000 if "timeout_ms" in spec else None,
        idempotent=spec.get("idempotent", False),
    )


def tool_call_of(call: bridge_client.HostedCall) -> dict[str, Any]:
    """What a call of a tool tells, as it begins."""
    return {
        "remaining_ms": round(call.remaining() * 1000),
        "request_id": call.request_id,
        "session_id": call.session_id,
        "traceparent": call.traceparent,
    }


def is_worth_patience(result: Mapping[str, Any]) -> bool:
    """Whether a step with `patience_ms` is made again."""
    error = result.get("error", {})
    return error.get("code") == "UNAVAILABLE" or error.get("reason") == "UNKNOWN_TOOL_REGISTRATION"


def has_come(told: list[dict[str, Any]], what: str | None) -> bool:
    """Whether the calls of tools that a step waits for have come."""
    match what:
        case None:
            return True
        case "call":
            return bool(told)
        case "cancel":
            return any(one["cancelled"] for one in told)
    raise Crash(f"wait_for {what!r}")


def expect_fields(step: Mapping[str, Any], known: set[str]) -> None:
    """Refuse what is not understood."""
    if unknown := set(step) - known - OPTIONS - COMMON:
        msg = f"{step['op']} has fields that this runner does not know: {', '.join(sorted(unknown))}"
        raise Crash(msg)


def elapsed(started: float) -> int:
    """Milliseconds since then."""
    return round((time.monotonic() - started) * 1000)


def ask_harness(step: Mapping[str, Any]) -> None:
    """Let the harness do its part, and wait for it."""
    write({"harness": step})
    answer = json.loads(sys.stdin.readline())
    if not answer.get("done"):
        raise Crash(f"the harness failed: {answer.get('error')}")


def write(message: Mapping[str, Any]) -> None:
    """One line."""
    print(json.dumps(message), flush=True)


def serve(run: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """Answer cases until the end of the input."""
    for line in iter(sys.stdin.readline, ""):
        case = json.loads(line)
        try:
            answer: dict[str, Any] = {"steps": run(case)}
        except Skip as skipped:
            answer = {"skip": str(skipped)}
        except Exception as error:  # noqa: BLE001  # the harness is told, and the next case may go well
            import traceback

            answer = {"crash": "".join(traceback.format_exception(error))}
        write({"case": case["case"], **answer})
