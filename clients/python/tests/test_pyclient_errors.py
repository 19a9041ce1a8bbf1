"""Failures as exceptions: every code, every reason, every detail, and the failures that never reach a server."""

import asyncio
import datetime
import re
import socket
import threading

import bridge_client
import grpc
import pytest
from bridge_client import errors
from bridge_client.v1 import common_pb2, error_details_pb2, invoke_pb2, status_pb2


def failing(code, message="it went wrong", *details, trailers=(), text="transport text"):
    """An answer that fails as the bridge does."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)

    def answer(request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()), *trailers))
        context.abort(code, text)

    return answer


def failure_of(runner, use=lambda client: client.call("f"), **options):
    with pytest.raises(bridge_client.BridgeError) as caught:
        runner.run(use, **options)
    return caught.value


CODES = {code.name: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}


@pytest.mark.parametrize("name", CODES)
def test_every_status_code_has_its_class(runner, stub, name):
    stub.answer("InvokeService/Call", lambda _, context: context.abort(CODES[name], "no details"))
    error = failure_of(runner)
    if name == "UNAVAILABLE":
        assert type(error) is errors.ConnectionLost
        return
    assert type(error) is errors.BY_CODE.get(name, errors.BridgeError)
    assert error.code == name
    assert error.reason == ""
    assert name == "DEADLINE_EXCEEDED" or error.message == "no details"


REASON_CODES = {
    "SCHEMA_MISMATCH": "INVALID_ARGUMENT",
    "QUEUE_FULL": "RESOURCE_EXHAUSTED",
    "WORKER_MEMORY_LIMIT": "RESOURCE_EXHAUSTED",
    "WORKER_CRASHED": "ABORTED",
    "INPUT_QUARANTINED": "FAILED_PRECONDITION",
    "SESSION_LOST": "ABORTED",
    "SESSION_MOVED": "ABORTED",
    "BUDGET_EXCEEDED": "RESOURCE_EXHAUSTED",
    "USER_EXCEPTION": "UNKNOWN",
    "PROVIDER_ERROR": "UNAVAILABLE",
    "SHUTTING_DOWN": "UNAVAILABLE",
    "POOL_UNAVAILABLE": "UNAVAILABLE",
    "EXTRA_MISSING": "FAILED_PRECONDITION",
    "DEADLINE_UNREACHABLE": "RESOURCE_EXHAUSTED",
    "MESSAGE_TOO_LARGE": "RESOURCE_EXHAUSTED",
    "RESULT_INVALID": "INTERNAL",
    "WORKER_PROTOCOL": "INTERNAL",
}


@pytest.mark.parametrize("reason", REASON_CODES)
def test_every_reason_has_its_class(runner, stub, reason):
    info = error_details_pb2.ErrorInfo(reason=reason, domain="bridge", metadata={"pool": "general"})
    code = REASON_CODES[reason]
    stub.answer("InvokeService/Call", failing(CODES[code], "what and why", info))
    error = failure_of(runner)
    assert type(error) is errors.BY_REASON[reason]
    assert (error.code, error.reason, error.message) == (code, reason, "what and why")
    assert error.metadata == {"pool": "general"}
    by_code = errors.BY_CODE.get(code)
    if reason not in {"WORKER_CRASHED", "USER_EXCEPTION", "PROVIDER_ERROR"}:  # these have more than one code
        assert isinstance(error, by_code)


def test_the_tables_cover_each_other():
    assert set(REASON_CODES) == set(errors.BY_REASON)
    assert set(errors.BY_CODE) == set(CODES) - {"UNKNOWN"}
    assert errors.BridgeError.default_code == "UNKNOWN"


@pytest.mark.parametrize(
    ("code", "reason", "cls"),
    [
        ("NOT_FOUND", "UNKNOWN_FUNCTION", errors.NotFound),
        ("DEADLINE_EXCEEDED", "IN_QUEUE", errors.DeadlineExceeded),
        ("UNAUTHENTICATED", "CREDENTIALS_MISSING", errors.Unauthenticated),
        ("UNAVAILABLE", "FROM_A_NEWER_SERVER", errors.Unavailable),
        ("UNAVAILABLE", "WORKER_CRASHED", errors.WorkerCrashed),
        ("NOT_FOUND", "USER_EXCEPTION", errors.UserException),
    ],
)
def test_other_reasons_go_by_their_code(runner, stub, code, reason, cls):
    stub.answer("InvokeService/Call", failing(CODES[code], "m", error_details_pb2.ErrorInfo(reason=reason)))
    error = failure_of(runner)
    assert type(error) is cls
    assert (error.code, error.reason) == (code, reason)


def test_every_detail_arrives(runner, stub):
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromTimedelta(datetime.timedelta(seconds=1.25))
    violation = error_details_pb2.BadRequest.FieldViolation
    bad = error_details_pb2.BadRequest(
        field_violations=[violation(field="a", description="expected int"), violation(field="b[1]", description="no")]
    )
    debug = error_details_pb2.DebugInfo(detail="Traceback ...\nValueError: x")
    info = error_details_pb2.ErrorInfo(reason="SCHEMA_MISMATCH", domain="bridge", metadata={"function": "f"})
    stub.answer("InvokeService/Call", failing(grpc.StatusCode.INVALID_ARGUMENT, "2 arguments", info, bad, retry, debug))
    error = failure_of(runner, lambda client: client.with_options(request_id="r-7").call("f"))
    assert [(found.field, found.description) for found in error.violations] == [("a", "expected int"), ("b[1]", "no")]
    assert error.retry_after_s == 1.25
    assert error.traceback == "Traceback ...\nValueError: x"
    assert error.request_id == "r-7"
    assert str(error) == "INVALID_ARGUMENT SCHEMA_MISMATCH: 2 arguments\n  a: expected int\n  b[1]: no"
    assert repr(error) == "SchemaMismatch(code='INVALID_ARGUMENT', reason='SCHEMA_MISMATCH', message='2 arguments')"
    assert error.__cause__ is None


def test_a_made_request_id_is_told(runner, stub):
    stub.answer("InvokeService/Call", failing(grpc.StatusCode.INTERNAL))
    error = failure_of(runner)
    assert error.request_id == stub.last.metadata["x-request-id"]
    assert len(error.request_id) == 32


def test_details_that_can_not_be_read_do_not_hide_the_failure(runner, stub):
    def answer(request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "still told")

    stub.answer("InvokeService/Call", answer)
    error = failure_of(runner)
    assert type(error) is errors.NotFound
    assert error.message == "still told"


def test_a_failure_has_a_receipt_too(runner, stub):
    receipt = common_pb2.Receipt(function="f", total_us=5).SerializeToString()
    stub.answer("InvokeService/Call", failing(grpc.StatusCode.INTERNAL, trailers=(("bridge-receipt-bin", receipt),)))
    receipts = []
    failure_of(runner, on_receipt=receipts.append)
    assert [(found.function, found.total_us) for found in receipts] == [("f", 5)]


def test_streams_fail_with_what_came_before(runner, stub):
    item = invoke_pb2.StreamCallResponse(item=common_pb2.Payload(json="1")).SerializeToString()
    fail = failing(grpc.StatusCode.ABORTED, "m", error_details_pb2.ErrorInfo(reason="WORKER_CRASHED"))

    def answer(request, context):
        yield item
        yield item
        fail(request, context)

    stub.answer("InvokeService/StreamCall", answer, stream=True)
    got = []

    async def watch(stream):
        async for value in stream:
            got.append(value)  # noqa: PERF401 - what came before the failure counts

    def use(client):
        return watch(client.stream("f")) if runner.kind == "async" else got.extend(client.stream("f"))

    error = failure_of(runner, use)
    assert got == [1, 1]
    assert type(error) is errors.WorkerCrashed


@pytest.fixture
def nobody():
    """An address on loopback that refuses connections: the port is held but nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_nobody_at_the_address_sync(nobody):
    with bridge_client.connect(nobody) as client, pytest.raises(bridge_client.CannotConnect) as caught:
        client.call("f")
    assert isinstance(caught.value, bridge_client.Unavailable)
    assert f"no bridge answers at {nobody}" in caught.value.message
    assert f"bridge serve app.py --address {nobody}" in caught.value.message


async def test_nobody_at_the_address_async(nobody):
    async with bridge_client.connect_async(nobody) as client:
        with pytest.raises(bridge_client.CannotConnect, match="no bridge answers at"):
            await client.call("f")
        with pytest.raises(bridge_client.CannotConnect):
            async for _ in client.stream("f"):
                pass


def test_a_server_that_stops_during_a_call(runner, stub):
    stopper = threading.Thread(target=lambda: stub.server.stop(None))

    def answer(request, context):
        stopper.start()
        until_gone(context)
        return b""

    stub.answer("InvokeService/Call", answer)
    error = failure_of(runner)
    stopper.join()
    assert type(error) is errors.ConnectionLost
    assert f"the connection to {stub.address} broke during /bridge.v1.InvokeService/Call" in error.message


def test_a_server_that_is_none(runner, stub):
    error = failure_of(runner)
    assert type(error) is errors.Unimplemented
    stub.answer("InvokeService/Call", b"\xff\xff\xff")
    error = failure_of(runner)
    assert type(error) is errors.UnexpectedReply
    assert "is this a bridge?" in error.message


def test_deadline(runner, stub):
    def slow(request, context):
        until_gone(context)
        return b""

    stub.answer("InvokeService/Call", slow)
    error = failure_of(runner, timeout=0.2)
    assert type(error) is errors.DeadlineExceeded
    assert "no reply within 0.2 s" in error.message


def until_gone(context):
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(10)


def test_the_servers_own_deadline_answer_arrives_before_grpcs(runner, stub):
    """The server cancels at x-timeout-ms exactly; the transport's deadline lies a little later."""
    fail = failing(grpc.StatusCode.DEADLINE_EXCEEDED, "waited 0.3 s", error_details_pb2.ErrorInfo(reason="IN_QUEUE"))

    def answer(request, context):
        exact = int(dict(context.invocation_metadata())["x-timeout-ms"]) / 1000
        assert exact < context.time_remaining() + 0.05
        threading.Event().wait(exact)
        fail(request, context)

    stub.answer("InvokeService/Call", answer)
    error = failure_of(runner, timeout=0.3)
    assert (type(error), error.reason) == (errors.DeadlineExceeded, "IN_QUEUE")


def test_a_reply_larger_than_allowed(runner, stub):
    stub.answer("InvokeService/Call", b"\x00" * 10_000)
    error = failure_of(runner, channel=bridge_client.ChannelOptions(max_message_bytes=1000))
    assert (type(error), error.reason) == (errors.MessageTooLarge, "MESSAGE_TOO_LARGE")
    assert re.search(r"the reply has \d+ bytes, and this client takes at most 1000; .*max_message_bytes", error.message)
    assert error.metadata["limit_bytes"] == "1000"
    assert int(error.metadata["size_bytes"]) >= 10_000


def test_a_request_larger_than_this_client_sends(runner, stub):
    stub.answer("InvokeService/Call", b"")
    error = failure_of(
        runner,
        lambda client: client.call("f", what="x" * 100),
        channel=bridge_client.ChannelOptions(max_message_bytes=1),
    )
    assert (type(error), error.reason) == (errors.MessageTooLarge, "MESSAGE_TOO_LARGE")
    assert "this client sends at most 1;" in error.message


def test_a_request_that_the_servers_grpc_refuses(runner, stub):
    stub.answer("InvokeService/Call", b"")
    error = failure_of(runner, lambda client: client.call("f", what="x" * (5 << 20)))
    assert (type(error), error.reason) == (errors.MessageTooLarge, "MESSAGE_TOO_LARGE")
    assert "server.max_message_bytes" in error.message
    assert error.metadata["limit_bytes"] == str(4 << 20), "what grpcio takes unless told otherwise"


def test_a_closed_client_says_so(stub):
    client = bridge_client.connect(stub.address)
    client.close()
    with pytest.raises(RuntimeError, match="is closed; make a new one"):
        client.call("f")

    async def main():
        closed = bridge_client.connect_async(stub.address)
        await closed.close()
        with pytest.raises(RuntimeError, match="is closed; make a new one"):
            await closed.call("f")

    asyncio.run(main())
