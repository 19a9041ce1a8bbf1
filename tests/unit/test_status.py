"""The table from failures to statuses, row by row, and that a status fits into trailers whatever it says."""

import base64
import urllib.parse

import pytest
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge import status
from bridge.call import Identity, new_call
from bridge.errors import BridgeError, Code, bad_field, bad_metadata, malformed
from bridge.receipts import receipts
from handlers import errors as handlers
from handlers.contract import ErrorRecord, FunctionSpec, ReplyMeta, UsageRecord
from handlers.errors import too_large
from pool import errors as pool

LOST = pool.WorkerLost("general", "general-1", "f", "killed by SIGKILL", signal="SIGKILL", exit_code=None, stderr="ow")
EXITED = pool.WorkerLost("general", "general-1", "f", "exited with code 3", signal="", exit_code=3, stderr="")
CRASH = {"pool": "general", "worker": "general-1", "function": "f"}

POOL_ROWS = [
    (
        pool.QueueFull("p", 7, 0.5, waiting=7, queued_bytes=90, limit_bytes=100),
        Code.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        {
            "pool": "p",
            "exceeded": "calls",
            "displaced": "false",
            "limit": "7",
            "waiting": "7",
            "limit_bytes": "100",
            "queued_bytes": "90",
        },
        0.5,
    ),
    (pool.DeadlineExceeded("p", "IN_QUEUE"), Code.DEADLINE_EXCEEDED, "IN_QUEUE", {"pool": "p"}, None),
    (pool.DeadlineExceeded("p", "IN_WORKER"), Code.DEADLINE_EXCEEDED, "IN_WORKER", {"pool": "p"}, None),
    (
        pool.DeadlineUnreachable("p", 2.0, 0.5),
        Code.RESOURCE_EXHAUSTED,
        "DEADLINE_UNREACHABLE",
        {"pool": "p", "predicted_s": "2.000"},
        1.5,
    ),
    (
        pool.Quarantined("p", "f", "ab12", 2, 60.0),
        Code.FAILED_PRECONDITION,
        "INPUT_QUARANTINED",
        {"pool": "p", "function": "f", "fingerprint": "ab12", "deaths": "2", "left_s": "60"},
        None,
    ),
    (pool.CancelledByOperator("p"), Code.CANCELLED, "CANCELLED_BY_OPERATOR", {"pool": "p"}, None),
    (pool.Stopped("p"), Code.UNAVAILABLE, "SHUTTING_DOWN", {"pool": "p"}, 1.0),
    (
        pool.PoolUnavailable("p", "exited with code 1", 30.0),
        Code.UNAVAILABLE,
        "POOL_UNAVAILABLE",
        {"pool": "p", "cause": "exited with code 1"},
        30.0,
    ),
    (
        pool.WorkerMemoryLimit("p", "p-1", "f", 300, 200),
        Code.RESOURCE_EXHAUSTED,
        "WORKER_MEMORY_LIMIT",
        {"pool": "p", "worker": "p-1", "function": "f", "used_bytes": "300", "limit_bytes": "200"},
        None,
    ),
    (
        LOST,
        Code.ABORTED,
        "WORKER_CRASHED",
        {**CRASH, "signal": "SIGKILL", "exit_code": "", "stderr": "ow", "retryable": "false"},
        None,
    ),
    (
        EXITED,
        Code.ABORTED,
        "WORKER_CRASHED",
        {**CRASH, "signal": "", "exit_code": "3", "stderr": "", "retryable": "false"},
        None,
    ),
    (pool.WorkerProtocol("p", "p-1", "?"), Code.INTERNAL, "WORKER_PROTOCOL", {"pool": "p", "worker": "p-1"}, None),
    # The runner of pooled calls says what became of the session instead.
    (pool.WorkerGone("p", "p-1"), Code.INTERNAL, "INTERNAL", {}, None),
    (
        pool.StartFailed("p", "no key", "detail"),
        Code.FAILED_PRECONDITION,
        "WORKER_NOT_STARTED",
        {"pool": "p", "cause": "no key"},
        None,
    ),
]


def row_name(value):
    return type(value).__name__ if isinstance(value, Exception) else None


@pytest.mark.parametrize(("error", "code", "reason", "metadata", "retry"), POOL_ROWS, ids=row_name)
def test_every_pool_error(error, code, reason, metadata, retry):
    failure = status.of_exception(error)
    assert (failure.code, failure.reason, failure.metadata, failure.retry_after_s) == (code, reason, metadata, retry)
    assert failure.message == str(error)


def test_the_table_has_every_pool_error():
    kinds = {
        kind
        for kind in vars(pool).values()
        if isinstance(kind, type) and issubclass(kind, pool.PoolError) and kind is not pool.PoolError
    }
    assert {type(row[0]) for row in POOL_ROWS} == kinds


def test_a_crash_may_be_retried_only_where_the_function_is_idempotent():
    failure = status.of_exception(LOST, idempotent=True)
    assert (failure.code, failure.reason, failure.metadata["retryable"]) == (
        Code.UNAVAILABLE,
        "WORKER_CRASHED",
        "true",
    )


@pytest.mark.parametrize("row", [row for row in POOL_ROWS if not isinstance(row[0], pool.WorkerLost)], ids=str)
def test_idempotence_changes_nothing_else(row):
    assert status.of_exception(row[0], idempotent=True).code is row[1]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (handlers.HandlerError("x"), Code.INTERNAL, "INTERNAL"),
        (handlers.BadInput("x", violations=(("a", "b"),)), Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH"),
        (handlers.ResultInvalid("x"), Code.INTERNAL, "RESULT_INVALID"),
        (handlers.Unknown("x"), Code.NOT_FOUND, "UNKNOWN_FUNCTION"),
        (handlers.Unknown("x", reason="UNKNOWN_MODEL"), Code.NOT_FOUND, "UNKNOWN_MODEL"),
        (handlers.ExtraMissing.of("it", "dspy"), Code.FAILED_PRECONDITION, "EXTRA_MISSING"),
        (handlers.ProviderError("x"), Code.UNAVAILABLE, "PROVIDER_ERROR"),
        (handlers.ProviderError("x", code="RESOURCE_EXHAUSTED"), Code.RESOURCE_EXHAUSTED, "PROVIDER_ERROR"),
        (too_large(20, 10), Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
        (handlers.HandlerError("x", code="NO_SUCH_CODE", reason="R"), Code.UNKNOWN, "R"),
    ],
)
def test_every_handler_error(error, code, reason):
    raised = status.of_exception(error)
    as_value = status.of_record(error.to_record())
    for failure in (raised, as_value):
        assert (failure.code, failure.reason, failure.message) == (code, reason, str(error))
        assert (failure.violations, failure.metadata) == (error.violations, error.metadata)


def test_every_handler_error_class_is_in_that_table():
    assert {kind.__name__ for kind in handlers.HandlerError.__subclasses__()} >= {
        "BadInput",
        "ResultInvalid",
        "Unknown",
        "ExtraMissing",
        "ProviderError",
    }
    for kind in handlers.HandlerError.__subclasses__():
        assert kind.code in Code.__members__, kind


def test_a_record_keeps_everything():
    record = ErrorRecord(
        code="UNKNOWN",
        reason="USER_EXCEPTION",
        message="ValueError: no",
        type="ValueError",
        metadata={"provider": "x"},
        retry_after_s=2.5,
        traceback="Traceback ...",
    )
    failure = status.of_record(record)
    assert failure.code is Code.UNKNOWN
    assert failure.metadata == {"provider": "x", "type": "ValueError"}
    assert (failure.retry_after_s, failure.traceback) == (2.5, "Traceback ...")


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), RecursionError(), MemoryError("secret")])
def test_what_nobody_expected_is_answered_with_fixed_text(error):
    failure = status.of_exception(error, idempotent=True)
    assert (failure.code, failure.reason) == (Code.INTERNAL, "INTERNAL")
    assert "secret" not in failure.message
    assert failure.metadata == {}


@pytest.mark.parametrize(
    ("error", "code", "reason", "paths"),
    [
        (bad_metadata("x-tenant", "too long"), Code.INVALID_ARGUMENT, "BAD_METADATA", ["x-tenant"]),
        (bad_field("ttl", "too long"), Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH", ["ttl"]),
        (malformed("CallRequest"), Code.INVALID_ARGUMENT, "MALFORMED_REQUEST", []),
    ],
)
def test_the_fronts_own_errors(error, code, reason, paths):
    assert status.of_exception(error) is error
    assert (error.code, error.reason, [path for path, _ in error.violations]) == (code, reason, paths)


def test_codes_have_the_numbers_of_grpc():
    import grpc

    assert {code.name: int(code) for code in Code} == {code.name: code.value[0] for code in grpc.StatusCode}


def unpacked(packed: bytes):
    message = Status.FromString(packed)
    found = {}
    for detail in message.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RequestInfo, DebugInfo):
            if detail.Is(kind.DESCRIPTOR):
                found[kind] = kind.FromString(detail.value)
    assert len(found) == len(message.details)
    return message, found


def test_what_is_packed():
    error = BridgeError(
        Code.INVALID_ARGUMENT,
        "SCHEMA_MISMATCH",
        "two are wrong",
        violations=(("a", "no"), ("b[0].c", "neither")),
        metadata={"k": "v"},
        retry_after_s=1.5,
        traceback="Traceback",
    )
    message, details = unpacked(status.pack(error, "r-1"))
    assert (message.code, message.message) == (3, "two are wrong")
    assert details[ErrorInfo] == ErrorInfo(reason="SCHEMA_MISMATCH", domain="bridge", metadata={"k": "v"})
    assert [(v.field, v.description) for v in details[BadRequest].field_violations] == list(error.violations)
    assert details[RetryInfo].retry_delay.ToMilliseconds() == 1500
    assert details[RequestInfo].request_id == "r-1"
    assert details[DebugInfo].detail == "Traceback"


def test_what_is_absent_is_not_packed():
    _, details = unpacked(status.pack(BridgeError(Code.UNKNOWN, "X", "m"), ""))
    assert set(details) == {ErrorInfo}


def test_the_last_lines_of_stderr_and_of_a_traceback_are_kept():
    lost = pool.WorkerLost("p", "p-1", "f", "c", signal="", exit_code=1, stderr="x" * 5000 + "the end")
    failure = status.of_exception(lost)
    failure.traceback = "y" * 9000 + "ValueError: here"
    _, details = unpacked(status.pack(failure, "r"))
    assert details[ErrorInfo].metadata["stderr"].endswith("the end")
    assert len(details[ErrorInfo].metadata["stderr"]) >= 500
    assert details[DebugInfo].detail.endswith("ValueError: here")


def test_of_a_fatal_error_the_innermost_frames_are_kept():
    frames = "".join(f'  File "f.py", line {n} in frame_{n}\n' for n in range(60))
    stderr = f"before\nFatal Python error: Segmentation fault\n\nCurrent thread (most recent call first):\n{frames}"
    lost = pool.WorkerLost("p", "p-1", "f", "c", signal="SIGSEGV", exit_code=None, stderr=stderr)
    _, details = unpacked(status.pack(status.of_exception(lost), "r"))
    told = details[ErrorInfo].metadata["stderr"]
    assert told.startswith("Fatal Python error: Segmentation fault")
    assert "frame_0" in told


def test_short_metadata_is_never_cut_for_long_metadata():
    metadata = {"pool": "general", "worker": "general-1", "cause": "c" * 90000}
    _, details = unpacked(status.pack(BridgeError(Code.UNAVAILABLE, "R", "m", metadata=metadata), ""))
    packed = details[ErrorInfo].metadata
    assert (packed["pool"], packed["worker"]) == ("general", "general-1")
    assert 1000 < len(packed["cause"]) <= status.METADATA_BYTES


NASTY = st.sampled_from(["x", "\N{COLLISION SYMBOL}", "\n", "%", "\ud800", "\x00", "\u2028", "ä", "\u202e", "\x1b[2J"])
HOSTILE = st.tuples(NASTY, st.integers(0, 6000)) | st.tuples(st.text(max_size=200), st.just(1))
"""A text as what it repeats and how often: a failure of the test stays readable."""
PAIRS = st.lists(st.tuples(HOSTILE, HOSTILE), max_size=20)
METADATA = st.dictionaries(st.text(st.characters(codec="ascii"), max_size=100), HOSTILE, max_size=20)


def text(repeated):
    part, count = repeated
    return part * count


def size_of_trailers(trailers, message):
    """As HTTP/2 counts it: names, values and 32 bytes each; `-bin` values as base64."""
    encoded = urllib.parse.quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    pairs = [("grpc-status", "13"), ("grpc-message", encoded), *trailers]
    return sum(
        len(key) + 32 + (len(base64.b64encode(value)) if isinstance(value, bytes) else len(value))
        for key, value in pairs
    )


@settings(max_examples=60)
@given(HOSTILE, PAIRS, METADATA, HOSTILE, st.text(st.characters(codec="ascii"), max_size=256))
@example(("\ud800", 5000), [(("\ud800", 1), ("\ud801", 1))], {"stderr": ("\ud800", 5000)}, ("\ud800", 1), "r")
@example(("%", 5000), [(("a", 500), ("%", 5000))] * 40, {"stderr": ("\n", 5000)}, ("\n", 10000), "r" * 256)
@example(("x", 5000), [], {str(n): ("y", 5000) for n in range(40)}, ("z", 10000), "r" * 256)
def test_trailers_always_fit(message, violations, metadata, traceback, request_id):
    error = BridgeError(
        Code.UNKNOWN,
        "USER_EXCEPTION",
        text(message),
        violations=tuple((text(path), text(what)) for path, what in violations),
        metadata={key: text(value) for key, value in metadata.items()},
        retry_after_s=1.0,
        traceback=text(traceback),
    )
    packed = status.pack(error, request_id)
    assert len(packed) <= status.STATUS_BYTES
    sent = status.message_of(error)
    parsed, details = unpacked(packed)
    assert parsed.message == sent, "clients compare the status with grpc-message"
    assert details[ErrorInfo].reason == "USER_EXCEPTION"
    trailers = [("grpc-status-details-bin", packed), *receipts.trailers(largest_call(request_id))]
    assert size_of_trailers(trailers, sent) <= status.TRAILER_BYTES


def largest_call(request_id):
    call = new_call("InvokeService/StreamCall", Identity(request_id, "s" * 128), b"x" * 10**6, 0.0)
    call.function = "\N{COLLISION SYMBOL}" * 128
    call.spec = FunctionSpec(name="f")
    call.route, call.reason = 2, "declared native, but its request of 123456789 bytes is over 65536"
    call.pool, call.worker = "embeddings", "embeddings-123456"
    call.leased_at, call.worker_ns, call.memory_change = call.started_at + 1e9, 10**18, -(10**12)
    usage = tuple(UsageRecord(f"provider/{'m' * 300}-{n}", 1, 10**9, 10**9, 10**9, 1e-9) for n in range(50))
    call.meta = ReplyMeta(usage=usage, model_s=1e6)
    return call
