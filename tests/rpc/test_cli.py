"""The command line against a real server: what a user types first, and what comes back."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "TEST_RUN_OF_CLI"
"""An environment variable that the processes of one command inherit."""
DYING_APP = """
import os, sys, time

def doze() -> None:
    time.sleep(60)

def die(code: int) -> None:
    print("my last words", file=sys.stderr, flush=True)
    os._exit(code)
"""


def start(*arguments, mark="", **options):
    return subprocess.Popen(
        [sys.executable, "-m", "bridge.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", MARK: mark},
        **options,
    )


def run(*arguments, code=0, input_text=None, mark=""):
    process = start(*arguments, mark=mark, stdin=subprocess.PIPE if input_text is not None else subprocess.DEVNULL)
    stdout, stderr = process.communicate(input_text, timeout=100)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    return stdout, stderr


@pytest.fixture
def bridge(server):
    def run_at(*arguments, **options):
        return run(*arguments, "--address", server.address, **options)

    return run_at


class TestCall:
    def test_a_function(self, bridge):
        assert bridge("call", "add", "a=2", "b=3") == ("5\n", "")

    def test_structured_arguments(self, bridge, tmp_path):
        (tmp_path / "items.json").write_text('[{"name": "pen", "price": 1.5, "quantity": 4}]')
        stdout, _ = bridge("call", "invoice", f"items=@{tmp_path}/items.json", "discount=0.5")
        assert json.loads(stdout) == {"lines": 1, "total": 3.0}

    def test_arguments_from_stdin(self, bridge):
        assert bridge("call", "add", "--json-args", "-", "b=5", input_text='{"a": 1}')[0] == "6\n"

    def test_wrong_arguments_name_each_field(self, bridge):
        _, stderr = bridge("call", "add", "a=1", "c=3", code=1)
        assert stderr.startswith("error: INVALID_ARGUMENT SCHEMA_MISMATCH: ")
        assert {line.split(":")[0].strip() for line in stderr.splitlines()[1:]} >= {"b", "c"}

    def test_a_misspelt_name_suggests_the_right_one(self, bridge):
        _, stderr = bridge("call", "triaeg", code=1)
        assert stderr.startswith("error: NOT_FOUND UNKNOWN_FUNCTION: ")
        assert "triage" in stderr

    def test_a_stream_of_items(self, bridge):
        assert bridge("call", "count", "to=3")[0] == "1\n2\n3\n"

    def test_a_deadline(self, bridge):
        assert "DEADLINE_EXCEEDED" in bridge("call", "ticks", "number=100", "--timeout", "1", code=4)[1]

    def test_a_program_with_its_receipt(self, bridge):
        stdout, stderr = bridge("call", "triage", "ticket=My invoice is wrong", "--receipt")
        outputs = json.loads(stdout)
        assert outputs["queue"] in ("billing", "technical", "sales")
        assert isinstance(outputs["urgency"], int)
        assert "bridge/test (the built-in test model, not a real one)" in stderr

    def test_a_program_on_a_named_model(self, bridge):
        value = json.loads(bridge("call", "triage", "ticket=x", "--model", "default", "--json")[0])
        assert value["result"]["queue"]
        assert value["receipt"]["usage"][0]["model"] == "bridge/test"
        assert "UNKNOWN_MODEL" in bridge("call", "triage", "ticket=x", "--model", "nope", code=1)[1]

    def test_a_programs_fields_as_they_grow(self, bridge):
        lines = bridge("call", "triage", "ticket=My invoice is wrong", "--stream", "--json")[0].splitlines()
        *deltas, final, end = map(json.loads, lines)
        assert len(deltas) > 1
        assert deltas[-1]["last"]
        text = "".join(delta["text"] for delta in deltas if delta["field"] == "reasoning")
        assert text.strip() == final["outputs"]["reasoning"]
        assert end["receipt"]["function"] == "triage"

    def test_a_session_stays_on_its_worker(self, bridge):
        calls = [json.loads(bridge("call", "add", "a=1", "b=1", "--session", "cli", "--json")[0]) for _ in range(3)]
        assert len({call["worker"] for call in calls}) == 1

    def test_the_echo(self, bridge):
        assert json.loads(bridge("call", "bridge.echo", "text=hé", "number=3")[0]) == {"text": "hé", "number": 3}

    @pytest.mark.parametrize(
        "command", [["call", "ticks", "number=1000000"], ["status", "--watch", "0.1"]], ids=["call", "status"]
    )
    def test_ctrl_c_ends_with_130(self, server, command):
        process = start(*command, "--json", "--address", server.address)
        assert process.stdout.readline()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (130, "")

    def test_a_reader_that_goes_away_is_no_traceback(self, server):
        process = start("call", "ticks", "number=1000000", "every_s=0.01", "--address", server.address)
        assert process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        process.stderr.close()
        assert (process.wait(30), stderr) == (1, "")

    def test_closed_streams_are_no_traceback(self, server):
        command = f'"{sys.executable}" -m bridge.cli status --address {server.address} >&- 2>&-'
        assert subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, timeout=60, check=False).returncode == 0


class TestCatalogue:
    def test_ls(self, bridge):
        stdout, _ = bridge("ls")
        for name in ("add", "triage", "bridge.echo"):
            assert any(line.startswith(name) for line in stdout.splitlines())
        names = [item["name"] for item in json.loads(bridge("ls", "bridge.metrics.", "--json")[0])["functions"]]
        assert "bridge.metrics.bleu" in names
        assert all(name.startswith("bridge.metrics.") for name in names)

    def test_describe_ends_with_a_command_that_works(self, bridge, server):
        stdout, _ = bridge("describe", "triage")
        assert '"ticket"' in stdout
        command = stdout.strip().splitlines()[-1]
        assert command.strip().startswith("bridge call triage ")
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("bridge call", f'"{sys.executable}" -m bridge.cli call')],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=True,
        )
        assert "queue" in json.loads(done.stdout)


class TestStatus:
    def test_a_healthy_server(self, bridge):
        stdout, _ = bridge("status")
        assert "SERVING" in stdout
        assert "general" in stdout
        value = json.loads(bridge("status", "--json")[0])
        assert value["health"] == "SERVING"
        pool = next(pool for pool in value["pools"] if pool["name"] == "general")
        assert pool["state"] == "ready"
        assert all(worker["pid"] > 0 and worker["rss_bytes"] > 0 for worker in pool["workers"])

    def test_exits_of_workers_are_shown_with_what_they_wrote(self, start_server, eventually):
        server = start_server(DYING_APP, "[pools.general]\nsize = 1\n")
        assert "WORKER_CRASHED" in run("call", "die", "code=7", "--address", server.address, code=1)[1]
        done = eventually(lambda: start_and_read("status", "--address", server.address), "the exit in the status")
        assert "my last words" in done

    def test_long_calls_are_listed_with_the_id_that_cancel_takes(self, start_server, eventually):
        server = start_server(DYING_APP, "[pools.general]\nsize = 1\n")
        at = ("--address", server.address)
        call = start("call", "doze", *at)
        found = eventually(
            lambda: re.search(r"^(\S+) +doze +general +general-\d+ +", run("status", *at)[0], re.MULTILINE),
            "the call in the status",
        )
        assert run("cancel", found[1], *at)[0] == "cancelled\n"
        assert "CANCELLED_BY_OPERATOR" in call.communicate(timeout=60)[1]


def start_and_read(*arguments):
    stdout, _ = start(*arguments).communicate(timeout=60)
    return stdout if "ended" in stdout else None


class TestServe:
    def test_ready_says_what_is_served(self, server):
        assert {"event", "address", "functions", "pools"} <= set(server.ready)
        assert {"add", "triage", "bridge.echo"} <= set(server.ready["functions"])
        assert "general" in server.ready["pools"]

    def test_people_get_a_panel_with_the_next_command(self, tmp_path):
        (tmp_path / "app.py").write_text("def hello(name: str) -> str:\n    return f'hello {name}'\n")
        process = start("serve", str(tmp_path / "app.py"), "--address", "127.0.0.1:0", "--pool", "general.size=1")
        try:
            text = ""
            while "bridge call hello" not in text:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                text += line
        finally:
            process.terminate()
            process.communicate(timeout=60)
        assert process.returncode == 0
        assert "bridge is ready" in text
        assert "functions: hello" in text

    def test_a_program_without_a_model_is_told_at_the_start(self, tmp_path):
        (tmp_path / "app.py").write_text("import dspy\n\nsort = dspy.Predict('text -> label')\n")
        process = start("serve", str(tmp_path / "app.py"), "--address", "127.0.0.1:0", "--pool", "general.size=1")
        try:
            assert any("no language model is configured" in line for line in process.stderr)
        finally:
            process.terminate()
            process.communicate(timeout=60)

    def test_an_app_that_does_not_import(self, tmp_path):
        (tmp_path / "app.py").write_text("import no_such_thing\n")
        _, stderr = fails(tmp_path / "app.py")
        assert stderr.count("error: ") == 1
        assert "no_such_thing" in stderr

    def test_a_port_in_use(self, server):
        _, stderr = run("serve", "examples/demo_app.py", "--address", server.address, code=1)
        assert f"can not listen on {server.address}: process {server.pid} (" in stderr


def marked(mark):
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def fails(app):
    process = start("serve", str(app), "--address", "127.0.0.1:0")
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 1
    return stdout, stderr


class TestDemo:
    def test_once_shows_the_call_and_ends(self):
        mark = uuid.uuid4().hex
        stdout, _ = run("demo", "--once", "--address", "127.0.0.1:0", mark=mark)
        assert "triage" in stdout
        assert "queue" in stdout
        assert "The built-in test model answered, not a real one" in stdout
        assert "bridge call triage ticket=" in stdout
        assert "the next command to type keeps the server running:\n\n  bridge demo\n" in stdout
        assert marked(mark) == []

    def test_it_serves_until_ctrl_c(self):
        mark = uuid.uuid4().hex
        process = start("demo", "--address", "127.0.0.1:0", mark=mark)
        for line in process.stderr:
            if "serves until Ctrl-C" in line:
                break
        assert len(marked(mark)) > 1
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "bridge call triage ticket=" in stdout
        assert marked(mark) == []

    def test_json(self):
        stdout, _ = run("demo", "--once", "--json", "--address", "127.0.0.1:0")
        value = json.loads(stdout)
        assert value["event"] == "demo"
        assert value["receipt"]["usage"][0]["model"] == "bridge/test"
        assert set(value["outputs"]) >= {"queue", "urgency"}
