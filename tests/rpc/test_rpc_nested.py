"""Functions that call other functions of the server, from every kind of place to every kind of place."""

import os
from pathlib import Path

import grpc
import pytest

APP = Path(__file__).with_name("nested_app.py")
COPIES = APP.with_name("nested_copies.py")
CONFIG = f"""
[server]
drain_timeout_s = 10.0

[pools.general]
size = 1
grace_s = 0.5

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[pools.many]
size = 1
concurrency = 8
grace_s = 0.5
modules = ["{COPIES}"]
env = {{ NESTED_PREFIX = "many" }}

[pools.other]
size = 1
grace_s = 0.5
modules = ["{COPIES}"]
env = {{ NESTED_PREFIX = "other" }}
"""
OUTERS = ["outer", "aouter", "many_outer", "many_aouter"]


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect, eventually):
    client = connect(shared.address)
    yield client

    def idle():
        pools = [client.pool(name) for name in ("general", "many", "other")]
        return all(len(client.workers(pool.name)) == 1 and not pool.running for pool in pools)

    eventually(idle, "all workers to be back and idle", 20.0)


@pytest.mark.parametrize("inner", ["who", "awho", "many_who", "many_awho", "other_who", "other_awho"])
@pytest.mark.parametrize("outer", [*OUTERS, "outer_native"])
def test_a_call_of_any_function_from_any(rpc, outer, inner):
    found = rpc.call(outer, what=inner, arguments={"number": 7}).value
    assert found["result"]["number"] == 7
    same_pool = outer.partition("_")[0] == "many" if inner.startswith("many_") else False
    if inner in ("who", "awho"):
        same_pool = outer in ("outer", "aouter")
    assert (found["result"]["pid"] == found["pid"]) == same_pool


@pytest.mark.parametrize("outer", OUTERS)
def test_a_native_function_is_called(rpc, outer):
    assert rpc.call(outer, what="who_native", arguments={"text": "hi"}).value["result"] == "hi"


@pytest.mark.parametrize("outer", ["agather", "many_agather"])
@pytest.mark.parametrize("inner", ["who", "awho", "many_who", "many_awho", "other_who"])
def test_many_calls_at_once(rpc, outer, inner):
    found = rpc.call(outer, what=inner, times=50).value
    assert [one["number"] for one in found] == list(range(50))
    assert len({one["pid"] for one in found}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ["chain", "chain"],
        ["other_chain", "chain"],
        ["other_achain", "chain", "other_chain"],
        ["many_chain", "many_achain", "many_chain"],
        ["many_achain", "chain", "many_chain", "achain"],
        ["other_chain", "many_chain", "other_achain", "many_achain"],
    ],
)
@pytest.mark.parametrize("first", ["chain", "many_achain"])
def test_chains_that_come_back_run_in_the_workers_that_wait(rpc, first, names):
    """Each pool has one worker, so that every call that came back would wait for itself."""
    pids = rpc.call(first, names=names).value
    pools = [name.rpartition("_")[0] for name in (first, *names)]
    assert len(set(pids)) == len(set(pools))
    assert [pids[pools.index(pool)] for pool in pools] == pids


@pytest.mark.parametrize("what", ["again", "other_again"])
def test_calls_are_nested_eight_deep_and_no_deeper(rpc, what):
    assert rpc.call("again", what=what, depth=8).value == 9
    outcome = rpc.call("again", what=what, depth=9)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NESTED_TOO_DEEP")
    assert "calls may be nested 8 deep" in outcome.message
    assert f"again -> {what} -> {what}" in outcome.message
    assert rpc.call("who").value["number"] == 0


@pytest.mark.parametrize("caught", ["caught", "many_caught"])
@pytest.mark.parametrize("prefix", ["", "other_", "many_"])
def test_a_failure_arrives_with_its_reason_and_can_be_caught(rpc, caught, prefix):
    found = rpc.call(caught, what=f"{prefix}fail", arguments={"how": "badly"}).value
    assert (found["function"], found["code"], found["reason"]) == (f"{prefix}fail", "UNKNOWN", "USER_EXCEPTION")
    assert found["message"] == "ValueError: failed: badly"
    assert found["metadata"]["type"] == "ValueError"
    found = rpc.call(caught, what=f"{prefix}who", arguments={"number": "x"}).value
    assert (found["code"], found["reason"]) == ("INVALID_ARGUMENT", "SCHEMA_MISMATCH")
    assert [path for path, _ in found["violations"]] == ["number"]
    assert rpc.call(caught, what=f"{prefix}nothing").value["reason"] == "UNKNOWN_FUNCTION"
    assert rpc.call(caught, what=f"{prefix}count", arguments={"to": 3}).value["reason"] == "FUNCTION_STREAMS"


@pytest.mark.parametrize("outer", ["outer", "many_aouter", "outer_native"])
def test_a_failure_that_is_not_caught_is_that_of_the_caller(rpc, outer):
    outcome = rpc.call(outer, what="other_fail", arguments={"how": "badly"})
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNKNOWN, "USER_EXCEPTION")
    assert outcome.metadata["nested_function"] == "other_fail"
    assert outcome.receipt.function == outer


@pytest.mark.parametrize("caught", ["caught", "many_caught"])
def test_the_loss_of_the_worker_that_was_called_is_a_failure_like_any(rpc, caught):
    found = rpc.call(caught, what="other_fail", arguments={"how": "exit"}).value
    assert (found["code"], found["reason"]) == ("ABORTED", "WORKER_CRASHED")
    assert (found["metadata"]["pool"], found["metadata"]["exit_code"]) == ("other", "7")


def test_a_function_that_dies_in_its_callers_worker_takes_the_caller_along(rpc):
    outcome = rpc.call("outer", what="fail", arguments={"how": "exit"})
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.ABORTED, "WORKER_CRASHED")
    assert (outcome.receipt.function, outcome.receipt.nested.calls, outcome.receipt.nested.failed) == ("outer", 1, 1)


def test_the_loss_of_the_caller_ends_what_it_has_called(rpc, gate, process):
    call = rpc.start("outer", what="other_hold", arguments={"port": gate.port})
    held = gate.entered()
    (pid,) = rpc.workers("general").values()
    process(pid).kill()
    held.wait_until_gone()
    assert call.outcome().reason == "WORKER_CRASHED"


@pytest.mark.parametrize("inner", ["hold", "ahold", "many_hold", "many_ahold", "other_hold"])
@pytest.mark.parametrize("outer", [*OUTERS, "outer_native"])
def test_a_cancel_of_the_caller_ends_what_it_has_called(rpc, gate, outer, inner):
    workers = {**rpc.workers("general"), **rpc.workers("other"), **rpc.workers("many")}
    call = rpc.start(outer, what=inner, arguments={"port": gate.port})
    held = gate.entered()
    call.future.cancel()
    held.wait_until_gone()
    assert {**rpc.workers("general"), **rpc.workers("other"), **rpc.workers("many")} == workers, "none was killed"


@pytest.mark.parametrize("outer", ["outer", "many_aouter"])
def test_the_deadline_is_that_of_the_caller(rpc, gate, outer):
    call = rpc.start(outer, what="other_hold", arguments={"port": gate.port}, timeout=0.6)
    held = gate.entered()
    assert call.outcome().code is grpc.StatusCode.DEADLINE_EXCEEDED
    held.wait_until_gone()
    left = rpc.call(outer, what="other_meta", timeout=9.0).value["result"]["left"]
    assert 0 < left < 9.5


def test_the_identity_is_that_of_the_caller(rpc):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = [("x-session-id", "n-1"), ("x-tenant", "acme"), ("traceparent", trace), ("x-request-id", "r-1")]
    for inner in ("meta", "other_meta"):
        found = rpc.call("outer", what=inner, metadata=metadata).value["result"]
        assert (found["session"], found["tenant"], found["trace"]) == ("n-1", "acme", trace)
        assert found["request"] == "r-1/1"


@pytest.mark.parametrize("inner", ["ahold", "other_ahold", "many_hold", "many_ahold"])
@pytest.mark.parametrize("outer", ["given_up", "many_given_up"])
def test_what_async_code_gives_up_is_cancelled_and_the_caller_goes_on(rpc, gate, outer, inner):
    call = rpc.start(outer, what=inner, port=gate.port)
    gate.entered().wait_until_gone()
    outcome = call.outcome()
    assert outcome.value == "went on"
    nested = outcome.receipt.nested
    assert (nested.calls, nested.failed) == (2, 1)
    assert [(one.function, grpc.StatusCode.CANCELLED.value[0] if one.code else 0) for one in nested.listed] == [
        (inner, 1),
        ("who_native", 0),
    ]


@pytest.mark.parametrize("outer", ["left_behind", "many_left_behind"])
def test_what_a_caller_leaves_behind_ends_with_it(rpc, gate, outer):
    call = rpc.start(outer, what="other_hold", port=gate.port)
    held = gate.entered()
    outcome = call.outcome()
    assert outcome.value == "left it: True"
    held.wait_until_gone()
    nested = outcome.receipt.nested
    assert [(one.function, one.code) for one in nested.listed] == [("other_hold", 1)]


@pytest.mark.parametrize("inner", ["count", "acount", "many_count", "many_acount", "other_count", "other_acount"])
@pytest.mark.parametrize("outer", ["streamed", "astreamed", "many_streamed", "many_astreamed"])
def test_streams(rpc, outer, inner):
    assert rpc.call(outer, what=inner, to=500).value == list(range(500))
    assert rpc.call(outer, what=inner, to=100_000, stop_after=3).value == [0, 1, 2]
    outcome = rpc.call(outer, what=inner, to=4)
    assert outcome.receipt.nested.listed[0].function == inner
    assert outcome.receipt.nested.bytes_out > 0


def test_a_nested_call_of_an_ordered_session_has_its_callers_turn(rpc):
    metadata = [("x-session-id", "n-ordered"), ("x-session-ordered", "1")]
    assert rpc.call("outer", what="other_who", metadata=metadata).value["result"]["number"] == 0
    assert rpc.call("outer", what="who", metadata=metadata).value["result"]["number"] == 0


@pytest.mark.parametrize("mode", ["hint", "strict"])
def test_nested_calls_belong_to_the_session(rpc, mode):
    metadata = [("x-session-id", f"n-{mode}"), ("x-session-mode", mode)]
    assert rpc.call("put", key="a", value=3, metadata=metadata).value == 3


def test_asking_in_a_thread_of_a_worker_with_one_call_says_what_to_do(rpc):
    outcome = rpc.call("in_a_thread", what="who")
    assert outcome.reason == "USER_EXCEPTION"
    assert "asks in the thread of the call" in outcome.message
    assert rpc.call("many_in_a_thread", what="who").value["pid"] in rpc.workers("general").values()


def test_the_receipt_sums_and_lists_what_was_called(rpc):
    outcome = rpc.call("outer", what="other_outer", arguments={"what": "many_who", "arguments": {"number": 5}})
    receipt = outcome.receipt
    assert outcome.value["result"]["result"]["number"] == 5
    nested = receipt.nested
    assert (nested.calls, nested.failed, nested.unlisted) == (2, 0, 0)
    (listed,) = nested.listed
    assert (listed.function, listed.code, listed.calls) == ("other_outer", 0, 1)
    assert listed.worker in rpc.workers("other")
    assert 0 < listed.worker_us < listed.total_us < receipt.total_us
    assert nested.worker_us < 2 * receipt.total_us
    assert nested.bytes_in > 0 < nested.bytes_out


def test_a_list_that_has_no_room_is_cut_and_the_sums_are_whole(rpc):
    receipt = rpc.call("many_agather", what="other_who", times=200).receipt
    assert receipt.nested.calls == 200
    assert 5 < len(receipt.nested.listed) < 200
    assert len(receipt.nested.listed) + receipt.nested.unlisted == 200
    assert receipt.ByteSize() <= 1300


def test_an_ordinary_call_has_nothing_nested(rpc):
    assert not rpc.call("who").receipt.HasField("nested")


def test_this_process_is_none_of_them(rpc):
    assert os.getpid() not in {rpc.call(name).value["pid"] for name in ("who", "many_who", "other_who")}
