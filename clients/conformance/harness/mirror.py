"""A server that tells callers what they have sent, and fails as it is told: for what no real bridge can show.

It speaks InvokeService as bytes over the wire have it: Call and StreamCall of the functions below. Owns its gRPC server
and the tries that it has counted.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import any_pb2, wrappers_pb2
from google.rpc import error_details_pb2, status_pb2

from bridge.v1 import invoke_pb2
from handlers.codec import decode_arguments, encode_value
from harness.profiles import Profile

DETAILS = "grpc-status-details-bin"
THREADS = 8


class Mirror:
    """It looks like a server to the suite."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._tries: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(THREADS))
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._running = False
        self.start()

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "bridge.v1.InvokeService",
            {
                "Call": grpc.unary_unary_rpc_method_handler(self._call),
                "StreamCall": grpc.unary_stream_rpc_method_handler(self._stream),
            },
        )

    def _call(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = invoke_pb2.CallRequest.FromString(data)
        arguments, form = decode_arguments(request.arguments)
        value = self._answer(request.function, arguments, context)
        if request.function == "garbage":
            return b"\xff\xff\xff\xff"
        return invoke_pb2.CallResponse(result=encode_value(value, form)).SerializeToString()

    def _stream(self, data: bytes, context: grpc.ServicerContext) -> Any:
        request = invoke_pb2.StreamCallRequest.FromString(data)
        arguments, form = decode_arguments(request.arguments)
        value = self._answer(request.function, arguments, context)
        item = encode_value(value, form)
        told = {"items": [item]} if request.aggregate else {"item": item}
        yield invoke_pb2.StreamCallResponse(**told).SerializeToString()

    def _answer(self, function: str, arguments: Any, context: grpc.ServicerContext) -> Any:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        match function:
            case "sent":
                left = context.time_remaining()
                return {"metadata": sent, "transport_ms": None if left is None else round(left * 1000)}
            case "status":
                self._fail(context, **arguments)
            case "fail_times":
                return self._fail_times(sent, context, **arguments)
            case "tries":
                with self._lock:
                    return list(self._tries[arguments["key"]])
        return None

    def _fail_times(self, sent: dict[str, str], context: grpc.ServicerContext, **told: Any) -> int:
        """Fail so often, then return how often it was tried."""
        with self._lock:
            tries = self._tries[told["key"]]
            tries.append({name: sent.get(name, "") for name in ("x-request-id", "x-idempotency-key", "x-timeout-ms")})
            count = len(tries)
        if count <= told["times"]:
            self._fail(context, code=told["code"], message="not yet", retry_ms=told.get("retry_ms"), details="all")
        return count

    @staticmethod
    def _fail(
        context: grpc.ServicerContext, code: str, message: str, details: str = "none", retry_ms: int | None = None
    ) -> None:
        """End the call with a status. `details`: none, garbage, foreign (types that no client knows) or all."""
        number = grpc.StatusCode[code].value[0]
        status = status_pb2.Status(code=number, message=message)
        if details in {"foreign", "all"}:
            _add(status, wrappers_pb2.StringValue(value="of another kind"))
        if details == "all":
            info = error_details_pb2.ErrorInfo(reason="TOLD_TO_FAIL", domain="bridge", metadata={"a": "1", "b": "ä"})
            violation = error_details_pb2.BadRequest.FieldViolation(field="x[0].y", description="a text, got 1")
            _add(status, info)
            _add(status, error_details_pb2.BadRequest(field_violations=[violation]))
            _add(status, error_details_pb2.DebugInfo(detail="Traceback: none"))
        if retry_ms is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(retry_ms)
            _add(status, retry)
        if details == "garbage":
            context.set_trailing_metadata(((DETAILS, b"\xff\xff\xff"),))
        elif details != "none" or retry_ms is not None:
            context.set_trailing_metadata(((DETAILS, status.SerializeToString()),))
        context.abort(grpc.StatusCode[code], message)

    @property
    def facts(self) -> dict[str, str]:
        """What cases may write as `${name}`."""
        return {"address": self.address, "run": uuid.uuid4().hex[:12]}

    def do(self, step: dict[str, Any]) -> None:
        """It can not be killed."""
        msg = f"the mirror can not do {step['do']!r}"
        raise RuntimeError(msg)

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        self._running = True

    def is_running(self) -> bool:
        """Whether it answers."""
        return self._running

    def close(self) -> None:
        """Answer no longer."""
        self._running = False
        self._server.stop(None).wait()


def _add(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
