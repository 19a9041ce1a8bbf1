"""The OpenAI-compatible test server, asked by the official openai client and over bare HTTP."""

import base64
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
import threading

import openai
import pytest

from handlers.models.openai_test_server import behaviour
from handlers.models.openai_test_server.behaviour import Behaviour, Scripted
from handlers.models.openai_test_server.server import serve

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"properties": {"key": {"type": "string"}}}}}


@pytest.fixture(name="server")
def _server():
    with serve() as server:
        yield server


@pytest.fixture(name="client")
def _client(server):
    with openai.OpenAI(base_url=server.base_url, api_key="sk-secret", max_retries=0, timeout=10) as client:
        yield client


def ask(client, model="test", **more):
    return client.chat.completions.create(model=model, messages=HELLO, **more)


def test_models(client):
    assert [model.id for model in client.models.list()] == ["test"]


def test_plain_answer(client, server):
    reply = ask(client)
    assert "bridge/test" in reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.model, reply.usage.prompt_tokens) == ("test", 1)
    (request,) = server.requests
    assert (request.outcome, request.status, request.path) == ("answered", 200, "/v1/chat/completions")
    assert request.body["messages"] == HELLO
    assert request.headers["authorization"] == "Bearer sk-secret"


def test_several_choices(client):
    assert [choice.index for choice in ask(client, n=3).choices] == [0, 1, 2]


def test_stream_has_the_same_text_and_usage(client, server):
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert server.requests[-1].chunks_sent == len(chunks) + 1


def test_stream_without_usage_unless_asked(client):
    assert all(chunk.usage is None for chunk in ask(client, stream=True))


def test_tools_plain_and_streamed(client):
    call = ask(client, tools=[TOOL]).choices[0].message.tool_calls[0]
    streamed = ""
    for chunk in ask(client, tools=[TOOL], stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            streamed += part.function.arguments or ""
    assert call.function.name == "lookup"
    assert json.loads(streamed) == json.loads(call.function.arguments)
    assert ask(client, tools=[TOOL], tool_choice="none").choices[0].message.tool_calls is None


def test_response_formats(client):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert isinstance(json.loads(ask(client, response_format=wanted).choices[0].message.content)["n"], int)
    loose = ask(client, response_format={"type": "json_object"})
    assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_embeddings_in_both_encodings(client):
    packed = client.embeddings.create(model="test", input=["a", "b"])
    plain = client.embeddings.create(model="test", input=["a"], dimensions=100, encoding_format="float")
    assert len(packed.data) == 2
    assert len(packed.data[0].embedding) == 64
    assert len(plain.data[0].embedding) == 100
    assert packed.data[0].embedding != packed.data[1].embedding
    assert sum(number**2 for number in packed.data[0].embedding) == pytest.approx(1, abs=1e-5)


def test_images_as_bytes_and_as_addresses(client, server):
    drawn = client.images.generate(model="test", prompt="a cat", n=2, size="40x20")
    pictures = [base64.b64decode(one.b64_json) for one in drawn.data]
    assert [struct.unpack(">II", picture[16:24]) for picture in pictures] == [(40, 20)] * 2
    assert pictures[0] != pictures[1]
    assert drawn.usage.output_tokens == 200
    placed = client.images.generate(model="test", prompt="a cat", response_format="url")
    assert placed.data[0].url.startswith("https://images.example/")
    server.script(Scripted(body={"created": 1, "data": []}))
    assert client.images.generate(model="test", prompt="a cat").data == []
    with pytest.raises(openai.RateLimitError):
        client.images.generate(model="test-status429", prompt="a cat")


@pytest.mark.parametrize(
    ("word", "error", "code"),
    [
        ("status401", openai.AuthenticationError, "invalid_api_key"),
        ("status403", openai.PermissionDeniedError, None),
        ("status404", openai.NotFoundError, "model_not_found"),
        ("status429", openai.RateLimitError, "rate_limit_exceeded"),
        ("status500", openai.InternalServerError, None),
        ("context", openai.BadRequestError, "context_length_exceeded"),
        ("policy", openai.BadRequestError, "content_policy_violation"),
    ],
)
def test_failures(client, server, word, error, code):
    with pytest.raises(error) as caught:
        ask(client, f"test-{word}")
    assert caught.value.code == code
    assert server.requests[-1].outcome == "failed"


def test_retry_after_and_only_the_first_fail(client):
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client, "test-status429x1-retryafter7")
    assert caught.value.response.headers["retry-after"] == "7"
    assert ask(client, "test-status429x1-retryafter7").choices


@pytest.mark.parametrize(
    ("word", "content", "reason"),
    [("prose", "weather", "stop"), ("empty", "", "stop"), ("truncated", "bridge/test", "length")],
)
def test_contents(client, word, content, reason):
    choice = ask(client, f"test-{word}").choices[0]
    assert content in choice.message.content
    assert choice.finish_reason == reason


def test_refusal_filter_reasoning_and_no_usage(client):
    assert ask(client, "test-refusal").choices[0].message.refusal
    assert ask(client, "test-filtered").choices[0].finish_reason == "content_filter"
    assert ask(client, "test-reasoning").choices[0].message.reasoning_content
    assert ask(client, "test-nousage").usage is None


def test_latency_and_gap_are_waited_for_in_a_stream(client):
    words = behaviour.of_model("openai/test-latency200-gap5")
    assert (words.latency_s, words.gap_s) == (0.2, 0.005)
    assert len(list(ask(client, "test-latency1-gap1", stream=True))) > 3


def test_broken_json_and_wrong_type(client):
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        ask(client, "test-brokenjson")
    assert "<html>" in ask(client, "test-wrongtype")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        list(ask(client, "test-brokenjson", stream=True))


def test_cut_stream_sends_so_many_chunks_and_no_end(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = json.dumps({"model": "test-cut2", "messages": HELLO, "stream": True})
    connection.request("POST", "/v1/chat/completions", body)
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial.count(b"data: ") == 2
    assert server.requests[-1].outcome == "cut"


def test_a_hanging_request_ends_when_the_client_leaves(client, server):
    with pytest.raises(openai.APITimeoutError):
        ask(client, "test-hang", timeout=0.2)
    assert server.wait_for_client_left()[0].model == "test-hang"


def test_a_stalled_stream_ends_when_the_client_leaves(client, server):
    stream = ask(client, "test-stall3", stream=True)
    for _ in range(3):
        next(stream)
    assert server.requests[0].outcome == "open"
    stream.close()
    assert server.wait_for_client_left()[0].chunks_sent == 3


def test_script_wins_over_the_name(client, server):
    server.script("one", Behaviour(status=503), Scripted(tool_calls=[_call()]))
    assert ask(client, "test-status500").choices[0].message.content == "one"
    with pytest.raises(openai.InternalServerError, match="503"):
        ask(client)
    assert ask(client).choices[0].message.tool_calls[0].function.name == "lookup"
    assert "bridge/test" in ask(client).choices[0].message.content


def _call():
    return {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}


def test_unknown_words_bodies_and_paths_are_refused(client, server):
    with pytest.raises(openai.BadRequestError, match="unknown word 'stauts500'"):
        ask(client, "test-stauts500")
    assert ask(client, "gpt-4o-mini").choices
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for path, body, status in [
        ("/v1/chat/completions", "{", 400),
        ("/v1/chat/completions", "[]", 400),
        ("/v1/chat/completions", "{}", 400),
        ("/v1/nothing", "{}", 404),
    ]:
        connection.request("POST", path, body)
        response = connection.getresponse()
        assert (response.status, "message" in json.loads(response.read())["error"]) == (status, True)
    connection.close()


def test_every_documented_word_is_understood():
    for word in behaviour.WORDS:
        name = word.replace("SxK", "500x2").replace("statusS", "status500").replace("N", "2")
        assert behaviour.of_model(f"test-{name}") != Behaviour()


def test_waiting_says_what_was_seen(client, server):
    ask(client)
    with pytest.raises(TimeoutError, match="test answered"):
        server.wait_for_requests(2, timeout_s=0.01)


def test_closing_ends_open_requests_and_all_threads():
    before = threading.active_count()
    with serve() as server, openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        failed = []

        def hang():
            try:
                ask(client, "test-hang")
            except openai.APIConnectionError as error:
                failed.append(error)

        waiting = threading.Thread(target=hang)
        waiting.start()
        server.wait_for_requests()
        server.close()
        waiting.join(10)
        assert len(failed) == 1
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_line(number):
    command = [sys.executable, "-m", "handlers.models.openai_test_server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        ready = json.loads(process.stdout.readline())
        with openai.OpenAI(base_url=ready["base_url"], api_key="x") as client:
            assert ask(client).choices
        process.send_signal(number)
        assert process.wait(10) == 0
