"""`bridge top` and `bridge cancel` as a person and a machine see them, on a pseudo-terminal and on pipes."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

LEAN = """
[pools.general]
size = 2

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
COMMAND = [sys.executable, "-m", "bridge.cli"]


@pytest.fixture
def running(start_server, served_app):
    return start_server(served_app, LEAN)


def bridge(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, *arguments, **environment):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "40", **environment},
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, wanted, timeout_s=20.0):
        deadline = time.monotonic() + timeout_s
        while wanted not in self.text:
            readable, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"no {wanted!r} within {timeout_s} s: {self.text}"
            self.text += self._read()
        return self.text

    def _read(self):
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:
            return ""

    def finish(self):
        while more := self._read():  # until the other end is closed
            self.text += more
        code = self.process.wait(10)
        os.close(self._ours)
        return code


def test_one_table(running, connect):
    client = connect(running.address)
    for _ in range(5):
        client.call("add", a=1, b=2)
    shown = bridge("top", "--once", "--interval", "0.2", "--address", running.address)
    assert shown.returncode == 0
    assert "SERVING" in shown.stdout
    for worker, pid in client.workers("general").items():
        (line,) = [line for line in shown.stdout.splitlines() if line.startswith(worker)]
        assert str(pid) in line
        assert "ready" in line
        assert "MiB" in line
    assert "\x1b" not in shown.stdout


def test_a_line_of_json_for_each_refresh(running, connect):
    client = connect(running.address)
    process = subprocess.Popen(
        [*COMMAND, "top", "--json", "--interval", "0.2", "--address", running.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = json.loads(process.stdout.readline())
    assert first["health"] == "SERVING"
    for _ in range(20):
        client.call("add", a=1, b=2)
    rates = [json.loads(process.stdout.readline())["pools"][0]["calls_per_s"] for _ in range(3)]
    assert max(rates) > 1
    assert {"id", "state", "running", "rss_bytes", "age_s", "calls_per_s"} <= set(first["pools"][0]["workers"][0])
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 0
    assert stderr == ""


def test_live_until_interrupted(running):
    shown = Terminal("top", "--interval", "0.2", "--address", running.address)
    shown.read_until("general-2")
    shown.process.send_signal(signal.SIGINT)
    assert shown.finish() == 0
    assert "\x1b[?1049l" in shown.text, "the terminal is as it was before"
    assert "Traceback" not in shown.text


def test_live_without_colours(running):
    shown = Terminal("top", "--interval", "0.2", "--address", running.address, NO_COLOR="1")
    shown.read_until("general-2")
    shown.process.send_signal(signal.SIGINT)
    assert shown.finish() == 0
    assert "\x1b[32m" not in shown.text


def test_live_until_the_server_goes(running):
    shown = Terminal("top", "--interval", "0.2", "--address", running.address)
    shown.read_until("general-2")
    assert running.terminate() == 0
    assert shown.finish() == 3
    assert "has gone" in shown.text.partition("\x1b[?1049l")[2], "said after the table has been taken away"
    assert "Traceback" not in shown.text


def test_no_server():
    shown = bridge("top", "--address", "127.0.0.1:9")
    assert shown.returncode == 3
    assert "bridge serve" in shown.stderr


def test_cancel(running, connect, gate):
    client = connect(running.address)
    call = client.start("hold", port=gate.port, metadata=[("x-request-id", "slow-1")])
    gate.entered()
    assert json.loads(bridge("cancel", "slow-1", "--json", "--address", running.address).stdout)["cancelled"] == 1
    assert call.outcome().reason == "CANCELLED_BY_OPERATOR"
    again = bridge("cancel", "slow-1", "--address", running.address)
    assert again.returncode == 1
    assert "UNKNOWN_CALL" in again.stderr
