"""`bridge doctor --chaos` against real servers: what it breaks is noticed and mended, and nothing breaks unasked."""

import json
import os
import subprocess
import sys

import pytest

LEAN = """
[server]
chaos = {chaos}

[health]
interval_s = 0.3

[pools.general]
size = 2
grace_s = 0.5
memory_limit = "200MiB"

[pools.many]
size = 1
concurrency = 8
grace_s = 0.5

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
APP = "def f() -> int:\n    return 1\n"


def doctor(server, *arguments, text=None):
    command = [sys.executable, "-m", "bridge.cli", "doctor", "--chaos", "--address", server.address, *arguments]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=110, input=text or "", env=environment)


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, LEAN.format(chaos="true"))


@pytest.mark.slow
def test_every_fault_is_noticed_in_time(shared, connect):
    said = doctor(shared, "--yes", "--json")
    told = json.loads(said.stdout)
    faults = {one["fault"]: one for one in told["faults"]}
    assert set(faults) == {"kill", "stop", "hang", "memory", "wedge"}
    for name, one in faults.items():
        assert one["good"], (name, one)
        assert 0 <= one["detected_s"] <= one["recovered_s"]
    assert told["ok"]
    assert said.returncode == 0
    assert len({one["worker"] for one in faults.values()}) == 5
    assert "SIGKILL" in faults["kill"]["cause"]
    assert "SIGSTOP" in faults["stop"]["cause"]
    assert "hung" in faults["hang"]["cause"]
    assert "limit is 200.0 MiB" in faults["memory"]["cause"]
    assert "went on 0.5 s after its cancel or deadline" in faults["wedge"]["cause"]
    assert connect(shared.address).call("f").value == 1


@pytest.mark.slow
def test_a_worker_of_many_calls(shared, connect):
    said = doctor(shared, "--yes", "--pool", "many", "--fault", "kill,wedge,hang,memory")
    assert said.returncode == 0, said.stdout
    assert "every fault was noticed in time" in said.stdout
    (left_out,) = [line for line in said.stdout.splitlines() if line.startswith("memory")]
    assert "pools.many.memory_limit is not set" in left_out
    assert connect(shared.address).workers("many")


def test_nothing_breaks_unasked(shared, connect):
    before = connect(shared.address).workers("general")
    said = doctor(shared)
    assert said.returncode == 2
    assert "--yes" in said.stderr
    assert connect(shared.address).workers("general") == before


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--fault", "kil"], 2, "there is kill, stop"),
        (["--pool", "genral", "--yes"], 1, "did you mean 'general'"),
    ],
)
def test_mistakes(shared, arguments, code, text):
    said = doctor(shared, *arguments)
    assert said.returncode == code
    assert text in said.stderr


def test_a_server_that_does_not_let_itself_be_broken(start_server, connect):
    server = start_server(APP, LEAN.format(chaos="false"))
    said = doctor(server, "--yes")
    assert said.returncode == 2
    assert "chaos = true" in said.stderr
    assert connect(server.address).call("bridge.chaos.general.kill", run="1").reason == "UNKNOWN_FUNCTION"
