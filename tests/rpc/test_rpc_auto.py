"""Placement by measurement, on a real server: where calls go and what they are told, and what is explained before.

The limit is far above what a busy machine adds to a quick call, and the slow ones are slower than that by far.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc
import pytest

from bridge.v1 import common_pb2, invoke_pb2
from bridge.v1.common_pb2 import ROUTE_NATIVE, ROUTE_POOLED

Code = grpc.StatusCode
APP = Path(__file__).parent / "auto_app.py"
CONFIG = """
[pools.general]
size = 2
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[native]
max_p99_ms = 150.0
copies = 0.0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


def explain(rpc, function, metadata=(), **fields):
    request = invoke_pb2.ExplainRequest(function=function, **fields)
    return rpc.unary("InvokeService/Explain", request, invoke_pb2.ExplainResponse, metadata)


def explained(rpc, function, metadata=(), **fields):
    (answer,) = explain(rpc, function, metadata, **fields).values
    return answer


def until_native(rpc, function, **arguments):
    """Call until the front takes it; return all outcomes."""
    outcomes = []
    for _ in range(3000):
        outcomes.append(rpc.call(function, **arguments))
        if outcomes[-1].receipt.route == ROUTE_NATIVE:
            return outcomes
    pytest.fail(f"the front never took it: {outcomes[-1].receipt.reason}")


def test_a_quick_function_goes_to_workers_first_and_to_the_front_once_it_is_known(shared, rpc):
    outcomes = until_native(rpc, "quick", text="hello")
    first, last = outcomes[0].receipt, outcomes[-1].receipt
    assert len(outcomes) > 8
    assert (first.route, first.pool) == (ROUTE_POOLED, "general")
    assert first.reason == "auto: pooled, calls of this size have not been timed yet"
    assert outcomes[0].value in rpc.workers("general").values()
    assert outcomes[-1].value == shared.pid
    assert (last.pool, last.worker) == ("", "")
    assert re.fullmatch(r"auto: native [\d.]+ m?s against pooled [\d.]+ m?s", last.reason)
    assert outcomes[-1].trailers["bridge-route"] == "native"


def test_sizes_are_decided_each_by_itself(rpc):
    until_native(rpc, "by_size", text="x")
    outcomes = [rpc.call("by_size", text="x" * 600).receipt for _ in range(12)]
    assert {receipt.route for receipt in outcomes} == {ROUTE_POOLED}
    assert re.fullmatch(r"auto: pooled, native p99 of 0\.[3-9]\d* s is over 0\.15 s", outcomes[-1].reason)
    assert rpc.call("by_size", text="x").receipt.route == ROUTE_NATIVE


def test_a_call_that_overran_in_the_front_keeps_the_next_of_its_size_out(rpc):
    until_native(rpc, "sleeps", ms=0)
    slow = rpc.call("sleeps", ms=400).receipt
    assert slow.route == ROUTE_NATIVE, "nothing in its request tells that it takes long"
    after = rpc.call("sleeps", ms=0).receipt
    assert after.route == ROUTE_POOLED
    assert after.reason == "auto: pooled, a native call of this size took over 0.15 s"


def test_a_function_that_has_killed_a_worker_is_kept_out_of_the_front(shared, rpc, eventually):
    assert rpc.call("dies", really=True).reason == "WORKER_CRASHED"
    shared.wait_for_log("'dies' does not run in the front any more")
    eventually(lambda: len(rpc.workers("general")) == 2, "the workers to be back")
    receipts = [rpc.call("dies", really=False).receipt for _ in range(12)]
    assert {receipt.route for receipt in receipts} == {ROUTE_POOLED}
    assert receipts[-1].reason == "auto: pooled, a worker has died in a call of it"


def test_an_async_function_is_placed_too(shared, rpc):
    assert until_native(rpc, "quick_async", text="x")[-1].value == shared.pid


def test_a_stream_of_it_goes_to_a_worker(rpc):
    until_native(rpc, "quick", text="hello")
    outcome = rpc.stream("quick", text="hello")
    assert outcome.code is Code.OK
    assert (outcome.receipt.route, outcome.receipt.reason) == (ROUTE_POOLED, "auto: streams run in a worker")


def test_calls_of_a_multiplexed_stream_are_placed_each_by_itself(shared, rpc):
    until_native(rpc, "by_size", text="x")
    multiplex = rpc.channel.stream_stream(
        "/bridge.v1.InvokeService/Multiplex",
        request_serializer=invoke_pb2.MultiplexRequest.SerializeToString,
        response_deserializer=invoke_pb2.MultiplexResponse.FromString,
    )
    calls = [
        invoke_pb2.MultiplexCall(
            id=number,
            request=invoke_pb2.CallRequest(
                function="by_size", arguments=common_pb2.Payload(json=json.dumps({"text": "x" * (600 * (number == 3))}))
            ),
        )
        for number in range(1, 21)
    ]
    pids = {
        result.id: int(result.response.result.json)
        for message in multiplex(iter([invoke_pb2.MultiplexRequest(calls=calls)]), timeout=60)
        for result in message.results
    }
    assert sorted(pids) == list(range(1, 21))
    assert pids.pop(3) in rpc.workers("general").values()
    assert shared.pid in pids.values()


def test_explain_tells_both_ways_with_their_figures(rpc):
    until_native(rpc, "quick", text="hello")
    answer = explained(rpc, "quick", arguments=common_pb2.Payload(json='{"text": "hello"}'))
    assert (answer.function, answer.placement) == ("quick", common_pb2.PLACEMENT_AUTO)
    native, pooled = answer.alternatives
    assert (native.route, native.pool, native.chosen, native.excluded) == (ROUTE_NATIVE, "", True, "")
    assert (pooled.route, pooled.pool, pooled.chosen, pooled.excluded) == (ROUTE_POOLED, "general", False, "")
    assert answer.reason.startswith("auto: native ")
    assert pooled.service.samples > 7
    assert 0 < pooled.service.p50_us <= pooled.service.p99_us
    assert pooled.service.min_request_bytes <= answer.request_bytes <= pooled.service.max_request_bytes
    prediction = pooled.prediction
    assert prediction.total_us == pytest.approx(
        prediction.queue_us + prediction.transfer_us + prediction.service_us, abs=2
    )
    assert native.prediction.burden_us <= prediction.burden_us
    assert (pooled.load.workers, pooled.load.waiting) == (2, 0)
    assert (answer.front.native_limit, answer.front.max_p99_us) == (64, 150_000)
    assert 0.0 <= answer.front.busy <= 1.0


def test_explain_runs_nothing_and_is_what_a_call_then_does(rpc):
    calls = rpc.pool("general").calls
    for _ in range(20):
        answer = explained(rpc, "sleeps", request_bytes=3000)
    assert answer.request_bytes == 3000
    assert [one.route for one in answer.alternatives] == [ROUTE_POOLED, ROUTE_NATIVE]
    assert not answer.alternatives[0].HasField("prediction")
    assert answer.alternatives[1].excluded == "calls of this size have not been timed yet"
    assert answer.reason == "auto: pooled, calls of this size have not been timed yet"
    assert rpc.pool("general").calls - calls < 3, "canaries at most"


def test_explain_of_functions_that_say_where_they_run(rpc):
    native = explained(rpc, "native_pid")
    assert [(one.route, one.chosen) for one in native.alternatives] == [(ROUTE_NATIVE, True), (ROUTE_POOLED, False)]
    assert (native.placement, native.reason) == (common_pb2.PLACEMENT_NATIVE, "declared native")
    large = explained(rpc, "native_pid", request_bytes=70_000)
    assert [(one.route, one.excluded) for one in large.alternatives] == [
        (ROUTE_POOLED, ""),
        (ROUTE_NATIVE, "its request of 70000 bytes is over 65536"),
    ]
    pooled = explained(rpc, "pooled_pid")
    assert [(one.route, one.pool, one.chosen) for one in pooled.alternatives] == [(ROUTE_POOLED, "general", True)]
    assert (pooled.reason, pooled.HasField("front")) == ("declared pooled", False)
    assert explained(rpc, "batched_pids").reason == "declared batched"


def test_explain_knows_the_worker_of_a_session_and_opens_none(rpc):
    metadata = [("x-session-id", "explained")]
    assert explained(rpc, "pooled_pid", metadata).alternatives[0].worker == ""
    outcome = rpc.call("pooled_pid", metadata=metadata, text="x")
    assert outcome.receipt.session_epoch == 0
    worker = explained(rpc, "pooled_pid", metadata).alternatives[0].worker
    assert worker == outcome.receipt.worker
    assert rpc.workers("general")[worker] == outcome.value


def test_explain_of_nothing(rpc):
    outcome = explain(rpc, "qick")
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_FUNCTION")
    assert "'quick'" in outcome.message


def test_the_catalogue_tells_the_placement(rpc):
    request = invoke_pb2.DescribeFunctionRequest(function="quick")
    outcome = rpc.unary("InvokeService/DescribeFunction", request, invoke_pb2.DescribeFunctionResponse)
    info = outcome.value.function
    assert (info.placement, info.pure, info.thread_safe, info.idempotent) == (
        common_pb2.PLACEMENT_AUTO,
        True,
        True,
        True,
    )


def test_a_function_that_lacks_a_declaration_does_not_start(launch):
    app = "from bridge import function\n\n@function(placement='auto', pure=True)\ndef f() -> int:\n    return 1\n"
    failed = launch(app, CONFIG)
    assert failed.wait() == 1
    assert "The function 'f' can not be served: placement='auto'" in failed.stderr
    assert "thread_safe is missing" in failed.stderr
    assert failed.leftovers() == []


def test_after_a_reload_everything_is_measured_anew(start_server, connect, tmp_path):
    app = tmp_path / "app.py"
    app.write_text(APP.read_text())
    server = start_server(app, CONFIG)
    client = connect(server.address)
    until_native(client, "quick", text="hello")
    server.process.send_signal(1)
    server.wait_for_log("reloaded after")
    receipt = client.call("quick", text="hello").receipt
    assert (receipt.route, receipt.reason) == (ROUTE_POOLED, "auto: pooled, calls of this size have not been timed yet")
