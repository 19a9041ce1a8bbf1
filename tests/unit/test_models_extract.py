"""Structured answers, through the real instructor and LiteLLM, against the OpenAI-compatible test server."""

import asyncio
import json
from contextlib import contextmanager

import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from handlers.boundary import BOUNDARY
from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions
from handlers.errors import HandlerError, ProviderError
from handlers.models.answer_schema import AnswerSchema
from handlers.models.chat import ChatRequest, Extracted
from handlers.models.images import ImageRequest
from handlers.models.litellm_model import LiteLLMModel
from handlers.models.openai_test_server.behaviour import Behaviour, Scripted
from handlers.models.openai_test_server.server import serve
from handlers.replay import record
from handlers.replay.playing import Playing
from handlers.replay.record import Exchange, Outcome, Program, SavedCall
from handlers.replay.recording import Recording, digest
from handlers.secret_scan import Scanner

SCHEMA = AnswerSchema.parse(
    json.dumps(
        {
            "title": "a person, with spaces",
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "age": {"type": "integer", "minimum": 0, "maximum": 150},
                "class": {"enum": ["a", "b"]},
                "first-day": {"type": "string", "format": "date"},
                "parent": {"$ref": "#/$defs/Parent"},
            },
            "required": ["name", "class"],
            "additionalProperties": False,
            "$defs": {"Parent": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
        }
    )
)
GOOD = {"name": "Ann", "class": "a"}
ASK = ChatRequest(messages=[{"role": "user", "content": "Ann, 30. {{ 7 * 7 }}"}])


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


@pytest.fixture(name="model")
def _model(server):
    def make(name="test", **options):
        options = {"api_base": server.base_url, "api_key": "sk-very-secret-key-0123456789", "max_retries": 0, **options}
        return LiteLLMModel("main", ModelOptions(model=f"openai/{name}", **options))

    return make


def context():
    return CallContext(CallMeta("ModelService/Extract"))


def call(arguments):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Scripted(
        tool_calls=[{"id": "call_1", "type": "function", "function": {"name": "Answer", "arguments": text}}]
    )


async def test_the_model_sees_the_callers_own_schema_and_its_answer_comes_back_as_it_is(model, server):
    found = await model().extract(ASK, SCHEMA, 2, context())
    assert SCHEMA.violations(json.loads(found.json_text)) == ()
    assert (found.attempts, found.model) == (1, "test")
    body = server.requests[0].body
    shown = body["tools"][0]["function"]["parameters"]
    assert shown["properties"] == SCHEMA.schema["properties"]
    assert (shown["additionalProperties"], shown["required"]) == (False, ["class", "name"])
    assert body["tool_choice"]["function"]["name"] == body["tools"][0]["function"]["name"] == "Answer"
    assert "{{ 7 * 7 }}" in body["messages"][0]["content"]


async def test_nothing_is_added_to_the_answer(model, server):
    server.script(call(GOOD))
    assert json.loads((await model().extract(ASK, SCHEMA, 0, context())).json_text) == GOOD


MISTAKES = [
    ({"name": "Ann"}, "", "'class' is a required property"),
    ({**GOOD, "age": 200}, "age", "200 is greater than the maximum"),
    ({**GOOD, "age": "200"}, "age", "is not of type 'integer'"),
    ({**GOOD, "extra": 1}, "", "'extra' was unexpected"),
    ({**GOOD, "first-day": "soon"}, "first-day", "is not a 'date'"),
    ({**GOOD, "parent": {}}, "parent", "'name' is a required property"),
]


@pytest.mark.parametrize(("answer", "path", "says"), MISTAKES)
async def test_mistakes_are_fed_back_and_counted(model, server, answer, path, says):
    server.script(call(answer), call(GOOD))
    used = context()
    found = await model().extract(ASK, SCHEMA, 2, used)
    assert (json.loads(found.json_text), found.attempts, found.usage.calls) == (GOOD, 2, 2)
    fed_back = server.requests[1].body["messages"][-1]["content"]
    assert says in fed_back
    assert path in fed_back
    assert used.usage[0].input_tokens == found.usage.input_tokens > 0


@pytest.mark.parametrize(("answer", "path", "says"), MISTAKES)
async def test_an_answer_that_never_fits_is_told_with_its_mistakes(model, server, answer, path, says):
    server.script(call("{"), call(answer))
    with pytest.raises(HandlerError) as caught:
        await model().extract(ASK, SCHEMA, 1, context())
    error = caught.value
    assert (error.code, error.reason, error.metadata["attempts"]) == ("INTERNAL", "OUTPUT_INVALID", "2")
    ((found, text),) = error.violations
    assert found == path
    assert says in text


@pytest.mark.parametrize("word", ["prose", "empty", "refusal"])
async def test_answers_that_are_no_objects(model, server, word):
    with pytest.raises(HandlerError, match="not an object in JSON") as caught:
        await model(f"test-{word}").extract(ASK, SCHEMA, 2, context())
    assert (caught.value.reason, len(server.requests)) == ("OUTPUT_INVALID", 3)


async def test_a_last_answer_that_is_no_json_is_what_is_told(model, server):
    server.script(call({"name": "Ann"}), call("{"))
    with pytest.raises(HandlerError, match="not an object in JSON"):
        await model().extract(ASK, SCHEMA, 1, context())


async def test_an_answer_that_was_cut_is_not_asked_for_again(model, server):
    with pytest.raises(HandlerError, match="max_tokens") as caught:
        await model("test-truncated").extract(ASK, SCHEMA, 2, context())
    assert (caught.value.reason, len(server.requests)) == ("OUTPUT_INVALID", 1)


async def test_a_server_that_refuses_tools_gets_the_schema_in_the_prompt(model, server):
    found = await model("test-status400x1").extract(ASK, SCHEMA, 0, context())
    assert SCHEMA.violations(json.loads(found.json_text)) == ()
    assert found.attempts == 2
    body = server.requests[1].body
    assert "tools" not in body
    assert "additionalProperties" in body["messages"][0]["content"]


async def test_a_server_that_ignores_tools_gets_the_schema_in_the_prompt(model, server):
    server.script("I know no tools.", "```json\n" + json.dumps(GOOD) + "\n```")
    found = await model().extract(ASK, SCHEMA, 1, context())
    assert (json.loads(found.json_text), found.attempts) == (GOOD, 2)


async def test_a_server_that_ignores_tools_and_may_not_be_asked_again(model, server):
    server.script("I know no tools.")
    with pytest.raises(HandlerError, match="not a call of the tool") as caught:
        await model().extract(ASK, SCHEMA, 0, context())
    assert (caught.value.reason, len(server.requests)) == ("OUTPUT_INVALID", 1)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("status401", "FAILED_PRECONDITION"),
        ("status403", "FAILED_PRECONDITION"),
        ("status404", "FAILED_PRECONDITION"),
        ("status429-retryafter3", "RESOURCE_EXHAUSTED"),
        ("status500", "UNAVAILABLE"),
        ("context", "INVALID_ARGUMENT"),
        ("brokenjson", "UNAVAILABLE"),
    ],
)
async def test_failures_of_the_provider_are_themselves_and_not_repeated(model, server, word, code):
    with pytest.raises(ProviderError) as caught:
        await model(f"test-{word}").extract(ASK, SCHEMA, 5, context())
    assert caught.value.code == code
    assert "sk-very-secret" not in str(caught.value.to_record())
    assert caught.value.retry_after_s == (3.0 if "retryafter" in word else None)
    assert len(server.requests) <= 2


async def test_a_failure_after_a_mistake_is_the_failure(model, server):
    server.script(call({}), Behaviour(status=503))
    with pytest.raises(ProviderError) as caught:
        await model().extract(ASK, SCHEMA, 2, context())
    assert caught.value.metadata["status"] == "503"


async def test_extraction_does_not_change_the_conversation_it_was_given(model, server):
    server.script(call({}), call(GOOD))
    await model().extract(ASK, SCHEMA, 2, context())
    assert len(ASK.messages) == 1


async def test_half_a_letter_is_a_mistake_and_does_not_break_the_stream(model, server):
    server.script(call('{"name": "x\\ud83dy", "class": "a"}'), call(GOOD))
    *partials, last = [event async for event in model().stream_extract(ASK, SCHEMA, 1, context())]
    assert (json.loads(last.json_text), last.attempts) == (GOOD, 2)
    assert all(one.json_text.encode() for one in partials)


async def test_closing_a_stream_before_its_end_leaves_no_request(model, server):
    server.script(Scripted(tool_calls=call(GOOD).tool_calls, behaviour=Behaviour(ending="stall", after_chunks=6)))
    stream = model().stream_extract(ASK, SCHEMA, 2, context())
    assert json.loads((await anext(stream)).json_text)["name"]
    await stream.aclose()
    await asyncio.to_thread(server.wait_for_client_left)
    assert len(server.requests) == 1


@contextmanager
def at(boundary):
    token = BOUNDARY.set(boundary)
    try:
        yield boundary
    finally:
        BOUNDARY.reset(token)


def played(recording):
    """What gives back what was recorded, after a way through a file."""
    exchanges = [
        Exchange(
            kind=one.kind,
            request=one.request,
            digest=digest(one.kind, one.request),
            reply=one.reply,
            items=one.items,
            error=one.error,
        )
        for one in recording.noted
    ]
    call = SavedCall(
        format=record.FORMAT,
        format_version=record.VERSION,
        saved_at="2026-01-01T00:00:00+00:00",
        why="failed",
        request_id="r-1",
        method="ModelService/StreamExtract",
        program=Program(name="f", kind="function"),
        request={},
        exchanges=exchanges,
        outcome=Outcome(value=1),
        seeds={},
        environment={},
        models={},
        seconds=0.1,
    )
    return Playing(record.decode(record.encode(call), "it"), Scanner())


INTEGER = AnswerSchema.parse('{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')


async def extracted(model):
    return [event async for event in model.stream_extract(ASK, INTEGER, 2, context())]


async def test_a_stream_of_an_extraction_with_a_mistake_comes_back(model, server):
    server.script(call('{"n": "one"}'), call('{"n": 1}'))
    with at(Recording(100_000)) as recording:
        first = await extracted(model())
    asked = len(server.requests)
    with at(played(recording)) as playing:
        again = await extracted(model())
    assert (playing.remarks, playing.left(), len(server.requests)) == ([], [], asked)
    ends = [events[-1] for events in (first, again)]
    assert all(isinstance(one, Extracted) for one in ends)
    assert json.loads(ends[1].json_text) == {"n": 1}
    assert (ends[1].attempts, ends[1].usage) == (2, ends[0].usage)


async def test_a_stream_that_was_cut_is_cut_again(model, server):
    cut = Behaviour(ending="cut", after_chunks=3)
    server.script(Scripted(tool_calls=call('{"n": 100000000000}').tool_calls, behaviour=cut))
    with at(Recording(100_000)) as recording, pytest.raises(ProviderError) as first:
        await extracted(model())
    with at(played(recording)), pytest.raises(ProviderError) as again:
        await extracted(model())
    assert str(again.value) == str(first.value)
    assert len(server.requests) == 1


async def test_images_come_back(model, server):
    request = ImageRequest(prompt="a cat", count=2)
    with at(Recording(100_000)) as recording:
        first = await model().make_images(request, context())
    with at(played(recording)) as playing:
        assert await model().make_images(request, context()) == first
    assert (playing.remarks, len(server.requests)) == ([], 1)
