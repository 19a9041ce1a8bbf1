"""More calls than a pool can take, over the wire: who goes first, who gives way, who is refused and told what."""

from pathlib import Path

import grpc
import pytest

Code = grpc.StatusCode
APP = Path(__file__).with_name("overload_app.py")
CONFIG = """
[pools.general]
size = 1
queue_limit = 5
queue_bytes = "64KiB"
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
NAP_S = 0.05


@pytest.fixture(scope="module")
def crowded(start_shared_server):
    """A server whose pool has one worker and little room to wait."""
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(crowded, connect, eventually):
    made = connect(crowded.address)
    yield made
    eventually(lambda: not (made.pool("general").running or made.pool("general").queued), "the pool to be idle")


@pytest.fixture
def gates(gate):
    """`gates()`: one more gate."""
    made = []

    def one():
        made.append(type(gate)())
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
def begin(client, eventually):
    """`begin(function, priority=, tenant=)` starts a call and returns once it waits."""

    def begin(function, priority="", tenant="", **arguments):
        queued = client.pool("general").queued
        metadata = [(key, value) for key, value in (("x-priority", priority), ("x-tenant", tenant)) if value]
        started = client.start(function, metadata=metadata, **arguments)
        eventually(lambda: client.pool("general").queued == queued + 1, "the call to wait")
        return started

    return begin


@pytest.fixture
def busy(client, gate):
    """The only worker holds a call, and one more waits, maybe in the worker's line; `busy()` lets go."""
    held = [client.start("hold", port=gate.port)]
    running = gate.entered()
    held.append(client.start("nap", seconds=0.0))

    def release():
        running.release()
        assert [call.outcome().code for call in held] == [Code.OK] * 2

    yield release
    running.release()


@pytest.mark.usefixtures("crowded")
def test_higher_priorities_go_first(client, busy, begin, gates):
    names = ("low", "normal", "high")
    ways = {name: gates() for name in names}
    calls = {name: begin("hold", name, port=ways[name].port) for name in names}
    busy()
    for name in reversed(names):
        ways[name].entered().release()
        assert calls.pop(name).outcome().value == "released"
        assert not any(call.future.done() for call in calls.values())


@pytest.mark.parametrize("value", ["urgent", "HIGH", "1", ""])
def test_a_priority_that_is_none_is_refused(client, value):
    outcome = client.call("nap", metadata=[("x-priority", value)], seconds=0.0)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "BAD_METADATA")
    assert list(outcome.violations) == ["x-priority"]


def test_a_higher_call_finds_room_in_a_full_queue(client, busy, begin):
    low = [begin("nap", "low", seconds=0.0) for _ in range(4)]
    high = client.start("nap", metadata=[("x-priority", "high")], seconds=0.0)
    displaced = low[-1].outcome()
    assert (displaced.code, displaced.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    told = {"exceeded": "calls", "displaced": "true", "limit": "5", "waiting": "5"}
    assert {key: displaced.metadata[key] for key in told} == told
    assert displaced.retry_s > 0
    assert "gave way" in displaced.message
    refused = client.call("nap", metadata=[("x-priority", "low")], seconds=0.0)
    assert (refused.reason, refused.metadata["displaced"]) == ("QUEUE_FULL", "false")
    assert not refused.receipt.worker
    busy()
    assert high.outcome().value == 0.0
    assert [call.outcome().value for call in low[:3]] == [0.0] * 3


def test_a_tenant_that_floods_leaves_room_for_others(client, busy, begin):
    flood = [begin("tenant", tenant="flood") for _ in range(4)]
    assert client.call("tenant", metadata=[("x-tenant", "flood")]).reason == "QUEUE_FULL"
    other = client.start("tenant", metadata=[("x-tenant", "other")])
    assert flood[-1].outcome().metadata["displaced"] == "true"
    busy()
    assert other.outcome().value == "other"
    assert [call.outcome().value for call in flood[:3]] == ["flood"] * 3


def test_the_bytes_that_wait_are_bounded_too(client, busy, begin):
    data = "x" * 40_000
    waiting = begin("size_of", data=data)
    refused = client.call("size_of", data=data)
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert (refused.metadata["exceeded"], refused.metadata["limit_bytes"]) == ("bytes", str(64 << 10))
    assert int(refused.metadata["queued_bytes"]) > 40_000
    assert "pools.general.queue_bytes" in refused.message
    small = client.start("nap", seconds=0.0)
    busy()
    assert (waiting.outcome().value, small.outcome().value) == (40_000, 0.0)


def test_a_deadline_that_can_not_be_met_is_refused_at_once(client, gate, begin):
    for _ in range(25):
        assert client.call("steady").value == "done"
    running = client.start("hold", port=gate.port)
    held = gate.entered()
    waiting = [begin("steady") for _ in range(4)]
    refused = client.call("steady", metadata=[("x-timeout-ms", "60")])
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "DEADLINE_UNREACHABLE")
    assert float(refused.metadata["predicted_s"]) > 0.1
    assert refused.retry_s > 0
    assert refused.receipt.total_us < 50_000, "not when the deadline has passed"
    patient = client.start("steady", metadata=[("x-timeout-ms", "10000")])
    held.release()
    assert running.outcome().value == "released"
    assert [call.outcome().value for call in [*waiting, patient]] == ["done"] * 5


def test_ten_times_the_load(client, process, crowded, eventually):
    """Those who are accepted wait for the queue, no longer; the rest hear at once; afterwards all is as before."""
    client.call("nap", seconds=NAP_S)
    front = process(crowded.pid)
    grown = []
    for _ in range(3):
        outcomes = [call.outcome() for call in [client.start("nap", seconds=NAP_S) for _ in range(100)]]
        served = [outcome for outcome in outcomes if outcome.code is Code.OK]
        refused = [outcome for outcome in outcomes if outcome.code is not Code.OK]
        assert len(served) >= 6
        assert {outcome.reason for outcome in refused} == {"QUEUE_FULL"}
        worst_us = max(outcome.receipt.total_us for outcome in served)
        assert worst_us < 1e6 * (6 * NAP_S + 1.0), "a slot and five that may wait, on a machine that is busy"
        at_once_us = sorted(outcome.receipt.total_us for outcome in refused)
        assert at_once_us[len(refused) // 2] < 50_000
        told = [outcome.retry_s for outcome in refused]
        assert min(told) >= 0.05
        assert max(told) - min(told) > len(refused) * NAP_S / 4, "they are not told to come back all at once"
        grown.append(front.memory_info().rss)
    assert client.call("nap", seconds=0.0, timeout=2.0).value == 0.0
    assert grown[-1] - grown[0] < 20 << 20
