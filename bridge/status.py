"""The one table from failures to gRPC statuses, and how a status is written on the wire.

Every failure becomes a `google.rpc.Status` with `ErrorInfo{reason, domain: "bridge"}`; docs/reference/errors.md lists
the reasons. Pure: no gRPC server, no IO.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from bridge.errors import BridgeError, Code
from handlers.contract import ErrorRecord
from handlers.errors import HandlerError
from pool import errors as pool

DOMAIN = "bridge"
TRAILER_BYTES = 8192
"""What all trailers of a reply may take in all: beyond it a client sees a protocol error instead of the status."""
STATUS_BYTES = 3600
"""Of a serialized status: base64 makes 4800 of it."""
MESSAGE_BYTES = 1200
"""Of a failure's text as it is sent: it stands in the status and, percent-encoded, in `grpc-message`."""
METADATA_BYTES = 1500
METADATA_KEYS = 16
STDERR_CHARACTERS = 900
_FATAL = "Fatal Python error"
"""Where faulthandler's report starts; the innermost frame comes first in it."""
VIOLATIONS = 20
_ROOM_BYTES = 40
"""What packing adds to a detail, at most, beside its own length."""


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
            metadata = {"pool": error.pool, "exceeded": error.exceeded, "displaced": str(error.displaced).lower()}
            metadata |= {"limit": str(error.limit), "waiting": str(error.waiting)}
            metadata |= {"limit_bytes": str(error.limit_bytes), "queued_bytes": str(error.queued_bytes)}
            return BridgeError(
                Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", text, metadata=metadata, retry_after_s=error.retry_after_s
            )
        case pool.DeadlineExceeded():
            return BridgeError(Code.DEADLINE_EXCEEDED, error.where, text, metadata={"pool": error.pool})
        case pool.DeadlineUnreachable():
            metadata = {"pool": error.pool, "predicted_s": f"{error.predicted_s:.3f}"}
            retry_s = max(0.05, error.predicted_s - error.remaining_s)
            return BridgeError(
                Code.RESOURCE_EXHAUSTED, "DEADLINE_UNREACHABLE", text, metadata=metadata, retry_after_s=retry_s
            )
        case pool.Quarantined():
            metadata = {"pool": error.pool, "function": error.function, "fingerprint": error.fingerprint}
            metadata |= {"deaths": str(error.deaths), "left_s": f"{error.left_s:.0f}"}
            return BridgeError(Code.FAILED_PRECONDITION, "INPUT_QUARANTINED", text, metadata=metadata)
        case pool.CancelledByOperator():
            return BridgeError(Code.CANCELLED, "CANCELLED_BY_OPERATOR", text, metadata={"pool": error.pool})
        case pool.Stopped():
            return BridgeError(
                Code.UNAVAILABLE, "SHUTTING_DOWN", text, metadata={"pool": error.pool}, retry_after_s=1.0
            )
        case pool.PoolUnavailable():
            metadata = {"pool": error.pool, "cause": error.cause}
            return BridgeError(
                Code.UNAVAILABLE, "POOL_UNAVAILABLE", text, metadata=metadata, retry_after_s=error.retry_after_s
            )
        case pool.StartFailed():
            metadata = {"pool": error.pool, "cause": error.cause}
            return BridgeError(Code.FAILED_PRECONDITION, "WORKER_NOT_STARTED", text, metadata=metadata)
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
        "stderr": _last_words(error.stderr),
        "retryable": "true" if idempotent else "false",
    }
    code = Code.UNAVAILABLE if idempotent else Code.ABORTED
    return BridgeError(code, "WORKER_CRASHED", str(error), metadata=metadata)


def _last_words(stderr: str) -> str:
    """Return what says most of a dead worker's output: its end, or the start of Python's report of a fatal error."""
    fatal = stderr.rfind(_FATAL)
    return stderr[-STDERR_CHARACTERS:] if fatal < 0 else stderr[fatal:][:STDERR_CHARACTERS]


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
    """Return a failure as a serialized `google.rpc.Status` of at most STATUS_BYTES: `grpc-status-details-bin`."""
    status = Status(code=int(error.code), message=message_of(error))
    _add(status, ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_bounded(error.metadata)))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _add(status, RetryInfo(retry_delay=delay))
    if request_id:
        _add(status, RequestInfo(request_id=request_id))
    if error.violations and (room := _room(status)):
        _add(status, _bad_request(error.violations, room))
    if error.traceback and (room := _room(status)):
        _add(status, DebugInfo(detail=_tail(error.traceback, room)))
    return bytes(status.SerializeToString())


def message_of(error: BridgeError) -> str:
    """Return the failure's text, bounded and fit for a trailer."""
    text, size = _printable(error.message[:MESSAGE_BYTES]), 0
    for end, character in enumerate(text):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > MESSAGE_BYTES:
            return text[:end]
    return text


def _bad_request(violations: tuple[tuple[str, str], ...], room: int) -> BadRequest:
    """Return as many violations as have room."""
    details = BadRequest()
    for field, text in violations[:VIOLATIONS]:
        details.field_violations.add(field=_head(field, 200), description=_head(text, 400))
        if details.ByteSize() > room:
            del details.field_violations[-1]
            break
    return details


def _bounded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata, its longest values cut where it is more than METADATA_BYTES in all."""
    left, bounded = METADATA_BYTES, {}
    by_length = sorted(metadata.items(), key=lambda item: len(item[1]))[:METADATA_KEYS]
    for index, (key, value) in enumerate(by_length):
        name = _head(key, 64)
        overhead = len(name) + _ROOM_BYTES // 4
        share = max(0, left // (len(by_length) - index) - overhead)
        bounded[name] = _tail(value, share) if key == "stderr" else _head(value, share)
        left -= overhead + len(bounded[name].encode())
    return bounded


def _room(status: Status) -> int:
    return max(0, STATUS_BYTES - int(status.ByteSize()) - 2 * _ROOM_BYTES)


def _add(status: Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _head(text: str, size: int) -> str:
    """Return the start of a text, at most `size` bytes of UTF-8."""
    return _printable(text[:size]).encode()[:size].decode("utf-8", "ignore")


def _tail(text: str, size: int) -> str:
    """Return the end of a text, at most `size` bytes of UTF-8."""
    return _printable(text[-size:]).encode()[-size:].decode("utf-8", "ignore") if size else ""


def _printable(text: str) -> str:
    """Return a text that UTF-8 can carry: lone surrogates, which Python strings may hold, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
