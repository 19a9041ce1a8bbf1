"""Calls that an operator ends by their request id: wherever they are, with a reason, and the worker serves on."""

from pathlib import Path

import grpc
import pytest

from bridge.v1 import pool_pb2

Code = grpc.StatusCode
APP = Path(__file__).parent / "served_app.py"
LEAN = """
[pools.general]
size = 1
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, LEAN)


@pytest.fixture
def client(shared, connect):
    return connect(shared.address)


def cancel(client, request_id):
    request = pool_pb2.CancelRequest(request_id=request_id)
    return client.unary("PoolService/Cancel", request, pool_pb2.CancelResponse)


def ended_by_operator(outcome):
    assert (outcome.code, outcome.reason) == (Code.CANCELLED, "CANCELLED_BY_OPERATOR")
    assert outcome.receipt.request_id
    return outcome


def test_a_call_that_runs(client, gate):
    call = client.start("hold", port=gate.port, metadata=[("x-request-id", "runs")])
    held = gate.entered()
    assert cancel(client, "runs").value.cancelled == 1
    assert ended_by_operator(call.outcome()).receipt.worker
    held.wait_until_gone()
    assert client.call("add", a=1, b=2).value == 3


def test_a_call_that_waits(client, gate, eventually):
    running = client.start("hold", port=gate.port)
    held = gate.entered()
    waiting = client.start("add", a=1, b=2, metadata=[("x-request-id", "waits")])
    eventually(lambda: client.pool("general").queued == 1, "the call to wait")
    assert cancel(client, "waits").value.cancelled == 1
    ended_by_operator(waiting.outcome())
    assert client.pool("general").queued == 0
    held.release()
    assert running.outcome().value == "released"


def test_calls_are_listed_with_what_cancel_takes(client, gate, eventually):
    running = client.start("hold", port=gate.port, metadata=[("x-request-id", "first")])
    held = gate.entered()
    waiting = client.start("add", a=1, b=2, metadata=[("x-request-id", "second")])
    eventually(lambda: client.pool("general").queued == 1, "the call to wait")
    seen = client.unary("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse).value
    first, second = seen.open_calls
    (worker,) = client.pool("general").workers
    assert (first.request_id, first.function, first.pool, first.worker) == ("first", "hold", "general", worker.id)
    assert (second.request_id, second.function, second.pool, second.worker) == ("second", "add", "general", "")
    assert first.age.ToTimedelta() >= second.age.ToTimedelta()
    held.release()
    assert running.outcome().value == "released"
    assert waiting.outcome().value == 3
    seen = client.unary("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse).value
    assert not seen.open_calls


def test_a_stream(client, gate):
    stream = client.open_stream("count_then_hold", to=2, port=gate.port, metadata=[("x-request-id", "streams")])
    assert [next(stream), next(stream)] == [0, 1]
    held = gate.entered()
    assert cancel(client, "streams").value.cancelled == 1
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() is Code.CANCELLED
    assert "operator" in caught.value.details()
    held.wait_until_gone()


def test_a_native_call(client, gate):
    call = client.start("native_hold", port=gate.port, metadata=[("x-request-id", "native")])
    held = gate.entered()
    assert cancel(client, "native").value.cancelled == 1
    ended_by_operator(call.outcome())
    held.wait_until_gone()


def test_all_calls_of_an_id(client, gate, eventually):
    calls = [client.start("hold", port=gate.port, metadata=[("x-request-id", "twice")]) for _ in range(2)]
    gate.entered()
    eventually(lambda: client.pool("general").queued == 1, "the other to wait")
    assert cancel(client, "twice").value.cancelled == 2
    for call in calls:
        ended_by_operator(call.outcome())


def test_there_is_none(client):
    outcome = cancel(client, "none")
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_CALL")
    assert cancel(client, "").reason == "SCHEMA_MISMATCH"
