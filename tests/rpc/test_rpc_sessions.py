"""Sessions over the wire: one worker while it lives, another and a higher epoch when it is lost, ends and limits."""

import signal

import grpc
import pytest

from bridge.v1 import session_pb2

CONFIG = """
[pools.general]
size = 3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[sessions]
ttl_s = 0.3
max_sessions = 3
"""


def of(session):
    return [("x-session-id", session)]


def get(client, session):
    request = session_pb2.SessionServiceGetRequest(id=session)
    return client.unary("SessionService/Get", request, session_pb2.SessionServiceGetResponse)


def opened(client, session="", **fields):
    request = session_pb2.OpenRequest(id=session, **fields)
    return client.unary("SessionService/Open", request, session_pb2.OpenResponse)


def closed(client, session):
    return client.unary("SessionService/Close", session_pb2.CloseRequest(id=session), session_pb2.CloseResponse)


def test_calls_of_one_session_go_to_one_worker(rpc):
    for session in ("s-1", "s-2", "s-3", "s-4"):
        pids = {rpc.call("pid", metadata=of(session)).value for _ in range(6)}
        assert len(pids) == 1
    assert len({rpc.call("pid").value for _ in range(6)}) == 2, "calls without a session are spread"


def test_a_session_waits_for_its_worker_while_another_is_free(rpc, gate):
    home = rpc.call("pid", metadata=of("s-waits")).value
    running = rpc.start("hold", metadata=of("s-waits"), port=gate.port)
    held = gate.entered()
    assert held.pid == home
    second = rpc.start("pid", metadata=of("s-waits"))
    assert rpc.call("pid").value != home, "the other worker answers meanwhile"
    held.release()
    assert second.outcome().value == home
    assert running.outcome().value == "released"


def test_the_epoch_rises_when_the_worker_is_lost(rpc, process):
    first = rpc.call("pid", metadata=of("s-lost"))
    assert (first.receipt.session_epoch, first.trailers["bridge-session-epoch"]) == (0, "0")
    process(first.value).send_signal(signal.SIGKILL)
    moved = after_loss(rpc, "s-lost", first.value)
    assert (moved.receipt.session_epoch, moved.trailers["bridge-session-epoch"]) == (1, "1")
    assert moved.value != first.value
    again = rpc.call("who", metadata=of("s-lost"))
    assert again.receipt.session_epoch == 1
    assert again.value["epoch"] == 1, "the function is told"
    assert again.receipt.worker == moved.receipt.worker


def after_loss(rpc, session, lost):
    """The first call that is answered by another worker: a call may still be sent to the one that is about to die."""
    for _ in range(50):
        outcome = rpc.call("pid", metadata=of(session))
        if outcome.code is grpc.StatusCode.OK and outcome.value != lost:
            return outcome
        assert outcome.code is grpc.StatusCode.OK or outcome.reason == "WORKER_CRASHED"
    return pytest.fail("the session never moved")


def test_a_failed_call_tells_its_session_too(rpc):
    outcome = rpc.call("fail", metadata=of("s-fail"), how="plain")
    assert outcome.trailers["bridge-session-epoch"] == "0"
    assert get(rpc, "s-fail").value.session.calls == 1


def test_a_session_is_described(rpc):
    session = opened(rpc, "s-told").value.session
    assert (session.id, session.epoch, session.calls, dict(session.workers)) == ("s-told", 0, 0, {})
    assert session.ttl.ToSeconds() == 3600
    worker = rpc.call("pid", metadata=of("s-told")).receipt.worker
    session = get(rpc, "s-told").value.session
    assert (session.calls, dict(session.workers)) == (1, {"general": worker})
    assert closed(rpc, "s-told").code is grpc.StatusCode.OK
    assert get(rpc, "s-told").reason == "UNKNOWN_SESSION"


def test_a_native_call_counts_but_pins_nothing(rpc):
    rpc.call("native_add", metadata=of("s-native"), a=1, b=2)
    session = get(rpc, "s-native").value.session
    assert (session.calls, dict(session.workers)) == (1, {})


@pytest.mark.parametrize("seconds", [0, -5, 10**15])
def test_a_ttl_that_can_not_be(rpc, seconds):
    outcome = opened(rpc, ttl={"seconds": seconds})
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert list(outcome.violations) == ["ttl"]


@pytest.mark.parametrize("name", ["a/b", "x" * 129, "ä"])
def test_an_id_that_can_not_be(rpc, name):
    outcome = opened(rpc, name)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert list(outcome.violations) == ["id"]


def test_sessions_end_and_are_limited(start_server, connect, served_app, eventually):
    client = connect(start_server(served_app, CONFIG).address)
    lasting = [opened(client, ttl={"seconds": 100}).value.session.id for _ in range(2)]
    first = client.call("pid", metadata=of("short"))
    assert first.trailers["bridge-session-epoch"] == "0"
    refused = client.call("pid", metadata=of("one too many"))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    refused = client.call("pid", metadata=of("one-too-many"))
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_LIMIT")
    assert refused.metadata == {"limit": "3", "setting": "sessions.max_sessions"}
    assert opened(client).reason == "SESSION_LIMIT"
    assert client.call("pid").code is grpc.StatusCode.OK, "calls without a session go on"
    eventually(lambda: get(client, "short").code is grpc.StatusCode.NOT_FOUND, "the short session to end")
    assert client.call("pid", metadata=of("one-too-many")).code is grpc.StatusCode.OK
    assert [get(client, session).code for session in lasting] == [grpc.StatusCode.OK] * 2
    assert closed(client, lasting[0]).code is grpc.StatusCode.OK
    assert opened(client).code is grpc.StatusCode.OK
