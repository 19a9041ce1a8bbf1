"""Providers that fail, seen from a client: breakers keep requests from them, and routes go to other models."""

import grpc
import pytest

from bridge.v1 import model_pb2
from handlers.models.openai_test_server.behaviour import Behaviour
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

[breakers.providers]
min_calls = 3
open_s = 1.0
close_after = 1

[breakers.routes]
enabled = false

[models.first]
model = "openai/one"
api_base = "{first}"
max_retries = 0

[models.second]
model = "openai/two"
api_base = "{second}"
max_retries = 0

[models.built_in]
model = "bridge/test"

[routes.chat]
alternatives = [ {{ model = "first" }} ]
fallback = ["second", "built_in"]
"""


@pytest.fixture(scope="module")
def providers():
    with serve() as first, serve() as second:
        yield first, second


@pytest.fixture(scope="module")
def served(start_shared_server, providers):
    config = CONFIG.format(first=providers[0].base_url, second=providers[1].base_url)
    return start_shared_server("def nothing() -> int:\n    return 0\n", config)


@pytest.fixture
def client(served, connect, eventually):
    made = connect(served.address)
    yield made
    for model in ("first", "second"):  # whatever a test has broken is whole again
        eventually(lambda model=model: ask(made, model).code is Code.OK, f"the provider of {model} to be sound")


def ask(client, model):
    request = model_pb2.GenerateRequest(model=model)
    request.messages.add(role=model_pb2.ROLE_USER, content="hello")
    return client.unary("ModelService/Generate", request, model_pb2.GenerateResponse)


def stream(client, model):
    request = model_pb2.StreamGenerateRequest(model=model)
    request.messages.add(role=model_pb2.ROLE_USER, content="hello")
    call = client.channel.unary_stream(
        "/bridge.v1.ModelService/StreamGenerate",
        request_serializer=model_pb2.StreamGenerateRequest.SerializeToString,
        response_deserializer=model_pb2.StreamGenerateResponse.FromString,
    )(request, timeout=20)
    return list(call)


def down(provider, times):
    provider.script(*[Behaviour(status=503)] * times)


def test_after_failures_no_request_goes_out_for_a_while(client, providers, eventually):
    down(providers[0], 3)
    assert [ask(client, "first").reason for _ in range(3)] == ["PROVIDER_ERROR"] * 3
    requests = len(providers[0].requests)
    outcome = ask(client, "first")
    assert (outcome.code, outcome.reason) == (Code.UNAVAILABLE, "BREAKER_OPEN")
    assert outcome.metadata["breaker"] == "provider/openai@first"
    assert 0 < outcome.retry_s <= 1.0
    assert len(providers[0].requests) == requests
    assert ask(client, "second").code is Code.OK, "another place of the same kind of provider"
    eventually(lambda: ask(client, "first").code is Code.OK, "a trial after its time")
    assert len(providers[0].requests) == requests + 1


def test_a_request_that_the_provider_refuses_is_no_fault_of_it(client, providers):
    providers[0].script(*[Behaviour(status=400)] * 10)
    assert [ask(client, "first").code for _ in range(10)] == [Code.INVALID_ARGUMENT] * 10


def test_a_route_of_models_falls_back_to_the_next(client, providers):
    down(providers[0], 1)
    outcome = ask(client, "chat")
    assert outcome.code is Code.OK
    receipt = outcome.receipt
    assert (receipt.function, receipt.alternative) == ("bridge.models.generate", "second")
    assert [(one.alternative, one.failure) for one in receipt.tried] == [("first", "PROVIDER_ERROR"), ("second", "")]
    assert providers[1].requests[-1].body["model"] == "two"
    assert outcome.value.model.startswith("two")


def test_where_its_provider_is_broken_a_model_is_not_asked_first(client, providers):
    for _ in range(100):
        down(providers[0], 1)
        requests = len(providers[0].requests)
        outcome = ask(client, "chat")
        assert outcome.receipt.alternative == "second"
        if outcome.receipt.attempts == 1:
            break
    assert outcome.receipt.reason.startswith("second: the breakers of all alternatives are open")
    assert len(providers[0].requests) == requests


def test_the_last_resort_needs_no_provider(client, providers):
    down(providers[0], 1)
    down(providers[1], 1)
    outcome = ask(client, "chat")
    assert outcome.receipt.alternative == "built_in"
    assert [one.failure for one in outcome.receipt.tried] == ["PROVIDER_ERROR", "PROVIDER_ERROR", ""]


def test_a_stream_of_a_route_of_models(client, providers):
    down(providers[0], 1)
    *deltas, last = stream(client, "chat")
    assert "".join(one.text_delta for one in deltas) == last.final.text
    assert last.final.model.startswith("two")


def test_models_that_have_no_route_go_their_own_way(client):
    outcome = ask(client, "built_in")
    assert outcome.code is Code.OK
    assert outcome.receipt.attempts == 0
    assert ask(client, "nobody").reason == "UNKNOWN_MODEL"
