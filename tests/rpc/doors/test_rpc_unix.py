"""The unix socket: who may connect, as other users of this machine for real, and files that crashed servers leave."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import pytest
from bridge_client import connect

from bridge.doors import socket_file
from bridge.doors.failures import ListenFailed
from bridge.doors.unix_door import user_ids

NOBODY, DAEMON = 65534, 1
AS_USER = """
import os, sys
import grpc
from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload
os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[1]))
channel = grpc.insecure_channel(sys.argv[2])
call = channel.unary_unary("/bridge.v1.InvokeService/Call",
    request_serializer=invoke_pb2.CallRequest.SerializeToString,
    response_deserializer=invoke_pb2.CallResponse.FromString)
try:
    request = invoke_pb2.CallRequest(function="add", arguments=Payload(json=b'{"a": 2, "b": 3}'))
    print(call(request, timeout=20).result.json)
except grpc.RpcError as error:
    print(error.code().name, error.details())
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(params=[1, 2], ids=["one process", "two fronts"])
def fronts(request):
    return request.param


@pytest.fixture
def folder():
    """One that other users may enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp(prefix="bridge-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def serve(start_server, fronts, folder, add_app, small_config):
    def start(extra=""):
        path = folder / "bridge.sock"
        server = start_server(add_app, f"[server]\nfronts = {fronts}\nunix_socket = '{path}'\n{extra}\n{small_config}")
        assert server.ready["unix"] == str(path)
        return server, path

    return start


def add_as(user, path):
    """2 + 3 as another user, or what came instead."""
    done = subprocess.run(
        [sys.executable, "-c", AS_USER, str(user), f"unix:{path}"],
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_it_is_served_beside_the_port_and_for_the_own_user_alone(serve):
    server, path = serve()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for address in (f"unix:{path}", server.address):
        with connect(address) as client:
            assert client.call("add", a=2, b=3) == 5
            assert client.health() == "SERVING"
    assert server.terminate() == 0
    assert not path.exists()


@needs_root
def test_the_kernel_refuses_other_users(serve):
    _, path = serve()

    assert add_as(0, path) == "5"
    assert "Permission denied" in add_as(NOBODY, path)


@needs_root
def test_users_that_are_named_may_connect_and_others_are_refused_and_told_of(serve):
    server, path = serve(f"unix_users = ['nobody', {DAEMON + 1}]")

    assert add_as(NOBODY, path) == "5"
    assert add_as(DAEMON + 1, path) == "5"
    assert add_as(0, path) == "5"
    assert add_as(DAEMON, path).startswith("UNAVAILABLE")
    line = server.wait_for_log("unix socket: refused user daemon (1)")
    assert json.loads(line)["uid"] == DAEMON
    with connect(f"unix:{path}") as client:
        assert client.call("add", a=1, b=1) == 2
    assert server.terminate() == 0
    assert list(path.parent.iterdir()) == []


@needs_root
def test_the_socket_behind_the_door_is_for_the_server_alone(serve):
    _, path = serve("unix_users = ['nobody']")
    inner = Path(f"{path}.grpc")

    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(inner.stat().st_mode) == 0o600
    assert "Permission denied" in add_as(NOBODY, inner)


@pytest.mark.parametrize("users", ["", "unix_users = ['nobody']"], ids=["own user", "door"])
def test_large_messages_streams_and_many_calls(start_server, folder, small_config, users):
    app = """
def echo(data: bytes) -> bytes:
    return data

def numbers(to: int):
    yield from range(to)
"""
    path = folder / "bridge.sock"
    start_server(app, f"[server]\nunix_socket = '{path}'\n{users}\n{small_config}")
    data = os.urandom(8 << 20)

    with connect(f"unix:{path}") as client:
        assert client.call("echo", data=data) == data
        assert list(client.stream("numbers", to=5000)) == list(range(5000))
        with client.multiplex() as many:
            sums = [many.call("echo", data=b"%d" % number) for number in range(500)]
        assert [each.result() for each in sums] == [b"%d" % number for number in range(500)]


@pytest.mark.parametrize("users", ["", "unix_users = ['nobody']"], ids=["own user", "door"])
def test_a_file_that_a_killed_server_left_is_taken_over(start_server, folder, small_config, add_app, users):
    path = folder / "bridge.sock"
    config = f"[server]\nunix_socket = '{path}'\n{users}\n{small_config}"
    server = start_server(add_app, config)
    server.kill()
    assert path.exists()

    second = start_server(add_app, config)

    with connect(f"unix:{path}") as client:
        assert client.call("add", a=2, b=3) == 5
    assert second.terminate() == 0


def test_a_socket_on_which_somebody_listens_is_left_alone(serve, launch, folder, small_config):
    server, path = serve()

    second = launch("def one() -> int:\n    return 1\n", f"[server]\nunix_socket = '{path}'\n{small_config}")

    assert second.wait() == 1
    assert f"can not listen on {path}: another server listens there" in second.stderr
    with connect(f"unix:{path}") as client:
        assert client.call("add", a=2, b=3) == 5
    assert server.process.poll() is None


def test_a_unix_socket_alone(launch, add_app, folder, small_config):
    path = folder / "only.sock"
    server = launch(add_app, small_config, "--address", "", "--unix", str(path), "--json")
    ready = json.loads(server.process.stdout.readline())
    assert (ready["address"], ready["unix"]) == (f"unix:{path}", str(path))

    with connect(ready["address"]) as client:
        assert client.call("add", a=2, b=3) == 5
    listening = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "call", "add", "a=2", "b=3", "--address", ready["address"]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert listening.stdout.strip() == "5", listening.stderr
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not path.exists()


def test_what_is_no_socket_is_never_removed(folder):
    path = folder / "precious"
    path.write_text("data")

    with pytest.raises(ListenFailed, match="something that is no socket"), socket_file.claimed(str(path)):
        pytest.fail("claimed")
    assert path.read_text() == "data"


def test_a_stale_file_is_found_and_a_live_one_too(folder):
    path = folder / "some.sock"
    assert not socket_file.look(str(path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert socket_file.look(str(path)), "bound, and nobody listens"
        listening.listen()
        with pytest.raises(ListenFailed, match="another server listens"):
            socket_file.look(str(path))
    assert socket_file.look(str(path))
    with pytest.raises(ListenFailed, match="its directory"), socket_file.claimed(str(folder / "no" / "b.sock")):
        pytest.fail("claimed")


def test_a_directory_that_somebody_keeps_locked_holds_no_start_up_for_long(folder):
    locked = os.open(folder, os.O_RDONLY)
    fcntl.flock(locked, fcntl.LOCK_EX)
    try:
        with (
            pytest.raises(ListenFailed, match="keeps its directory locked"),
            socket_file.claimed(str(folder / "b.sock")),
        ):
            pytest.fail("claimed")
    finally:
        os.close(locked)
    with socket_file.claimed(str(folder / "b.sock")):
        pass


def test_users_by_name_and_id():
    assert user_ids([]) == {0, os.geteuid()}
    assert user_ids(["nobody", "1234"]) == {0, os.geteuid(), NOBODY, 1234}
    with pytest.raises(ListenFailed, match="no user 'no-such-user'"):
        user_ids(["no-such-user"])


def test_grpc_itself_is_behind(serve):
    """A channel of grpc's own, without a client of ours."""
    _, path = serve()
    with grpc.insecure_channel(f"unix:{path}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
