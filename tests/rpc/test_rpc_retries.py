"""Calls whose worker died: which are tried once more, which are not, and what becomes of an input that always kills."""

from pathlib import Path

import grpc
import pytest

from bridge.v1 import pool_pb2

Code = grpc.StatusCode
APP = Path(__file__).with_name("overload_app.py")
REST = """
[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
CONFIG = f"""
[pools.general]
size = 2
restart_budget = 100
{REST}"""


@pytest.fixture(scope="module")
def served(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(served, connect, eventually):
    made = connect(served.address)
    yield made
    eventually(lambda: len(made.workers("general")) == 2, "both workers to be back")


@pytest.fixture
def attempts(tmp_path):
    """A folder in which each attempt leaves a file; `attempts()` counts them."""
    folder = tmp_path / "attempts"
    folder.mkdir()

    def count():
        return len(list(folder.iterdir()))

    count.folder = str(folder)
    return count


def reads(call):
    """What a stream sends, and how it ends."""
    values = []
    try:
        values += call
    except grpc.RpcError as error:
        return values, error.code()
    return values, call.code()


def test_an_idempotent_call_is_tried_once_more(client, attempts):
    outcome = client.call("die_at_first", folder=attempts.folder)
    assert (outcome.value, attempts()) == (1, 2)
    reason = outcome.receipt.reason
    assert "; retried after general-" in reason
    assert reason.endswith(" died: killed by SIGKILL")
    assert outcome.receipt.worker not in reason, "on another worker"
    assert outcome.receipt.worker == outcome.trailers["bridge-worker"]


def test_one_whose_worker_broke_the_protocol_is_tried_again_too(client, attempts):
    outcome = client.call("garble_at_first", folder=attempts.folder)
    assert (outcome.value, attempts()) == (1, 2)
    assert outcome.receipt.reason.endswith(" died: it broke the frame protocol")


def test_one_of_a_session_goes_on_elsewhere(client, attempts):
    session = [("x-session-id", "s-retry")]
    home = client.call("nap", metadata=session, seconds=0.0).receipt.worker
    outcome = client.call("die_at_first", metadata=session, folder=attempts.folder)
    assert (outcome.value, attempts()) == (1, 2)
    assert outcome.receipt.worker != home
    assert outcome.receipt.session_epoch == 1


def test_one_of_a_strict_session_is_not(client, attempts):
    session = [("x-session-id", "s-strict"), ("x-session-mode", "strict")]
    outcome = client.call("die_at_first", metadata=session, folder=attempts.folder)
    assert outcome.code is not Code.OK
    assert attempts() == 1


def test_one_that_is_not_idempotent_is_not(client, attempts):
    outcome = client.call("die_at_first_not_idempotent", folder=attempts.folder)
    assert (outcome.code, outcome.reason, attempts()) == (Code.ABORTED, "WORKER_CRASHED", 1)
    assert "retried" not in outcome.receipt.reason


def test_one_that_has_not_the_time_is_not(client, attempts):
    outcome = client.call("die_late", timeout=0.9, folder=attempts.folder, seconds=0.6)
    assert (outcome.code, outcome.reason, attempts()) == (Code.UNAVAILABLE, "WORKER_CRASHED", 1)


def test_none_is_where_it_is_switched_off(start_server, connect, attempts):
    client = connect(start_server(APP, f"[pools.general]\nsize = 1\nretry_idempotent = false\n{REST}").address)
    outcome = client.call("die_at_first", folder=attempts.folder)
    assert (outcome.code, outcome.reason, attempts()) == (Code.UNAVAILABLE, "WORKER_CRASHED", 1)


def test_a_stream_is_tried_again_before_its_first_item(client, attempts):
    call = client.open_stream("count_after_death", folder=attempts.folder, to=5, first=0)
    assert reads(call) == ([0, 1, 2, 3, 4], Code.OK)
    assert attempts() == 2


def test_a_stream_is_not_tried_again_once_an_item_was_sent(client, attempts):
    call = client.open_stream("count_after_death", folder=attempts.folder, to=5, first=2)
    assert reads(call) == ([0, 1], Code.UNAVAILABLE)
    assert attempts() == 1


def test_an_input_that_always_kills_kills_two_workers_and_no_third(client, attempts):
    outcome = client.call("poison", folder=attempts.folder)
    assert (outcome.code, outcome.reason, attempts()) == (Code.UNAVAILABLE, "WORKER_CRASHED", 2)
    assert "retried after" in outcome.receipt.reason
    for _ in range(3):
        refused = client.call("poison", folder=attempts.folder)
        assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "INPUT_QUARANTINED")
        assert refused.metadata["deaths"] == "2"
        assert not refused.receipt.worker
    assert attempts() == 2
    assert client.call("poison", folder=attempts.folder, sure=False).value == 2, "another input of the same function"
    (shown,) = client.pool("general").quarantine
    assert (shown.function, shown.fingerprint) == ("poison", refused.metadata["fingerprint"])
    request = pool_pb2.ReleaseInputRequest(name="general", fingerprint=shown.fingerprint)
    released = client.unary("PoolService/ReleaseInput", request, pool_pb2.ReleaseInputResponse)
    assert released.value.released == 1
    assert client.call("poison", folder=attempts.folder).reason == "WORKER_CRASHED"
    assert attempts() == 5, "two more workers"
