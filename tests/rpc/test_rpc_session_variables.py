"""Variables of sessions on a real server: shared by workers, pools, front and clients, typed, versioned, watched."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from bridge.v1 import session_pb2 as pb
from bridge.v1.common_pb2 import Payload

APP = Path(__file__).with_name("session_app.py")
CONFIG = """
[pools.general]
size = 2

[pools.llm]
size = 1
concurrency = 8

[pools.embeddings]
size = 0

[sessions]
max_variables = 8
max_value_bytes = "2KiB"
end_hook_timeout_s = 0.5
"""


def of(session, **more):
    return [("x-session-id", session), *((f"x-{key.replace('_', '-')}", value) for key, value in more.items())]


@pytest.fixture(scope="module")
def shared_sessions(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(shared_sessions, connect):
    return connect(shared_sessions.address)


@pytest.fixture
def session(client, request):
    """A session of the test's own."""
    name = request.node.name.replace("[", ".").replace("]", "")[:100]
    opened = client.unary("SessionService/Open", pb.OpenRequest(id=name), pb.OpenResponse)
    yield opened.value.session.id
    client.unary("SessionService/Close", pb.CloseRequest(id=name), pb.CloseResponse)


def get(client, session, name, form=pb.PAYLOAD_FORM_JSON, metadata=()):
    request = pb.GetVariableRequest(session_id=session, name=name, form=form)
    return client.unary("SessionService/GetVariable", request, pb.GetVariableResponse, metadata)


def put(client, session, name, value, metadata=(), **more):
    request = pb.SetVariableRequest(session_id=session, name=name, value=Payload(json=json.dumps(value)), **more)
    return client.unary("SessionService/SetVariable", request, pb.SetVariableResponse, metadata)


def watch(client, session, timeout=20.0):
    multicallable = client.channel.unary_stream(
        "/bridge.v1.SessionService/Watch",
        request_serializer=pb.SessionServiceWatchRequest.SerializeToString,
        response_deserializer=pb.SessionServiceWatchResponse.FromString,
    )
    return multicallable(pb.SessionServiceWatchRequest(id=session), timeout=timeout, wait_for_ready=True)


BUMPS = ["bump", "abump", "native_bump", "native_abump", "threaded_bump", "looped_bump"]
"""Blocking and async functions, in workers with one call and with many, and in the front."""


def test_all_kinds_of_functions_share_what_they_count(client, session):
    for name in BUMPS:
        assert client.call(name, metadata=of(session), key="n").code is grpc.StatusCode.OK, name
    assert get(client, session, "n").value.variable.value.json == str(len(BUMPS))
    assert client.stream("bumps", metadata=of(session), key="n", times=3).values == [7, 8, 9]
    assert client.stream("abumps", metadata=of(session), key="n", times=3).values == [10, 11, 12]


def test_workers_that_count_at_the_same_time_lose_nothing(client, session):
    """Compare-and-set from two workers of one pool, the threads and the loop of another, and the front."""
    other = client.call("pid", metadata=of("elsewhere")).value
    calls = [(BUMPS[number % len(BUMPS)], of(session)) for number in range(120)]
    with ThreadPoolExecutor(12) as threads:
        outcomes = list(threads.map(lambda call: client.call(call[0], metadata=call[1], key="n"), calls))
    assert {outcome.code for outcome in outcomes} == {grpc.StatusCode.OK}
    assert client.call("get", metadata=of(session), key="n").value == 120
    assert other


def test_several_questions_of_one_call_at_a_time(client, session):
    assert client.call("together", metadata=of(session), keys=list("abcdef")).value == [0, 1, 2, 3, 4, 5]
    assert client.call("describe", metadata=of(session)).value == {
        "id": session,
        "epoch": 0,
        "mode": "hint",
        "names": list("abcdef"),
    }


def test_async_code_that_would_block_is_told_so(client, session):
    outcome = client.call("forgetful", metadata=of(session), key="n")
    assert (outcome.reason, "aget" in outcome.message) == ("USER_EXCEPTION", True)


@pytest.mark.parametrize("name", ["get", "native_bump", "abump"])
def test_without_a_session_there_are_no_variables(client, name):
    outcome = client.call(name, key="n")
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_SESSION")


@pytest.mark.parametrize("value", [2**63 - 1, 1.5, "text", [1, 2, 3]])
def test_values_pass_between_clients_and_functions(client, session, value):
    assert put(client, session, "v", value).code is grpc.StatusCode.OK
    assert client.call("get", metadata=of(session), key="v").value == value
    assert client.call("put", metadata=of(session), key="w", value=value).value == 2
    assert json.loads(get(client, session, "w").value.variable.value.json) == value


def test_bytes_stay_bytes(client, session):
    assert client.call("put_bytes", metadata=of(session), key="b", value="/wA=").code is grpc.StatusCode.OK
    variable = get(client, session, "b").value.variable
    assert (variable.type, variable.value.json) == (pb.VARIABLE_TYPE_BYTES, '"/wA="')
    assert get(client, session, "b", pb.PAYLOAD_FORM_MSGPACK).value.variable.value.msgpack == b"\xc4\x02\xff\x00"


def test_what_a_function_is_refused_its_caller_is_told(client, session):
    client.call("put", metadata=of(session), key="v", value=1)
    outcome = client.call("put", metadata=of(session), key="v", value="text")
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VARIABLE_TYPE")
    assert outcome.metadata["type"] == "int"
    assert client.call("replace", metadata=of(session), key="v", value="text").code is grpc.StatusCode.OK
    outcome = client.call("put", metadata=of(session), key="v")
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert client.call("put", metadata=of(session), key="v", value="x" * 3000).reason == "SCHEMA_MISMATCH"
    assert client.call("put", metadata=of(session), key="a/b", value=1).reason == "SCHEMA_MISMATCH"
    for number in range(7):
        client.call("put", metadata=of(session), key=f"k{number}", value=1)
    assert client.call("put", metadata=of(session), key="more", value=1).reason == "VARIABLE_LIMIT"
    assert client.call("drop", metadata=of(session), key="k0").value is True
    assert client.call("drop", metadata=of(session), key="k0").value is False


def test_clients_write_by_version(client, session):
    first = put(client, session, "v", 1, expected_version=0).value.version
    refused = put(client, session, "v", 2, expected_version=0)
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert refused.metadata["version"] == str(first)
    assert put(client, session, "v", 2, expected_version=first).value.version > first
    request = pb.DeleteVariableRequest(session_id=session, name="v", expected_version=first)
    assert (
        client.unary("SessionService/DeleteVariable", request, pb.DeleteVariableResponse).reason == "VERSION_MISMATCH"
    )
    request.ClearField("expected_version")
    assert client.unary("SessionService/DeleteVariable", request, pb.DeleteVariableResponse).value.version > first
    assert get(client, session, "v").reason == "UNKNOWN_VARIABLE"
    assert (
        client.unary("SessionService/DeleteVariable", request, pb.DeleteVariableResponse).reason == "UNKNOWN_VARIABLE"
    )


def test_variables_of_another_tenant_are_not_there(client):
    mine = [("x-tenant", "acme")]
    client.unary("SessionService/Open", pb.OpenRequest(id="acmes"), pb.OpenResponse, mine)
    assert put(client, "acmes", "v", 1, mine).code is grpc.StatusCode.OK
    for metadata in ((), [("x-tenant", "rival")]):
        assert put(client, "acmes", "v", 2, metadata).reason == "UNKNOWN_SESSION"
        assert get(client, "acmes", "v", metadata=metadata).reason == "UNKNOWN_SESSION"
        outcome = client.call("get", metadata=[*of("acmes"), *metadata], key="v")
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SESSION")
    assert client.call("get", metadata=[*of("acmes"), *mine], key="v").value == 1
    page = pb.SessionServiceListRequest(page_size=1)
    listed = client.unary("SessionService/List", page, pb.SessionServiceListResponse, [("x-tenant", "rival")])
    assert list(listed.value.sessions) == []
    listed = client.unary("SessionService/List", page, pb.SessionServiceListResponse, mine)
    assert [(each.id, each.variables) for each in listed.value.sessions] == [("acmes", 1)]
    client.unary("SessionService/Close", pb.CloseRequest(id="acmes"), pb.CloseResponse, mine)


def test_watch_tells_what_is_then_what_changes_then_the_end(client, session):
    put(client, session, "v", 1)
    stream = watch(client, session)
    first = next(stream).snapshot
    assert ([(each.name, each.value.json) for each in first.variables], first.version) == ([("v", "1")], 1)
    client.call("bump", metadata=of(session), key="v")
    client.call("native_bump", metadata=of(session), key="n")
    client.call("drop", metadata=of(session), key="v")
    seen = [next(stream).change for _ in range(3)]
    assert [(each.variable.name, each.variable.value.json, each.deleted, each.version) for each in seen] == [
        ("v", "2", False, 2),
        ("n", "1", False, 3),
        ("v", "", True, 4),
    ]
    client.unary("SessionService/Close", pb.CloseRequest(id=session), pb.CloseResponse)
    assert next(stream).end.reason == "closed"
    assert list(stream) == []
    assert stream.code() is grpc.StatusCode.OK


def test_watching_what_is_not_there(client):
    stream = watch(client, "never")
    with pytest.raises(grpc.RpcError) as error:
        next(stream)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_watcher_that_leaves_makes_room(client, session, eventually):
    for _ in range(40):
        stream = watch(client, session)
        next(stream)
        stream.cancel()
    streams = []

    def room():
        streams.append(watch(client, session))
        try:
            return next(streams[-1])
        except grpc.RpcError:
            return None

    for _ in range(32):
        eventually(room, "room for a watcher")
    with pytest.raises(grpc.RpcError) as error:
        next(watch(client, session))
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for stream in streams:
        stream.cancel()


def test_a_session_that_ends_while_its_call_runs(client, gate):
    """The call goes on; what it writes belongs to no session any more."""
    running = client.start("hold", metadata=of("cut-short"), port=gate.port, key="v")
    held = gate.entered()
    client.unary("SessionService/Close", pb.CloseRequest(id="cut-short"), pb.CloseResponse, timeout=20.0)
    held.release()
    outcome = running.outcome()
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SESSION")


def test_a_hot_session_of_two_clients_does_not_starve_the_others(client, shared_sessions, connect, session, gate):
    """It fills its own bound, never the queue of the pool: other sessions' calls are answered meanwhile."""
    other = connect(shared_sessions.address)
    running = client.start("hold", metadata=of(session), port=gate.port)
    held = gate.entered()
    calls = [(client, other)[number % 2].start("bump", metadata=of(session), key="n") for number in range(200)]
    elsewhere = {client.call("pid", timeout=5.0).value for _ in range(5)}
    assert held.pid not in elsewhere
    held.release()
    assert running.outcome().value == "released"
    outcomes = [call.outcome() for call in calls]
    refused = [outcome for outcome in outcomes if outcome.code is not grpc.StatusCode.OK]
    assert {outcome.reason for outcome in refused} == {"QUEUE_FULL"}
    assert all(outcome.retry_s for outcome in refused)
    assert client.call("get", metadata=of(session), key="n").value == len(calls) - len(refused) >= 127


def test_a_cancel_reaches_a_function_that_asks_again_and_again(client, session):
    stream = client.open_stream("bumps", metadata=of(session), key="n", times=10**9)
    assert next(stream) == 1
    stream.cancel()
    assert client.call("get", metadata=of(session), key="n").value >= 1, "the worker goes on"
