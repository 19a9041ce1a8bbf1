"""Models of providers, through the real LiteLLM, against the OpenAI-compatible test server."""

import asyncio
import json
import logging
import sys

import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from bridge.v1 import model_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, EntryOptions, ModelOptions
from handlers.errors import ExtraMissing, ProviderError
from handlers.models.chat import ChatAnswer, ChatRequest
from handlers.models.litellm_model import LiteLLMModel
from handlers.models.openai_test_server.behaviour import Behaviour
from handlers.models.openai_test_server.server import serve
from handlers.models.service import open_handlers

KEY = "sk-very-secret-key-0123456789"
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}])
TOOLS = [
    {"type": "function", "function": {"name": "lookup", "parameters": {"properties": {"key": {"type": "string"}}}}}
]


@pytest.fixture(autouse=True)
async def _litellm_settles():
    """LiteLLM logs a call in the background; let it end before the test's loop does."""
    yield
    await _finish_tasks()
    await GLOBAL_LOGGING_WORKER.flush()
    await _finish_tasks()
    await GLOBAL_LOGGING_WORKER.stop()


async def _finish_tasks():
    """Wait for every task but this one and LiteLLM's endless one."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    ending = [task for task in tasks if "_worker_loop" not in repr(task.get_coro())]
    await asyncio.gather(*ending, return_exceptions=True)


@pytest.fixture(name="server")
def _server():
    with serve() as server:
        yield server


@pytest.fixture(name="sleeps")
def _sleeps():
    return []


@pytest.fixture(name="model")
def _model(server, sleeps):
    async def sleep(seconds):
        sleeps.append(seconds)

    def make(name, **options):
        return LiteLLMModel("main", model_options(server, name, **options), sleep)

    return make


def model_options(server, name, **options):
    return ModelOptions(**{"model": f"openai/{name}", "api_base": server.base_url, "api_key": KEY, **options})


def context(timeout_s=None):
    return CallContext(CallMeta("ModelService/Generate"), timeout_s)


async def events_of(stream):
    return [event async for event in stream]


async def test_plain_answer_with_usage(model, server):
    call = context()
    answer = await model("test").complete(HELLO, call)
    assert "bridge/test" in answer.text
    assert (answer.finish_reason, answer.model) == ("stop", "test")
    (usage,) = call.usage
    assert (usage.model, usage.calls, usage.input_tokens, usage.cost_usd) == ("test", 1, 1, None)
    assert usage.output_tokens == answer.usage.output_tokens > 0
    assert call.model_s > 0
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_cost_is_known_for_known_models(model):
    plain, streamed = context(), context()
    await model("gpt-4o-mini").complete(HELLO, plain)
    await events_of(model("gpt-4o-mini").stream(HELLO, streamed))
    assert plain.usage[0].cost_usd == streamed.usage[0].cost_usd
    assert 0 < plain.usage[0].cost_usd < 0.001


async def test_options_reach_the_provider_and_the_call_wins_over_the_configuration(model, server):
    options = {"temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7}
    await model("test", temperature=1.5, max_tokens=50).complete(
        ChatRequest(messages=HELLO.messages, options=options), context()
    )
    body = server.requests[0].body
    assert {key: body[key] for key in options} == options
    assert body["max_tokens"] == 50


async def test_stream_is_the_plain_answer_in_pieces(model, server):
    call = context()
    whole = await model("test").complete(HELLO, context())
    *pieces, last = await events_of(model("test").stream(HELLO, call))
    assert isinstance(last, ChatAnswer)
    assert "".join(pieces) == last.text == whole.text
    assert len(pieces) > 3
    assert (last.usage, last.finish_reason) == (whole.usage, "stop")
    assert call.usage == (whole.usage,)


async def test_tool_calls_plain_and_streamed(model):
    request = ChatRequest(messages=HELLO.messages, tools=TOOLS)
    plain = await model("test").complete(request, context())
    *_, streamed = await events_of(model("test").stream(request, context()))
    assert plain.tool_calls == streamed.tool_calls
    assert plain.finish_reason == streamed.finish_reason == "tool_calls"
    assert (plain.text, plain.tool_calls[0]["name"]) == ("", "lookup")
    assert "key" in json.loads(plain.tool_calls[0]["arguments"])


FAILURES = [
    ("status400", "INVALID_ARGUMENT", "400", "invalid"),
    ("status401", "FAILED_PRECONDITION", "401", "models.main.api_key"),
    ("status402", "FAILED_PRECONDITION", "402", "paid"),
    ("status403", "FAILED_PRECONDITION", "403", "models.main.api_key"),
    ("status404", "FAILED_PRECONDITION", "404", "models.main.model"),
    ("status408", "DEADLINE_EXCEEDED", None, "models.main.timeout_s"),
    ("status422", "INVALID_ARGUMENT", "422", "invalid"),
    ("status429", "RESOURCE_EXHAUSTED", "429", "rate"),
    ("status500", "UNAVAILABLE", "500", "failed"),
    ("status503", "UNAVAILABLE", "503", "failed"),
    ("context", "INVALID_ARGUMENT", None, "longer than the model takes"),
    ("policy", "FAILED_PRECONDITION", None, "content filter"),
    ("brokenjson", "UNAVAILABLE", None, "models.main.api_base"),
    ("cut", "UNAVAILABLE", None, "models.main.api_base"),
    ("wrongtype", "UNAVAILABLE", None, "models.main.api_base"),
]


@pytest.mark.parametrize(("word", "code", "status", "says"), FAILURES)
async def test_failures_are_told_by_one_table(model, word, code, status, says):
    call = context()
    with pytest.raises(ProviderError, match=says) as caught:
        await model(f"test-{word}", max_retries=0).complete(HELLO, call)
    error = caught.value
    assert (error.code, error.reason, error.metadata.get("status")) == (code, "PROVIDER_ERROR", status)
    assert (error.metadata["provider"], error.metadata["model"]) == ("openai", f"openai/test-{word}")
    assert KEY not in str(error.to_record())
    assert call.usage[0].calls == 1


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("status401", "FAILED_PRECONDITION"),
        ("status429", "RESOURCE_EXHAUSTED"),
        ("status500", "UNAVAILABLE"),
        ("cut0", "UNAVAILABLE"),
        ("cut3", "UNAVAILABLE"),
        ("brokenjson", "UNAVAILABLE"),
        ("wrongtype", "UNAVAILABLE"),
    ],
)
async def test_failures_of_streams(model, word, code):
    with pytest.raises(ProviderError) as caught:
        await events_of(model(f"test-{word}", max_retries=0).stream(HELLO, context()))
    assert caught.value.code == code
    assert KEY not in str(caught.value)


async def test_an_address_where_nobody_listens(model):
    with pytest.raises(ProviderError, match="could not be reached") as caught:
        await model("test", api_base="http://127.0.0.1:1/v1", max_retries=0).complete(HELLO, context())
    assert (caught.value.code, caught.value.metadata.get("status")) == ("UNAVAILABLE", None)


async def test_names_and_keys_that_are_missing_are_mistakes_of_the_configuration(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for options, says in [
        (ModelOptions(model="nonsense"), "PROVIDER/MODEL in models.main.model"),
        (ModelOptions(model="openai/gpt-4o-mini"), "Set models.main.api_key"),
    ]:
        with pytest.raises(ProviderError, match=says) as caught:
            await LiteLLMModel("main", options).complete(HELLO, context())
        assert caught.value.code == "FAILED_PRECONDITION"


@pytest.mark.parametrize(
    ("word", "waits"), [("status429x1-retryafter7", [7.0]), ("status500x2", [0.5, 1.0]), ("status503x1", [0.5])]
)
async def test_busy_and_failing_providers_are_asked_again(model, server, sleeps, word, waits):
    call = context()
    answer = await model(f"test-{word}", max_retries=2).complete(HELLO, call)
    assert "bridge/test" in answer.text
    assert sleeps == waits
    assert call.usage[0].calls == len(server.requests) == len(waits) + 1


async def test_a_stream_is_opened_again_too(model, sleeps):
    *_, last = await events_of(model("test-status429x1-retryafter2").stream(HELLO, context()))
    assert (last.finish_reason, last.usage.calls, sleeps) == ("stop", 2, [2.0])


async def test_retries_end_and_say_when_to_come_back(model, server, sleeps):
    with pytest.raises(ProviderError) as caught:
        await model("test-status429-retryafter7", max_retries=2).complete(HELLO, context())
    assert (caught.value.retry_after_s, sleeps, len(server.requests)) == (7.0, [7.0, 7.0], 3)


async def test_no_wait_that_outlasts_the_call(model, server, sleeps):
    with pytest.raises(ProviderError) as caught:
        await model("test-status429-retryafter7", max_retries=2).complete(HELLO, context(timeout_s=5))
    assert (caught.value.code, sleeps, len(server.requests)) == ("RESOURCE_EXHAUSTED", [], 1)


@pytest.mark.parametrize("word", ["status400", "status401", "status404", "context"])
async def test_mistakes_are_not_repeated(model, server, word):
    with pytest.raises(ProviderError):
        await model(f"test-{word}", max_retries=2).complete(HELLO, context())
    assert len(server.requests) == 1


async def test_a_model_that_hangs_ends_at_the_deadline_of_the_call(model, server):
    await model("test").complete(HELLO, context())  # the client is made and connected
    with pytest.raises(ProviderError, match=r"0\.\d+ s") as caught:
        await model("test-hang").complete(HELLO, context(timeout_s=0.5))
    assert caught.value.code == "DEADLINE_EXCEEDED"
    await asyncio.to_thread(server.wait_for_client_left)


async def test_a_model_that_hangs_ends_at_its_own_limit(model, server):
    await model("test").complete(HELLO, context())
    with pytest.raises(ProviderError, match=r"models\.main\.timeout_s"):
        await model("test-hang", timeout_s=0.5).complete(HELLO, context(timeout_s=60))
    await asyncio.to_thread(server.wait_for_client_left)
    assert len(server.requests) == 2


async def test_a_stream_that_falls_silent_ends_at_the_limit(model, server):
    await model("test").complete(HELLO, context())
    stream = model("test-stall3", timeout_s=0.5).stream(HELLO, context())
    for _ in range(2):
        assert await anext(stream)
    with pytest.raises(ProviderError) as caught:
        await events_of(stream)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    await asyncio.to_thread(server.wait_for_client_left)


async def test_cancelling_a_call_reaches_the_provider(model, server):
    task = asyncio.create_task(model("test-hang").complete(HELLO, context()))
    await asyncio.to_thread(server.wait_for_requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_client_left)


async def test_closing_a_stream_reaches_the_provider(model, server):
    call = context()
    stream = model("test-stall5").stream(HELLO, call)
    assert await anext(stream)
    await stream.aclose()
    await asyncio.to_thread(server.wait_for_client_left)
    assert call.usage[0].calls == 1


async def test_cancelling_a_waiting_stream_reaches_the_provider(model, server):
    first = asyncio.Event()

    async def consume():
        async for _ in model("test-stall3").stream(HELLO, context()):
            first.set()

    task = asyncio.create_task(consume())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_client_left)


async def test_closing_the_handlers_stream_reaches_the_provider(server):
    options = EntryOptions(pool="llm", models={"default": model_options(server, "test-stall5")})
    handler = next(one for one in open_handlers(options) if one.spec.name == "bridge.models.stream_generate")
    handler.warm_up()
    request = model_pb2.StreamGenerateRequest(messages=[model_pb2.Message(content="hi")]).SerializeToString()
    stream = handler.stream("ModelService/StreamGenerate", request, context())
    assert model_pb2.StreamGenerateResponse.FromString(await anext(stream)).text_delta
    await stream.aclose()
    await asyncio.to_thread(server.wait_for_client_left)


@pytest.mark.parametrize(
    ("word", "text", "reason"),
    [
        ("empty", "", "stop"),
        ("refusal", "I can not help with that.", "content_filter"),
        ("filtered", "", "content_filter"),
        ("reasoning", None, "stop"),
        ("nousage", None, "stop"),
    ],
)
async def test_odd_answers(model, word, text, reason):
    answer = await model(f"test-{word}").complete(HELLO, context())
    assert answer.finish_reason == reason
    assert answer.text == text if text is not None else "bridge/test" in answer.text


@pytest.mark.parametrize(
    ("word", "reason"), [("empty", "stop"), ("filtered", "content_filter"), ("truncated", "length")]
)
async def test_odd_streams(model, word, reason):
    *_, last = await events_of(model(f"test-{word}").stream(HELLO, context()))
    assert last.finish_reason == reason


async def test_a_truncated_answer_says_so(model):
    whole = await model("test").complete(HELLO, context())
    cut = await model("test-truncated").complete(HELLO, context())
    assert cut.finish_reason == "length"
    assert whole.text.startswith(cut.text)


async def test_the_environments_key_stays_away_from_addresses_of_ones_own(model, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-real-provider-000000")
    await model("test", api_key=None).complete(HELLO, context())
    assert server.requests[0].headers["authorization"] == "Bearer none"


async def test_keys_and_prompts_stay_out_of_logs_and_output(model, caplog, capfd):
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderError):
        await model("test-status401").complete(
            ChatRequest(messages=[{"role": "user", "content": "my-prompt"}]), context()
        )
    for logged in [record.getMessage() for record in caplog.records if record.name.startswith("LiteLLM")]:
        assert KEY not in logged
        assert "my-prompt" not in logged
    out, err = capfd.readouterr()
    assert KEY not in out + err
    assert "Give Feedback" not in out + err


async def test_many_calls_share_one_model(model, server):
    shared = model("test-latency20")
    answers = await asyncio.gather(*(shared.complete(HELLO, context()) for _ in range(30)))
    assert len({answer.text for answer in answers}) == 1
    assert len(server.requests) == 30


async def test_without_litellm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ExtraMissing, match=r"polyglot-bridge\[llm\]"):
        await LiteLLMModel("main", ModelOptions(model="openai/x")).complete(HELLO, context())


async def test_scripted_failure_in_the_middle_of_a_conversation(model, server):
    server.script("first", Behaviour(status=500), "second")
    first, second = [await model("test", max_retries=1).complete(HELLO, context()) for _ in range(2)]
    assert (first.text, second.text, second.usage.calls) == ("first", "second", 2)
