"""Tools that a client hosts: a program calls them where they are, and everything about the run reaches them."""

import json

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import program_pb2, tool_pb2
from bridge.v1.common_pb2 import Payload, Receipt

Code = grpc.StatusCode
LOOK_UP = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "most": {"type": "integer"}},
    "required": ["text"],
}
ABORT = tool_pb2.TOOL_ERROR_POLICY_ABORT
TENANT, SESSION = tool_pb2.TOOL_VISIBILITY_TENANT, tool_pb2.TOOL_VISIBILITY_SESSION
TWO_STEPS = 'Do it.\ncall look_up {"text": "blue"}\ncall store {"text": "sky"}'


def tool(name, schema=LOOK_UP, **settings):
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return tool_pb2.HostedTool(name=name, description=f"Does {name}.", arguments_schema=text, **settings)


def answer_of(future):
    return json.loads(future.result(30).outputs.json)["answer"]


def receipt_of(future):
    trailers = {one.key: one.value for one in future.trailing_metadata()}
    return Receipt.FromString(trailers["bridge-receipt-bin"])


def reason_of(future):
    error = future.exception(30)
    assert isinstance(error, grpc.RpcError), f"it went well: {future.result()}"
    return reason_in(error)


def reason_in(error):
    trailers = {one.key: one.value for one in error.trailing_metadata()}
    status = Status.FromString(trailers["grpc-status-details-bin"])
    return next(ErrorInfo.FromString(one.value).reason for one in status.details if one.Is(ErrorInfo.DESCRIPTOR))


@pytest.mark.parametrize("program", ["agent", "Slow"])
def test_an_agent_calls_tools_of_its_caller(client, host, run, program):
    hosting = host(client, tool("look_up"), tool("store"))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = (("traceparent", trace), ("x-request-id", "run-1"))
    future = run(client, program, of=hosting, question=TWO_STEPS, metadata=metadata, timeout=25)
    first = hosting.next("call")
    assert (first.tool, json.loads(first.arguments)) == ("look_up", {"text": "blue"})
    assert (first.traceparent, first.request_id, first.resent) == (trace, "run-1", False)
    assert 1000 < first.timeout_ms <= 25_100
    hosting.answer(first, {"found": ["blue whale"]})
    second = hosting.next("call")
    assert (second.tool, json.loads(second.arguments)) == ("store", {"text": "sky"})
    assert second.id > first.id
    hosting.send(result=tool_pb2.HostedResult(id=second.id, text="stored as 7"))
    answer = answer_of(future)
    assert "blue whale" in answer
    assert "stored as 7" in answer


def test_receipts_list_the_tools_that_were_called(client, host, run):
    hosting = host(client, tool("look_up"), tool("store"))
    future = run(client, "agent", of=hosting, question=TWO_STEPS)
    hosting.answer(hosting.next("call"), 1)
    hosting.fail(hosting.next("call"), "the disk is full")
    future.result(30)
    receipt = receipt_of(future)
    assert [(one.tool, one.calls, one.failed) for one in receipt.tools] == [("look_up", 1, 0), ("store", 1, 1)]
    assert receipt.tool_calls == 2
    assert 0 < receipt.tool_us <= receipt.worker_us


def test_a_failure_is_told_to_the_model_without_a_traceback(client, host, run):
    hosting = host(client, tool("look_up"))
    future = run(client, "agent", "look_up", of=hosting, question='Try.\ncall look_up {"text": "x"}')
    hosting.fail(hosting.next("call"), "the index is being built", "IndexError")
    answer = answer_of(future)
    assert "The tool failed (TOOL_FAILED): the index is being built" in answer
    assert "Traceback" not in answer
    assert ".py" not in answer


def test_a_failure_ends_the_run_where_the_tool_says_so(client, host, run):
    hosting = host(client, tool("look_up", on_error=ABORT))
    future = run(client, "agent", of=hosting, question='Try.\ncall look_up {"text": "x"}')
    hosting.fail(hosting.next("call"), "access is over", "AccessOver")
    assert reason_of(future) == "TOOL_FAILED"
    assert "access is over" in future.details()


def test_arguments_that_do_not_fit_never_reach_the_tool(client, host, run):
    hosting = host(client, tool("look_up", on_error=ABORT))
    script = 'Try.\ncall look_up {"most": "many"}\ncall look_up {"text": "right"}'
    future = run(client, "agent", of=hosting, question=script)
    call = hosting.next("call")
    assert json.loads(call.arguments) == {"text": "right"}
    hosting.answer(call, "fine")
    answer = answer_of(future)
    assert "text: is required" in answer
    assert "most: expected integer, got 'many'" in answer


def test_the_end_of_a_run_reaches_the_tool(client, host, run):
    hosting = host(client, tool("look_up"))
    future = run(client, "agent", of=hosting, question='Try.\ncall look_up {"text": "x"}')
    call = hosting.next("call")
    future.cancel()
    cancel = hosting.next("cancel")
    assert (cancel.id, cancel.reason) == (call.id, "CALLER_ENDED")
    hosting.answer(call, "too late")  # nobody minds
    future = run(client, "agent", of=hosting, question='Again.\ncall look_up {"text": "y"}')
    hosting.answer(hosting.next("call"), "in time")
    assert "in time" in answer_of(future)


@pytest.mark.parametrize("program", ["agent", "Slow"])
def test_the_deadline_of_a_run_reaches_the_tool(client, host, run, program):
    hosting = host(client, tool("look_up"))
    future = run(client, program, of=hosting, question='Try.\ncall look_up {"text": "x"}', timeout=2)
    call = hosting.next("call")
    assert call.timeout_ms <= 2100
    assert hosting.next("cancel").id == call.id
    assert future.exception(30).code() is Code.DEADLINE_EXCEEDED


def test_a_tool_that_is_late_by_its_own_timeout_is_cancelled_and_the_model_told(client, host, run):
    hosting = host(client, tool("look_up", timeout_ms=300))
    future = run(client, "agent", of=hosting, question='Try.\ncall look_up {"text": "x"}')
    call = hosting.next("call")
    assert call.timeout_ms <= 300
    cancel = hosting.next("cancel")
    assert (cancel.id, cancel.reason) == (call.id, "TOOL_TIMEOUT")
    assert "TOOL_TIMEOUT" in answer_of(future)


def test_a_program_that_gives_a_call_up_cancels_it(client, host, run):
    hosting = host(client, tool("look_up"))
    future = run(client, "Own", of=hosting, argument="x", limit_s=0.3)
    call = hosting.next("call")
    cancel = hosting.next("cancel")
    assert (cancel.id, cancel.reason) == (call.id, "CALLER_ENDED")
    assert json.loads(future.result(30).outputs.json)["value"] == "gave up"


def test_calls_wait_where_a_tool_takes_one_at_a_time(client, host, run):
    hosting = host(client, tool("look_up", max_concurrent=1))
    futures = [run(client, "Own", of=hosting, argument=f"n{number}") for number in range(3)]
    values = set()
    for _ in futures:
        call = hosting.next("call")
        listed = client.unary(
            "ToolService/ListTools",
            tool_pb2.ListToolsRequest(registration=hosting.registered.registration),
            tool_pb2.ListToolsResponse,
        ).value
        assert listed.tools[0].open_calls >= 1
        hosting.answer(call, json.loads(call.arguments)["text"])
    values = {json.loads(future.result(30).outputs.json)["value"] for future in futures}
    assert values == {"n0", "n1", "n2"}


def test_too_many_calls_at_a_time_are_refused(client, host, run, eventually):
    hosting = host(client, tool("look_up", max_concurrent=1))
    waiting = [run(client, "Own", of=hosting, argument="x") for _ in range(4)]
    first = hosting.next("call")

    def open_calls():
        request = tool_pb2.ListToolsRequest(registration=hosting.registered.registration)
        return client.unary("ToolService/ListTools", request, tool_pb2.ListToolsResponse).value.tools[0].open_calls

    eventually(lambda: open_calls() == 4, "four calls to be open")
    refused = run(client, "Own", of=hosting, argument="x")
    assert "TOOL_HOST_BUSY" in json.loads(refused.result(30).outputs.json)["value"]
    hosting.answer(first, "done")
    for _ in waiting[1:]:
        hosting.answer(hosting.next("call"), "done")
    assert {json.loads(one.result(30).outputs.json)["value"] for one in waiting} == {"done"}


def test_functions_of_the_server_are_tools_too(client, run):
    future = run(client, "agent", "function:add", question='Try.\ncall add {"a": 40, "b": 2}')
    assert "42" in answer_of(future)
    receipt = receipt_of(future)
    assert receipt.nested.listed[0].function == "add"
    assert [one.tool for one in receipt.tools] == ["add"]
    future = run(client, "agent", "fails", question='Try.\ncall fails {"text": "q"}')
    assert "The tool failed (USER_EXCEPTION): ValueError: no such text: q" in answer_of(future)


def test_an_agent_may_always_have_tools_of_the_server(client, host, run):
    hosting = host(client, tool("look_up"))
    future = run(client, "clerk", question='Try.\ncall add {"a": 1}')
    assert "2" in answer_of(future)
    script = 'Try.\ncall add {"a": 6}\ncall look_up {"text": "z"}'
    future = run(client, "clerk", "look_up", of=hosting, question=script)
    hosting.answer(hosting.next("call"), "zebra")
    answer = answer_of(future)
    assert "7" in answer
    assert "zebra" in answer


def test_synchronous_code_asks_for_tools_by_name(client, run):
    future = run(client, "OwnNow", name="add")
    assert json.loads(future.result(30).outputs.json) == {"value": "42", "description": "Add two numbers."}


def test_tools_are_seen_by_whom_they_are_for(client, host, run):
    mine, others = (("x-tenant", "mine"),), (("x-tenant", "others"),)
    in_session = (*mine, ("x-session-id", "a-session"))
    named = host(client, tool("by_run"), metadata=mine)
    host(client, tool("by_session"), metadata=in_session, visibility=SESSION)
    shared = host(client, tool("by_tenant"), metadata=mine, visibility=TENANT)

    def seen(metadata, registration=""):
        request = tool_pb2.ListToolsRequest(registration=registration)
        outcome = client.unary("ToolService/ListTools", request, tool_pb2.ListToolsResponse, metadata)
        return [one.tool.name for one in outcome.value.tools] if outcome.values else outcome.reason

    assert seen(mine) == ["by_tenant"]
    assert seen(in_session) == ["by_session", "by_tenant"]
    assert seen(others) == []
    assert seen(mine, named.registered.registration) == ["by_run"]
    assert seen(others, named.registered.registration) == "UNKNOWN_TOOL_REGISTRATION"
    assert reason_of(run(client, "agent", of=named, metadata=others, question="?")) == "UNKNOWN_TOOL_REGISTRATION"
    for metadata, name in ((others, "by_tenant"), (mine, "by_session"), (mine, "by_run")):
        assert reason_of(run(client, "agent", name, metadata=metadata, question="?")) == "TOOL_NOT_FOUND"
    future = run(client, "agent", "by_tenant", metadata=mine, question='Try.\ncall by_tenant {"text": "x"}')
    shared.answer(shared.next("call"), "seen")
    assert "seen" in answer_of(future)


def test_a_name_that_is_not_there_suggests_the_right_one(client, host, run):
    hosting = host(client, tool("look_up"))
    future = run(client, "agent", "look_upp", of=hosting, question="?")
    assert reason_of(future) == "TOOL_NOT_FOUND"
    assert "did you mean 'look_up'" in future.details()
    assert reason_of(run(client, "agent", "mcp:nowhere", question="?")) == "TOOL_NOT_FOUND"


def test_a_program_without_an_agent_refuses_tools(client, host, run):
    hosting = host(client, tool("look_up"))
    assert reason_of(run(client, "plain", of=hosting, question="?")) == "PROGRAM_TAKES_NO_TOOLS"


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        ([], "register.tools"),
        ([tool("finish")], "register.tools[0].name"),
        ([tool("a b")], "register.tools[0].name"),
        ([tool("same"), tool("same")], "register.tools[1].name"),
        ([tool("one", "{")], "register.tools[0].arguments_schema"),
        ([tool("one", '{"type": "string"}')], "register.tools[0].arguments_schema"),
        (
            [tool("one", {"properties": {"x": {"$ref": "http://[::1]/a"}}})],
            "register.tools[0].arguments_schema",
        ),
        ([tool("one", '{"properties":' * 2000 + "{}" + "}" * 2000)], "register.tools[0].arguments_schema"),
        ([tool("one", {"description": "x" * 40_000})], "register.tools[0]"),
        ([tool(f"t{number}") for number in range(9)], "register.tools"),
    ],
)
def test_what_can_not_be_registered_is_refused_at_its_field(client, host, tools, field):
    hosting = host(client)
    hosting.send(register=tool_pb2.RegisterTools(tools=tools))
    error = hosting.ended()
    assert error.code() is Code.INVALID_ARGUMENT
    assert error.details().startswith(f"{field}: ")


def test_registrations_are_bounded(client, host):
    tenant = (("x-tenant", "greedy"),)
    for number in range(6):
        host(client, tool(f"t{number}"), metadata=tenant)
    one_more = host(client, metadata=tenant)
    one_more.send(register=tool_pb2.RegisterTools(tools=[tool("more")]))
    error = one_more.ended()
    assert (error.code(), reason_in(error)) == (Code.RESOURCE_EXHAUSTED, "TOOL_HOST_LIMIT")
    assert "max_per_tenant (6)" in error.details()


def test_a_created_program_has_the_tools_that_it_names(client, host, run):
    source = program_pb2.ProgramSource(
        signature="question -> answer", module=program_pb2.MODULE_KIND_REACT, tools=["look_up", "function:add"]
    )
    request = program_pb2.CreateProgramRequest(program="made", source=source)
    created = client.unary("ProgramService/CreateProgram", request, program_pb2.CreateProgramResponse)
    assert created.code is Code.OK, created.message
    try:
        assert reason_of(run(client, "made", question="?")) == "TOOL_NOT_FOUND"
        hosting = host(client, tool("look_up"), tool("unasked"))
        script = 'Try.\ncall look_up {"text": "z"}\ncall add {"a": 6}'
        future = run(client, "made", "look_up", of=hosting, question=script)
        hosting.answer(hosting.next("call"), "zebra")
        assert "zebra; 7;" in answer_of(future)
        unasked = run(client, "made", "look_up", of=hosting, question='Try.\ncall unasked {"text": "no"}')
        assert reason_of(unasked) == "PROGRAM_OUTPUT_INVALID", "the model may name the program's tools alone"
    finally:
        request = program_pb2.DeleteProgramRequest(program="made")
        client.unary("ProgramService/DeleteProgram", request, program_pb2.DeleteProgramResponse)


def test_a_stream_tells_of_the_tools_that_are_called(client, host):
    hosting = host(client, tool("look_up"), tool("store"))
    request = program_pb2.StreamRunRequest(
        program="agent",
        inputs=Payload(json=json.dumps({"question": TWO_STEPS})),
        tool_registrations=[hosting.registered.registration],
        all_events=True,
    )
    method = client.channel.unary_stream(
        "/bridge.v1.ProgramService/StreamRun",
        request_serializer=program_pb2.StreamRunRequest.SerializeToString,
        response_deserializer=program_pb2.StreamRunResponse.FromString,
    )
    stream = method(request, timeout=30)
    hosting.answer(hosting.next("call"), "a whale")
    hosting.fail(hosting.next("call"), "the disk is full")
    events = list(stream)
    called = [one.tool_call.tool for one in events if one.WhichOneof("event") == "tool_call"]
    results = [one.tool_result for one in events if one.WhichOneof("event") == "tool_result"]
    assert called[:2] == ["look_up", "store"]
    assert (results[0].tool, json.loads(results[0].result), results[0].error) == ("look_up", "a whale", "")
    assert results[1].error == "The tool failed (TOOL_FAILED): the disk is full"
    assert events[-1].WhichOneof("event") == "final"
