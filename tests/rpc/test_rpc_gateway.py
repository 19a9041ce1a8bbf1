"""The gateway of language models, seen from clients: tenants, limits, kept answers, stand-ins, costs, cancels."""

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bridge_client
import grpc
import pytest

from bridge.v1 import model_pb2, program_pb2
from bridge.v1.common_pb2 import Payload
from handlers.models.openai_test_server.behaviour import Behaviour
from handlers.models.openai_test_server.server import serve

Code = grpc.StatusCode
APP = Path(__file__).with_name("gateway_app.py")
CONFIG = """
[metrics]
address = "127.0.0.1:0"

[pools.general]
size = 1
modules = []

[pools.embeddings]
size = 0

[pools.llm]
size = 2

[pools.llm.env]
OWN_PLACE = "literal:{own}"

[models.default]
model = "openai/plain"
api_base = "{first}"
api_key = "env:FIRST_KEY"
max_retries = 0
input_price = 1.0
output_price = 2.0

[models.kept]
model = "openai/same"
api_base = "{first}"
api_key = "env:FIRST_KEY"
cache_ttl_s = 600.0
input_price = 1.0
output_price = 2.0

[models.kept_elsewhere]
model = "openai/same"
api_base = "{second}"
api_key = "env:SECOND_KEY"
cache_ttl_s = 600.0

[models.chained]
model = "openai/chained"
api_base = "{first}"
max_retries = 0
fallbacks = ["stand_in"]
cooldown_s = 0.0

[models.stand_in]
model = "openai/standin"
api_base = "{second}"

[models.limited]
model = "openai/limited"
api_base = "{first}"
requests_per_minute = 4
max_wait_s = 0.5

[models.hanging]
model = "openai/test-hang"
api_base = "{first}"

[budgets.acme]
only = ["acme"]
models = ["default"]
requests = 2
period = "month"

[breakers.providers]
enabled = false
"""


@pytest.fixture(scope="module")
def providers():
    with serve() as first, serve() as second:
        yield first, second


@pytest.fixture(scope="module")
def served(start_shared_server, providers):
    first, second = providers
    config = CONFIG.format(first=first.base_url, second=second.base_url, own=first.base_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FIRST_KEY", "sk-first")
        patch.setenv("SECOND_KEY", "sk-second")
        return start_shared_server(APP, config)


@pytest.fixture
def client(served, connect):
    return connect(served.address)


def tenant(name):
    return [("x-tenant", name)]


def generate(client, model="", text="hello", metadata=(), **settings):
    request = model_pb2.GenerateRequest(model=model, **settings)
    request.messages.add(role=model_pb2.ROLE_USER, content=text)
    return client.unary("ModelService/Generate", request, model_pb2.GenerateResponse, metadata)


def run(client, program="qa", model="", metadata=(), **inputs):
    request = program_pb2.RunRequest(program=program, model=model, inputs=Payload(json=json.dumps(inputs)))
    return client.unary("ProgramService/Run", request, program_pb2.RunResponse, metadata)


def stream(client, path, request, response):
    return client.channel.unary_stream(
        f"/bridge.v1.{path}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )(request, timeout=20)


def causes(outcome):
    return [(one.model, one.cause, *one.passed) for one in outcome.receipt.answers]


# -- tenants -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [generate, run], ids=["model", "program"])
def test_two_tenants_with_keys_and_places_of_their_own_share_nothing(client, providers, ask):
    """The same question under the same provider's name: who asks, whose key and which place decide."""
    text = {"text": f"A question of {ask.__name__}"} if ask is generate else {"question": "A question of both"}
    before = [len(one.requests) for one in providers]
    for _ in range(3):
        outcomes = [
            ask(client, model="kept", metadata=tenant("a"), **text),
            ask(client, model="kept_elsewhere", metadata=tenant("b"), **text),
            ask(client, model="kept", metadata=tenant("b"), **text),
        ]
    assert [causes(one) for one in outcomes] == [
        [("kept", "cache")],
        [("kept_elsewhere", "cache")],
        [("kept", "cache")],
    ]
    assert len(providers[0].requests) == before[0] + 2, "once for each tenant"
    assert len(providers[1].requests) == before[1] + 1
    keys = [
        {one.headers["authorization"] for one in server.requests[start:]}
        for server, start in zip(providers, before, strict=True)
    ]
    assert keys == [{"Bearer sk-first"}, {"Bearer sk-second"}]
    origins = {outcome.receipt.answers[0].origin_request_id for outcome in outcomes}
    assert len(origins) == 3


def test_a_tenant_sees_its_own_costs_and_budgets_alone(client):
    for name, times in (("acme", 2), ("other", 1)):
        for _ in range(times):
            assert generate(client, metadata=tenant(name)).code is Code.OK
    refused = generate(client, metadata=tenant("acme"))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert (refused.metadata["name"], refused.metadata["budget"]) == ("acme", "requests")
    request = model_pb2.ListCostsRequest(function="bridge.models.generate")

    def costs(metadata=()):
        return client.unary("ModelService/ListCosts", request, model_pb2.ListCostsResponse, metadata).value

    mine = costs(tenant("acme"))
    assert {one.tenant for one in mine.costs} == {"acme"}
    (plain,) = [one for one in mine.costs if one.model == "plain"]
    assert plain.requests == 2
    assert plain.cost_usd == pytest.approx((plain.input_tokens + 2 * plain.output_tokens) / 1e6)
    assert [(one.name, one.holder, one.state.calls_spent, one.state.calls_left) for one in mine.budgets] == [
        ("acme", "acme", 2, 0)
    ]
    assert not costs(tenant("other")).budgets
    assert {"acme", "other"} <= {one.tenant for one in costs().costs}


def test_dspys_own_cache_answers_nobody(client, providers):
    """A program that wants it for a served model, and one with a model of its own."""
    for program in ("cached", "own"):
        before = len(providers[0].requests)
        for _ in range(3):
            assert run(client, program, question="Is it kept?").code is Code.OK
        assert len(providers[0].requests) == before + 3


# -- limits, kept answers, stand-ins -----------------------------------------------------------------------------------


def test_limits_hold_over_workers_for_models_and_programs_together(client, providers):
    before = len(providers[0].requests)
    with ThreadPoolExecutor(10) as threads:
        asked = [
            threads.submit(ask, client, model="limited", **more)
            for ask, more in [(generate, {}), (run, {"question": "?"})] * 5
        ]
        outcomes = [one.result() for one in asked]
    refused = [one for one in outcomes if one.code is not Code.OK]
    assert len(providers[0].requests) == before + 4
    assert [(one.code, one.reason) for one in refused] == [(Code.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED")] * 6
    assert all(50 < one.retry_s <= 60 for one in refused)
    models = client.unary("ModelService/ListModels", model_pb2.ListModelsRequest(), model_pb2.ListModelsResponse).value
    (limited,) = [one for one in models.models if one.name == "limited"]
    assert (limited.requests_last_minute, limited.running, limited.refused) == (4, 0, 6)


def test_the_same_question_of_many_workers_is_asked_once(client, providers):
    providers[0].script(Behaviour(latency_s=0.5))
    before = len(providers[0].requests)
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda _: generate(client, "kept", "All at once"), range(16)))
    assert {one.code for one in outcomes} == {Code.OK}
    assert len({one.receipt.worker for one in outcomes}) == 2
    assert len(providers[0].requests) == before + 1
    assert {cause for one in outcomes for _, cause in causes(one)} >= {"shared"}
    paid = [one.receipt.usage[0].cost_usd for one in outcomes]
    assert sum(cost > 0 for cost in paid) == 1


def test_a_stream_is_served_out_of_what_was_kept(client, providers):
    first = generate(client, "kept", "As a stream").value
    before = len(providers[0].requests)
    request = model_pb2.StreamGenerateRequest(model="kept")
    request.messages.add(role=model_pb2.ROLE_USER, content="As a stream")
    *deltas, last = stream(client, "ModelService/StreamGenerate", request, model_pb2.StreamGenerateResponse)
    assert len(deltas) > 1
    assert "".join(one.text_delta for one in deltas) == last.final.text == first.text
    assert len(providers[0].requests) == before
    assert generate(client, "kept", "As a stream", cache=False).code is Code.OK
    assert len(providers[0].requests) == before + 1


def test_a_program_streams_out_of_what_was_kept(client, providers):
    def texts():
        inputs = Payload(json=json.dumps({"question": "Kept, and streamed?"}))
        request = program_pb2.StreamRunRequest(program="qa", model="kept", inputs=inputs)
        events = list(stream(client, "ProgramService/StreamRun", request, program_pb2.StreamRunResponse))
        return "".join(one.field_delta.text for one in events), json.loads(events[-1].final.outputs.json)["answer"]

    first = texts()
    before = len(providers[0].requests)
    assert texts() == first
    assert first[0] == first[1]
    assert len(providers[0].requests) == before


@pytest.mark.parametrize("ask", [generate, run], ids=["model", "program"])
def test_the_receipt_says_who_stood_in_and_why(client, providers, ask):
    more = {} if ask is generate else {"question": "Who answers?"}
    providers[0].script(Behaviour(status=503))
    outcome = ask(client, model="chained", **more)
    assert outcome.code is Code.OK
    assert causes(outcome) == [("stand_in", "fallback", "chained: PROVIDER_ERROR")]
    assert providers[1].requests[-1].body["model"] == "standin"
    assert causes(ask(client, model="chained", **more)) == []


# -- cancels -----------------------------------------------------------------------------------------------------------


def begin(client, kind):
    """Begin a call that hangs at its provider; return what cancels it."""
    if kind == "stream":
        request = model_pb2.StreamGenerateRequest(model="hanging")
        request.messages.add(role=model_pb2.ROLE_USER, content="hello")
        call = stream(client, "ModelService/StreamGenerate", request, model_pb2.StreamGenerateResponse)
        threading.Thread(target=lambda: call.code()).start()
        return call
    path, request = "ModelService/Generate", model_pb2.GenerateRequest(model="hanging")
    if kind == "unary":
        request.messages.add(role=model_pb2.ROLE_USER, content="hello")
    else:
        path, program = "ProgramService/Run", kind
        inputs = Payload(json=json.dumps({"question": "Are you there?"}))
        request = program_pb2.RunRequest(program=program, model="hanging", inputs=inputs)
    return client.channel.unary_unary(f"/bridge.v1.{path}", request_serializer=type(request).SerializeToString).future(
        request
    )


@pytest.mark.parametrize("kind", ["unary", "stream", "qa", "twice"])
def test_a_cancel_closes_the_connection_to_the_provider(client, providers, kind):
    left = sum(one.outcome == "client_left" for one in providers[0].requests)
    asked = len(providers[0].requests)
    call = begin(client, kind)
    providers[0].wait_for_requests(asked + 1)
    call.cancel()
    providers[0].wait_for_client_left(left + 1)
    assert len(providers[0].requests) == asked + 1


def test_figures(served, client, figures):
    generate(client, "kept", "For the figures", metadata=tenant("figures"))
    generate(client, "kept", "For the figures", metadata=tenant("figures"))
    found = figures(served, "bridge_cost_requests_total")
    assert found['{function="bridge.models.generate",model="same",tenant="figures"}'] == 2
    assert figures(served, "bridge_model_cache_requests_total")['{model="kept",outcome="hit"}'] >= 1


# -- clients -----------------------------------------------------------------------------------------------------------


def test_the_python_client_shows_models_costs_and_where_answers_came_from(served):
    receipts = []
    with bridge_client.connect(served.address) as connection:
        python = connection.with_options(metadata={"x-tenant": "python"}, on_receipt=receipts.append)
        first = python.models.generate("Twice, please", model="kept")
        again = python.models.generate("Twice, please", model="kept")
        assert (first.text, again.usage.cost_usd, again.usage.cached_calls) == (again.text, 0.0, 1)
        (answer,) = receipts[1].answers
        assert (answer.model, answer.cause, answer.origin_request_id) == ("kept", "cache", receipts[0].request_id)
        python.models.generate("Twice, please", model="kept", cache=False)
        assert receipts[2].answers == ()
        (kept,) = [one for one in python.models.list() if one.name == "kept"]
        assert (kept.model, kept.cache_ttl_s, kept.max_concurrent) == ("openai/same", 600.0, None)
        assert kept.cache_entries > 0
        (cost,) = python.models.costs("bridge.models.generate").costs
        assert (cost.tenant, cost.model, cost.requests, cost.cached_requests) == ("python", "same", 3, 1)


def test_the_command_line_shows_models_and_costs(served, client):
    generate(client, "kept", "By the command line", metadata=tenant("command"))

    def bridge(*arguments):
        command = [sys.executable, "-m", "bridge.cli", "model", *arguments, "--address", served.address]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "220"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert re.search(r"chained +openai/chained +asked .*stand_in", bridge("ls"))
    assert re.search(r"limited +openai/limited .* of 4 a minute", bridge("ls"))
    shown = json.loads(bridge("costs", "--tenant", "command", "--json"))["costs"]
    assert [(one["tenant"], one["model"], one["requests"]) for one in shown] == [("command", "same", 1)]
    assert re.search(r"command +bridge.models.generate +same +1 +0 ", bridge("costs"))
