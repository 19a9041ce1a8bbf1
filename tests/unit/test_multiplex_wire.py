"""Multiplexed messages read and written by hand are those of the generated classes."""

import pytest

from bridge.envelope import join_items, wants_items
from bridge.errors import BridgeError
from bridge.multiplex.wire import ERROR, MESSAGE_BYTES, RESPONSE, Answers, greeting, read
from bridge.receipts.wire import numbers
from bridge.v1 import common_pb2, invoke_pb2

SHARED = ("f", 2, "declared pooled", "general", "general-1")


def test_calls_are_read_with_their_messages_as_bytes():
    request = invoke_pb2.CallRequest(function="f", arguments=common_pb2.Payload(json="{}"))
    options = invoke_pb2.MultiplexOptions(timeout_ms=5, priority=invoke_pb2.PRIORITY_HIGH)
    calls = [
        invoke_pb2.MultiplexCall(id=1 << 63, request=request),
        invoke_pb2.MultiplexCall(request=request, options=options),
    ]
    received = read(invoke_pb2.MultiplexRequest(calls=calls, cancelled_ids=[3, 4]).SerializeToString())
    assert [entry.id for entry in received.calls] == [1 << 63, 0]
    assert {entry.request for entry in received.calls} == {request.SerializeToString()}
    assert [entry.options for entry in received.calls] == [b"", options.SerializeToString()]
    assert list(received.cancelled_ids) == [3, 4]


def test_other_bytes_are_refused():
    with pytest.raises(BridgeError, match="MultiplexRequest"):
        read(b"\xff\xff")


def test_the_greeting():
    assert invoke_pb2.MultiplexResponse.FromString(greeting(7)).max_open_calls == 7


def test_answers_are_what_the_generated_class_reads():
    response = invoke_pb2.CallResponse(result=common_pb2.Payload(raw=b"x" * 300))
    answers = Answers()
    answers.add(1, RESPONSE, response.SerializeToString(), SHARED, numbers(1, 2, 3, 4, 5))
    answers.add(1 << 40, ERROR, b"status", None, common_pb2.Receipt(function="g").SerializeToString())
    answers.add(2, RESPONSE, b"", SHARED, numbers(1, 2, 3, 4, 500_000))
    (message,) = answers.take()
    read_back = invoke_pb2.MultiplexResponse.FromString(message)
    first, second, third = read_back.results
    assert (first.id, first.response, first.shared_receipt) == (1, response, 1)
    assert (second.id, second.error, second.shared_receipt, second.receipt.function) == (1 << 40, b"status", 0, "g")
    assert (third.id, third.WhichOneof("outcome"), third.receipt.bytes_out) == (2, "response", 500_000)
    (shared,) = read_back.shared_receipts
    assert (shared.function, shared.route, shared.reason, shared.pool, shared.worker) == SHARED
    assert (first.receipt.queue_us, first.receipt.worker_us, first.receipt.total_us) == (1, 2, 3)
    assert answers.take() == []
    assert answers.size == 0


def test_many_answers_are_several_messages_each_with_what_its_receipts_share():
    response = invoke_pb2.CallResponse(result=common_pb2.Payload(raw=bytes(MESSAGE_BYTES // 2))).SerializeToString()
    answers = Answers()
    for number in range(5):
        answers.add(number, RESPONSE, response, SHARED, b"")
    messages = [invoke_pb2.MultiplexResponse.FromString(message) for message in answers.take()]
    assert [len(message.results) for message in messages] == [2, 2, 1]
    assert [len(message.shared_receipts) for message in messages] == [1, 1, 1]


@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize("json", ["", "{}", '"\x18\x01"'])
def test_whether_items_may_come_together(aggregate, json):
    payload = common_pb2.Payload(json=json)
    request = invoke_pb2.StreamCallRequest(function="f", arguments=payload, aggregate=aggregate)
    data = request.SerializeToString()
    assert wants_items(data) is aggregate
    assert wants_items(data + b"\x21" + bytes(8) + b"\x2d" + bytes(4)) is aggregate, "fields that are not known"


@pytest.mark.parametrize("data", [b"\x18\x01\x12", b"\x18\x01\x23"])
def test_a_request_that_is_cut_off(data):
    with pytest.raises(BridgeError, match="StreamCallRequest"):
        wants_items(data)


def test_items_together_are_those_that_came():
    items = [common_pb2.Payload(json="1"), common_pb2.Payload(), common_pb2.Payload(raw=b"x" * 1000)]
    messages = [invoke_pb2.StreamCallResponse(item=item).SerializeToString() for item in items]
    (joined,) = join_items([*messages, b""])
    assert list(invoke_pb2.StreamCallResponse.FromString(joined).items) == [*items, common_pb2.Payload()]
