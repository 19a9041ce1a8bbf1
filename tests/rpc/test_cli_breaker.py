"""`bridge breaker` and what `bridge explain` and `describe` show of routes, against a real server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).parent / "routes_app.py"
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[routes.pair]
choose = "latency"
alternatives = [ { function = "one", weight = 3 }, { function = "two" }, { function = "three", shadow = 0.5 } ]
fallback = ["quick"]
retry = { attempts = 2 }
"""


@pytest.fixture(scope="module")
def bridge(start_shared_server):
    server = start_shared_server(APP, CONFIG)

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", *arguments, "--address", server.address],
            cwd=ROOT,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_open_list_close(bridge):
    key = "function/pair/one"
    assert "refuses calls for 90 s" in bridge("breaker", "open", key, "--for", "90", "--cause", "bad results")
    (shown,) = json.loads(bridge("breaker", "ls", "--json"))["breakers"]
    assert (shown["key"], shown["state"], shown["cause"]) == (key, "open", "bad results")
    assert 80 < shown["left_s"] <= 90
    assert re.search(rf"{key} +open .* bad results", bridge("breaker", "ls"))
    assert f"breaker {key} is open for" in bridge("status")
    assert bridge("breaker", "close", key) == f"{key} lets all calls through again\n"
    assert bridge("breaker", "close", key) == f"{key} was closed already\n"
    assert f"breaker {key}" not in bridge("status")


def test_a_name_that_there_is_not(bridge):
    said = bridge("breaker", "open", "function/pear/one", code=1)
    assert "did you mean 'function/pair/one'?" in said


def test_a_route_is_explained_and_described(bridge):
    shown = bridge("explain", "pair")
    assert ": route: by weights, as not all have been measured for latency" in shown
    assert re.search(r"^\* +one +pool general +0\.75 .* closed", shown, re.MULTILINE)
    assert re.search(r"^ +three .* it gets copies of calls only", shown, re.MULTILINE)
    assert re.search(r"^ +quick +the front .* asked only where the others have failed", shown, re.MULTILINE)
    described = bridge("describe", "pair")
    for line in ("route pair, chosen by latency:", "  one  weight 3", "  then quick", "  up to 2 attempts"):
        assert line in described.splitlines()
    assert "  three  weight 0, copies of 0.5 of the calls" in described.splitlines()
    assert json.loads(bridge("describe", "pair", "--json"))["route"]["fallback"] == ["quick"]
