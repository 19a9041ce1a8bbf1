"""The one table from failures to gRPC statuses, and how a status is written on the wire.

Every failure becomes a `google.rpc.Status` with `ErrorInfo{reason, domain: "bridge"}`; docs/reference/errors.md lists
the reasons. Pure: no gRPC server, no IO.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from bridge.errors import BridgeError, Code
from handlers.contract import ErrorRecord
from handlers.errors import HandlerError
from pool import errors as pool

DOMAIN = "bridge"
STDERR_CHARACTERS = 1500
MESSAGE_CHARACTERS = 2000
TRACEBACK_CHARACTERS = 4000
"""Trailers must stay below 8 KiB in all, or the client sees a protocol error instead of the status."""


def of_record(record: ErrorRecord) -> BridgeError:
    """Return the failure that a handler's error record stands for."""
    code = Code.__members__.get(record.code, Code.UNKNOWN)
    metadata = dict(record.metadata)
    if record.type:
        metadata["type"] = record.type
    return BridgeError(
        code,
        record.reason,
        record.message,
        violations=record.violations,
        metadata=metadata,
        retry_after_s=record.retry_after_s,
        traceback=record.traceback,
    )


def of_pool(error: pool.PoolError, *, idempotent: bool) -> BridgeError:
    """Return the failure that a pool's error stands for; a crash may be retried where the function is idempotent."""
    text = str(error)
    match error:
        case pool.QueueFull():
            metadata = {"pool": error.pool, "limit": str(error.limit)}
            return BridgeError(
                Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", text, metadata=metadata, retry_after_s=error.retry_after_s
            )
        case pool.DeadlineExceeded():
            return BridgeError(Code.DEADLINE_EXCEEDED, error.where, text, metadata={"pool": error.pool})
        case pool.Stopped():
            return BridgeError(
                Code.UNAVAILABLE, "SHUTTING_DOWN", text, metadata={"pool": error.pool}, retry_after_s=1.0
            )
        case pool.PoolUnavailable():
            metadata = {"pool": error.pool, "cause": error.cause}
            return BridgeError(
                Code.UNAVAILABLE, "POOL_UNAVAILABLE", text, metadata=metadata, retry_after_s=error.retry_after_s
            )
        case pool.WorkerMemoryLimit():
            return _memory(error)
        case pool.WorkerLost():
            return _crash(error, idempotent)
        case pool.WorkerProtocol():
            metadata = {"pool": error.pool, "worker": error.worker}
            return BridgeError(Code.INTERNAL, "WORKER_PROTOCOL", text, metadata=metadata)
    return BridgeError(Code.INTERNAL, "INTERNAL", text)


def _memory(error: pool.WorkerMemoryLimit) -> BridgeError:
    metadata = {
        "pool": error.pool,
        "worker": error.worker,
        "function": error.function,
        "used_bytes": str(error.used_bytes),
        "limit_bytes": str(error.limit_bytes),
    }
    return BridgeError(Code.RESOURCE_EXHAUSTED, "WORKER_MEMORY_LIMIT", str(error), metadata=metadata)


def _crash(error: pool.WorkerLost, idempotent: bool) -> BridgeError:
    metadata = {
        "pool": error.pool,
        "worker": error.worker,
        "function": error.function,
        "signal": error.signal,
        "exit_code": "" if error.exit_code is None else str(error.exit_code),
        "stderr": error.stderr[-STDERR_CHARACTERS:],
        "retryable": "true" if idempotent else "false",
    }
    code = Code.UNAVAILABLE if idempotent else Code.ABORTED
    return BridgeError(code, "WORKER_CRASHED", str(error), metadata=metadata)


def of_exception(error: BaseException, *, idempotent: bool = False) -> BridgeError:
    """Return what the caller sees of any exception. One that nobody expected is INTERNAL, with fixed text."""
    if isinstance(error, BridgeError):
        return error
    if isinstance(error, HandlerError):
        return of_record(error.to_record())
    if isinstance(error, pool.PoolError):
        return of_pool(error, idempotent=idempotent)
    return BridgeError(
        Code.INTERNAL, "INTERNAL", "the bridge failed; the server's log has the details under this request's id"
    )


def pack(error: BridgeError, request_id: str) -> bytes:
    """Return a failure as a serialized `google.rpc.Status`, the value of `grpc-status-details-bin`."""
    metadata = {key: _printable(value) for key, value in error.metadata.items()}
    details: list[object] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    if error.violations:
        violations = [
            BadRequest.FieldViolation(field=field[:200], description=text[:500])
            for field, text in error.violations[:20]
        ]
        details.append(BadRequest(field_violations=violations))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    if request_id:
        details.append(RequestInfo(request_id=request_id))
    if error.traceback:
        details.append(DebugInfo(detail=_printable(error.traceback[-TRACEBACK_CHARACTERS:])))
    status = Status(code=int(error.code), message=message_of(error), details=[_any(each) for each in details])
    return bytes(status.SerializeToString())


def message_of(error: BridgeError) -> str:
    """Return the failure's text, bounded and fit for a trailer."""
    return _printable(error.message[:MESSAGE_CHARACTERS])


def _any(message: object) -> Any:
    packed = Any()
    packed.Pack(message)  # type: ignore[arg-type]
    return packed


def _printable(text: str) -> str:
    """Return a text that UTF-8 can carry: lone surrogates, which Python strings may hold, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
