"""The family `models` on the built-in test model: handlers, requests, schemas. No LiteLLM."""

import json
import subprocess
import sys

import pytest

from bridge.v1 import common_pb2, invoke_pb2, model_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, EntryOptions, ModelOptions
from handlers.errors import BadInput, HandlerError, Unknown
from handlers.models import answer_schema
from handlers.models.service import open_handlers

CITY = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'


def handlers_of(**models):
    options = EntryOptions(pool="llm", builtins=("models",), models=models)
    return {handler.spec.name: handler for handler in open_handlers(options)}


@pytest.fixture(name="handlers")
def _handlers():
    return handlers_of(default=ModelOptions(model="bridge/test"), short=ModelOptions(model="bridge/test", max_tokens=2))


def context():
    return CallContext(CallMeta("ModelService/Generate"))


def question(kind=model_pb2.GenerateRequest, **more):
    return kind(messages=[model_pb2.Message(content="hello")], **more).SerializeToString()


async def generate(handlers, request, call=None):
    reply = await handlers["bridge.models.generate"].call("ModelService/Generate", request, call or context())
    return model_pb2.GenerateResponse.FromString(reply)


async def extract(handlers, request):
    reply = await handlers["bridge.models.extract"].call("ModelService/Extract", request, context())
    return model_pb2.ExtractResponse.FromString(reply)


def test_specs(handlers):
    specs = [handler.spec for handler in handlers.values()]
    assert [(spec.name, spec.streaming) for spec in specs] == [
        ("bridge.models.generate", False),
        ("bridge.models.stream_generate", True),
        ("bridge.models.extract", False),
        ("bridge.models.stream_extract", True),
        ("bridge.models.generate_batch", False),
        ("bridge.models.stream_generate_batch", True),
        ("bridge.models.extract_batch", False),
        ("bridge.models.generate_images", False),
    ]
    assert all(spec.is_async and spec.kind == "builtin" for spec in specs)
    assert json.loads(specs[2].arguments_schema)["required"] == ["messages", "schema"]


async def test_generate_names_the_test_model_and_counts(handlers):
    call = context()
    reply = await generate(handlers, question(), call)
    assert "bridge/test" in reply.text
    assert reply.finish_reason == model_pb2.FINISH_REASON_STOP
    assert (reply.model, reply.usage.model, reply.usage.calls, reply.usage.input_tokens) == (
        "bridge/test",
        "bridge/test",
        1,
        1,
    )
    assert call.usage[0].output_tokens == reply.usage.output_tokens > 0


async def test_options_and_configured_limits_cut_the_answer(handlers):
    asked = await generate(handlers, question(options=model_pb2.GenerationOptions(max_tokens=3)))
    configured = await generate(handlers, question(model="short"))
    assert (asked.usage.output_tokens, configured.usage.output_tokens) == (3, 2)
    assert asked.finish_reason == configured.finish_reason == model_pb2.FINISH_REASON_LENGTH


async def test_tools_are_asked_for_and_answered(handlers):
    tool = model_pb2.Tool(name="lookup", parameters_schema='{"properties": {"key": {"type": "string"}}}')
    reply = await generate(handlers, question(tools=[tool]))
    (call,) = reply.tool_calls
    assert (reply.finish_reason, call.name) == (model_pb2.FINISH_REASON_TOOL_CALLS, "lookup")
    assert "key" in json.loads(call.arguments)
    turns = [
        model_pb2.Message(content="hello"),
        model_pb2.Message(role=model_pb2.ROLE_ASSISTANT, tool_calls=[call]),
        model_pb2.Message(role=model_pb2.ROLE_TOOL, content="42", tool_call_id=call.id),
    ]
    reply = await generate(handlers, model_pb2.GenerateRequest(messages=turns, tools=[tool]).SerializeToString())
    assert "bridge/test" in reply.text


async def test_stream_ends_with_the_whole_answer(handlers):
    stream = handlers["bridge.models.stream_generate"].stream(
        "ModelService/StreamGenerate", question(model_pb2.StreamGenerateRequest), context()
    )
    events = [model_pb2.StreamGenerateResponse.FromString(item) async for item in stream]
    assert [event.WhichOneof("event") for event in events] == ["text_delta"] * (len(events) - 1) + ["final"]
    assert "".join(event.text_delta for event in events[:-1]) == events[-1].final.text
    assert len(events) > 3


async def test_extract_answers_by_the_schema(handlers):
    reply = await extract(handlers, question(model_pb2.ExtractRequest, schema=CITY))
    assert isinstance(json.loads(reply.json)["city"], str)
    assert (reply.attempts, reply.model) == (1, "bridge/test")


async def test_a_stream_of_an_extraction_ends_with_the_whole_answer(handlers):
    request = question(model_pb2.StreamExtractRequest, schema='{"type": "array", "items": {"type": "integer"}}')
    stream = handlers["bridge.models.stream_extract"].stream("ModelService/StreamExtract", request, context())
    *events, last = [model_pb2.StreamExtractResponse.FromString(item) async for item in stream]
    assert [json.loads(event.item.json) for event in events] == json.loads(last.final.json)
    assert len(events) == 2


async def test_extract_says_when_the_test_model_can_not(handlers):
    impossible = '{"type": "object", "properties": {"n": {"not": {}}}, "required": ["n"]}'
    with pytest.raises(HandlerError) as caught:
        await extract(handlers, question(model_pb2.ExtractRequest, schema=impossible))
    assert (caught.value.code, caught.value.reason) == ("INTERNAL", "OUTPUT_INVALID")
    assert caught.value.violations[0][0] == "n"


async def test_calls_by_name_take_and_give_plain_objects(handlers):
    arguments = common_pb2.Payload(json='{"messages": [{"role": "ROLE_USER", "content": "by name"}]}')
    request = invoke_pb2.CallRequest(function="bridge.models.generate", arguments=arguments).SerializeToString()
    reply = await handlers["bridge.models.generate"].call("InvokeService/Call", request, context())
    result = json.loads(invoke_pb2.CallResponse.FromString(reply).result.json)
    assert "by name" in result["text"]
    assert (result["finish_reason"], result["usage"]["calls"]) == ("FINISH_REASON_STOP", 1)


@pytest.mark.parametrize(
    ("request_", "paths"),
    [
        (model_pb2.GenerateRequest(), ["messages"]),
        (
            model_pb2.GenerateRequest(
                messages=[model_pb2.Message(role=model_pb2.ROLE_TOOL), model_pb2.Message(tool_calls=[{"id": "1"}])],
                options={"temperature": 3, "top_p": -1, "max_tokens": 0},
                tools=[{"parameters_schema": "{"}, {"name": "x", "parameters_schema": "[]"}],
            ),
            [
                "messages[0].tool_call_id",
                "messages[1].tool_calls",
                "tools[0].name",
                "tools[0].parameters_schema",
                "tools[1].parameters_schema",
                "options.temperature",
                "options.top_p",
                "options.max_tokens",
            ],
        ),
    ],
)
async def test_everything_wrong_is_said_at_once(handlers, request_, paths):
    with pytest.raises(BadInput) as caught:
        await generate(handlers, request_.SerializeToString())
    assert [path for path, _ in caught.value.violations] == paths


@pytest.mark.parametrize("retries", [-1, 11])
async def test_retries_have_a_limit(handlers, retries):
    with pytest.raises(BadInput, match="0 to 10"):
        await extract(handlers, question(model_pb2.ExtractRequest, schema=CITY, max_retries=retries))


async def test_an_unknown_model_says_which_there_are(handlers):
    with pytest.raises(Unknown, match=r"Did you mean 'default'.*default, short") as caught:
        await generate(handlers, question(model="defualt"))
    assert caught.value.reason == "UNKNOWN_MODEL"


@pytest.mark.parametrize(("configured", "asked"), [({}, ""), ({}, "fast"), ({"fast": "bridge/test"}, "")])
async def test_no_model_says_what_to_write(configured, asked):
    handlers = handlers_of(**{name: ModelOptions(model=model) for name, model in configured.items()})
    with pytest.raises(HandlerError, match=rf"\[models\.{asked or 'default'}\]") as caught:
        await generate(handlers, question(model=asked))
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_CONFIGURED")


DEEP = '{"type": "object", "properties": ' * 70 + "{}" + "}" * 70


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ('{"type": "text"}', "type: 'text'"),
        ('{"properties": {"a": {"type": "nope"}}}', "properties.a.type"),
        ('{"properties": {"a": {"$ref": "http://127.0.0.1/x"}}}', "another document"),
        ('{"properties": {"a": {"$ref": "file:///etc/passwd"}}}', "another document"),
        ('{"properties": {"a": {"$ref": "#/$defs/a"}}}', "refers to nothing"),
        (DEEP, "deep"),
        ('{"x": "' + "x" * answer_schema.MAX_SCHEMA_BYTES + '"}', "bytes"),
        ("[" * 100_000, "not JSON"),
    ],
    ids=["empty", "list", "top", "type", "http", "file", "dangling", "deep", "large", "bomb"],
)
async def test_schemas_that_can_not_be_used(handlers, schema, says):
    with pytest.raises(BadInput, match=says) as caught:
        await extract(handlers, question(model_pb2.ExtractRequest, schema=schema))
    assert caught.value.violations[0][0] == "schema"


def test_answers_are_checked_strictly():
    schema = answer_schema.AnswerSchema.parse(
        '{"properties": {"day": {"format": "date"}, "n": {"items": {"maximum": 1}}}, "additionalProperties": false}'
    )
    assert schema.violations({"day": "2026-01-02", "n": [1]}) == ()
    wrong = dict(schema.violations({"day": "soon", "n": [0, 2], "extra": 1}))
    assert set(wrong) == {"day", "n[1]", ""}
    assert schema.violations({"n": [float("nan")]})[0][1] == "NaN and infinities are not JSON"
    assert len(schema.violations({"n": [2] * 100})) == answer_schema.MAX_VIOLATIONS


def test_opening_and_the_test_model_import_nothing_heavy():
    code = (
        "import sys, asyncio; from handlers.models.service import open_handlers; "
        "from handlers.contract import *; from handlers.context import CallContext; "
        "from bridge.v1 import model_pb2 as m; "
        "o = EntryOptions(pool='p', models={'default': ModelOptions(model='bridge/test')}); hs = open_handlers(o); "
        "[h.warm_up() for h in hs]; r = m.GenerateRequest(messages=[m.Message(content='x')]).SerializeToString(); "
        "asyncio.run(hs[0].call('ModelService/Generate', r, CallContext(CallMeta('ModelService/Generate')))); "
        "print([x for x in ('litellm', 'instructor', 'openai', 'dspy', 'grpc', 'pydantic') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
