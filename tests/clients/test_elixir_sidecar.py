"""An Elixir program with a bridge beside it, whose parts are killed: examples/sidecar of the Elixir client, run.

The program tells what it has seen; what it must have seen is here. The times are for people: see the client's README.
"""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

RUN_S = 200.0
EXIT_S = 30.0

pytestmark = [pytest.mark.timeout(3 * RUN_S), pytest.mark.slow]
EXAMPLE = ("run", "--no-compile", "examples/sidecar/sidecar.exs")


@pytest.fixture(scope="module")
def facts(mix):
    with mix(*EXAMPLE) as running:
        output, errors = running.communicate(timeout=RUN_S)
    assert running.returncode == 0, f"{output}\n{errors}"
    told = json.loads(output.splitlines()[-1])
    print(json.dumps(told, indent=1))
    return told


def test_a_session_outlives_its_worker(facts):
    assert facts["epoch_after_worker"] > facts["epoch"]
    assert facts["facts_after_worker"] == ["before", "after the worker"]


def test_the_server_is_killed_and_comes_back(facts):
    assert facts["restarted"] is True
    assert facts["lost_call"]["code"] == "unavailable"
    assert facts["lost_call"]["reason"] == "CONNECTION_LOST"
    assert facts["session_after_server"] == facts["session"] == "sidecar-example"
    assert facts["facts_after_server"] == ["after the server"], "variables live in the server"


def test_a_program_is_streamed(facts):
    assert facts["deltas"] > 1
    assert facts["streamed"] is True


def test_an_agent_calls_a_function_of_the_program(facts):
    assert facts["tool_calls"] == 1
    assert "Bern: rain from nonode@nohost" in facts["tool_answer"]


def test_a_deadline_is_what_was_asked_for(facts):
    assert 1_000 < facts["remaining_ms"]["least"] <= facts["remaining_ms"]["most"] <= 1_500
    assert facts["deadline"]["code"] == "deadline_exceeded"
    assert facts["deadline"]["reason"] == "IN_WORKER", "the server has not told it: the client gave up before"
    assert facts["deadline"]["ms"] >= 1_490


def test_the_connection_is_well_after_all_this(facts):
    assert facts["many"] == sum(range(1, 501)) + 500


def test_the_server_ends_with_the_elixir_program_that_is_killed(mix):
    with mix(*EXAMPLE, "--serve") as running:
        processes = []
        try:
            told = json.loads(running.stdout.readline())
            server = psutil.Process(told["server"])
            processes = [server, *server.children(recursive=True)]
            assert len(processes) > 3, "there are no workers"
            os.kill(int(told["beam"]), signal.SIGKILL)
            _, alive = psutil.wait_procs(processes, timeout=EXIT_S)
            assert not alive
        finally:
            for process in processes:
                if process.is_running():
                    process.kill()
            running.kill()
