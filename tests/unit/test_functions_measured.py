"""How long a call itself has taken, beside how long it was under way."""

import threading
import time

import pytest

from bridge import function
from bridge.v1 import common_pb2, invoke_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.functions.discovery import handler_of
from handlers.functions.handler import CALL, FunctionHandler
from handlers.functions.measured import LEAST_S, MeasuredHandler, own_s, thread_usage


@function(placement="auto", pure=True, thread_safe=True)
def waits(seconds: float) -> str:
    if seconds:
        threading.Event().wait(seconds)
    if seconds > 0.01:
        raise ValueError("as told")
    return "done"


@function(placement="auto", pure=True, thread_safe=True)
async def later() -> int:
    return 1


def call(handler, **arguments):
    context = CallContext(CallMeta(CALL))
    request = invoke_pb2.CallRequest(arguments=common_pb2.Payload(json=str(arguments).replace("'", '"')))
    reply = invoke_pb2.CallResponse.FromString(handler.call(CALL, request.SerializeToString(), context))
    return reply.result.json, context


def test_functions_with_placement_auto_are_measured():
    assert type(handler_of(waits)) is MeasuredHandler
    assert type(handler_of(later)) is FunctionHandler
    assert type(handler_of(function(lambda: 1), name="plain")) is FunctionHandler


def test_what_a_call_waits_for_is_its_own():
    value, context = call(handler_of(waits), seconds=2 * LEAST_S)
    assert value == '"done"'
    assert context.own_s == 0.0, "nothing is told where nothing was taken away"
    with pytest.raises(ValueError, match="as told"):
        call(handler_of(waits), seconds=0.011)


def test_what_others_had_of_the_processor_is_not(monkeypatch):
    handler = handler_of(waits)
    times = iter([100.0, 105.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    _, context = call(handler, seconds=0.0)
    assert 0 < context.own_s < 1.0


def test_own_time():
    before = thread_usage()
    threading.Event().wait(0.02)
    assert own_s(0.02, before) == 0.02, "it has waited"
    before = thread_usage()
    while thread_usage()[0] < before[0] + 0.02:
        pass
    assert own_s(5.0, (before[0], thread_usage()[1])) == pytest.approx(0.02, abs=0.01), "the rest was taken away"
