"""Programs of a file app over the wire: events of an agent, wishes of calls that run together in one worker."""

import json
from collections import Counter

import pytest

from bridge.v1 import program_pb2 as pb
from bridge.v1.common_pb2 import Blob, Payload
from handlers.models.openai_test_server.server import serve

APP = '''
import dspy


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


agent = dspy.ReAct("question -> answer", tools=[add])
plain = dspy.ChainOfThought("question -> answer")
see = dspy.Predict("picture: dspy.Image, question -> answer")
'''
CONFIG = """
[pools.general]
size = 0

[pools.embeddings]
size = 0

[pools.llm]
size = 1

[models.default]
model = "openai/default"
api_base = "{base}"
max_retries = 0

[models.other]
model = "openai/other"
api_base = "{base}"
max_retries = 0
"""
CALLS = 40
THOUGHT = "[[ ## next_thought ## ]]\nhm\n\n[[ ## next_tool_name ## ]]\n{}\n\n[[ ## next_tool_args ## ]]\n{}\n\n"
ANSWER = "[[ ## reasoning ## ]]\nAdded.\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"


@pytest.fixture(scope="module")
def provider():
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def served(start_shared_server, provider):
    return start_shared_server(APP, CONFIG.format(base=provider.base_url))


def stream(client, request):
    method = client.channel.unary_stream(
        "/bridge.v1.ProgramService/StreamRun", type(request).SerializeToString, pb.StreamRunResponse.FromString
    )
    return list(method(request, timeout=30.0, wait_for_ready=True))


def test_an_agent_of_a_file_shows_its_tools(served, connect, provider):
    provider.script(THOUGHT.format("add", '{"a": 40, "b": 2}'), THOUGHT.format("finish", "{}"), ANSWER)
    inputs = Payload(json=json.dumps({"question": "40 + 2?"}))
    request = pb.StreamRunRequest(program="agent", inputs=inputs, all_events=True)
    events = stream(connect(served.address), request)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    kinds = Counter(event.WhichOneof("event") for event in events)
    assert (kinds["tool_call"], kinds["tool_result"], kinds["usage"], kinds["final"]) == (1, 1, 3, 1)
    (call,) = [event.tool_call for event in events if event.HasField("tool_call")]
    (result,) = [event.tool_result for event in events if event.HasField("tool_result")]
    assert (call.tool, json.loads(call.arguments), result.id, result.result) == (
        "add",
        {"a": 40, "b": 2},
        call.id,
        "42",
    )
    assert json.loads(events[-1].final.outputs.json)["answer"] == "42"


def test_wishes_of_calls_that_run_together_do_not_mix(served, connect, provider):
    client = connect(served.address)
    method = client.channel.unary_unary(
        "/bridge.v1.ProgramService/Run", pb.RunRequest.SerializeToString, pb.RunResponse.FromString
    )
    before, futures, wanted = len(provider.requests), [], {}
    for number in range(CALLS):
        wish = {"model": ("default", "other")[number % 2], "temperature": number / CALLS, "max_tokens": 100 + number}
        wanted[f"#{number}#"] = wish
        inputs = Payload(json=json.dumps({"question": f"#{number}#"}))
        futures.append(method.future(pb.RunRequest(program="plain", inputs=inputs, **wish), timeout=30.0))
    for future in futures:
        assert json.loads(future.result().outputs.json)["answer"]
    seen = provider.requests[before:]
    assert len(seen) == CALLS
    for request in seen:
        text = request.body["messages"][-1]["content"]
        (wish,) = [wish for mark, wish in wanted.items() if mark in text]
        sent = (request.model, request.body["temperature"], request.body["max_completion_tokens"])
        assert sent == (wish["model"], wish["temperature"], wish["max_tokens"])


def test_a_blob_reaches_the_model_as_an_image(served, connect, provider):
    png = b"\x89PNG\r\n\x1a\n" + bytes(1 << 20)
    inputs = Payload(json='{"picture": {"$blob": "it"}, "question": "?"}', blobs=[Blob(name="it", data=png)])
    reply = connect(served.address).unary(
        "ProgramService/Run", pb.RunRequest(program="see", inputs=inputs), pb.RunResponse
    )
    assert json.loads(reply.value.outputs.json)["answer"]
    content = provider.requests[-1].body["messages"][-1]["content"]
    (url,) = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert url.startswith("data:image/png;base64,iVBORw0KGgo")
    assert len(url) > len(png)
