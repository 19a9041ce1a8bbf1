"""Nested calls of programs, batches, packed calls and second attempts, and while the server drains."""

import signal
from pathlib import Path

import grpc
import pytest
from bridge_client import connect as connect_client

APP = Path(__file__).with_name("nested_places_app.py")
CONFIG = """
[models.default]
model = "bridge/test"

[server]
drain_timeout_s = 10.0

[pools.general]
size = 1
grace_s = 0.5

[pools.llm]
size = 1
concurrency = {concurrency}

[pools.embeddings]
size = 0

[pools.other]
size = 1
modules = ["{app}"]
"""


@pytest.fixture(scope="module", params=[1, 8], ids=["one call at a time", "many"])
def shared(start_shared_server, tmp_path_factory, request):
    mark = tmp_path_factory.mktemp("mark") / "dead"
    config = CONFIG.format(app=APP, concurrency=request.param)
    return start_shared_server(APP, config, {"NESTED_MARK": str(mark)})


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


@pytest.mark.parametrize(("program", "cost"), [("shop", 5), ("ashop", 10)])
def test_a_program_calls_a_function(rpc, program, cost):
    outcome = rpc.call(program, question="How much?")
    assert outcome.value["price"] == cost
    receipt = outcome.receipt
    assert receipt.usage[0].calls == 1
    assert (receipt.nested.calls, receipt.nested.listed[0].function) == (1, "price")


def test_members_of_a_batch_share_what_it_has_called(rpc):
    started = [rpc.start("together", number=number) for number in range(8)]
    outcomes = [one.outcome() for one in started]
    assert [one.value for one in outcomes] == [2 * number for number in range(8)]
    assert sum(one.receipt.nested.calls for one in outcomes) == 8
    assert any(one.receipt.batch_size > 1 for one in outcomes)
    assert all(one.receipt.nested.bytes_in > 0 for one in outcomes)


def test_a_batched_function_is_called(rpc):
    assert rpc.call("quick", number=50).value == 100


def test_packed_calls_call_functions(shared):
    receipts = []
    with connect_client(shared.address) as client, client.with_options(on_receipt=receipts.append).multiplex() as many:
        found = [many.call("quick", number=number) for number in range(400)]
        values = [one.result() for one in found]
    assert values == [number * 2 if number % 10 == 0 else number for number in range(400)]
    called = [receipt for receipt in receipts if receipt.nested is not None]
    assert sum(receipt.nested.calls for receipt in called) == 2 * len(called) == 2 * 40


def test_sync_between_async_in_a_worker_with_one_call_says_what_to_do(rpc):
    outcome = rpc.call("between", number=3)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NESTED_IN_LOOP")
    assert rpc.call("asks_async", number=3).value == 6


def test_a_second_attempt_calls_anew_and_the_receipt_has_both(rpc, shared):
    outcome = rpc.call("dies_once")
    assert outcome.value == 8
    receipt = outcome.receipt
    assert "retried after" in receipt.reason
    assert [one.function for one in receipt.nested.listed] == ["elsewhere", "elsewhere"]
    assert receipt.nested.calls == 4, "each of them has called another"


def test_a_native_function_must_be_async_to_call(rpc):
    outcome = rpc.call("native_sync")
    assert outcome.reason == "USER_EXCEPTION"
    assert "a native function must be async" in outcome.message


def test_a_call_that_runs_while_the_server_drains_still_calls(start_server, connect, gate):
    server = start_server(Path(__file__).with_name("nested_app.py"), DRAINED)
    client = connect(server.address)
    running = client.start("held_then", port=gate.port, what="other_who")
    held = gate.entered()
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("draining")
    assert client.start("who").outcome().reason == "SHUTTING_DOWN"
    held.release()
    assert running.outcome().value["number"] == 0
    assert server.process.wait(10) == 0


DRAINED = f"""
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[pools.other]
size = 1
modules = ["{APP.with_name("nested_copies.py")}"]
env = {{ NESTED_PREFIX = "other" }}
"""
