"""`bridge explain` against a real server: for people, for machines, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).parent / "auto_app.py"
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def explain(start_shared_server):
    server = start_shared_server(APP, CONFIG)

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", "explain", *arguments, "--address", server.address],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_for_people(explain):
    shown = explain("quick", "text=hello")
    first, *rest = shown.splitlines()
    assert re.fullmatch(r"quick, a request of \d\d B: auto: pooled, calls of this size have not been timed yet", first)
    assert re.search(r"^\* +pool general +not known", shown, re.MULTILINE)
    assert re.search(r"^ +the front +not known .* calls of this size have not been timed yet", shown, re.MULTILINE)
    assert "pool general: 1 worker, no call waits" in rest
    assert rest[-1].endswith("0 of 64 native calls run; requests up to 64 KiB, p99 up to 5 ms")


def test_for_machines(explain):
    answer = json.loads(explain("native_pid", "--bytes", "5000", "--json"))
    assert (answer["placement"], answer["request_bytes"], answer["reason"]) == ("native", 5000, "declared native")
    assert [(one["route"], one["chosen"]) for one in answer["alternatives"]] == [("native", True), ("pooled", False)]
    assert answer["front"]["max_p99_us"] == 5000


def test_the_size_of_the_arguments_counts(explain):
    small, large = (json.loads(explain("quick", f"text={'x' * size}", "--json")) for size in (10, 500))
    assert large["request_bytes"] - small["request_bytes"] == pytest.approx(490, abs=4)


def test_mistakes(explain):
    assert "give one or the other" in explain("quick", "text=x", "--bytes", "5", code=2)
    assert "'quick'" in explain("quik", code=1)
