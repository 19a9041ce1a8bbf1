"""Every call has its receipt, answered or failed: who asked, where it ran and why, how long, how much."""

import time

import grpc
import pytest

from bridge.v1 import invoke_pb2, pool_pb2
from bridge.v1.common_pb2 import Payload, Route


def timed(call):
    before = time.perf_counter()
    outcome = call()
    return outcome, (time.perf_counter() - before) * 1e6


def test_a_pooled_call(rpc):
    outcome, client_us = timed(lambda: rpc.call("add", metadata=[("x-request-id", "r-7")], a=1, b=2))
    receipt = outcome.receipt
    assert (receipt.request_id, receipt.function) == ("r-7", "add")
    assert (receipt.route, receipt.reason, receipt.pool) == (Route.ROUTE_POOLED, "declared pooled", "general")
    assert receipt.worker in rpc.workers("general")
    assert (outcome.trailers["bridge-route"], outcome.trailers["bridge-worker"]) == ("pooled", receipt.worker)
    assert 0 < receipt.worker_us < receipt.total_us < client_us
    assert receipt.queue_us + receipt.worker_us <= receipt.total_us
    request = invoke_pb2.CallRequest(function="add", arguments=Payload(json='{"a": 1, "b": 2}'))
    assert receipt.bytes_in == request.ByteSize()
    assert receipt.bytes_out == invoke_pb2.CallResponse(result=Payload(json="3")).ByteSize()
    assert receipt.HasField("memory_change_bytes")
    assert receipt.session_epoch == 0
    assert "bridge-session-epoch" not in outcome.trailers


def test_the_time_in_the_worker_is_the_functions(rpc):
    receipt = rpc.call("busy", seconds=0.2).receipt
    assert 200_000 <= receipt.worker_us <= receipt.total_us < 10_000_000


def test_waiting_for_a_worker_is_queue_time(rpc, gate, eventually):
    first = rpc.start("hold_narrow", port=gate.port)
    held = gate.entered()
    waiting = rpc.start("big_narrow", size=1)
    eventually(lambda: rpc.pool("narrow").queued == 1, "the call to wait")
    before = time.perf_counter()
    held.release()
    assert first.outcome().value == "released"
    receipt = waiting.outcome().receipt
    assert receipt.queue_us > receipt.worker_us > 0
    assert receipt.total_us >= receipt.queue_us
    assert first.outcome().receipt.queue_us < receipt.queue_us
    assert receipt.worker_us < (time.perf_counter() - before) * 1e6


def test_a_native_call(rpc):
    outcome = rpc.call("native_add", a=1, b=2)
    receipt = outcome.receipt
    assert outcome.value == 3
    assert (receipt.route, receipt.reason, receipt.pool, receipt.worker) == (
        Route.ROUTE_NATIVE,
        "declared native",
        "",
        "",
    )
    assert outcome.trailers["bridge-route"] == "native"
    assert "bridge-worker" not in outcome.trailers
    assert not receipt.HasField("memory_change_bytes")
    assert 0 < receipt.worker_us <= receipt.total_us


def test_a_large_request_of_a_native_function_goes_to_a_worker_and_says_so(rpc):
    assert rpc.call("native_size", data="x" * 1000).receipt.route == Route.ROUTE_NATIVE
    outcome = rpc.call("native_size", data="x" * 70_000)
    assert outcome.value == 70_000
    receipt = outcome.receipt
    assert (receipt.route, receipt.pool) == (Route.ROUTE_POOLED, "general")
    assert receipt.reason == f"declared native, but its request of {receipt.bytes_in} bytes is over 65536"


def test_built_in_functions_run_where_they_say(rpc):
    assert rpc.call("bridge.echo_native", text="a").receipt.route == Route.ROUTE_NATIVE
    assert rpc.call("bridge.echo", text="a").receipt.route == Route.ROUTE_POOLED


def test_a_stream_counts_all_its_messages(rpc):
    outcome = rpc.stream("count", to=5)
    assert outcome.values == [0, 1, 2, 3, 4]
    receipt = outcome.receipt
    assert receipt.bytes_out == sum(
        invoke_pb2.StreamCallResponse(item=Payload(json=str(number))).ByteSize() for number in range(5)
    )
    assert (receipt.function, receipt.route) == ("count", Route.ROUTE_POOLED)
    assert 0 < receipt.worker_us <= receipt.total_us


def test_a_failed_call_has_the_same_receipt(rpc):
    receipt = rpc.call("fail", how="plain", metadata=[("x-request-id", "r-8")]).receipt
    assert (receipt.request_id, receipt.function, receipt.pool) == ("r-8", "fail", "general")
    assert (receipt.route, receipt.reason) == (Route.ROUTE_POOLED, "declared pooled")
    assert 0 < receipt.worker_us <= receipt.total_us
    assert receipt.bytes_in > 0
    assert receipt.bytes_out == 0


def test_a_failed_stream_counts_what_was_sent(rpc):
    outcome = rpc.stream("count_then_fail", to=3)
    assert outcome.values == [0, 1, 2]
    assert outcome.receipt.bytes_out > 0


def test_memory_that_a_call_keeps(rpc):
    kept = rpc.call("keep", metadata=[("x-session-id", "s-keep")], mebibytes=40).receipt
    assert 40 << 20 <= kept.memory_change_bytes < 80 << 20
    dropped = rpc.call("drop", metadata=[("x-session-id", "s-keep")]).receipt
    assert dropped.worker == kept.worker
    assert dropped.memory_change_bytes < -30 << 20


def test_a_worker_of_many_calls_tells_memory_only_for_a_call_that_ran_alone(rpc, gate):
    call = rpc.start("hold_async", port=gate.port)
    gate.entered().release()
    alone = call.outcome()
    assert alone.value == "released"
    assert alone.receipt.HasField("memory_change_bytes")
    first, second = rpc.start("hold_async", port=gate.port), rpc.start("hold_async", port=gate.port)
    doors = [gate.entered(), gate.entered()]
    for door in doors:
        door.release()
    assert [call.outcome().receipt.HasField("memory_change_bytes") for call in (first, second)] == [False, False]


def test_requests_without_an_id_get_one_each(rpc):
    first, second = (rpc.call("add", a=1, b=1).receipt.request_id for _ in range(2))
    assert first
    assert second
    assert first != second


def test_the_function_knows_its_request(rpc):
    metadata = [("x-request-id", "r-9"), ("x-tenant", "acme"), ("x-session-id", "s-who")]
    assert rpc.call("who", metadata=metadata).value == {
        "request": "r-9",
        "session": "s-who",
        "tenant": "acme",
        "epoch": 0,
    }


@pytest.mark.parametrize(
    ("metadata", "timeout", "low", "high"),
    [([], 5.0, 3.0, 5.0), ([("x-timeout-ms", "2000")], 10.0, 0.5, 2.0), ([("x-timeout-ms", "99000")], 6.0, 4.0, 6.0)],
)
def test_the_function_knows_what_is_left_of_its_deadline(rpc, metadata, timeout, low, high):
    assert low < rpc.call("remaining", metadata=metadata, timeout=timeout).value <= high + 0.05


def test_a_call_without_a_deadline_gets_the_servers(rpc):
    assert 50.0 < rpc.call("remaining", timeout=None).value <= 60.05


def test_what_the_front_answers_by_itself_has_a_receipt_too(rpc):
    request = pool_pb2.PoolServiceListRequest()
    outcome = rpc.unary("PoolService/List", request, pool_pb2.PoolServiceListResponse, [("x-request-id", "r-10")])
    assert outcome.code is grpc.StatusCode.OK
    receipt = outcome.receipt
    assert (receipt.request_id, receipt.function, receipt.route) == ("r-10", "", Route.ROUTE_UNSPECIFIED)
    assert receipt.total_us > 0
    assert receipt.bytes_out == outcome.value.ByteSize()
    assert outcome.trailers["bridge-route"] == "none"


def test_tokens_of_a_model(server, connect):
    """Against the demo server, whose default model is the test model."""
    from bridge.v1 import model_pb2

    client = connect(server.address)
    request = model_pb2.GenerateRequest(messages=[model_pb2.Message(role=model_pb2.ROLE_USER, content="hello there")])
    outcome = client.unary("ModelService/Generate", request, model_pb2.GenerateResponse)
    assert outcome.code is grpc.StatusCode.OK, outcome.message
    receipt = outcome.receipt
    (usage,) = receipt.usage
    assert (usage.model, usage.calls) == ("bridge/test", 1)
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert 0 <= receipt.model_us <= receipt.total_us
    assert (receipt.function, receipt.pool) == ("bridge.models.generate", "llm")
