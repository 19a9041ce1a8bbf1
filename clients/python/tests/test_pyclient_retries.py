"""Repeated calls: only where they may be repeated, where the server says when to, and within their time."""

import socket

import bridge_client
import grpc
import pytest
from bridge_client.errors import CannotConnect, ConnectionLost, QueueFull
from bridge_client.options import CallOptions
from bridge_client.retries import Repetition
from bridge_client.v1 import any_pb2, common_pb2, error_details_pb2, invoke_pb2, status_pb2

FULL = QueueFull("full", retry_after_s=1.0)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def repetition(clock=None, chance=0.0, **options):
    made = Repetition(CallOptions(**{"retries": 2, "idempotent": True, **options}), clock or Clock(), lambda: chance)
    made.next_options()
    return made


def test_the_servers_time_is_waited_and_a_little_more():
    assert repetition().pause_after(FULL) == 1.0
    assert repetition(chance=1.0).pause_after(FULL) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"idempotent": False}, FULL),
        ({"retries": 0}, FULL),
        ({}, ConnectionLost("gone")),
        ({}, QueueFull("full")),
        ({"timeout": 1.0}, FULL),
    ],
    ids=["may not run twice", "no retries", "connection lost", "no time said", "no time left"],
)
def test_there_is_no_other_attempt(options, error):
    assert repetition(**options).pause_after(error) is None


def test_an_idempotency_key_says_that_a_call_may_run_twice():
    assert repetition(idempotent=False, idempotency_key="k").pause_after(FULL) == 1.0


def test_what_never_left_may_be_repeated_with_longer_and_longer_pauses():
    made = repetition(idempotent=False, retries=3)
    pauses = []
    while (pause := made.pause_after(CannotConnect("nobody"))) is not None:
        pauses.append(pause)
        made.next_options()
    assert pauses == [0.1, 0.2, 0.4]


def test_attempts_share_the_time_and_the_request_id():
    clock = Clock()
    made = Repetition(CallOptions(retries=1, timeout=10.0), clock)
    first = made.next_options()
    clock.now += 4
    second = made.next_options()
    assert (first.timeout, second.timeout) == (10.0, 6.0)
    assert first.request_id == second.request_id is not None


def test_retries_are_a_whole_number():
    with pytest.raises(ValueError, match="expected retries to be a whole number from 0, got -1"):
        CallOptions(retries=-1)


def refusal(context):
    """Ends a call as a full queue does, with a time after which to try again."""
    details = [any_pb2.Any() for _ in range(2)]
    details[0].Pack(error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="bridge"))
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1)
    details[1].Pack(retry)
    status = status_pb2.Status(code=8, message="full", details=details)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("full")
    return b""


def full_for(stub, times):
    """A server whose queue is full for so many calls."""

    def answer(_request, context):
        if len(stub.calls) <= times:
            return refusal(context)
        return invoke_pb2.CallResponse(result=common_pb2.Payload(json="3")).SerializeToString()

    stub.answer("InvokeService/Call", answer)


def test_a_call_is_repeated_until_it_succeeds(runner, stub):
    full_for(stub, 2)
    assert runner.run(lambda client: client.with_options(retries=2, idempotent=True).call("f")) == 3
    assert len(stub.calls) == 3
    assert len({call.metadata["x-request-id"] for call in stub.calls}) == 1
    times = [int(call.metadata["x-timeout-ms"]) for call in stub.calls]
    assert times == sorted(times, reverse=True)


def test_a_call_fails_with_its_last_error_when_the_retries_are_used_up(runner, stub):
    full_for(stub, 5)
    with pytest.raises(QueueFull):
        runner.run(lambda client: client.with_options(retries=2, idempotency_key="k").call("f"))
    assert len(stub.calls) == 3


@pytest.mark.parametrize("options", [{}, {"idempotent": True}, {"retries": 3}], ids=str)
def test_a_call_is_not_repeated_unless_both_is_said(runner, stub, options):
    full_for(stub, 1)
    with pytest.raises(QueueFull):
        runner.run(lambda client: client.with_options(**options).call("f"))
    assert len(stub.calls) == 1


def test_results_in_parts_are_repeated_too(runner, stub):
    def answer(_request, context):
        if len(stub.calls) == 1:
            refusal(context)
            return
        yield invoke_pb2.StreamCallResponse(items=[common_pb2.Payload(json="3")]).SerializeToString()

    stub.answer("InvokeService/StreamCall", answer, stream=True)
    changed = {"retries": 1, "idempotent": True, "chunk_bytes": 5000}
    assert runner.run(lambda client: client.with_options(**changed).call("f")) == 3


def test_a_call_that_no_server_has_seen_is_repeated(runner, monkeypatch):
    attempts = []
    known = Repetition.next_options
    monkeypatch.setattr(Repetition, "next_options", lambda self: attempts.append(self) or known(self))
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        runner.address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(bridge_client.CannotConnect):
            runner.run(lambda client: client.with_options(retries=1).call("f"))
    assert len(attempts) == 2
