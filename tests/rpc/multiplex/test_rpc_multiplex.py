"""Many calls over one stream: each with its own answer, deadline and cancel, packed or not, whatever becomes of it."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc
import pytest

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import ROUTE_NATIVE, ROUTE_POOLED, Payload

Code = grpc.StatusCode
APP = Path(__file__).parent / "multiplex_app.py"
CONFIG = """
[server]
drain_timeout_s = 10.0
max_message_bytes = "1MiB"

[pools.general]
size = 2
grace_s = 0.3
queue_limit = 40

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect, eventually):
    client = connect(shared.address)
    yield client
    eventually(
        lambda: len(client.workers("general")) == 2 and not client.pool("general").running, "the pool to be whole"
    )


@pytest.fixture
def mux(rpc, multiplex):
    return multiplex(rpc)


def test_calls_are_answered_with_their_values_and_receipts(mux):
    mux.send(*[mux.request("add", a=number, b=1) for number in range(50)])
    answers = {answer.id: answer for answer in mux.answers(50)}
    assert [answers[number + 1].value for number in range(50)] == [number + 1 for number in range(50)]
    for answer in answers.values():
        receipt = answer.receipt
        assert (receipt.function, receipt.route, receipt.pool) == ("add", ROUTE_POOLED, "general")
        assert receipt.worker.startswith("general-")
        assert receipt.bytes_in > 0 < receipt.bytes_out
        assert receipt.total_us >= receipt.worker_us > 0


def test_calls_of_a_batched_function_run_together(mux):
    for _ in range(5):
        mux.send(*[mux.request("together", x=-1 if number == 7 else number) for number in range(40)])
        answers = mux.answers(40)
        assert [answer.reason for answer in answers if not answer.ok] == ["USER_EXCEPTION"]
        assert 8 <= max(answer.receipt.batch_size for answer in answers) <= 16
        assert [a.value for a in answers if a.ok] == [max(1, a.receipt.batch_size) for a in answers if a.ok]


def test_ten_thousand_calls_in_frames_of_fifty(mux):
    mux.learn("add", a=1, b=2)
    sender = threading.Thread(
        target=lambda: [mux.send(*[mux.request("add", a=one, b=2) for one in range(50)]) for _ in range(200)]
    )
    first = mux.next_id
    sender.start()
    answers = mux.answers(10_000)
    sender.join()
    assert {answer.id for answer in answers} == set(range(first, first + 10_000))
    assert all(answer.value == (answer.id - first) % 50 + 2 for answer in answers)
    assert mux.messages < 5_000, "answers come several to a message"


def test_a_quick_call_overtakes_a_slow_one(mux, gate):
    (slow,) = mux.send(mux.request("act", how="hold", port=gate.port))
    held = gate.entered()
    (quick,) = mux.send(mux.request("add", a=1, b=2))
    assert [answer.id for answer in mux.answers(1)] == [quick]
    held.release()
    assert [answer.id for answer in mux.answers(1)] == [slow]


def test_native_calls(mux):
    mux.send(*[mux.request("native_add", a=1, b=2) for _ in range(10)])
    answers = mux.answers(10)
    assert {answer.value for answer in answers} == {3}
    assert {answer.receipt.route for answer in answers} == {ROUTE_NATIVE}


@pytest.mark.parametrize("packed", [False, True])
def test_errors_are_their_callers_alone(mux, packed):
    if packed:
        mux.learn()
    calls = [
        mux.request("act", how="a"),
        mux.request("act", how="fail"),
        mux.request("act", how=1),
        mux.request("nothing"),
        mux.request("count", to=3),
        mux.request("act", how="b"),
        mux.request("act", {"request_id": "\n"}, how="c"),
    ]
    ids = mux.send(*calls)
    answers = {answer.id: answer for answer in mux.answers(7)}
    outcomes = [answers[one].value if answers[one].ok else answers[one].reason for one in ids]
    assert outcomes[:4] == ["a", "USER_EXCEPTION", "SCHEMA_MISMATCH", "UNKNOWN_FUNCTION"]
    assert outcomes[4:] == ["FUNCTION_STREAMS", "b", "BAD_METADATA"]
    assert answers[ids[1]].status.message == "ValueError: as told"
    assert answers[ids[1]].receipt.function == "act"


def test_options_of_a_call(rpc, multiplex):
    mux = multiplex(rpc, [("x-request-id", "mine"), ("x-session-id", "all")])
    ids = mux.send(
        mux.request("act", how="request"),
        mux.request("act", {"request_id": "own"}, how="request"),
        mux.request("act", how="session"),
        mux.request("act", {"session_id": "one"}, how="session"),
    )
    answers = {answer.id: answer for answer in mux.answers(4)}
    assert [answers[one].value for one in ids] == [f"mine.{ids[0]}", "own", "all", "one"]
    assert answers[ids[3]].receipt.request_id == f"mine.{ids[3]}", "the receipt of a session's call is whole"
    mux.end()
    assert list(mux.call) == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_deadline_ends_one_call(mux, gate, packed):
    if packed:
        mux.learn()
    (late, *others) = mux.send(
        mux.request("act", {"timeout_ms": 300}, how="hold", port=gate.port),
        mux.request("act", how="a"),
        mux.request("act", how="b"),
    )
    answers = {answer.id: answer for answer in mux.answers(3)}
    assert [answers[one].value for one in others] == ["a", "b"]
    assert (answers[late].status.code, answers[late].reason) == (Code.DEADLINE_EXCEEDED.value[0], "IN_WORKER")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("how", ["hold", "spin"])
def test_a_cancel_ends_one_call(mux, gate, packed, how):
    if packed:
        mux.learn()
    ids = mux.send(
        mux.request("act", how="a"),
        mux.request("act", how=how, port=gate.port),
        *[mux.request("act", how="b") for _ in range(10)],
    )
    held = gate.entered()
    mux.send(cancel=(ids[1], 99_999))
    answers = {answer.id: answer for answer in mux.answers(12)}
    assert (answers[ids[1]].status.code, answers[ids[1]].reason) == (Code.CANCELLED.value[0], "CANCELLED_BY_CLIENT")
    held.wait_until_gone()
    assert [answers[one].value for one in ids if one != ids[1]] == ["a", *["b"] * 10]


def test_no_member_of_a_pack_waits_for_a_slow_one(mux, gate):
    """Those before it are answered although the worker has not sent their results, those behind it run elsewhere."""
    mux.learn()
    ids = mux.send(
        *[mux.request("act", how="before") for _ in range(20)],
        mux.request("act", how="hold", port=gate.port),
        *[mux.request("act", how="behind") for _ in range(20)],
    )
    held = gate.entered()
    answers = mux.answers(40)
    assert {answer.id for answer in answers} == set(ids) - {ids[20]}
    held.release()
    (last,) = mux.answers(1)
    assert (last.id, last.value) == (ids[20], "hold")


def test_a_death_costs_one_member_of_a_pack(mux):
    mux.learn()
    ids = mux.send(
        *[mux.request("act", how="before") for _ in range(20)],
        mux.request("act", how="die"),
        *[mux.request("act", how="behind") for _ in range(20)],
    )
    answers = {answer.id: answer for answer in mux.answers(41)}
    assert [answers[one].value for one in ids[:20]] == ["before"] * 20
    assert (answers[ids[20]].reason, answers[ids[20]].status.code) == ("WORKER_CRASHED", Code.ABORTED.value[0])
    assert [answers[one].value for one in ids[21:]] == ["behind"] * 20


def test_an_input_that_has_killed_runs_alone_and_is_refused_in_the_end(mux):
    mux.learn()
    reasons = []
    for _ in range(4):
        ids = mux.send(mux.request("act", how="a"), mux.request("act", how="die", port=7), mux.request("act", how="b"))
        answers = {answer.id: answer for answer in mux.answers(3)}
        assert [answers[ids[0]].value, answers[ids[2]].value] == ["a", "b"]
        reasons.append(answers[ids[1]].reason)
    assert reasons[0] == "WORKER_CRASHED"
    assert reasons[-1] == "INPUT_QUARANTINED"


@pytest.mark.parametrize("packed", [False, True])
def test_the_end_of_the_stream_cancels_what_is_open(rpc, multiplex, gate, packed, eventually):
    mux = multiplex(rpc)
    if packed:
        mux.learn()
    mux.send(*[mux.request("act", how="hold", port=gate.port) for _ in range(2 if not packed else 30)])
    held = gate.entered()
    mux.call.cancel()
    held.wait_until_gone()
    eventually(lambda: not rpc.pool("general").running, "all calls to be gone")
    assert rpc.call("add", a=1, b=2).value == 3


def test_a_half_closed_stream_ends_with_its_last_answer(mux, gate):
    mux.send(mux.request("act", how="hold", port=gate.port))
    held = gate.entered()
    mux.end()
    held.release()
    assert mux.answers(1)[0].value == "hold"
    assert list(mux.call) == []
    assert mux.call.code() is Code.OK


def test_an_id_that_is_open_and_bytes_that_are_no_message_end_the_stream(rpc, multiplex, gate):
    mux = multiplex(rpc)
    call = mux.request("act", how="hold", port=gate.port)
    mux.send(call)
    held = gate.entered()
    mux.send(call)
    assert mux.failure().code() is Code.INVALID_ARGUMENT
    held.wait_until_gone()
    mux = multiplex(rpc)
    mux.raw(b"\xff\xff\xff")
    error = mux.failure()
    assert error.code() is Code.INVALID_ARGUMENT
    assert "MultiplexRequest" in error.details()


def test_a_message_that_is_too_large_ends_the_stream(rpc, multiplex):
    mux = multiplex(rpc)
    payload = Payload(raw=bytes(600_000))
    calls = [
        invoke_pb2.MultiplexCall(id=one, request=invoke_pb2.CallRequest(function="bridge.echo", arguments=payload))
        for one in (1, 2)
    ]
    mux.send(*calls)
    error = mux.failure()
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert "max_message_bytes" in error.details()


def test_one_stream_does_not_fill_the_queue_of_a_pool(rpc, multiplex, gate, eventually):
    """A stream has half of it; the rest of its calls wait in the stream, those beyond what may be open are not read."""
    mux = multiplex(rpc)
    limit = mux.max_open_calls
    mux.send(*[mux.request("act", how="hold", port=gate.port) for _ in range(2)])
    holding = [gate.entered(), gate.entered()]
    ids = mux.send(*[mux.request("add", {"priority": 3}, a=1, b=2) for _ in range(limit + 500)])
    ids += mux.send(mux.request("add", a=1, b=2))
    (native,) = mux.send(mux.request("native_add", {"timeout_ms": 10_000}, a=1, b=2))
    eventually(lambda: rpc.pool("general").queued >= 18, "calls to wait")
    assert rpc.pool("general").queued in (18, 19), "but for a canary, which may wait too"
    for held in holding:
        held.release()
    answers = mux.answers(limit + 504)
    assert {answer.id for answer in answers if answer.ok} == {1, 2, *ids, native}
    mux.end()
    assert list(mux.call) == []


def test_calls_that_wait_in_the_stream_have_their_deadlines_and_can_be_cancelled(mux, gate):
    mux.send(*[mux.request("act", how="hold", port=gate.port) for _ in range(2)])
    holding = [gate.entered(), gate.entered()]
    late = mux.send(*[mux.request("act", {"timeout_ms": 200}, how="a") for _ in range(60)])
    dropped = mux.send(*[mux.request("act", how="b") for _ in range(60)])
    mux.send(cancel=tuple(dropped))
    answers = {answer.id: answer for answer in mux.answers(120)}
    assert {answers[one].reason for one in late} == {"IN_QUEUE"}
    assert {answers[one].reason for one in dropped} == {"CANCELLED_BY_CLIENT"}
    for held in holding:
        held.release()
    assert {answer.value for answer in mux.answers(2)} == {"hold"}


def test_an_operator_ends_a_member(mux, rpc, gate):
    from bridge.v1 import pool_pb2

    mux.learn()
    ids = mux.send(
        mux.request("act", how="a"),
        mux.request("act", {"request_id": "one-of-many"}, how="hold", port=gate.port),
        mux.request("act", how="b"),
    )
    held = gate.entered()
    request = pool_pb2.CancelRequest(request_id="one-of-many")
    assert rpc.unary("PoolService/Cancel", request, pool_pb2.CancelResponse).value.cancelled == 1
    answers = {answer.id: answer for answer in mux.answers(3)}
    assert answers[ids[1]].reason == "CANCELLED_BY_OPERATOR"
    assert [answers[ids[0]].value, answers[ids[2]].value] == ["a", "b"]
    held.wait_until_gone()


def test_a_drain_lets_open_calls_end_and_ends_the_stream(start_server, connect, multiplex, gate):
    server = start_server(APP, CONFIG)
    mux = multiplex(connect(server.address))
    mux.send(mux.request("act", how="hold", port=gate.port))
    idle = multiplex(connect(server.address))
    held = gate.entered()
    server.process.terminate()
    assert idle.failure().code() is Code.UNAVAILABLE
    held.release()
    assert mux.answers(1)[0].value == "hold"
    error = mux.failure()
    assert error.code() is Code.UNAVAILABLE
    assert "shutting down" in error.details()
    assert server.process.wait(15) == 0


def test_a_drain_refuses_what_waits_in_the_stream_and_in_the_queue(start_server, connect, multiplex, gate, eventually):
    server = start_server(APP, CONFIG)
    rpc = connect(server.address)
    mux = multiplex(rpc)
    mux.learn("add", a=1, b=2)
    mux.send(*[mux.request("act", how="hold", port=gate.port) for _ in range(2)])
    holding = [gate.entered(), gate.entered()]
    ids = mux.send(*[mux.request("add", a=1, b=2) for _ in range(60)])
    mux.send(mux.request("native_add", a=1, b=2))
    assert mux.answers(1)[0].value == 3, "what was sent before it has been read"
    assert 0 < rpc.pool("general").queued <= 19
    server.process.terminate()
    answers = mux.answers(60)
    assert {answer.id for answer in answers} == set(ids)
    assert {answer.reason for answer in answers} == {"SHUTTING_DOWN"}
    for held in holding:
        held.release()
    assert {answer.value for answer in mux.answers(2)} == {"hold"}
    assert mux.failure().code() is Code.UNAVAILABLE
    assert server.process.wait(15) == 0
