"""The table of errors over the wire: for each failure its code, reason, details and receipt, as a caller sees them."""

import signal

import grpc
import pytest

from bridge.v1 import embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2, program_pb2, session_pb2
from bridge.v1.common_pb2 import Payload

Code = grpc.StatusCode


def test_arguments_that_do_not_fit_are_told_one_by_one(rpc):
    outcome = rpc.call("add", a="one", c=3)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert set(outcome.violations) == {"a", "b", "c"}
    assert outcome.receipt.function == "add"
    assert outcome.receipt.worker


@pytest.mark.parametrize(
    ("path", "request_", "response", "reason", "similar"),
    [
        (
            "InvokeService/Call",
            invoke_pb2.CallRequest(function="ad"),
            invoke_pb2.CallResponse,
            "UNKNOWN_FUNCTION",
            "add",
        ),
        (
            "InvokeService/DescribeFunction",
            invoke_pb2.DescribeFunctionRequest(function="whoo"),
            invoke_pb2.DescribeFunctionResponse,
            "UNKNOWN_FUNCTION",
            "who",
        ),
        ("ProgramService/Run", program_pb2.RunRequest(program="x"), program_pb2.RunResponse, "UNKNOWN_PROGRAM", ""),
        (
            "ProgramService/Describe",
            program_pb2.ProgramServiceDescribeRequest(program="triage"),
            program_pb2.ProgramServiceDescribeResponse,
            "UNKNOWN_PROGRAM",
            "",
        ),
        (
            "MetricService/Score",
            metric_pb2.ScoreRequest(metric="blue"),
            metric_pb2.ScoreResponse,
            "UNKNOWN_METRIC",
            "bleu",
        ),
        (
            "MetricService/ScoreBatch",
            metric_pb2.ScoreBatchRequest(metric="exactmatch"),
            metric_pb2.ScoreBatchResponse,
            "UNKNOWN_METRIC",
            "exact_match",
        ),
        (
            "SessionService/Get",
            session_pb2.SessionServiceGetRequest(id="none"),
            session_pb2.SessionServiceGetResponse,
            "UNKNOWN_SESSION",
            "",
        ),
        ("SessionService/Close", session_pb2.CloseRequest(id="none"), session_pb2.CloseResponse, "UNKNOWN_SESSION", ""),
        (
            "PoolService/Get",
            pool_pb2.PoolServiceGetRequest(name="genral"),
            pool_pb2.PoolServiceGetResponse,
            "UNKNOWN_POOL",
            "general",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)
def test_names_that_do_not_exist(rpc, path, request_, response, reason, similar):
    outcome = rpc.unary(path, request_, response, [("x-request-id", "r-unknown")])
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, reason)
    assert outcome.metadata.get("did_you_mean", "") == similar
    assert similar in outcome.message
    assert outcome.receipt.request_id == "r-unknown"
    assert not outcome.receipt.worker


def test_a_program_that_does_not_exist(server, connect):
    request = program_pb2.RunRequest(program="triag")
    outcome = connect(server.address).unary("ProgramService/Run", request, program_pb2.RunResponse)
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_PROGRAM")
    assert outcome.metadata == {"did_you_mean": "triage"}


def test_a_name_of_a_megabyte_makes_a_short_answer(rpc):
    outcome = rpc.call("x" * 900_000)
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_FUNCTION")
    assert len(outcome.receipt.function) <= 128
    assert sum(len(key) + len(value) for key, value in outcome.trailers.items()) < 2000


@pytest.mark.parametrize("name", ["", "a/b", "../x", "'; drop", "<script>", "ä", "a\nb", "a\x00b", "\u202e"])
def test_names_of_any_kind_are_just_unknown(rpc, name):
    outcome = rpc.call(name)
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_FUNCTION")


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(rpc, gate, eventually):
    running = rpc.start("hold_narrow", port=gate.port)
    held = gate.entered()
    waiting = rpc.start("hold_narrow", port=gate.port)
    eventually(lambda: rpc.pool("narrow").queued == 1, "the call to wait")
    outcome = rpc.call("hold_narrow", port=gate.port)
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    told = {"pool": "narrow", "exceeded": "calls", "displaced": "false", "limit": "1", "waiting": "1"}
    assert {key: outcome.metadata[key] for key in told} == told
    assert 0 < outcome.retry_s <= 30
    assert "pools.narrow.queue_limit" in outcome.message
    assert outcome.receipt.pool == "narrow"
    assert not outcome.receipt.worker
    held.release()
    gate.entered().release()
    assert [running.outcome().value, waiting.outcome().value] == ["released", "released"]


def test_a_worker_over_its_memory_limit(rpc):
    outcome = rpc.call("eat", mebibytes=400)
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "WORKER_MEMORY_LIMIT")
    told = outcome.metadata
    assert (told["pool"], told["function"], told["limit_bytes"]) == ("small", "eat", str(220 << 20))
    assert int(told["used_bytes"]) > 220 << 20
    assert "pools.small.memory_limit" in outcome.message
    assert outcome.receipt.worker == told["worker"]


def test_a_worker_that_dies_in_a_call(rpc):
    outcome = rpc.call("die")
    assert (outcome.code, outcome.reason) == (Code.ABORTED, "WORKER_CRASHED")
    told = outcome.metadata
    assert (told["signal"], told["exit_code"], told["retryable"]) == ("SIGKILL", "", "false")
    assert (told["pool"], told["function"]) == ("general", "die")
    assert told["stderr"].endswith("my last words")
    assert outcome.receipt.worker == told["worker"] == outcome.trailers["bridge-worker"]
    assert rpc.call("add", a=1, b=2).value == 3, "the other worker goes on"


def test_a_worker_that_ends_itself(rpc):
    outcome = rpc.call("end", code=7)
    assert (outcome.code, outcome.reason) == (Code.ABORTED, "WORKER_CRASHED")
    assert (outcome.metadata["signal"], outcome.metadata["exit_code"]) == ("", "7")


def test_a_crash_of_an_idempotent_function_may_be_retried(rpc):
    outcome = rpc.call("die_idempotent")
    assert (outcome.code, outcome.reason) == (Code.UNAVAILABLE, "WORKER_CRASHED")
    assert outcome.metadata["retryable"] == "true"


def test_a_segmentation_fault(rpc):
    outcome = rpc.call("die", signal_number=int(signal.SIGSEGV))
    assert (outcome.code, outcome.reason) == (Code.ABORTED, "WORKER_CRASHED")
    assert outcome.metadata["signal"] == "SIGSEGV"
    assert "in die" in outcome.metadata["stderr"], "where it was"


def test_the_deadline_passes_in_the_queue(rpc, gate):
    running = rpc.start("hold_narrow", port=gate.port)
    held = gate.entered()
    outcome = rpc.call("hold_narrow", metadata=[("x-timeout-ms", "150")], port=gate.port)
    assert (outcome.code, outcome.reason) == (Code.DEADLINE_EXCEEDED, "IN_QUEUE")
    assert outcome.metadata == {"pool": "narrow"}
    assert 140_000 <= outcome.receipt.queue_us <= outcome.receipt.total_us < 5_000_000
    assert not outcome.receipt.worker_us
    held.release()
    assert running.outcome().value == "released"


def test_the_deadline_passes_in_the_worker(rpc, gate):
    outcome = rpc.start("hold", metadata=[("x-timeout-ms", "150")], port=gate.port)
    held = gate.entered()
    told = outcome.outcome()
    assert (told.code, told.reason) == (Code.DEADLINE_EXCEEDED, "IN_WORKER")
    assert told.receipt.worker
    assert 100_000 <= told.receipt.worker_us <= told.receipt.total_us < 5_000_000
    held.wait_until_gone(5.0)


def test_a_deadline_that_has_passed_reaches_no_worker(rpc):
    outcome = rpc.call("pid", metadata=[("x-timeout-ms", "0")])
    assert (outcome.code, outcome.reason) == (Code.DEADLINE_EXCEEDED, "IN_QUEUE")
    assert not outcome.receipt.worker


def test_the_deadline_of_a_native_function(rpc, gate):
    call = rpc.start("native_hold", metadata=[("x-timeout-ms", "150")], port=gate.port)
    held = gate.entered()
    outcome = call.outcome()
    assert (outcome.code, outcome.reason) == (Code.DEADLINE_EXCEEDED, "IN_WORKER")
    held.wait_until_gone(5.0)
    assert outcome.receipt.total_us >= 140_000


@pytest.mark.parametrize(
    ("how", "message", "kind"),
    [
        ("plain", "ValueError: it broke: ä \N{COLLISION SYMBOL}", "ValueError"),
        ("exit", "SystemExit: 3", "SystemExit"),
        ("interrupt", "KeyboardInterrupt: stop", "KeyboardInterrupt"),
        ("empty", "ValueError", "ValueError"),
        ("hostile", "Hostile: (its text could not be had: __str__ raised)", "Hostile"),
        ("hostile too", "HostileToo: (its text could not be had: __str__ raised)", "HostileToo"),
        ("not a str", "ValueError: b'\\xff'", "ValueError"),
        ("generator", "StopIteration: done", "StopIteration"),
        ("cancelled", "CancelledError: by hand", "CancelledError"),
        ("recursion", "RecursionError: deep", "RecursionError"),
        ("timeout", "TimeoutError: upstream", "TimeoutError"),
        ("group", "BaseExceptionGroup: two (2 sub-exceptions)", "BaseExceptionGroup"),
        ("lines", "ValueError: one\n12:00:00 error   forged\x1b[2J\x00", "ValueError"),
    ],
)
def test_whatever_user_code_raises_is_its_own_exception(rpc, how, message, kind):
    outcome = rpc.call("fail", how=how)
    assert (outcome.code, outcome.reason, outcome.message) == (Code.UNKNOWN, "USER_EXCEPTION", message)
    assert outcome.metadata == {"type": kind}
    assert outcome.receipt.worker


@pytest.mark.parametrize("how", ["huge", "surrogates"])
def test_exceptions_with_texts_that_no_trailer_could_carry(rpc, how):
    outcome = rpc.call("fail", how=how)
    assert (outcome.code, outcome.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
    assert outcome.message.startswith("ValueError: ")
    assert 200 < len(outcome.message) < 2000


def test_exceptions_do_not_cost_the_worker(rpc):
    before = rpc.workers("general")
    for how in ("exit", "interrupt", "hostile", "hostile too", "surrogates", "cancelled"):
        rpc.call("fail", how=how)
    assert rpc.workers("general") == before


def test_exceptions_of_async_functions_and_in_pools_of_many_calls(rpc):
    outcome = rpc.call("cancels_itself")
    assert (outcome.code, outcome.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
    assert outcome.message == "CancelledError"


def test_exceptions_of_native_functions(rpc):
    outcome = rpc.call("native_fail")
    assert (outcome.code, outcome.reason, outcome.message) == (Code.UNKNOWN, "USER_EXCEPTION", "SystemExit: 4")
    assert outcome.receipt.worker == ""


def test_tracebacks_stay_on_the_server(rpc, shared):
    outcome = rpc.call("fail", how="plain")
    assert b"served_app" not in outcome.trailers["grpc-status-details-bin"]
    assert "served_app.py" in shared.wait_for_log("in fail")


def test_a_model_that_is_not_configured(rpc):
    request = model_pb2.GenerateRequest(messages=[model_pb2.Message(role=model_pb2.ROLE_USER, content="hi")])
    outcome = rpc.unary("ModelService/Generate", request, model_pb2.GenerateResponse)
    assert (outcome.code, outcome.reason) == (Code.FAILED_PRECONDITION, "MODEL_NOT_CONFIGURED")
    assert "[models.default]" in outcome.message
    assert outcome.receipt.pool == "llm"


def test_a_pool_that_is_switched_off(rpc):
    outcome = rpc.unary("EmbeddingService/Embed", embedding_pb2.EmbedRequest(texts=["a"]), embedding_pb2.EmbedResponse)
    assert (outcome.code, outcome.reason) == (Code.FAILED_PRECONDITION, "POOL_UNAVAILABLE")
    assert "pools.embeddings.size" in outcome.message
    assert outcome.metadata == {"pool": "embeddings", "cause": "switched off"}


@pytest.mark.parametrize("size", [(1 << 20) + 1000, 3 << 20])
def test_a_response_that_is_too_large(rpc, size):
    workers = rpc.workers("narrow")
    outcome = rpc.call("big_narrow", size=size)
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert size < int(outcome.metadata["size_bytes"]) < size + 100
    assert outcome.metadata["limit_bytes"] == str(1 << 20)
    assert "server.max_message_bytes" in outcome.message
    assert rpc.workers("narrow") == workers, "no worker is lost for it"


def test_a_response_just_within_the_limit(rpc):
    assert len(rpc.call("big", size=(1 << 20) - 100).value) == (1 << 20) - 100


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_is_too_large(rpc, stream):
    outcome = (rpc.stream if stream else rpc.call)("size_of", data="x" * (1 << 20))
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert (1 << 20) < int(outcome.metadata["size_bytes"]) < (1 << 20) + 100
    assert outcome.metadata["limit_bytes"] == str(1 << 20)
    assert "server.max_message_bytes" in outcome.message
    assert rpc.call("size_of", data="x" * 1_000_000).value == 1_000_000


def test_a_request_that_is_far_too_large_is_refused_by_the_transport(rpc):
    outcome = rpc.call("size_of", data="x" * (2 << 20))
    assert outcome.code is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in outcome.message


def test_a_small_request_that_is_large_when_unpacked(rpc):
    request = invoke_pb2.CallRequest(function="size_of", arguments=Payload(json='{"data": "%s"}' % ("x" * 20_000_000)))
    call = rpc.channel.unary_unary("/bridge.v1.InvokeService/Call")
    with pytest.raises(grpc.RpcError) as caught:
        call(request.SerializeToString(), compression=grpc.Compression.Gzip, timeout=10)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


def test_compressed_requests_are_read(rpc):
    request = invoke_pb2.CallRequest(function="size_of", arguments=Payload(json='{"data": "%s"}' % ("x" * 200_000)))
    call = rpc.channel.unary_unary("/bridge.v1.InvokeService/Call")
    reply = call(request.SerializeToString(), compression=grpc.Compression.Gzip, timeout=10)
    assert invoke_pb2.CallResponse.FromString(reply).result.json == "200000"


def test_a_large_item_of_a_stream(rpc):
    outcome = rpc.stream("count_big", to=3, size=(1 << 20) + 10)
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert outcome.values == []


def test_a_result_that_breaks_its_promise(rpc):
    outcome = rpc.call("wrong_result")
    assert (outcome.code, outcome.reason) == (Code.INTERNAL, "RESULT_INVALID")
    assert "expected an integer, got the string 'no number'" in outcome.message
    assert outcome.receipt.function == "wrong_result"


def test_a_worker_that_breaks_the_protocol(rpc):
    outcome = rpc.call("garble")
    assert (outcome.code, outcome.reason) == (Code.INTERNAL, "WORKER_PROTOCOL")
    assert outcome.metadata["worker"] == outcome.receipt.worker
    assert rpc.call("add", a=1, b=2).value == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-timeout-ms", "soon"),
        ("x-session-id", "a/b"),
        ("x-session-mode", "wild"),
        ("x-session-ordered", "yes"),
        ("x-tenant", "t" * 300),
    ],
)
def test_metadata_that_can_not_be_used(rpc, key, value):
    outcome = rpc.call("add", metadata=[("x-request-id", "r-meta"), (key, value)], a=1, b=2)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "BAD_METADATA")
    assert list(outcome.violations) == [key]
    assert outcome.receipt.request_id == "r-meta"


MALFORMED = [
    ("InvokeService/Call", b"\xff\xff"),
    ("InvokeService/Call", b"\x0a\x02\xff\xfe"),
    ("InvokeService/Call", b"\x0a\x03add\xff\xff"),
    ("InvokeService/Call", b"\x0a\x0bbridge.echo\xff\xff"),
    ("InvokeService/ListFunctions", b"\xff\xff"),
    ("ProgramService/Run", b"\xff"),
    ("ModelService/Generate", b"\xff\xff"),
    ("MetricService/Score", b"\x0a\x04bleu\xff"),
    ("SessionService/Open", b"\xff"),
    ("PoolService/Get", b"\xff"),
]


@pytest.mark.parametrize(("path", "data"), MALFORMED, ids=[f"{path}-{data.hex()[-8:]}" for path, data in MALFORMED])
def test_requests_that_are_no_messages(rpc, path, data):
    outcome = rpc.unary(path, data, invoke_pb2.CallResponse)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert outcome.receipt.bytes_in == len(data)


def test_payloads_that_are_no_json(rpc):
    request = invoke_pb2.CallRequest(function="add", arguments=Payload(json='{"a": 1,'))
    outcome = rpc.unary("InvokeService/Call", request, invoke_pb2.CallResponse)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


def test_a_stream_asked_for_as_one_result(rpc):
    outcome = rpc.call("count", to=3)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "FUNCTION_STREAMS")


def test_a_session_may_be_opened_once(rpc):
    opened = rpc.unary("SessionService/Open", session_pb2.OpenRequest(id="twice"), session_pb2.OpenResponse)
    assert opened.value.session.id == "twice"
    outcome = rpc.unary("SessionService/Open", session_pb2.OpenRequest(id="twice"), session_pb2.OpenResponse)
    assert (outcome.code, outcome.reason) == (Code.ALREADY_EXISTS, "SESSION_EXISTS")
    rpc.unary("SessionService/Close", session_pb2.CloseRequest(id="twice"), session_pb2.CloseResponse)


def test_a_cancelled_call_is_cancelled_in_the_worker(rpc, gate):
    call = rpc.start("hold", port=gate.port)
    held = gate.entered()
    worker = held.pid
    call.future.cancel()
    held.wait_until_gone(5.0)
    assert worker in rpc.workers("general").values(), "a cancel that is obeyed costs no worker"


def test_a_cancelled_call_that_waits_reaches_no_worker(rpc, gate, eventually):
    running = rpc.start("hold_narrow", port=gate.port)
    held = gate.entered()
    waiting = rpc.start("hold_narrow", port=gate.port)
    eventually(lambda: rpc.pool("narrow").queued == 1, "the call to wait")
    waiting.future.cancel()
    eventually(lambda: rpc.pool("narrow").queued == 0, "the call to leave the queue")
    held.release()
    assert running.outcome().value == "released"
    calls = rpc.pool("narrow").calls
    assert rpc.call("big_narrow", size=1).value == "x"
    assert rpc.pool("narrow").calls - calls <= 2, "the cancelled call has never run (a canary may have)"


def test_cancelled_async_calls(rpc, gate):
    calls = [rpc.start("hold_async", port=gate.port) for _ in range(3)]
    held = [gate.entered() for _ in calls]
    calls[1].future.cancel()
    gone = gate.first_gone(held)
    for one in held:
        if one is not gone:
            one.release()
    assert [calls[0].outcome().value, calls[2].outcome().value] == ["released", "released"]
    assert gone.pid in rpc.workers("many").values(), "its worker goes on"
