"""Names with a route: who answers, what is tried after a failure, what the receipt says, on a real server."""

from collections import Counter
from pathlib import Path

import grpc
import pytest

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
restart_budget = 1000
{REST}
[pools.second]
size = 1
modules = ["{APP}"]

[breakers.routes]
enabled = false

[routes.canary]
alternatives = [ {{ function = "one", weight = 9 }}, {{ function = "two", weight = 1 }} ]

[routes.three]
retry = {{ attempts = 3, backoff_ms = 1.0, budget = 10.0, on = ["PROVIDER_ERROR", "WORKER_CRASHED", "USER_EXCEPTION"] }}

[routes.falls]
alternatives = [ {{ function = "one" }} ]
fallback = ["two", "quick"]

[routes.careless]
retry = {{ attempts = 3, backoff_ms = 1.0, budget = 10.0 }}
fallback = ["two"]

[routes.two_pools]
alternatives = [ {{ function = "where", pool = "general" }}, {{ function = "where", pool = "second" }} ]
sticky = "none"

[routes.pays]
alternatives = [ {{ function = "paid" }} ]
retry = {{ attempts = 2, backoff_ms = 1.0, budget = 10.0 }}

[routes.stream]
alternatives = [ {{ function = "counts" }} ]
fallback = ["counts_up"]

[routes.limited]
alternatives = [ {{ function = "one" }} ]
timeout_ms = 300.0
fallback = ["two"]

[routes.mixed]
alternatives = [ {{ function = "quick" }} ]
"""


@pytest.fixture(scope="module")
def served(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(served, connect, eventually):
    made = connect(served.address)
    yield made
    eventually(lambda: len(made.workers("general")) == 3, "all workers to be back")


def tried(outcome):
    return [(one.alternative, one.kind, one.failure) for one in outcome.receipt.tried]


def test_a_canary_gets_its_share_and_a_session_stays_with_its_alternative(client, orders):
    seen = Counter(client.call("canary", folder=orders.folder, text="x").value for _ in range(100))
    assert set(seen) == {"one: x", "two: x"}
    assert 70 <= seen["one: x"] <= 99
    for number in range(4):
        session = [("x-session-id", f"canary-{number}")]
        values = {client.call("canary", metadata=session, folder=orders.folder, text="x").value for _ in range(6)}
        assert len(values) == 1


def test_the_receipt_says_who_answered_and_why(client, orders):
    outcome = client.call("falls", folder=orders.folder, text="x")
    receipt = outcome.receipt
    assert outcome.value == "one: x"
    assert (receipt.function, receipt.alternative, receipt.attempts) == ("falls", "one", 1)
    assert receipt.reason == "one: the only one; declared pooled"
    assert tried(outcome) == [("one", "first", "")]
    assert not receipt.hedged
    assert not receipt.fallback
    assert receipt.worker == outcome.trailers["bridge-worker"]
    assert receipt.worker.startswith("general-")
    assert receipt.total_us >= receipt.worker_us > 0
    assert receipt.bytes_out > 0


def test_a_failure_is_tried_again_and_told(client, orders):
    orders("three", "fail", "die", "")
    outcome = client.call("three", folder=orders.folder, text="x")
    assert outcome.value == "three: x"
    assert tried(outcome) == [
        ("three", "first", "PROVIDER_ERROR"),
        ("three", "retry", "WORKER_CRASHED"),
        ("three", "retry", ""),
    ]
    assert orders.asked("three") == 3, "the pool's own retry is off, so that the budget counts all"
    assert "; tried again with three after PROVIDER_ERROR; tried again with three after WORKER_CRASHED" in (
        outcome.receipt.reason
    )


def test_attempts_end_and_the_last_failure_is_told(client, orders):
    orders("three", "fail", "fail", "raise", "")
    outcome = client.call("three", folder=orders.folder, text="x")
    assert (outcome.code, outcome.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
    assert orders.asked("three") == 3
    assert outcome.receipt.attempts == 3


def test_what_is_wrong_with_the_request_is_not_tried_again(client, orders):
    outcome = client.call("three", folder=orders.folder, text=1)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert outcome.receipt.attempts == 1
    assert outcome.violations.keys() == {"text"}


def test_what_a_provider_says_about_when_is_honoured(client, orders):
    orders("three", "busy 0.2", "")
    outcome = client.call("three", folder=orders.folder, text="x")
    assert outcome.value == "three: x"
    assert outcome.receipt.total_us >= 200_000
    orders("three", "", "", "busy 30", "")
    outcome = client.call("three", timeout=5.0, folder=orders.folder, text="x")
    assert (outcome.code, outcome.reason) == (Code.RESOURCE_EXHAUSTED, "PROVIDER_ERROR")
    assert orders.asked("three") == 3, "there was no time for it"
    assert outcome.retry_s == 30.0


def test_a_fallback_answers_and_the_next_where_it_fails_too(client, orders):
    orders("one", "fail", "fail")
    outcome = client.call("falls", folder=orders.folder, text="x")
    assert outcome.value == "two: x"
    assert tried(outcome) == [("one", "first", "PROVIDER_ERROR"), ("two", "fallback", "")]
    assert outcome.receipt.fallback
    orders("two", "", "die", "die")
    outcome = client.call("falls", folder=orders.folder, text="x")
    assert outcome.value == "quick: x"
    assert outcome.trailers["bridge-route"] == "native"
    assert [one[2] for one in tried(outcome)] == ["PROVIDER_ERROR", "WORKER_CRASHED", ""]


def test_a_user_error_does_not_fall_back(client, orders):
    orders("one", "raise")
    outcome = client.call("falls", folder=orders.folder, text="x")
    assert (outcome.code, outcome.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
    assert orders.asked("two") == 0


def test_what_is_not_idempotent_is_repeated_only_where_it_had_not_begun(client, orders):
    orders("careless", "fail", "die")
    for reason in ("PROVIDER_ERROR", "WORKER_CRASHED"):
        outcome = client.call("careless", folder=orders.folder, text="x")
        assert outcome.reason == reason
        assert outcome.receipt.attempts == 1
    assert orders.asked("careless") == 2
    assert orders.asked("two") == 0


def test_one_function_in_two_pools(client, orders):
    outcomes = [client.call("two_pools", folder=orders.folder, text="x") for _ in range(40)]
    pools = {outcome.receipt.pool: outcome.receipt.alternative for outcome in outcomes}
    assert pools == {"general": "where@general", "second": "where@second"}
    pids = set(client.workers("second").values())
    assert {int(one.value) for one in outcomes if one.receipt.pool == "second"} == pids


def test_what_failed_attempts_have_used_is_in_the_receipt_too(client, orders):
    orders("paid", "fail")
    outcome = client.call("pays", folder=orders.folder, text="x")
    (usage,) = outcome.receipt.usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.cost_usd) == (2, 20, 10, 0.5)


def test_a_stream_falls_back_before_its_first_message_and_not_after(client, orders):
    orders("counts", "fail", "other", "")
    outcome = client.stream("stream", folder=orders.folder, to=3)
    assert outcome.values == [0, 1, 2]
    assert [one[0] for one in tried(outcome)] == ["counts", "counts_up"]
    outcome = client.stream("stream", folder=orders.folder, to=3)
    assert (outcome.values, outcome.code) == ([0], Code.UNAVAILABLE)
    assert tried(outcome) == [("counts", "first", "PROVIDER_ERROR")]
    assert client.stream("stream", folder=orders.folder, to=2).values == [0, 1]


def test_an_attempt_that_takes_too_long_is_ended_in_its_worker(client, orders, gate):
    orders("one", f"hold {gate.port}")
    call = client.start("limited", folder=orders.folder, text="x")
    held = gate.entered()
    outcome = call.outcome()
    assert outcome.value == "two: x"
    assert tried(outcome)[0] == ("one", "first", "IN_WORKER")
    held.wait_until_gone()


def test_a_route_over_a_native_function(client, orders):
    outcome = client.call("mixed", folder=orders.folder, text="x")
    assert outcome.value == "quick: x"
    assert (outcome.trailers["bridge-route"], outcome.receipt.worker) == ("native", "")
    assert outcome.receipt.reason == "quick: the only one; declared native"


def test_a_cancel_by_an_operator_ends_the_attempt_and_no_other_follows(client, orders, gate):
    from bridge.v1 import pool_pb2

    orders("three", f"hold {gate.port}")
    call = client.start("three", metadata=[("x-request-id", "to-end")], folder=orders.folder, text="x")
    held = gate.entered()
    told = client.unary("PoolService/Cancel", pool_pb2.CancelRequest(request_id="to-end"), pool_pb2.CancelResponse)
    assert told.value.cancelled == 1
    outcome = call.outcome()
    assert (outcome.code, outcome.reason) == (Code.CANCELLED, "CANCELLED_BY_OPERATOR")
    held.wait_until_gone()
    assert orders.asked("three") == 1


def test_a_cancel_by_the_client_reaches_the_attempt(client, orders, gate):
    orders("three", f"hold {gate.port}")
    call = client.start("three", folder=orders.folder, text="x")
    held = gate.entered()
    call.future.cancel()
    held.wait_until_gone()
    assert orders.asked("three") == 1
