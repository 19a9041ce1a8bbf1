"""A server beside the program that started it: it goes with that program, however that one ends.

Each server is a process of its own, whose standard input the test holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from bridge_client import connect

ROOT = Path(__file__).resolve().parents[2]
SERVE = "import sys; from bridge.cli.main import main; sys.exit(main())"
WAIT_S = 60.0
APP = """
import os, time

def write_and_wait(path: str, seconds: float) -> str:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(seconds)
    return "done"
"""
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
HOLDER = """
import subprocess, sys, time
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(server.pid, server.stdout.readline(), flush=True)
time.sleep(600)
"""
"""A program that starts a server, tells its process id and where it is, and does nothing more."""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "bridge.toml").write_text(CONFIG)
    words = ["serve", str(tmp_path / "app.py"), "--config", str(tmp_path / "bridge.toml"), "--json"]
    return [sys.executable, "-c", SERVE, *words, "--address", "127.0.0.1:0", "--exit-with-stdin"]


def start(command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def family(pid):
    """The processes of a server: itself, templates and workers, wherever they hang."""
    found = psutil.Process(pid)
    return [found, *found.children(recursive=True)]


def test_the_end_of_standard_input_drains_the_server(command, tmp_path):
    with start(command) as server:
        try:
            address = json.loads(server.stdout.readline())["address"]
            server.stdin.write("nobody reads this\n" * 10_000)
            server.stdin.flush()
            processes = family(server.pid)
            started = tmp_path / "started"
            answers = []
            with connect(address) as client:
                thread = threading.Thread(
                    target=lambda: answers.append(client.call("write_and_wait", path=str(started), seconds=1.0))
                )
                thread.start()
                while not (started.exists() and started.read_text()):
                    threading.Event().wait(0.02)
                server.stdin.close()
                thread.join(WAIT_S)
            assert answers == ["done"], "the call that ran was not waited for"
            assert server.wait(WAIT_S) == 0
            _, alive = psutil.wait_procs(processes, timeout=10)
            assert not alive
        finally:
            server.kill()


def test_a_server_ends_when_the_program_that_started_it_is_killed(command):
    with start([sys.executable, "-c", HOLDER, *command]) as holder:
        processes = []
        try:
            pid, line = holder.stdout.readline().split(" ", 1)
            assert json.loads(line)["event"] == "ready"
            processes = family(int(pid))
            assert len(processes) > 1, "there are no workers"
            holder.kill()
            _, alive = psutil.wait_procs(processes, timeout=WAIT_S)
            assert not alive
        finally:
            holder.kill()
            for process in processes:
                if process.is_running():
                    process.kill()
