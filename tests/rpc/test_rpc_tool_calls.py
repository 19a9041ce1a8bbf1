"""Tools of the caller that a model asks for, over the wire: what the provider gets, and what comes back."""

import json

import grpc
import pytest

from bridge.v1 import model_pb2
from handlers.models.openai_test_server.behaviour import Behaviour, Scripted
from handlers.models.openai_test_server.server import serve

Code = grpc.StatusCode
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 1
modules = []

[pools.embeddings]
size = 0

[models.default]
model = "openai/test"
api_base = "{base}"
max_retries = 0

[models.kept]
model = "openai/test"
api_base = "{base}"
cache_ttl_s = 100.0

[models.built_in]
model = "bridge/test"

[breakers.providers]
enabled = false
"""
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, CLOCK = '{"city": "Oslo"}', '{"zone": "CET", "deep": {"list": [1, 2, 3]}}'


@pytest.fixture(scope="module")
def provider():
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def served(start_shared_server, provider):
    return start_shared_server("def nothing() -> int:\n    return 0\n", CONFIG.format(base=provider.base_url))


@pytest.fixture
def client(served, connect, provider):
    yield connect(served.address)
    assert provider.next_step() is None, "the script was not used up"


def asked(kind=model_pb2.GenerateRequest, **fields):
    request = kind(**fields)
    request.messages.add(role=model_pb2.ROLE_USER, content="What is the weather?")
    request.tools.add(name="weather", description="Tells it.", parameters_schema=json.dumps(PARAMETERS))
    request.tools.add(name="clock")
    return request


def generate(client, request):
    return client.unary("ModelService/Generate", request, model_pb2.GenerateResponse)


def stream(client, request):
    return client.channel.unary_stream(
        "/bridge.v1.ModelService/StreamGenerate",
        request_serializer=model_pb2.StreamGenerateRequest.SerializeToString,
        response_deserializer=model_pb2.StreamGenerateResponse.FromString,
    )(request, timeout=20)


def calls(*pairs, **behaviour):
    made = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(pairs)
    ]
    return Scripted(tool_calls=made, behaviour=Behaviour(**behaviour))


BOTH = (("weather", WEATHER), ("clock", CLOCK))
EXPECTED = [("call_0", "weather", WEATHER), ("call_1", "clock", CLOCK)]


def test_the_whole_way_there_and_back(client, provider):
    provider.script(calls(*BOTH), "It rains at noon.")
    request = asked()
    first = generate(client, request).value
    assert first.finish_reason == model_pb2.FINISH_REASON_TOOL_CALLS
    assert [(one.id, one.name, one.arguments) for one in first.tool_calls] == EXPECTED
    assert first.text == ""
    request.messages.add(role=model_pb2.ROLE_ASSISTANT, tool_calls=first.tool_calls)
    for one, content in zip(first.tool_calls, ("rain", "12:00"), strict=True):
        request.messages.add(role=model_pb2.ROLE_TOOL, tool_call_id=one.id, content=content)
    second = generate(client, request).value
    assert (second.text, second.finish_reason) == ("It rains at noon.", model_pb2.FINISH_REASON_STOP)
    tools, (_, turn, rain, noon) = provider.requests[-1].body["tools"], provider.requests[-1].body["messages"]
    assert tools[0]["function"] == {"name": "weather", "description": "Tells it.", "parameters": PARAMETERS}
    assert tools[1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert [one["function"] for one in turn["tool_calls"]] == [
        {"name": "weather", "arguments": WEATHER},
        {"name": "clock", "arguments": CLOCK},
    ]
    assert (rain["role"], rain["tool_call_id"], rain["content"]) == ("tool", "call_0", "rain")
    assert noon["tool_call_id"] == "call_1"


@pytest.mark.parametrize("model", ["default", "kept", "built_in"])
def test_a_stream_sends_parts_that_join_to_the_calls(client, provider, model):
    if model == "default":
        provider.script(calls(*BOTH))
    before = len(provider.requests)
    for _ in range(2 if model == "kept" else 1):
        *events, last = list(stream(client, asked(model_pb2.StreamGenerateRequest, model=model)))
        joined = {}
        for event in events:
            part = event.tool_call_delta
            one = joined.setdefault(part.index, ["", "", ""])
            for place, text in enumerate((part.id, part.name, part.arguments_delta)):
                one[place] += text
        found = [(one.id, one.name, one.arguments) for one in last.final.tool_calls]
        assert [tuple(joined[index]) for index in sorted(joined)] == found
        assert last.final.finish_reason == model_pb2.FINISH_REASON_TOOL_CALLS
        assert found == EXPECTED if model == "default" else found
    if model == "kept":
        assert len(provider.requests) == before + 1, "the second time it comes out of the cache"


def test_parts_come_before_the_provider_has_ended(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    provider.script(calls(*BOTH, ending="stall", after_chunks=4))
    call = stream(client, asked(model_pb2.StreamGenerateRequest))
    first = next(call).tool_call_delta
    assert (first.index, first.id, first.name) == (0, "call_0", "weather")
    call.cancel()
    provider.wait_for_client_left(gone + 1)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ({"mode": model_pb2.TOOL_MODE_UNSPECIFIED}, None),
        ({"mode": model_pb2.TOOL_MODE_AUTO}, "auto"),
        ({"mode": model_pb2.TOOL_MODE_NONE}, "none"),
        ({"mode": model_pb2.TOOL_MODE_REQUIRED}, "required"),
        ({"name": "clock"}, {"type": "function", "function": {"name": "clock"}}),
    ],
)
@pytest.mark.parametrize("model", ["default", "built_in"])
def test_whether_tools_must_be_called(client, provider, model, choice, sent):
    outcome = generate(client, asked(tool_choice=choice, model=model))
    expected = [] if sent == "none" else ["clock"] if isinstance(sent, dict) else ["weather"]
    assert [one.name for one in outcome.value.tool_calls] == expected
    if model == "default":
        assert provider.requests[-1].body.get("tool_choice") == sent


@pytest.mark.parametrize("wish", [None, True, False])
def test_whether_there_may_be_several_calls_at_once(client, provider, wish):
    assert generate(client, asked(parallel_tool_calls=wish)).code is Code.OK
    assert provider.requests[-1].body.get("parallel_tool_calls") == wish


def test_prompts_of_a_batch_have_tools_too(client, provider):
    provider.script(calls(("clock", CLOCK)))
    prompt = asked()
    batch = model_pb2.GenerateBatchRequest()
    batch.prompts.add(messages=prompt.messages, tools=prompt.tools, tool_choice={"name": "clock"})
    outcome = client.unary("ModelService/GenerateBatch", batch, model_pb2.GenerateBatchResponse)
    assert outcome.value.answers[0].answer.tool_calls[0].arguments == CLOCK
    assert provider.requests[-1].body["tool_choice"]["function"]["name"] == "clock"


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        ({"name": "nobody"}, "tool_choice.name"),
        ({"name": ""}, "tool_choice.name"),
        ({"mode": 9}, "tool_choice.mode"),
    ],
)
def test_choices_that_make_no_sense(client, choice, path):
    outcome = generate(client, asked(tool_choice=choice))
    assert (outcome.code, set(outcome.violations)) == (Code.INVALID_ARGUMENT, {path})


def test_a_choice_where_there_are_no_tools(client, provider):
    request = model_pb2.GenerateRequest(messages=[{"content": "hello"}], parallel_tool_calls=True)
    request.tool_choice.mode = model_pb2.TOOL_MODE_REQUIRED
    assert set(generate(client, request).violations) == {"tool_choice.mode"}
    request.tool_choice.mode = model_pb2.TOOL_MODE_AUTO
    assert generate(client, request).code is Code.OK
    assert not {"tool_choice", "parallel_tool_calls", "tools"} & set(provider.requests[-1].body)


def test_arguments_that_are_no_json_come_as_the_model_wrote_them(client, provider):
    provider.script(calls(("weather", '{"city": Oslo')), calls(("weather", '{"city": Oslo')))
    assert generate(client, asked()).value.tool_calls[0].arguments == '{"city": Oslo'
    *_, last = stream(client, asked(model_pb2.StreamGenerateRequest))
    assert last.final.tool_calls[0].arguments == '{"city": Oslo'


@pytest.mark.parametrize("behaviour", [{"ending": "cut", "after_chunks": 4}, {"ending": "broken_json"}])
def test_a_stream_that_breaks_in_a_call_is_a_failure(client, provider, behaviour):
    provider.script(calls(*BOTH, **behaviour))
    call = stream(client, asked(model_pb2.StreamGenerateRequest))
    events = []
    with pytest.raises(grpc.RpcError):
        events += call
    assert call.code() is Code.UNAVAILABLE
    assert not any(event.HasField("final") for event in events)
