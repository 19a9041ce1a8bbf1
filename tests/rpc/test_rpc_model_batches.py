"""Many prompts in one call, over the wire: each has an outcome of its own, and all of them end together."""

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
input_price = 1.0
output_price = 2.0

[models.kept]
model = "openai/test"
api_base = "{base}"
cache_ttl_s = 100.0

[models.built_in]
model = "bridge/test"

[breakers.providers]
enabled = false

[routes.either]
alternatives = [ {{ model = "built_in" }} ]
"""
CITY = {"type": "object", "properties": {"city": {"type": "string", "minLength": 3}}, "required": ["city"]}


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


def prompts(*texts):
    return [{"messages": [{"role": "ROLE_USER", "content": text}] if text else []} for text in texts]


def filled(kind, texts, fields):
    made = kind(**fields)
    for text in texts:
        prompt = made.prompts.add()
        if text:
            prompt.messages.add(role=model_pb2.ROLE_USER, content=text)
    return made


def batch(client, *texts, metadata=(), timeout=20.0, **fields):
    request = filled(model_pb2.GenerateBatchRequest, texts, fields)
    return client.unary("ModelService/GenerateBatch", request, model_pb2.GenerateBatchResponse, metadata, timeout)


def stream(client, *texts, metadata=(), **fields):
    return client.channel.unary_stream(
        "/bridge.v1.ModelService/StreamGenerateBatch",
        request_serializer=model_pb2.StreamGenerateBatchRequest.SerializeToString,
        response_deserializer=model_pb2.StreamGenerateBatchResponse.FromString,
    )(filled(model_pb2.StreamGenerateBatchRequest, texts, fields), metadata=metadata, timeout=20)


def generate(client):
    request = model_pb2.GenerateRequest(messages=[model_pb2.Message(content="alone")])
    return client.unary("ModelService/Generate", request, model_pb2.GenerateResponse)


def reply(arguments):
    function = {"name": "Answer", "arguments": json.dumps(arguments)}
    return Scripted(tool_calls=[{"id": "call_1", "type": "function", "function": function}])


def test_answers_come_in_the_order_of_the_prompts(client):
    texts = [f"number {number}" for number in range(40)]
    outcome = batch(client, *texts, max_concurrency=16)
    answers = outcome.value.answers
    assert [one.index for one in answers] == list(range(40))
    assert all(f'"{text}"' in one.answer.text for text, one in zip(texts, answers, strict=True))
    assert outcome.value.failed == 0


def test_what_all_used_is_summed_up_in_reply_and_receipt(client):
    outcome = batch(client, "one", "two", "three")
    (used,) = outcome.value.usage
    (receipt,) = outcome.receipt.usage
    each = [one.answer.usage for one in outcome.value.answers]
    assert used == receipt
    assert used.calls == 3
    assert used.output_tokens == sum(one.output_tokens for one in each) > 0
    assert used.cost_usd == pytest.approx(sum(one.cost_usd for one in each))
    assert used.cost_usd > 0


def test_one_bad_prompt_fails_only_itself(client, provider):
    provider.script(
        "first", Behaviour(status=429, retry_after="7"), Behaviour(status=500), Behaviour(ending="broken_json"), "last"
    )
    outcome = batch(client, "a", "", "b", "c", "d", "e", max_concurrency=1)
    answers = outcome.value.answers
    assert [one.WhichOneof("outcome") for one in answers] == ["answer", *["failure"] * 4, "answer"]
    assert (answers[0].answer.text, answers[5].answer.text, outcome.value.failed) == ("first", "last", 4)
    bad, busy, down, garbled = (one.failure for one in answers[1:5])
    assert (bad.code, bad.reason, bad.violations[0].field) == (3, "SCHEMA_MISMATCH", "messages")
    assert (busy.code, busy.reason, busy.retry_after_s, busy.metadata["status"]) == (8, "PROVIDER_ERROR", 7.0, "429")
    assert (down.code, down.metadata["status"]) == (14, "500")
    assert garbled.code == 14
    assert outcome.receipt.usage[0].calls >= 2


@pytest.mark.parametrize(
    ("fields", "texts", "path"),
    [({}, [], "prompts"), ({"max_concurrency": 65}, ["a"], "max_concurrency"), ({}, ["a"] * 10_001, "prompts")],
)
def test_requests_that_make_no_sense_fail_as_a_whole(client, fields, texts, path):
    outcome = batch(client, *texts, **fields)
    assert outcome.code is Code.INVALID_ARGUMENT
    assert set(outcome.violations) == {path}


def test_an_unknown_model_fails_the_batch(client):
    assert batch(client, "a", model="nobody").reason == "UNKNOWN_MODEL"


def test_a_route_answers_a_batch(client):
    outcome = batch(client, "a", "b", model="either")
    assert [one.answer.model for one in outcome.value.answers] == ["bridge/test"] * 2


def test_options_of_the_batch_and_of_a_prompt(client, provider):
    request = filled(model_pb2.GenerateBatchRequest, ["a", "b"], {"options": {"max_tokens": 7}, "max_concurrency": 1})
    request.prompts[1].options.temperature = 1.5
    before = len(provider.requests)
    assert client.unary("ModelService/GenerateBatch", request, model_pb2.GenerateBatchResponse).code is Code.OK
    first, second = (one.body for one in provider.requests[before:])
    assert (first["max_tokens"], "temperature" in first) == (7, False)
    assert (second["temperature"], "max_tokens" in second) == (1.5, False)


def test_a_stream_sends_what_is_ready_and_a_cancel_stops_the_rest(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    before = len(provider.requests)
    provider.script(Behaviour(ending="hang"))
    call = stream(client, *"abcd", max_concurrency=2)
    ready = [next(call).answer for _ in range(3)]
    assert len({one.index for one in ready}) == 3
    assert all(one.HasField("answer") for one in ready)
    call.cancel()
    provider.wait_for_client_left(gone + 1)
    assert len(provider.requests) == before + 4


def test_no_more_requests_are_under_way_than_allowed_and_a_cancel_stops_them_all(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    before = len(provider.requests)
    provider.script(*[Behaviour(ending="hang")] * 3)
    call = stream(client, *"abcdefgh", max_concurrency=3)
    provider.wait_for_requests(before + 3)
    assert generate(client).code is Code.OK
    assert len(provider.requests) == before + 4, "three of the batch, and the one beside it"
    call.cancel()
    provider.wait_for_client_left(gone + 3)
    assert generate(client).code is Code.OK
    assert len(provider.requests) == before + 5, "no further one of the batch"


def test_at_the_deadline_the_answers_that_are_ready_are_not_lost(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    provider.script("ready", *[Behaviour(ending="hang")] * 2)
    outcome = batch(client, *"abcd", metadata=[("x-timeout-ms", "1500")], max_concurrency=2)
    answers = outcome.value.answers
    assert [one.answer.text for one in answers if one.HasField("answer")] == ["ready"]
    late = [one.failure for one in answers if one.HasField("failure")]
    assert [(one.code, one.reason) for one in late] == [(4, "IN_WORKER")] * 3
    provider.wait_for_client_left(gone + 2)


def test_a_stream_ends_with_a_summary(client, provider):
    provider.script(Behaviour(status=500))
    events = list(stream(client, *"abc", max_concurrency=1))
    assert [event.WhichOneof("event") for event in events] == ["answer"] * 3 + ["final"]
    summary = events[-1].final
    assert (summary.answered, summary.failed, sum(one.calls for one in summary.usage)) == (2, 1, 3)


def test_a_budget_bounds_the_whole_batch(client):
    metadata = [("x-budget-tokens", "150")]
    outcome = batch(client, *["word"] * 30, metadata=metadata, options={"max_tokens": 8}, max_concurrency=4)
    failures = [one.failure for one in outcome.value.answers if one.HasField("failure")]
    assert {one.reason for one in failures} == {"BUDGET_EXCEEDED"}
    assert 0 < len(failures) < 30
    (used,) = outcome.receipt.usage
    assert used.input_tokens + used.output_tokens <= 150


def test_answers_that_are_kept_are_asked_for_once(client, provider):
    before = len(provider.requests)
    outcome = batch(client, *["the same"] * 5, model="kept", max_concurrency=2)
    assert outcome.value.failed == 0
    assert len(provider.requests) == before + 1
    batch(client, *["the same"] * 2, model="kept", cache=False)
    assert len(provider.requests) == before + 3


def test_extractions_of_a_batch(client, provider):
    provider.script(reply({"city": "Oslo"}), reply({"city": "x"}), reply({"city": "y"}), reply({"city": "Bern"}))
    request = filled(
        model_pb2.ExtractBatchRequest, "abc", {"schema": json.dumps(CITY), "max_retries": 1, "max_concurrency": 1}
    )
    outcome = client.unary("ModelService/ExtractBatch", request, model_pb2.ExtractBatchResponse)
    first, second, third = outcome.value.answers
    assert (json.loads(first.answer.json), json.loads(third.answer.json)) == ({"city": "Oslo"}, {"city": "Bern"})
    assert (second.failure.code, second.failure.reason) == (13, "OUTPUT_INVALID")
    assert [one.field for one in second.failure.violations] == ["city"]
    assert (outcome.value.failed, outcome.receipt.usage[0].calls) == (1, 4)


def test_an_extraction_of_a_batch_has_no_tools(client):
    request = filled(model_pb2.ExtractBatchRequest, "a", {"schema": json.dumps(CITY)})
    request.prompts[0].tools.add(name="x")
    outcome = client.unary("ModelService/ExtractBatch", request, model_pb2.ExtractBatchResponse)
    assert outcome.value.answers[0].failure.violations[0].field == "tools"


def test_a_batch_by_name(client):
    outcome = client.call("bridge.models.generate_batch", prompts=prompts("by name", ""), model="built_in")
    good, bad = outcome.value["answers"]
    assert "by name" in good["answer"]["text"]
    assert bad["failure"]["reason"] == "SCHEMA_MISMATCH"
