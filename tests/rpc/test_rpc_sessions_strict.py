"""Strict and ordered sessions, and the hooks for their end, on a real server whose workers are killed."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import grpc
import pytest

from bridge.v1 import pool_pb2
from bridge.v1 import session_pb2 as pb

APP = Path(__file__).with_name("session_app.py")
CONFIG = """
[pools.general]
size = 2
max_calls = {max_calls}
drain_hold_s = {hold_s}

[pools.llm]
size = 1
concurrency = 8

[pools.embeddings]
size = 0

[sessions]
end_hook_timeout_s = 2.0
"""
USUAL = CONFIG.format(max_calls=1_000_000, hold_s=30.0)


def of(session, **more):
    return [("x-session-id", session), *((f"x-session-{key}", value) for key, value in more.items())]


def strict(session):
    return of(session, mode="strict")


@pytest.fixture(scope="module")
def served(start_shared_server):
    return start_shared_server(APP, USUAL)


@pytest.fixture
def client(served, connect):
    return connect(served.address)


def opened(client, session, **fields):
    return client.unary("SessionService/Open", pb.OpenRequest(id=session, **fields), pb.OpenResponse)


def closed(client, session):
    return client.unary("SessionService/Close", pb.CloseRequest(id=session), pb.CloseResponse)


def session_of(client, session):
    request = pb.SessionServiceGetRequest(id=session)
    return client.unary("SessionService/Get", request, pb.SessionServiceGetResponse).value.session


def gone(client, eventually, pid):
    eventually(lambda: pid not in client.workers("general").values(), "the worker to be gone")


# -- strict -------------------------------------------------------------------------------------------------------


def test_a_strict_session_is_lost_with_its_worker_until_it_is_opened_anew(client, eventually):
    assert opened(client, "lost", mode=pb.SESSION_MODE_STRICT).value.session.mode == pb.SESSION_MODE_STRICT
    first = client.call("pid", metadata=of("lost"))
    assert client.call("put", metadata=of("lost"), key="v", value=1).receipt.worker == first.receipt.worker
    os.kill(first.value, signal.SIGKILL)
    gone(client, eventually, first.value)
    for _ in range(3):
        outcome = client.call("pid", metadata=of("lost"))
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.ABORTED, "SESSION_LOST")
        assert outcome.metadata["worker"] == first.receipt.worker
    assert session_of(client, "lost").lost == "SESSION_LOST"
    assert client.call("native_bump", metadata=of("lost"), key="v").value == 2, "its variables are in the front"
    assert closed(client, "lost").code is grpc.StatusCode.OK
    anew = client.call("pid", metadata=strict("lost"))
    assert (anew.code, anew.value != first.value) == (grpc.StatusCode.OK, True)
    assert client.call("get", metadata=of("lost"), key="v").value is None
    closed(client, "lost")


def test_calls_that_wait_for_a_worker_that_dies_are_lost_and_the_running_one_crashed(client, gate, eventually):
    running = client.start("hold", metadata=strict("dies"), port=gate.port)
    held = gate.entered()
    waiting = [client.start("pid", metadata=of("dies")) for _ in range(3)]
    eventually(lambda: session_of(client, "dies").running == 4, "the calls to wait")
    os.kill(held.pid, signal.SIGKILL)
    assert running.outcome().reason == "WORKER_CRASHED"
    assert [call.outcome().reason for call in waiting] == ["SESSION_LOST"] * 3
    closed(client, "dies")


def test_a_strict_session_waits_for_the_first_worker_there_is(client):
    """Where all have just died, too."""
    for pid in client.workers("general").values():
        os.kill(pid, signal.SIGKILL)
    calls = [client.start("pid", metadata=strict("early")) for _ in range(8)]
    reasons = [outcome.reason for call in calls if (outcome := call.outcome()).code is not grpc.StatusCode.OK]
    assert set(reasons) <= {"WORKER_CRASHED", "SESSION_LOST"}, "sent before the deaths were noticed"
    closed(client, "early")
    calls = [client.start("pid", metadata=strict("early")) for _ in range(8)]
    assert len({call.outcome().value for call in calls}) == 1
    closed(client, "early")


def test_a_strict_session_waits_for_its_worker_while_another_is_free(client, gate):
    home = client.call("pid", metadata=strict("waits")).value
    running = client.start("hold", metadata=of("waits"), port=gate.port)
    held = gate.entered()
    second = client.start("pid", metadata=of("waits"))
    assert client.call("pid").value != home
    held.release()
    assert (running.outcome().value, second.outcome().value) == ("released", home)
    closed(client, "waits")


def test_the_mode_is_said_at_the_opening(client):
    client.call("pid", metadata=strict("said"))
    outcome = client.call("pid", metadata=of("said", mode="hint"))
    assert (outcome.code, list(outcome.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["x-session-mode"])
    closed(client, "said")
    assert client.unary("SessionService/Open", b"\x10\x09", pb.OpenResponse).reason == "SCHEMA_MISMATCH"


def test_a_worker_that_is_recycled_serves_its_strict_sessions_on(start_server, connect, eventually):
    """Replaced after its calls, it serves who is bound to it until that one is closed; then it goes."""
    client = connect(start_server(APP, CONFIG.format(max_calls=12, hold_s=30.0)).address)
    home = client.call("pid", metadata=strict("stays")).value
    elsewhere = client.call("pid").value
    while client.call("pid", metadata=of("stays")).value == home and len(recycled(client)) == 0:
        pass
    assert client.call("pid", metadata=of("stays")).value == home, "it is being retired, and still serves"
    assert closed(client, "stays").code is grpc.StatusCode.OK
    eventually(lambda: home not in pids(client), "the retired worker to go")
    assert elsewhere != home


def test_a_strict_session_whose_worker_is_retired_is_moved_when_its_time_is_over(start_server, connect, eventually):
    server = start_server(APP, CONFIG.format(max_calls=12, hold_s=0.2))
    client = connect(server.address)
    home = client.call("pid", metadata=strict("moved"))
    for _ in range(20):
        client.call("pid", metadata=of("moved"))
    server.wait_for_log("moved has ended: moved")
    outcome = client.call("pid", metadata=of("moved"))
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.ABORTED, "SESSION_MOVED")
    assert outcome.metadata["worker"] == home.receipt.worker
    eventually(lambda: home.value not in pids(client), "the retired worker to go")
    assert closed(client, "moved").code is grpc.StatusCode.OK
    assert client.call("pid", metadata=strict("moved")).value != home.value


def pids(client):
    return {worker.pid for worker in client.pool("general").workers}


def recycled(client):
    return [one for one in client.pool("general").workers if one.state == pool_pb2.WORKER_STATE_DRAINING]


# -- hooks --------------------------------------------------------------------------------------------------------


def test_the_end_of_a_session_is_told_where_it_ran(client):
    client.call("pid", metadata=strict("told"))
    worker = session_of(client, "told").workers["general"]
    closed(client, "told")
    by_worker = {}
    while len(by_worker) < 2:
        outcome = client.call("ends")
        by_worker[outcome.receipt.worker] = outcome.value
    assert [end for end in by_worker.pop(worker) if end[0] == "told"] == [["told", "closed"], ["told", "closed too"]]
    assert [end for ends in by_worker.values() for end in ends if end[0] == "told"] == [], "and nowhere else"


def test_expiry_is_told_too(client, eventually):
    opened(client, "short", ttl={"nanos": 100_000_000})
    client.call("pid", metadata=of("short"))
    eventually(lambda: ["short", "expired"] in client.call("ends").value, "the hook to be called")


def test_a_hook_that_fails_is_logged_and_the_others_are_called(served, client):
    client.call("pid", metadata=strict("bad-hook"))
    assert closed(client, "bad-hook").code is grpc.StatusCode.OK
    assert "the hook broke" in served.wait_for_log("for the end of sessions failed")
    ends = [end for _ in range(2) for end in client.call("ends").value]
    assert ["bad-hook", "closed too"] in ends


def test_the_internal_function_can_not_be_called(client):
    assert client.call("bridge.session.end").reason == "UNKNOWN_FUNCTION"
    assert client.call("ended", session_id="x", reason="y").reason == "UNKNOWN_FUNCTION"


# -- order --------------------------------------------------------------------------------------------------------


class Notes:
    """Where `note` tells that it has begun; each waits until it is let go."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port = self._listener.getsockname()[1]

    def next(self):
        connection, _ = self._listener.accept()
        with connection:
            return connection.makefile().readline().strip()

    def close(self):
        self._listener.close()


@pytest.fixture
def notes():
    made = Notes()
    yield made
    made.close()


def test_calls_of_an_ordered_session_run_one_after_another(client, notes, eventually):
    """Across pools and workers, in the order of arrival; who gives up leaves the line."""
    opened(client, "ordered", ordered=True)
    calls = []
    for number in range(6):
        calls.append(client.start("note", metadata=of("ordered"), port=notes.port, text=str(number)))
        eventually(lambda number=number: session_of(client, "ordered").running == number + 1, "the call to arrive")
    late = client.start("note", metadata=[*of("ordered"), ("x-timeout-ms", "50")], port=notes.port, text="late")
    outcome = late.outcome()
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "IN_QUEUE")
    calls[2].future.cancel()
    eventually(lambda: session_of(client, "ordered").running == 5, "the cancelled call to leave the line")
    assert [notes.next() for _ in range(5)] == ["0", "1", "3", "4", "5"]
    assert [call.outcome().code for call in calls if call is not calls[2]] == [grpc.StatusCode.OK] * 5
    assert closed(client, "ordered").code is grpc.StatusCode.OK


def test_native_and_streaming_calls_stand_in_the_same_line(client, gate):
    metadata = of("mixed", ordered="1")
    running = client.start("hold", metadata=metadata, port=gate.port)
    held = gate.entered()
    native = client.start("native_bump", metadata=metadata, key="n")
    stream = client.open_stream("bumps", metadata=metadata, key="n", times=3)
    assert client.call("native_bump", metadata=of("free"), key="n").value == 1, "other sessions do not wait"
    assert not native.future.done()
    held.release()
    assert running.outcome().value == "released"
    assert sorted([native.outcome().value, *stream]) == [1, 2, 3, 4]
    closed(client, "mixed")


def test_an_operator_cancels_a_call_that_stands_in_line(client, gate, eventually):
    metadata = of("line", ordered="1")
    running = client.start("hold", metadata=metadata, port=gate.port)
    held = gate.entered()
    behind = client.start("native_bump", metadata=[*metadata, ("x-request-id", "in-line")], key="l")
    request = pool_pb2.CancelRequest(request_id="in-line")
    eventually(lambda: session_of(client, "line").running == 2, "the call to arrive")
    told = client.unary("PoolService/Cancel", request, pool_pb2.CancelResponse)
    assert told.values[0].cancelled == 1
    outcome = behind.outcome()
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED_BY_OPERATOR")
    held.release()
    assert running.outcome().value == "released"
    closed(client, "line")
