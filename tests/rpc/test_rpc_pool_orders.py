"""An operator's orders to a running server: scale, drain, resume, restart; over the API and on the command line."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bridge.v1 import pool_pb2

Code = grpc.StatusCode
APP = Path(__file__).parent / "served_app.py"
LEAN = """
[pools.general]
size = 2
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, LEAN)


@pytest.fixture
def client(shared, connect):
    return connect(shared.address)


def order(client, method, **fields):
    request = getattr(pool_pb2, f"{method}Request")(**fields)
    return client.unary(f"PoolService/{method}", request, getattr(pool_pb2, f"{method}Response"), timeout=60.0)


def bridge(shared, *arguments):
    command = [sys.executable, "-m", "bridge.cli", *arguments, "--address", shared.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})


class Load:
    """Calls all the time from a few threads, until it is ended; keeps what went wrong."""

    def __init__(self, client, threads=3):
        self.failures, self.answered = [], 0
        self._client, self._over = client, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self._over.is_set():
            outcome = self._client.call("add", a=1, b=2)
            self.answered += 1
            if outcome.code is not Code.OK:
                self.failures.append(outcome)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(30)


def serving(client, name):
    stub = health_pb2_grpc.HealthStub(client.channel)
    reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    return reply.status == health_pb2.HealthCheckResponse.SERVING


class TestScale:
    def test_up_and_down(self, client, eventually):
        pool = order(client, "Scale", name="general", size=3).value.pool
        assert (pool.size, pool.min_size, pool.max_size) == (3, 3, 3)
        eventually(lambda: len(client.workers("general")) == 3, "the third worker", 20)
        with Load(client) as load:
            assert order(client, "Scale", name="general", size=1).value.pool.size == 1
            eventually(lambda: len(client.workers("general")) == 1, "two workers to go", 20)
        assert load.failures == []
        order(client, "Scale", name="general", size=2)
        eventually(lambda: len(client.workers("general")) == 2, "the second worker", 20)

    def test_bounds_alone(self, client):
        pool = order(client, "Scale", name="general", max_size=4).value.pool
        assert (pool.min_size, pool.max_size, pool.size) == (2, 4, 2)
        pool = order(client, "Scale", name="general", min_size=2, max_size=2).value.pool
        assert (pool.min_size, pool.max_size) == (2, 2)

    @pytest.mark.parametrize(
        "fields",
        [{}, {"size": 0}, {"size": 1025}, {"size": 2, "max_size": 3}, {"min_size": 3, "max_size": 2}, {"min_size": 0}],
    )
    def test_what_can_not_be(self, client, fields):
        outcome = order(client, "Scale", name="general", **fields)
        assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
        assert client.pool("general").max_size == 2


class TestDrain:
    def test_drain_and_resume(self, client, gate, eventually):
        call = client.start("hold", port=gate.port)
        held = gate.entered()
        drained = order(client, "Drain", name="general", timeout={"nanos": 200_000_000}).value
        assert drained.drained is False
        assert drained.pool.state == pool_pb2.POOL_STATE_DRAINING
        assert client.call("add", a=1, b=2).reason == "SHUTTING_DOWN"
        assert not serving(client, "pool/general")
        assert not serving(client, "")
        held.release()
        assert call.outcome().value == "released"
        assert order(client, "Drain", name="general").value.drained is True
        assert order(client, "Resume", name="general").value.pool.state == pool_pb2.POOL_STATE_READY
        assert client.call("add", a=1, b=2).value == 3
        eventually(lambda: serving(client, ""), "the server to be healthy again")


class TestRestart:
    def test_all_workers_under_load(self, client):
        before = client.workers("general")
        with Load(client) as load:
            reply = order(client, "Restart", name="general").value
        assert reply.replaced == 2
        assert load.failures == []
        assert load.answered > 10
        after = client.workers("general")
        assert len(after) == 2
        assert not set(before.values()) & set(after.values())

    def test_one_worker(self, client, eventually):
        first, second = sorted(client.workers("general"))
        assert order(client, "Restart", name="general", worker=first).value.replaced == 1
        eventually(lambda: first not in client.workers("general"), "the old worker to go")
        assert second in client.workers("general")

    def test_a_worker_that_there_is_not(self, client):
        outcome = order(client, "Restart", name="general", worker="general-999")
        assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_WORKER")

    def test_new_code_that_does_not_start(self, start_server, connect, tmp_path):
        app = tmp_path / "app.py"
        app.write_text("def f() -> str:\n    return 'old'\n")
        client = connect(start_server(app, LEAN).address)
        app.write_text("def f() -> str:\n    return 'new'\nraise ValueError('not like this')\n")
        outcome = order(client, "Restart", name="general")
        assert (outcome.code, outcome.reason) == (Code.FAILED_PRECONDITION, "WORKER_NOT_STARTED")
        assert "not like this" in outcome.message
        assert client.call("f").value == "old"
        app.write_text("def f() -> str:\n    return 'new'\n")
        assert order(client, "Restart", name="general").value.replaced == 2
        assert client.call("f").value == "new"


@pytest.mark.parametrize("method", ["Scale", "Drain", "Resume", "Restart"])
def test_an_unknown_pool(client, method):
    outcome = order(client, method, name="genral")
    assert (outcome.code, outcome.reason) == (Code.NOT_FOUND, "UNKNOWN_POOL")
    assert outcome.metadata["did_you_mean"] == "general"


class TestCommands:
    def test_scale(self, shared, client, eventually):
        said = bridge(shared, "pool", "scale", "general", "1")
        assert (said.returncode, said.stderr) == (0, "")
        assert "pool general is to have 1 worker" in said.stdout
        told = json.loads(bridge(shared, "pool", "scale", "general", "--min", "2", "--max", "3", "--json").stdout)
        assert (told["pool"]["min_size"], told["pool"]["max_size"]) == (2, 3)
        bridge(shared, "pool", "scale", "general", "2")
        eventually(lambda: len(client.workers("general")) == 2, "both workers", 20)

    @pytest.mark.parametrize("arguments", [["general"], ["general", "2", "--min", "1"], ["general", "0"]])
    def test_scale_to_what(self, shared, arguments):
        assert bridge(shared, "pool", "scale", *arguments).returncode == 2

    def test_drain_resume_restart(self, shared, client, gate):
        call = client.start("hold", port=gate.port)
        held = gate.entered()
        said = bridge(shared, "pool", "drain", "general", "--timeout", "0.1")
        assert said.returncode == 5
        assert "1 still run" in said.stdout
        held.release()
        assert call.outcome().value == "released"
        said = bridge(shared, "pool", "drain", "general")
        assert said.returncode == 0
        assert "bridge pool resume general" in said.stdout
        assert bridge(shared, "pool", "resume", "general").returncode == 0
        said = bridge(shared, "pool", "restart", "general")
        assert (said.returncode, "2 workers were replaced" in said.stdout) == (0, True)
        assert client.call("add", a=1, b=2).value == 3

    def test_an_unknown_pool(self, shared):
        said = bridge(shared, "pool", "restart", "genral")
        assert said.returncode == 1
        assert "did you mean 'general'" in said.stderr


class TestQuarantine:
    APP = """
import os, signal

def crash(text: str) -> str:
    if text == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return text

KEPT = []

def grow(mebibytes: int) -> int:
    KEPT.append(bytearray(os.urandom(1) * (mebibytes << 20)))
    return len(KEPT)
"""

    @pytest.fixture
    def poisoned(self, start_server, connect):
        server = start_server(self.APP, LEAN)
        client = connect(server.address)
        while client.call("crash", text="poison").reason == "WORKER_CRASHED":
            pass
        assert client.call("crash", text="poison").reason == "INPUT_QUARANTINED"
        return server, client

    def test_it_is_shown_and_released(self, poisoned):
        server, client = poisoned
        (refused,) = client.pool("general").quarantine
        assert (refused.function, refused.deaths) == ("crash", 2)
        shown = bridge(server, "status").stdout
        (line,) = [line for line in shown.splitlines() if "killed 2 workers" in line]
        assert line.startswith("general: an input of crash is refused for ")
        command = line.partition("bridge ")[2].split()
        assert bridge(server, *command).stdout == "1 input may run again\n"
        assert client.call("crash", text="poison").reason == "WORKER_CRASHED"
        unknown = order(client, "ReleaseInput", name="general", fingerprint="0123")
        assert (unknown.code, unknown.reason) == (Code.NOT_FOUND, "UNKNOWN_INPUT")

    def test_all_of_a_pool(self, poisoned):
        server, client = poisoned
        assert json.loads(bridge(server, "pool", "release", "general", "--json").stdout)["released"] == 1
        assert client.pool("general").quarantine == []
        assert json.loads(bridge(server, "pool", "release", "general", "--json").stdout)["released"] == 0

    def test_what_grew_the_heap_is_named(self, start_server, connect):
        server = start_server(self.APP, LEAN)
        client = connect(server.address)
        for _ in range(3):
            assert client.call("grow", mebibytes=20).code is Code.OK
        shown = bridge(server, "status").stdout
        (line,) = [line for line in shown.splitlines() if "grew the heap" in line]
        assert line.startswith("general: grow grew the heap by ")
        assert "MiB in 3 calls" in line
