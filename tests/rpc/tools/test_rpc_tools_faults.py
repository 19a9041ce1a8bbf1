"""Hosts of tools that break, come back, answer nonsense or not at all, and a server that ends: each has one outcome."""

import json
import os
import signal

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import tool_pb2

Code = grpc.StatusCode
ABORT = tool_pb2.TOOL_ERROR_POLICY_ABORT
SCHEMA = '{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}'


def tool(name="look_up", **settings):
    return tool_pb2.HostedTool(name=name, description=f"Does {name}.", arguments_schema=SCHEMA, **settings)


def value_of(future):
    return json.loads(future.result(30).outputs.json)["value"]


def reason_in(error):
    trailers = {one.key: one.value for one in error.trailing_metadata()}
    status = Status.FromString(trailers["grpc-status-details-bin"])
    return next(ErrorInfo.FromString(one.value).reason for one in status.details if one.Is(ErrorInfo.DESCRIPTOR))


def reason_of(future):
    return reason_in(future.exception(30))


def come_back(host, client, broken, *working_on, tools=()):
    back = host(client)
    back.register(*tools, token=broken.registered.token, working_on=working_on)
    assert back.registered.resumed
    assert back.registered.registration == broken.registered.registration
    return back


def test_a_host_that_comes_back_answers_what_it_has_been_working_on(client, host, run):
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    hosting.break_off()
    back = come_back(host, client, hosting, call.id)
    back.answer(call, "kept on working")
    assert value_of(future) == "kept on working"


def test_an_idempotent_call_is_sent_again(client, host, run):
    hosting = host(client, tool(idempotent=True, on_error=ABORT))
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    hosting.break_off()
    again = come_back(host, client, hosting).next("call")
    assert (again.id, again.resent, again.arguments) == (call.id, True, call.arguments)
    # The client is the same, so the fixture closes the stream that took over.
    third = host(client)
    third.register(token=hosting.registered.token)
    once_more = third.next("call")
    third.answer(once_more, "third time")
    assert value_of(future) == "third time"


def test_another_call_fails_when_its_host_comes_back_without_it(client, host, run):
    hosting = host(client, tool(on_error=ABORT))
    future = run(client, "Own", of=hosting, argument="x")
    hosting.next("call")
    hosting.break_off()
    back = come_back(host, client, hosting)
    assert reason_of(future) == "TOOL_HOST_GONE"
    future = run(client, "Own", of=back, argument="y")
    back.answer(back.next("call"), "as before")
    assert value_of(future) == "as before"


def test_calls_wait_for_a_host_that_has_gone_for_a_while(client, host, run, eventually):
    hosting = host(client, tool())
    hosting.break_off()
    future = run(client, "Own", of=hosting, argument="early")

    def listed():
        request = tool_pb2.ListToolsRequest(registration=hosting.registered.registration)
        return client.unary("ToolService/ListTools", request, tool_pb2.ListToolsResponse).value.tools[0]

    eventually(lambda: listed().open_calls == 1, "the call to wait")
    assert not listed().connected
    back = come_back(host, client, hosting)
    call = back.next("call")
    assert not call.resent
    back.answer(call, "waited")
    assert value_of(future) == "waited"


def test_a_goodbye_fails_what_is_open_and_ends_the_registration(client, host, run):
    hosting = host(client, tool(on_error=ABORT))
    future = run(client, "Own", of=hosting, argument="x")
    hosting.next("call")
    hosting.say_goodbye()
    assert hosting.ended() is None
    assert reason_of(future) == "TOOL_HOST_GONE"
    assert reason_of(run(client, "Own", of=hosting, argument="x")) == "UNKNOWN_TOOL_REGISTRATION"
    late = host(client)
    late.send(register=tool_pb2.RegisterTools(token=hosting.registered.token))
    assert reason_in(late.ended()) == "UNKNOWN_TOOL_REGISTRATION"


def test_the_end_of_the_clients_side_is_no_goodbye(client, host, run):
    hosting = host(client, tool())
    hosting.end_side()
    assert hosting.ended() is None
    back = come_back(host, client, hosting)
    future = run(client, "Own", of=hosting, argument="x")
    back.answer(back.next("call"), "still here")
    assert value_of(future) == "still here"


def test_a_second_stream_takes_the_registration_over(client, host, run):
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    back = come_back(host, client, hosting, call.id)
    error = hosting.ended()
    assert (error.code(), reason_in(error)) == (Code.ABORTED, "TOOL_HOST_REPLACED")
    back.answer(call, "from the second")
    assert value_of(future) == "from the second"


def test_a_token_is_of_use_to_its_tenant_alone(client, host):
    hosting = host(client, tool(), metadata=(("x-tenant", "mine"),))
    thief = host(client, metadata=(("x-tenant", "others"),))
    thief.send(register=tool_pb2.RegisterTools(token=hosting.registered.token))
    assert reason_in(thief.ended()) == "UNKNOWN_TOOL_REGISTRATION"


def test_a_host_may_come_back_with_other_tools(client, host, run):
    hosting = host(client, tool(on_error=ABORT))
    future = run(client, "Own", of=hosting, argument="x")
    hosting.next("call")
    hosting.break_off()
    back = come_back(host, client, hosting, tools=[tool("other")])
    assert reason_of(future) == "TOOL_HOST_GONE"
    future = run(client, "Own", "other", of=back, argument="y")
    back.answer(back.next("call"), "other tool")
    assert value_of(future) == "other tool"


def test_a_second_answer_changes_nothing(client, host, run):
    hosting = host(client, tool())
    for number in range(3):
        future = run(client, "Own", of=hosting, argument="x")
        call = hosting.next("call")
        hosting.answer(call, f"first {number}")
        hosting.answer(call, "second")
        hosting.fail(call, "third")
        assert value_of(future) == f"first {number}"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (tool_pb2.HostRequest(result=tool_pb2.HostedResult(id=77, json="1")), "SCHEMA_MISMATCH"),
        (tool_pb2.HostRequest(error=tool_pb2.HostedError(id=0)), "SCHEMA_MISMATCH"),
        (tool_pb2.HostRequest(register=tool_pb2.RegisterTools()), "SCHEMA_MISMATCH"),
        (tool_pb2.HostRequest(), "SCHEMA_MISMATCH"),
        (b"\x0a\xff\xff", "MALFORMED_REQUEST"),
    ],
)
def test_nonsense_ends_the_stream_and_not_the_run(client, host, run, message, reason):
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    hosting.send(message)
    error = hosting.ended()
    assert (error.code(), reason_in(error)) == (Code.INVALID_ARGUMENT, reason)
    back = come_back(host, client, hosting, call.id)
    back.answer(call, "better now")
    assert value_of(future) == "better now"


@pytest.mark.parametrize("first", [tool_pb2.HostRequest(result=tool_pb2.HostedResult(id=1)), b"\xff"])
def test_a_stream_begins_with_its_tools(client, host, first):
    hosting = host(client)
    hosting.send(first)
    assert hosting.ended().code() is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"json": "{nonsense"}, "its result is no JSON"),
        ({"json": '"' + "x" * 3000 + '"'}, "more than tool_hosts.max_result_bytes (2048)"),
        ({"text": "x" * 3000}, "more than tool_hosts.max_result_bytes (2048)"),
        ({"json": "[" * 5000 + "]" * 5000}, "its result"),
        ({}, "its result is no JSON"),
    ],
)
def test_a_result_that_can_not_be_used_is_a_failure_of_its_call(client, host, run, result, text):
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    hosting.send(result=tool_pb2.HostedResult(id=hosting.next("call").id, **result))
    value = value_of(future)
    assert value.startswith("The tool failed (TOOL_FAILED): ")
    assert text in value
    future = run(client, "Own", of=hosting, argument="x")  # the stream goes on
    hosting.answer(hosting.next("call"), [1.5, None])
    assert value_of(future) == "[1.5, None]"


def test_a_worker_that_dies_in_a_run_cancels_its_calls(client, host, run, eventually):
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    (pid,) = client.workers("llm").values()
    os.kill(pid, signal.SIGKILL)
    cancel = hosting.next("cancel")
    assert (cancel.id, cancel.reason) == (call.id, "CALLER_ENDED")
    assert reason_of(future) == "WORKER_CRASHED"
    eventually(lambda: len(client.workers("llm")) == 1, "another worker")


def test_a_server_that_drains_lets_running_calls_use_their_tools(start_server, connect, host, run, tools_config):
    server = start_server(*tools_config)
    client = connect(server.address, own_connection=True)
    hosting = host(client, tool())
    future = run(client, "Own", of=hosting, argument="x")
    call = hosting.next("call")
    os.kill(server.process.pid, signal.SIGTERM)
    hosting.next("draining")
    hosting.answer(call, "just in time")
    assert value_of(future) == "just in time"
    error = hosting.ended()
    assert error.code() is Code.UNAVAILABLE
    assert server.process.wait(20) == 0
