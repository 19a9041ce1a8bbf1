"""What keeps routes from doing harm: breakers, budgets of retries and hedges, copies, and what can not be served."""

from pathlib import Path

import grpc
import pytest

from bridge.v1 import invoke_pb2, pool_pb2

Code = grpc.StatusCode
APP = Path(__file__).with_name("routes_app.py")
REST = """
[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
CONFIG = f"""
[pools.general]
size = 3
grace_s = 0.3
{REST}
[metrics]
address = "127.0.0.1:0"

[breakers.routes]
min_calls = 4
open_s = 0.5

[routes.guarded]
alternatives = [ {{ function = "one" }} ]

[routes.pair]
alternatives = [ {{ function = "one", weight = 1000000 }}, {{ function = "two", weight = 1 }} ]

[routes.strict_budget]
alternatives = [ {{ function = "three" }} ]
retry = {{ attempts = 2, backoff_ms = 1.0, budget = 0.0 }}
breaker = {{ enabled = false }}

[routes.hedged]
alternatives = [ {{ function = "one", weight = 1000000 }}, {{ function = "two", weight = 1 }} ]
hedge = {{ after_quantile = 0.9, max_fraction = 1.0, min_ms = 20.0 }}

[routes.watched]
alternatives = [
    {{ function = "one" }},
    {{ function = "same_as_one", shadow = 1.0 }},
    {{ function = "two", shadow = 1.0 }},
]

[routes.watched_stream]
alternatives = [ {{ function = "counts" }}, {{ function = "counts_up", shadow = 1.0 }} ]

[routes.measured]
alternatives = [ {{ function = "one" }}, {{ function = "two" }} ]
choose = "success"
min_success = 0.9
explore = 0.0
breaker = {{ enabled = false }}
"""


@pytest.fixture(scope="module")
def served(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(served, connect, eventually):
    made = connect(served.address)
    yield made
    eventually(lambda: len(made.workers("general")) == 3, "all workers to be back")


@pytest.fixture
def counts(served, figures):
    return lambda name: figures(served, name)


def fail_until_open(client, name, orders, *, times=10):
    for _ in range(times):
        outcome = client.call(name, folder=orders.folder, text="x")
        if outcome.reason == "BREAKER_OPEN":
            return outcome
    raise AssertionError("the breaker has not opened")


def test_a_breaker_opens_refuses_without_asking_and_closes_after_trials(client, orders, eventually):
    orders("one", *["fail"] * 4)
    refused = fail_until_open(client, "guarded", orders)
    assert refused.code is Code.UNAVAILABLE
    assert refused.metadata["breaker"] == "function/guarded/one"
    assert refused.metadata["cause"] == "4 of 4 calls failed within 30 s"
    assert 0 < refused.retry_s <= 0.5
    assert refused.receipt.attempts == 0
    assert refused.receipt.reason == "no alternative could be asked"
    assert orders.asked("one") == 4
    assert client.call("one", folder=orders.folder, text="x").value == "one: x", "the function itself has no breaker"
    eventually(lambda: client.call("guarded", folder=orders.folder, text="x").code is Code.OK, "a trial")
    for _ in range(3):
        assert client.call("guarded", folder=orders.folder, text="x").value == "one: x"


def test_user_errors_and_bad_input_do_not_open_it(client, orders):
    orders("one", *["raise"] * 10)
    for _ in range(10):
        assert client.call("guarded", folder=orders.folder, text="x").reason == "USER_EXCEPTION"
        assert client.call("guarded", folder=orders.folder, text=1).reason == "SCHEMA_MISMATCH"


def test_an_open_breaker_sends_calls_to_the_other_alternative(client, orders):
    orders("one", *["die"] * 20)
    values = [client.call("pair", folder=orders.folder, text=str(number)) for number in range(12)]
    assert [one.value for one in values[-4:]] == [f"two: {number}" for number in range(8, 12)]
    assert values[-1].receipt.reason.startswith("two: the only one left")
    assert orders.asked("one") < 12


def test_retries_stop_when_their_budget_is_spent(client, orders, counts):
    orders("three", *["fail"] * 100)
    before = counts("bridge_route_retries_total")
    attempts = [client.call("strict_budget", folder=orders.folder, text="x").receipt.attempts for _ in range(10)]
    assert attempts == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1], "three are always allowed"
    after = counts("bridge_route_retries_total")
    assert after['{outcome="over_budget",route="strict_budget"}'] == 7
    assert after['{outcome="made",route="strict_budget"}'] == 3
    assert not before


def test_a_second_attempt_wins_and_the_first_is_ended_in_its_worker(client, orders, gate, counts):
    for _ in range(25):
        assert not client.call("hedged", folder=orders.folder, text="x").receipt.hedged
    orders("one", *[""] * 25, f"hold {gate.port}")
    call = client.start("hedged", folder=orders.folder, text="y")
    held = gate.entered()
    outcome = call.outcome()
    assert outcome.value == "two: y"
    receipt = outcome.receipt
    assert receipt.hedged
    assert (receipt.alternative, receipt.attempts) == ("two", 2)
    assert [(one.alternative, one.kind, one.failure) for one in receipt.tried] == [
        ("one", "first", "CANCELLED"),
        ("two", "hedge", ""),
    ]
    assert "hedged with two after one took long; two answered first" in receipt.reason
    held.wait_until_gone()
    assert counts("bridge_route_hedges_total")['{outcome="won",route="hedged"}'] == 1


def test_a_first_attempt_that_is_quicker_after_all_wins(client, orders, gate):
    for _ in range(25):
        client.call("hedged", folder=orders.folder, text="x")
    began = orders.asked("one"), orders.asked("two")
    orders("one", *[""] * began[0], f"hold {gate.port}")
    orders("two", *[""] * began[1], f"hold {gate.port}")
    call = client.start("hedged", folder=orders.folder, text="y")
    first, second = gate.entered(), gate.entered()
    first.release()
    outcome = call.outcome()
    assert outcome.value == "one: y"
    assert outcome.receipt.hedged
    second.wait_until_gone()


def test_copies_are_compared_and_nobody_waits_for_them(client, orders, gate, counts, eventually):
    outcome = client.call("watched", folder=orders.folder, text="x")
    assert outcome.value == "one: x"
    assert outcome.receipt.attempts == 1
    copies = "bridge_route_copies_total"
    same = '{alternative="same_as_one",outcome="equal",route="watched"}'
    other = '{alternative="two",outcome="different",route="watched"}'
    eventually(lambda: counts(copies).get(same) == 1 and counts(copies).get(other) == 1, "both copies")
    orders("same", "", f"hold {gate.port}")
    orders("two", "", "fail")
    assert client.call("watched", folder=orders.folder, text="x").value == "one: x"
    held = gate.entered()
    for _ in range(3):
        assert client.call("watched", folder=orders.folder, text="x").value == "one: x", "while a copy runs"
    held.release()
    failed = '{alternative="two",outcome="failed",route="watched"}'
    eventually(lambda: counts(copies).get(failed) == 1, "the copy that fails")


def test_copies_of_streams_are_compared_too(client, orders, counts, eventually):
    assert client.stream("watched_stream", folder=orders.folder, to=3).values == [0, 1, 2]
    same = '{alternative="counts_up",outcome="equal",route="watched_stream"}'
    eventually(lambda: counts("bridge_route_copies_total").get(same) == 1, "the copy")


def test_calls_of_sessions_are_not_copied(client, orders):
    session = [("x-session-id", "no-copy")]
    assert client.call("watched", metadata=session, folder=orders.folder, text="x").value == "one: x"
    assert client.call("guarded", folder=orders.folder, text="x").value == "one: x"
    assert orders.asked("same") == 0
    assert orders.asked("two") == 0


def test_by_success_calls_leave_the_alternative_that_fails(client, orders, served, eventually):
    orders("one", *["raise"] * 10_000)

    def outcomes():
        return [client.call("measured", folder=orders.folder, text="x") for _ in range(20)]

    eventually(lambda: all(one.code is Code.OK for one in outcomes()), "all calls to leave it")
    asked = orders.asked("one")
    assert "the only one left" in client.call("measured", folder=orders.folder, text="x").receipt.reason
    assert orders.asked("one") == asked
    assert '"alternative": "one"' in served.wait_for_log("outside the bounds of its route")


def test_a_route_is_in_the_catalogue(client):
    request = invoke_pb2.DescribeFunctionRequest(function="pair")
    info = client.unary("InvokeService/DescribeFunction", request, invoke_pb2.DescribeFunctionResponse).value.function
    assert info.name == "pair"
    assert "folder" in info.arguments_schema
    assert [(one.label, one.weight) for one in info.route.alternatives] == [("one", 1_000_000), ("two", 1)]
    listed = client.unary(
        "InvokeService/ListFunctions", invoke_pb2.ListFunctionsRequest(), invoke_pb2.ListFunctionsResponse
    )
    routed = {one.name for one in listed.value.functions if one.HasField("route")}
    assert routed == {"guarded", "pair", "strict_budget", "hedged", "watched", "watched_stream", "measured"}


def order(client, name, request, response):
    return client.unary(f"PoolService/{name}", request, response)


def opened(client, key, seconds=60, cause=""):
    request = pool_pb2.OpenBreakerRequest(key=key, cause=cause)
    request.duration.FromSeconds(seconds)
    return order(client, "OpenBreaker", request, pool_pb2.OpenBreakerResponse)


def closed(client, key):
    request = pool_pb2.CloseBreakerRequest(key=key)
    return order(client, "CloseBreaker", request, pool_pb2.CloseBreakerResponse).value.closed


@pytest.mark.parametrize(("function", "place"), [("careless", "pool/general"), ("quick", "native")])
def test_a_breaker_that_is_opened_by_order_guards_a_function_without_a_route(client, orders, function, place):
    key = f"function/{function}/{place}"
    before = client.call(function, folder=orders.folder, text="x")
    assert before.receipt.attempts == 0, "its calls know nothing of breakers"
    shown = opened(client, key, cause="its results are wrong").value.breaker
    assert (shown.state, shown.cause) == (pool_pb2.BREAKER_STATE_OPEN, "its results are wrong")
    refused = client.call(function, folder=orders.folder, text="x")
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "BREAKER_OPEN")
    assert refused.metadata == {"breaker": key, "cause": "its results are wrong"}
    assert refused.retry_s > 50
    assert closed(client, key)
    assert not closed(client, key)
    after = client.call(function, folder=orders.folder, text="x")
    assert (after.value, after.receipt.attempts, after.receipt.reason) == (before.value, 0, before.receipt.reason)


def test_after_its_time_such_a_breaker_closes_by_trials(client, orders, eventually):
    opened(client, "function/careless/pool/general", seconds=1)
    eventually(lambda: client.call("careless", folder=orders.folder, text="x").code is Code.OK, "a trial")
    assert client.call("careless", folder=orders.folder, text="x").value == "careless: x"
    after = client.call("careless", folder=orders.folder, text="x")
    assert (after.value, after.receipt.attempts) == ("careless: x", 0), "it has closed, and calls go their own way"


def test_an_alternative_that_an_operator_takes_out_gets_no_calls(client, orders):
    opened(client, "function/pair/one")
    values = {client.call("pair", folder=orders.folder, text="x").value for _ in range(10)}
    assert values == {"two: x"}
    assert closed(client, "function/pair/one")


def test_orders_to_breakers_that_there_are_not(client):
    outcome = opened(client, "function/pairs/one")
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_BREAKER")
    assert outcome.metadata == {"did_you_mean": "function/pair/one"}
    assert opened(client, "function/pair/one", seconds=0).reason == "SCHEMA_MISMATCH"


def explain(client, name, metadata=()):
    request = invoke_pb2.ExplainRequest(function=name)
    return client.unary("InvokeService/Explain", request, invoke_pb2.ExplainResponse, metadata).value


def test_an_explanation_has_every_alternative_and_changes_nothing(client, orders):
    for _ in range(5):
        client.call("watched", folder=orders.folder, text="x")
    answer = explain(client, "watched")
    assert answer.reason == "route: by weights"
    first, *copies = answer.alternatives
    assert (first.label, first.chosen, first.weight, first.breaker, first.pool) == (
        "one",
        True,
        1.0,
        "closed",
        "general",
    )
    assert first.attempts.samples > 4
    assert first.attempts.p50_us > 0
    assert first.failure_rate == 0.0
    assert [(one.label, one.copies_only, one.weight) for one in copies] == [("same_as_one", True, 0), ("two", True, 0)]
    opened(client, "function/pair/one")
    answer = explain(client, "pair", metadata=[("x-session-id", "explained")])
    assert [(one.label, one.weight, one.breaker) for one in answer.alternatives] == [
        ("two", 1.0, "closed"),
        ("one", 0.0, "open"),
    ]
    assert answer.alternatives[1].excluded == "its circuit breaker function/pair/one is open"
    assert closed(client, "function/pair/one")
    assert explain(client, "one").alternatives[0].label == ""
    assert client.call("pair", folder=orders.folder, text="x").receipt.attempts == 1, "it still has its route"
