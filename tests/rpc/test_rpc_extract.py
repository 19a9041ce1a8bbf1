"""Answers that fit a JSON Schema, over the wire, from a provider that does what it can to spoil them."""

import json
import threading
from contextlib import suppress

import grpc
import pytest

from bridge.v1 import model_pb2
from bridge.v1.common_pb2 import Receipt
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

[models.patient]
model = "openai/test"
api_base = "{base}"
max_retries = 1

[models.built_in]
model = "bridge/test"

[breakers.providers]
enabled = false

[routes.good]
alternatives = [ {{ model = "default" }} ]
fallback = ["built_in"]
"""
ORDER = {
    "type": "object",
    "properties": {
        "customer": {"$ref": "#/$defs/Customer"},
        "state": {"enum": ["new", "paid", "sent"]},
        "note": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Line"}},
    },
    "required": ["customer", "state", "lines"],
    "additionalProperties": False,
    "$defs": {
        "Customer": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "Line": {
            "type": "object",
            "properties": {
                "pieces": {"type": "integer", "minimum": 1},
                "what": {"oneOf": [{"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"}, {"type": "integer"}]},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            },
            "required": ["pieces", "what"],
        },
    },
}
GOOD = {
    "customer": {"name": "Ann Müller \U0001f600"},
    "state": "paid",
    "note": None,
    "lines": [{"pieces": 12, "what": "AB7"}, {"pieces": 1, "what": 3, "parts": [{"pieces": 2, "what": "CD1"}]}],
}
PEOPLE = {
    "type": "array",
    "items": {"$ref": "#/$defs/Person"},
    "minItems": 2,
    "$defs": {
        "Person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "friends": {"type": "array", "items": {"$ref": "#/items"}}},
            "required": ["name"],
        }
    },
}
ANN, BOB = {"name": "Ann", "friends": [{"name": "Cy"}]}, {"name": "Bob"}


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


def asked(kind, schema, **fields):
    request = kind(schema=json.dumps(schema), **fields)
    request.messages.add(role=model_pb2.ROLE_USER, content="Who?")
    return request


def extract(client, schema, *, metadata=(), **fields):
    request = asked(model_pb2.ExtractRequest, schema, **fields)
    return client.unary("ModelService/Extract", request, model_pb2.ExtractResponse, metadata)


class Stream:
    """A stream of an extraction, read event by event."""

    def __init__(self, client, schema, *, metadata=(), **fields):
        self._call = client.channel.unary_stream(
            "/bridge.v1.ModelService/StreamExtract",
            request_serializer=model_pb2.StreamExtractRequest.SerializeToString,
            response_deserializer=model_pb2.StreamExtractResponse.FromString,
        )(asked(model_pb2.StreamExtractRequest, schema, **fields), timeout=20, metadata=metadata)
        self.events = []
        self.cancel = self._call.cancel

    def next(self):
        self.events.append(next(self._call))
        return self.events[-1]

    def read(self):
        """Read to the end; returns the code it ended with."""
        with suppress(grpc.RpcError):
            self.events += self._call
        return self._call.code()

    def details(self):
        return {one.key: one.value for one in self._call.trailing_metadata()}

    def of(self, kind):
        found = [event for event in self.events if event.WhichOneof("event") == kind]
        return [getattr(event, kind) for event in found]


def call(arguments, **behaviour):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": "Answer", "arguments": text}
    return Scripted(
        tool_calls=[{"id": "call_1", "type": "function", "function": function}], behaviour=Behaviour(**behaviour)
    )


def grows(old, new):
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and grows(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) <= len(new) and all(map(grows, old, new))
    return new.startswith(old) if isinstance(old, str) else old == new


def test_a_rich_schema_and_two_mistakes_that_are_fed_back_and_counted(client, provider):
    wrong = {**GOOD, "lines": [{"pieces": 0, "what": "AB7"}]}
    before = len(provider.requests)
    provider.script(call({**GOOD, "state": "lost"}), call(wrong), call(GOOD))
    outcome = extract(client, ORDER)
    assert json.loads(outcome.value.json) == GOOD
    assert outcome.value.attempts == 3
    assert outcome.receipt.usage[0].calls == 3
    sent = [request.body["messages"] for request in provider.requests[before:]]
    assert len(sent[0]) < len(sent[1]) < len(sent[2])
    assert "'lost' is not one of ['new', 'paid', 'sent']" in json.dumps(sent[1])
    assert "lines[0].pieces" in json.dumps(sent[2])


def test_answers_that_never_fit_are_bounded_and_end_with_every_violation(client, provider):
    wrong = {**GOOD, "state": "lost", "note": "x" * 30, "lines": [{"pieces": 0, "what": "ab"}]}
    provider.script(*[call(wrong)] * 3)
    outcome = extract(client, ORDER)
    assert (outcome.code, outcome.reason) == (Code.INTERNAL, "OUTPUT_INVALID")
    assert set(outcome.violations) == {"state", "note", "lines[0].pieces", "lines[0].what"}
    assert outcome.metadata["attempts"] == "3"
    assert outcome.receipt.usage[0].calls == 3


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (PEOPLE, [ANN, BOB]),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}, [7]),
        ({"type": "string", "enum": ["yes", "no"]}, "yes"),
        ({"type": ["integer", "null"]}, None),
    ],
)
def test_schemas_of_other_types_than_objects(client, provider, schema, value):
    key = "items" if schema["type"] == "array" else "value"
    provider.script(call({key: "neither"}), call({key: value}))
    outcome = extract(client, schema)
    assert json.loads(outcome.value.json) == value
    assert outcome.value.attempts == 2
    shown = provider.requests[-1].body["tools"][0]["function"]["parameters"]
    assert (shown["type"], shown["required"]) == ("object", [key])
    assert "#/properties/items/items" in json.dumps(shown) or schema is not PEOPLE


def test_a_stream_grows_and_ends_with_the_checked_answer(client, provider):
    assert Stream(client, ORDER).read() is Code.OK, "the first stream makes LiteLLM import what it needs for streams"
    provider.script(call(GOOD, gap_s=0.005))
    stream = Stream(client, ORDER)
    assert stream.read() is Code.OK
    partials = [json.loads(one.json) for one in stream.of("partial")]
    assert len(partials) > 5
    for old, new in zip(partials, [*partials[1:], GOOD], strict=True):
        assert grows(old, new), (old, new)
    assert [one.number for one in stream.of("partial")] == list(range(1, len(partials) + 1))
    assert json.loads(stream.events[-1].final.json) == GOOD
    assert stream.events[-1].final.usage.output_tokens > 0


def test_a_partial_answer_comes_before_the_provider_has_ended(client, provider):
    provider.script(call(GOOD, ending="stall", after_chunks=8))
    stream = Stream(client, ORDER)
    assert grows(json.loads(stream.next().partial.json), GOOD)
    stream.cancel()
    left = provider.wait_for_client_left(1)
    assert [one.outcome for one in left].count("client_left") == 1


def test_items_come_one_by_one_each_when_it_is_whole(client, provider):
    text = json.dumps({"items": [ANN, BOB]})
    provider.script(call(text, ending="stall", after_chunks=3 + text.index(', {"name": "Bob"') // 4))
    stream = Stream(client, PEOPLE)
    first = stream.next().item
    assert (first.number, first.attempt, first.index, json.loads(first.json)) == (1, 1, 0, ANN)
    stream.cancel()
    provider.script(call(text))
    stream = Stream(client, PEOPLE)
    assert stream.read() is Code.OK
    assert [(one.index, json.loads(one.json)) for one in stream.of("item")] == [(0, ANN), (1, BOB)]
    assert stream.of("partial") == []
    assert json.loads(stream.events[-1].final.json) == [ANN, BOB]


def test_an_attempt_that_does_not_fit_is_followed_by_the_next(client, provider):
    provider.script(call({"items": [ANN, {"nobody": 1}, BOB]}), call({"items": [BOB, ANN]}))
    stream = Stream(client, PEOPLE)
    assert stream.read() is Code.OK
    found = [(one.attempt, one.index, json.loads(one.json)) for one in stream.of("item")]
    assert found == [(1, 0, ANN), (2, 0, BOB), (2, 1, ANN)], "what does not fit is not sent, nor what follows it"
    assert stream.events[-1].final.attempts == 2


def test_broken_json_is_fed_back_too(client, provider):
    provider.script(call('{"items": [{"name": "Ann"}, nonsense]}'), call({"items": [ANN, BOB]}))
    stream = Stream(client, PEOPLE)
    assert stream.read() is Code.OK
    assert [one.attempt for one in stream.of("item")] == [1, 2, 2]
    assert json.loads(stream.events[-1].final.json) == [ANN, BOB]


def test_a_provider_without_tools_is_streamed_from_its_text(client, provider):
    provider.script("I know no tools.", "Here:\n```json\n" + json.dumps({"items": [ANN, BOB]}) + "\n```\nThat is all.")
    stream = Stream(client, PEOPLE)
    assert stream.read() is Code.OK
    assert [(one.attempt, json.loads(one.json)) for one in stream.of("item")] == [(2, ANN), (2, BOB)]


def test_a_stream_that_never_fits_ends_with_the_violations(client, provider):
    provider.script(call({"items": [ANN]}), call({"items": [BOB]}))
    stream = Stream(client, PEOPLE, max_retries=1)
    assert stream.read() is Code.INTERNAL
    assert stream.of("final") == []
    assert b"OUTPUT_INVALID" in stream.details()["grpc-status-details-bin"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Behaviour(status=429, retry_after="7"), Code.RESOURCE_EXHAUSTED),
        (Behaviour(status=500), Code.UNAVAILABLE),
        (call(GOOD, ending="cut", after_chunks=9), Code.UNAVAILABLE),
        (call(GOOD, ending="broken_json"), Code.UNAVAILABLE),
    ],
)
def test_failures_of_the_provider_end_a_stream(client, provider, step, code):
    before = len(provider.requests)
    provider.script(step)
    stream = Stream(client, ORDER)
    assert stream.read() is code
    assert stream.of("final") == []
    assert b"PROVIDER_ERROR" in stream.details()["grpc-status-details-bin"]
    assert len(provider.requests) == before + 1, "a failure of the provider is no mistake to be fed back"


def test_a_busy_provider_is_asked_again_when_it_said(client, provider):
    provider.script(Behaviour(status=429, retry_after="0"), call(GOOD))
    stream = Stream(client, ORDER, model="patient")
    assert stream.read() is Code.OK
    assert stream.events[-1].final.attempts == 1


def test_a_slow_provider_ends_with_the_callers_deadline(client, provider):
    provider.script(Behaviour(ending="hang"))
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    outcome = extract(client, ORDER, metadata=[("x-timeout-ms", "700")])
    assert outcome.code is Code.DEADLINE_EXCEEDED
    provider.wait_for_client_left(gone + 1)


def test_a_stream_that_stalls_ends_with_the_callers_deadline_and_what_was_sent(client, provider):
    gone = sum(one.outcome == "client_left" for one in provider.requests)
    provider.script(call(GOOD, ending="stall", after_chunks=8))
    stream = Stream(client, ORDER, metadata=[("x-timeout-ms", "1500")])
    assert stream.read() is Code.DEADLINE_EXCEEDED
    assert stream.of("partial")
    assert stream.of("final") == []
    provider.wait_for_client_left(gone + 1)


def test_all_attempts_of_a_stream_are_paid_from_the_budget_of_the_call(client, provider):
    provider.script(call({"items": [ANN]}), call({"items": [ANN, BOB]}))
    stream = Stream(client, PEOPLE, metadata=[("x-budget-tokens", "50000")])
    assert stream.read() is Code.OK
    used, receipt = stream.events[-1].final.usage, Receipt.FromString(stream.details()["bridge-receipt-bin"])
    assert (used.calls, stream.events[-1].final.attempts) == (2, 2)
    assert receipt.usage[0].output_tokens == used.output_tokens
    assert receipt.budget.tokens_spent == used.input_tokens + used.output_tokens > 0


def test_a_route_of_models_takes_streams_of_extractions(client, provider):
    provider.script(Behaviour(status=503))
    stream = Stream(client, PEOPLE, model="good")
    assert stream.read() is Code.OK
    assert stream.events[-1].final.model == "bridge/test"
    assert len(stream.of("item")) == len(json.loads(stream.events[-1].final.json)) == 2


def test_a_long_answer_is_not_sent_anew_for_every_word(client, provider):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    provider.script(call({"text": "word " * 3_000}))
    stream = Stream(client, schema)
    assert stream.read() is Code.OK
    assert 0 < len(stream.of("partial")) < 600


def test_many_streams_at_once_do_not_mix(client):
    failures = []

    def one(number):
        schema = {"type": "object", "properties": {f"key{number}": {"type": "string"}}, "required": [f"key{number}"]}
        stream = Stream(client, schema)
        if stream.read() is not Code.OK or set(json.loads(stream.events[-1].final.json)) != {f"key{number}"}:
            failures.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
