"""Streams from the server: order, exactly what was sent before a failure, early ends, readers that stop reading."""

import itertools
import json
import signal

import grpc
import pytest

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload, Receipt

Code = grpc.StatusCode


@pytest.mark.parametrize("to", [0, 1, 7, 5000])
def test_all_items_in_order(rpc, to):
    outcome = rpc.stream("count", to=to)
    assert outcome.code is Code.OK
    assert outcome.values == list(range(to))


def test_a_function_that_does_not_stream_sends_one_item(rpc):
    outcome = rpc.stream("add", a=1, b=2)
    assert outcome.values == [3]
    assert rpc.stream("bridge.echo", text="a").values == [{"text": "a"}]


def test_items_come_as_they_are_made(rpc, gate):
    call = rpc.open_stream("count_then_hold", to=3, port=gate.port)
    held = gate.entered()
    assert list(itertools.islice(call, 3)) == [0, 1, 2]
    held.release()
    assert list(call) == [3]


@pytest.mark.parametrize("items", [9, 100, 2000])
def test_no_item_waits_for_the_next_however_fast_they_came(rpc, gate, items):
    call = rpc.open_stream("count_then_hold", to=items, port=gate.port)
    held = gate.entered()
    assert list(itertools.islice(call, items)) == list(range(items))
    held.release()
    assert list(call) == [items]


def test_items_made_before_a_death_come_all(rpc):
    outcome = rpc.stream("count_then_die", to=500)
    assert outcome.values == list(range(500))
    assert outcome.reason == "WORKER_CRASHED"


def aggregated(rpc, name, **arguments):
    """The items of each message, where several may come in one."""
    payload = Payload(json=json.dumps(arguments))
    request = invoke_pb2.StreamCallRequest(function=name, arguments=payload, aggregate=True)
    call = rpc.channel.unary_stream(
        "/bridge.v1.InvokeService/StreamCall", response_deserializer=invoke_pb2.StreamCallResponse.FromString
    )(request.SerializeToString(), timeout=20)
    return [[json.loads(item.json) for item in message.items] for message in call]


@pytest.mark.parametrize("to", [0, 1, 5000])
def test_items_come_several_to_a_message_where_that_is_asked_for(rpc, to):
    messages = aggregated(rpc, "count", to=to)
    assert [item for message in messages for item in message] == list(range(to))
    assert all(messages)
    assert to < 100 or len(messages) < to / 2


def test_a_message_of_several_items_is_not_too_large(rpc):
    messages = aggregated(rpc, "count_big", to=40, size=100_000)
    assert sum(map(len, messages)) == 40
    assert max(map(len, messages)) <= 11


@pytest.mark.parametrize("to", [0, 1, 3, 1000])
def test_an_error_after_some_items_comes_after_exactly_those(rpc, to):
    outcome = rpc.stream("count_then_fail", to=to)
    assert outcome.values == list(range(to))
    assert (outcome.code, outcome.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
    assert outcome.message == "ValueError: after the last one"
    assert outcome.receipt.function == "count_then_fail"


def test_bad_arguments_send_nothing(rpc):
    outcome = rpc.stream("count", upto=3)
    assert (outcome.values, outcome.code, outcome.reason) == ([], Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


def test_a_worker_that_dies_in_a_stream(rpc, gate, process):
    call = rpc.open_stream("count_then_hold", to=2, port=gate.port)
    held = gate.entered()
    assert list(itertools.islice(call, 2)) == [0, 1]
    process(held.pid).send_signal(signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is Code.ABORTED
    trailers = {one.key: one.value for one in caught.value.trailing_metadata()}
    receipt = Receipt.FromString(trailers["bridge-receipt-bin"])
    assert receipt.bytes_out > 0
    assert receipt.worker_us > 0


def test_the_deadline_of_a_stream(rpc, gate):
    call = rpc.open_stream("count_then_hold", metadata=[("x-timeout-ms", "300")], to=2, port=gate.port)
    held = gate.entered()
    assert list(itertools.islice(call, 2)) == [0, 1]
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    held.wait_until_gone(5.0)


def test_a_cancel_ends_the_generator_and_frees_its_worker(rpc, gate):
    for _ in range(3):
        call = rpc.open_stream("endless", port=gate.port)
        running = gate.entered()
        assert list(itertools.islice(call, 5)) == [0, 1, 2, 3, 4]
        call.cancel()
        running.wait_until_gone(5.0)
    assert sum(worker.running for worker in rpc.pool("general").workers) <= 1


def test_a_cancel_while_nothing_comes(rpc, gate):
    call = rpc.open_stream("count_then_hold", to=0, port=gate.port)
    held = gate.entered()
    call.cancel()
    held.wait_until_gone(5.0)


def test_a_reader_that_stops_reading_holds_no_worker_beyond_the_deadline(rpc, gate):
    call = rpc.open_stream("endless", metadata=[("x-timeout-ms", "700")], port=gate.port)
    running = gate.entered()
    assert next(call) == 0
    running.wait_until_gone(8.0)
    call.cancel()


def test_a_slow_reader_holds_the_function_back(rpc, gate):
    """The items that a reader has not taken are bounded: the function is not far ahead of it."""
    call = rpc.open_stream("count_big", to=400, size=100_000)
    assert len(next(call)) == 100_000
    assert sum(len(item) for item in call) == 399 * 100_000


def test_native_streams(rpc, gate):
    call = rpc.open_stream("native_count_then_hold", to=2, port=gate.port)
    held = gate.entered()
    assert list(itertools.islice(call, 2)) == [0, 1]
    call.cancel()
    held.wait_until_gone(5.0)


def test_the_deadline_of_a_native_stream_that_waits(rpc, gate):
    call = rpc.open_stream("native_count_then_hold", metadata=[("x-timeout-ms", "300")], to=1, port=gate.port)
    held = gate.entered()
    assert next(call) == 0
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    held.wait_until_gone(5.0)


def test_a_native_stream_that_never_waits_starves_nobody_and_ends(rpc):
    call = rpc.open_stream("native_spin", metadata=[("x-timeout-ms", "500")])
    assert next(call) == 1
    assert rpc.call("native_add", a=1, b=2).value == 3
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED


def test_nothing_of_all_this_was_unexpected(rpc, shared):
    """Cancelled streams must not be logged as failures of the bridge."""
    assert rpc.call("add", a=1, b=2).value == 3
    assert "failed inside the bridge" not in shared.stderr.text
    assert "Traceback (most recent call last):" not in [
        line for line in shared.stderr.text.splitlines() if '"worker"' not in line
    ]
