"""Budgets: what a call and all that it calls spend together is never more than was allowed."""

import socket
from pathlib import Path

import grpc
import pytest
from bridge_client import connect as connect_client

from bridge.v1 import model_pb2, pool_pb2

APP = Path(__file__).with_name("budget_app.py")
CONFIG = f"""
[models.default]
model = "bridge/test"
input_price = 1.0
output_price = 2.0

[pools.general]
size = 2
queue_limit = 1000

[pools.llm]
size = 1
concurrency = 32
queue_limit = 1000

[pools.embeddings]
size = 0

[pools.many]
size = 1
concurrency = 200
modules = ["{APP}"]
"""
UNPRICED = """
[models.unpriced]
model = "openai/nobody-knows-this-one"
api_base = "http://127.0.0.1:PORT"
api_key = "env:PATH"
"""
MESSAGES = [{"role": "ROLE_USER", "content": "How are you?"}]


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


def budget(**limits):
    return [(f"x-budget-{name}", str(limit)) for name, limit in limits.items()]


def generate(rpc, metadata, **options):
    request = model_pb2.GenerateRequest(messages=[model_pb2.Message(role="ROLE_USER", content="How are you?")])
    for name, value in options.items():
        setattr(request.options, name, value)
    return rpc.unary("ModelService/Generate", request, model_pb2.GenerateResponse, metadata)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("usd", "abc", "US dollars as a decimal such as 0.05"),
        ("usd", "-1", "US dollars"),
        ("usd", "1e-3", "US dollars"),
        ("usd", "", "US dollars"),
        ("usd", "nan", "US dollars"),
        ("tokens", "1.5", "a whole number, 0 or more"),
        ("tokens", "-1", "a whole number"),
        ("calls", "many", "a whole number"),
        ("calls", "9" * 16, "a whole number"),
    ],
)
def test_a_value_that_is_no_limit_is_refused(rpc, key, value, expected):
    outcome = rpc.call("small", metadata=[(f"x-budget-{key}", value)])
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_METADATA")
    assert expected in outcome.violations[f"x-budget-{key}"]


def test_a_call_without_a_budget_has_none_in_its_receipt(rpc):
    assert not rpc.call("small").receipt.HasField("budget")


def test_calls_are_counted_exactly_with_a_hundred_at_once(rpc):
    outcome = rpc.call("spread", times=100, metadata=budget(calls=42))
    assert outcome.value == {"ok": 41, "BUDGET_EXCEEDED": 59}
    receipt = outcome.receipt
    assert (receipt.budget.calls_spent, receipt.budget.calls_left) == (42, 0)
    assert (receipt.nested.calls, receipt.nested.failed) == (100, 59)
    assert not receipt.budget.HasField("usd_left")


def test_a_call_that_may_not_be_made_says_which_budget_and_how_far(rpc):
    outcome = rpc.call("small", metadata=budget(calls=0))
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert outcome.metadata == {"budget": "calls", "limit": "0", "spent": "0", "reserved": "0", "wanted": "1"}
    assert "raise x-budget-calls" in outcome.message
    assert outcome.trailers["bridge-route"] == "none"
    assert (outcome.receipt.budget.calls_spent, outcome.receipt.budget.calls_left) == (0, 0)


def test_a_hundred_requests_to_a_model_at_once_never_overspend_tokens(rpc):
    outcome = rpc.call("ask", times=100, max_tokens=5, metadata=budget(tokens=500))
    state, usage = outcome.receipt.budget, outcome.receipt.nested.usage[0]
    assert 0 < outcome.value["ok"] < 100
    assert outcome.value["ok"] + outcome.value["BUDGET_EXCEEDED"] == 100
    assert usage.input_tokens + usage.output_tokens == state.tokens_spent <= 500
    assert state.tokens_left == 500 - state.tokens_spent


def test_a_hundred_requests_to_a_model_at_once_never_overspend_dollars(rpc):
    outcome = rpc.call("ask", times=100, max_tokens=5, metadata=budget(usd="0.001"))
    state, usage = outcome.receipt.budget, outcome.receipt.nested.usage[0]
    assert 0 < outcome.value["ok"] < 100
    assert usage.cost_usd == pytest.approx((usage.input_tokens + 2 * usage.output_tokens) / 1e6)
    assert state.usd_spent == pytest.approx(usage.cost_usd)
    assert 0 < state.usd_spent <= 0.001


def test_what_was_reserved_and_not_used_can_be_spent_again(rpc):
    """One after another, many more requests fit than would if the reservations were kept."""
    spent = generate(rpc, budget(tokens=2000), max_tokens=100).receipt.budget.tokens_spent
    assert 0 < spent < 110
    found = rpc.call("ask", times=1, max_tokens=100, metadata=budget(tokens=2000)).receipt.budget
    assert found.tokens_spent == spent


def test_a_request_that_does_not_fit_is_not_sent(rpc):
    outcome = generate(rpc, budget(tokens=50), max_tokens=100)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    assert (outcome.metadata["budget"], outcome.metadata["limit"], outcome.metadata["spent"]) == ("tokens", "50", "0")
    assert not outcome.receipt.usage
    assert outcome.receipt.budget.tokens_left == 50


def test_without_a_declared_length_the_default_is_reserved_first_and_then_what_was_measured(start_server, connect):
    client = connect(start_server(APP, CONFIG).address)
    assert generate(client, budget(tokens=1024)).reason == "BUDGET_EXCEEDED"
    assert generate(client, budget(tokens=1100)).receipt.budget.tokens_spent < 100
    assert generate(client, budget(tokens=300)).receipt.budget.tokens_spent < 100


@pytest.mark.parametrize("program", ["qa", "sync"])
def test_programs_reserve_before_they_ask(rpc, program):
    refused = rpc.call(program, question="How?", metadata=budget(tokens=100))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    outcome = rpc.call(program, question="How?", metadata=budget(tokens=10_000, usd=1))
    usage, state = outcome.receipt.usage[0], outcome.receipt.budget
    assert usage.calls == (1 if program == "qa" else 2)
    assert state.tokens_spent == usage.input_tokens + usage.output_tokens
    assert state.usd_spent == pytest.approx((usage.input_tokens + 2 * usage.output_tokens) / 1e6)
    assert usage.cost_usd == pytest.approx(state.usd_spent)


def test_a_program_that_blocks_the_loop_says_what_to_do(rpc):
    assert rpc.call("mixed", question="How?").value["answer"]
    outcome = rpc.call("mixed", question="How?", metadata=budget(tokens=10_000))
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUDGET_NEEDS_ASYNC")


def test_use_that_is_only_reported_counts_after_the_fact_and_nothing_follows(rpc):
    outcome = rpc.call("reports_often", tokens=600, times=4, metadata=budget(tokens=1000))
    assert outcome.value == ["ok", "BUDGET_EXCEEDED", "BUDGET_EXCEEDED", "BUDGET_EXCEEDED"]
    state = outcome.receipt.budget
    assert (state.tokens_spent, state.tokens_left) == (600, 400)


def test_the_first_report_may_overspend_and_what_is_left_says_so(start_server, connect):
    client = connect(start_server(APP, CONFIG).address)
    outcome = client.call("reports_often", tokens=600, times=3, metadata=budget(tokens=500))
    assert outcome.value == ["ok", "BUDGET_EXCEEDED", "BUDGET_EXCEEDED"]
    assert (outcome.receipt.budget.tokens_spent, outcome.receipt.budget.tokens_left) == (600, -100)


def test_once_known_what_functions_report_is_reserved_before_they_run(rpc):
    for _ in range(40):  # what it was seen to use before fades with each call that uses less
        rpc.call("reports", tokens=100, metadata=budget(tokens=10_000))
    outcome = rpc.call("reports_at_once", tokens=100, times=100, metadata=budget(tokens=5000))
    state = outcome.receipt.budget
    assert outcome.value["ok"] * 100 == state.tokens_spent <= 5000
    assert outcome.value["ok"] > 10


def test_native_pooled_streamed_and_batched_calls_have_budgets(rpc):
    assert rpc.call("native", number=3, metadata=budget(calls=2)).receipt.budget.calls_left == 0
    refused = rpc.call("native", number=3, metadata=budget(calls=1))
    assert (refused.reason, refused.metadata["nested_function"]) == ("BUDGET_EXCEEDED", "small")
    stream = rpc.stream("items", count=5, metadata=budget(calls=4))
    assert (stream.values, stream.reason) == ([0, 1, 2], "BUDGET_EXCEEDED")
    assert stream.receipt.budget.calls_left == 0
    started = [rpc.start("together", number=number, metadata=budget(calls=1)) for number in range(8)]
    outcomes = [one.outcome() for one in started]
    assert [one.value for one in outcomes] == [number + 1 for number in range(8)], "each ran by itself"
    assert all(one.receipt.budget.calls_left == 0 for one in outcomes)


def test_the_calls_of_a_multiplexed_stream_share_its_budget(shared):
    with connect_client(shared.address, metadata={"x-budget-calls": "30"}) as client, client.multiplex() as many:
        calls = [many.call("small", number=number) for number in range(100)]
        reasons = [getattr(one.exception(), "reason", "ok") for one in calls]
    assert sorted(set(reasons)) == ["BUDGET_EXCEEDED", "ok"]
    assert reasons.count("ok") == 30


def test_a_call_whose_worker_dies_counts(rpc):
    outcome = rpc.call("spread", times=1, what="dies", metadata=budget(calls=5))
    assert outcome.value == {"WORKER_CRASHED": 1}
    assert outcome.receipt.budget.calls_spent == 2


def test_a_model_without_a_price_and_a_request_that_is_cancelled_on_its_way(start_server, connect):
    """The provider may have answered: what nobody can know is taken as spent as it was reserved."""
    with socket.create_server(("127.0.0.1", 0)) as provider:
        server = start_server(APP, CONFIG + UNPRICED.replace("PORT", str(provider.getsockname()[1])))
        client = connect(server.address)
        asked = {"messages": MESSAGES, "model": "unpriced", "options": {"max_tokens": 70}}
        refused = client.call("bridge.models.generate", metadata=budget(usd=1), timeout=60, **asked)
        assert refused.reason == "PRICE_UNKNOWN"
        assert refused.receipt.budget.usd_spent == 0
        metadata = [*budget(tokens=5000), ("x-request-id", "on-its-way")]
        started = client.start("bridge.models.generate", metadata=metadata, timeout=90, **asked)
        provider.settimeout(60)
        with provider.accept()[0]:  # it was asked, however long the worker took to import what asks
            request = pool_pb2.CancelRequest(request_id="on-its-way")
            assert client.unary("PoolService/Cancel", request, pool_pb2.CancelResponse).code is grpc.StatusCode.OK
            outcome = started.outcome()
    assert outcome.reason == "CANCELLED_BY_OPERATOR"
    assert outcome.receipt.budget.tokens_spent > 70
