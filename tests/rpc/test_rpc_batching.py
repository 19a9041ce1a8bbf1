"""Calls that run together on a real server: each gets its own, whatever becomes of the others."""

import json
import re
import signal
import urllib.request
from pathlib import Path

import grpc
import pytest

from bridge.v1 import pool_pb2

Code = grpc.StatusCode
APP = Path(__file__).parent / "batched_app.py"
CONFIG = """
[metrics]
address = "127.0.0.1:0"

[log]
format = "json"

[pools.general]
size = 1
grace_s = 0.3
queue_limit = 20

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


@pytest.fixture
def figure(shared):
    """`figure(series)` scrapes the value of one series; 0 where it is not there."""
    url = json.loads(shared.wait_for_log("metrics at http"))["message"].removeprefix("metrics at ")

    def scrape(series):
        with urllib.request.urlopen(url, timeout=10) as reply:
            found = re.search(rf"^{re.escape(series)} (\S+)$", reply.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    return scrape


@pytest.fixture
def gathered(rpc, gate, eventually):
    """`gathered(*whats)` holds the worker with one call, lets these gather behind it, and returns (held, calls).

    After a quarter of a second behind a busy worker they go into the pool's queue, together.
    """

    def gather(*whats, function="work", **options):
        blocker = rpc.start(function, what="hold", port=gate.port)
        held = gate.entered()
        calls = [rpc.start(function, what=what, port=gate.port, **options) for what in whats]
        eventually(lambda: rpc.pool("general").queued == 1, "the batch to be in the pool's queue", 5.0)
        calls.append(blocker)
        return held, calls

    return gather


@pytest.mark.parametrize("function", ["work", "again", "later"])
def test_those_that_waited_run_together(gathered, function):
    held, calls = gathered("a", "b", "c", function=function)
    held.release()
    *outcomes, blocker = [call.outcome() for call in calls]
    assert blocker.value == "hold of 1"
    assert [one.value for one in outcomes] == ["a of 3", "b of 3", "c of 3"]
    receipts = [one.receipt for one in outcomes]
    assert {(one.batch_size, one.reason, one.pool) for one in receipts} == {(3, "declared batched", "general")}
    assert len({one.batch_us for one in receipts}) == 1
    assert abs(sum(one.worker_us for one in receipts) - receipts[0].batch_us) <= 3
    assert all(one.queue_us > 0 and one.total_us >= one.queue_us for one in receipts)


def test_a_call_alone_is_as_any_other(rpc, figure):
    outcome = rpc.call("work", what="a")
    assert outcome.value == "a of 1"
    assert outcome.receipt.batch_size == 0
    assert figure('bridge_batch_size_bucket{function="work",le="1.0"}') >= 1


def test_one_bad_member_fails_alone(gathered):
    held, calls = gathered("a", "bad", "c")
    held.release()
    good, bad, other, _ = [call.outcome() for call in calls]
    assert [good.value, other.value] == ["a of 3", "c of 3"]
    assert (bad.code, bad.reason, bad.metadata["type"]) == (Code.UNKNOWN, "USER_EXCEPTION", "ValueError")
    assert bad.receipt.batch_size == 3


def test_a_member_that_does_not_fit_the_schema_fails_alone(gathered):
    held, calls = gathered("a", 5, "c")
    held.release()
    good, wrong, other, _ = [call.outcome() for call in calls]
    assert [good.value, other.value] == ["a of 2", "c of 2"], "the third did not reach the function"
    assert wrong.reason == "SCHEMA_MISMATCH"


def test_a_member_that_is_cancelled_while_it_waits_leaves_the_others_theirs(gathered, figure, eventually):
    held, calls = gathered("a", "b", "c")
    left = figure('bridge_batch_left_total{function="work"}')
    calls[1].future.cancel()
    eventually(lambda: figure('bridge_batch_left_total{function="work"}') == left + 1, "it to leave", 5.0)
    held.release()
    assert [calls[0].outcome().value, calls[2].outcome().value] == ["a of 3", "c of 3"]


def test_a_member_that_is_cancelled_while_it_runs_leaves_the_others_theirs(gathered, gate):
    held, calls = gathered("a", "hold", "c")
    held.release()
    inside = gate.entered()
    calls[0].future.cancel()
    inside.release()
    assert [calls[1].outcome().value, calls[2].outcome().value] == ["hold of 3", "c of 3"]


def test_a_batch_that_nobody_waits_for_is_interrupted(rpc, gathered, gate):
    held, calls = gathered("hold", "a")
    held.release()
    inside = gate.entered()
    for call in calls[:-1]:
        call.future.cancel()
    inside.wait_until_gone()
    assert rpc.call("work", what="z").value == "z of 1"


def test_a_deadline_ends_members_that_wait(rpc, gathered):
    held, calls = gathered("a", "b", metadata=[("x-timeout-ms", "1000")])
    late = calls[0].outcome()
    assert (late.code, late.reason) == (Code.DEADLINE_EXCEEDED, "IN_QUEUE")
    assert late.receipt.function == "work"
    held.release()
    assert rpc.call("work", what="z").value == "z of 1"


def test_an_operator_ends_one_member(rpc, gathered):
    held, calls = gathered("a", metadata=[("x-request-id", "marked")])
    request = pool_pb2.CancelRequest(request_id="marked")
    assert rpc.unary("PoolService/Cancel", request, pool_pb2.CancelResponse).value.cancelled == 1
    assert calls[0].outcome().reason == "CANCELLED_BY_OPERATOR"
    held.release()


def test_a_worker_that_is_killed_with_a_batch_fails_all_of_it(rpc, gathered, gate, process):
    held, calls = gathered("a", "hold", "c", function="doomed")
    held.release()
    inside = gate.entered()
    process(inside.pid).kill()
    for call in calls[:-1]:
        outcome = call.outcome()
        assert (outcome.code, outcome.reason) == (Code.ABORTED, "WORKER_CRASHED")
        assert (outcome.metadata["signal"], outcome.metadata["retryable"]) == ("SIGKILL", "false")
        assert outcome.receipt.worker
    alone = [rpc.start("doomed", what=what) for what in ("x", "y", "z")]
    assert [call.outcome().value for call in alone] == ["x of 1", "y of 1", "z of 1"], "until the culprit is known"


def test_of_a_batch_that_kills_only_the_call_that_is_to_blame_fails_where_it_may_run_again(gathered):
    held, calls = gathered("a", "die", "c", function="again")
    held.release()
    good, bad, other, _ = [call.outcome(30.0) for call in calls]
    assert [good.value, other.value] == ["a of 1", "c of 1"]
    assert "retried alone" in good.receipt.reason
    assert (bad.code, bad.reason) == (Code.UNAVAILABLE, "WORKER_CRASHED")


def test_those_that_wait_fill_the_queue_of_the_pool(rpc, gathered, figure, eventually):
    held, calls = gathered(*["a"] * 28)
    eventually(lambda: figure('bridge_batch_waiting_calls{function="work"}') == 20, "8 to be sent and 20 to wait")
    full = rpc.call("work", what="z")
    assert (full.code, full.reason, full.metadata["limit"]) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "20")
    assert full.retry_s > 0
    held.release()
    assert all(call.outcome().code is Code.OK for call in calls)


@pytest.fixture
def crowd(rpc, gate, figure, eventually):
    """`crowd(later)` holds the worker, lets 20 calls of tenant a gather behind it and then one more with the options
    `later`, lets them run, and returns in which batches they ran: those of a, and the last."""

    def waiting(count):
        eventually(lambda: figure('bridge_batch_waiting_calls{function="turns"}') == count, f"{count} to wait", 5.0)

    def gather(later):
        blocker = rpc.start("turns", what="hold", port=gate.port)
        held = gate.entered()
        flood = [rpc.start("turns", what="a", metadata=[("x-tenant", "a")]) for _ in range(20)]
        waiting(12)  # eight have gone into the pool's queue, together
        last = rpc.start("turns", what="b", **later)
        waiting(13)
        held.release()
        first = blocker.outcome().value
        return sorted(call.outcome().value - first for call in flood), last.outcome().value - first

    return gather


def test_a_flood_of_small_calls_does_not_hold_up_a_large_one_of_another_tenant(crowd):
    flood, other = crowd({"more": "x" * 3000, "metadata": [("x-tenant", "b")]})
    assert flood in ([1] * 8 + [3] * 8 + [4] * 4, [1] * 8 + [2] * 8 + [4] * 4), "of two that go at once either is first"
    assert other < 4


def test_a_call_of_the_same_tenant_waits_for_those_before_it(crowd):
    flood, other = crowd({"more": "x" * 3000, "metadata": [("x-tenant", "a")]})
    assert flood == [1] * 8 + [2] * 8 + [3] * 4
    assert other == 4


def test_a_high_priority_goes_with_the_next_batch(crowd):
    flood, other = crowd({"metadata": [("x-tenant", "a"), ("x-priority", "high")]})
    assert flood == [1] * 8 + [2] * 7 + [3] * 5
    assert other == 2


def test_a_session_keeps_its_calls_on_a_worker_of_its_own(rpc):
    outcome = rpc.call("work", what="a", metadata=[("x-session-id", "s-1")])
    assert outcome.value == "a of 1"
    assert outcome.trailers["bridge-session-epoch"] == "0"


def test_a_batched_function_can_be_streamed_as_any_other(rpc):
    assert rpc.stream("work", what="a").values == ["a of 1"]


@pytest.mark.parametrize("whole", [True, False], ids=["the server", "the pool"])
def test_a_drain_lets_a_batch_end_and_refuses_those_that_wait(start_server, connect, gate, eventually, whole):
    server = start_server(APP, CONFIG)
    rpc = connect(server.address)
    listing = pool_pb2.PoolServiceListRequest()

    def all_there(count):
        return len(rpc.unary("PoolService/List", listing, pool_pb2.PoolServiceListResponse).value.open_calls) == count

    running = rpc.start("work", what="hold", port=gate.port)
    held = gate.entered()
    late = rpc.start("work", what="late")
    eventually(lambda: all_there(2), "the call to wait", 5.0)
    if whole:
        server.process.send_signal(signal.SIGTERM)
    else:
        rpc.unary("PoolService/Drain", pool_pb2.DrainRequest(name="general"), pool_pb2.DrainResponse, timeout=0.5)
    refused = late.outcome()
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
    held.release()
    assert running.outcome().value == "hold of 1"
    assert server.terminate() == 0
