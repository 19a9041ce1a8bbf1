"""Commands that show a server's fronts: status, top, doctor, profile."""

import json
import subprocess
import sys

import pytest

CONFIG = """
[server]
fronts = 2

[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server("def add(a: int, b: int) -> int:\n    return a + b\n", CONFIG)


@pytest.fixture
def client(shared, connect, eventually):
    """A client of a server each of whose fronts has told its figures."""
    client = connect(shared.address)
    eventually(lambda: all(front.rss_bytes for front in client.fronts()), "the figures of both fronts")
    return client


def bridge(*arguments):
    return subprocess.run([sys.executable, "-m", "bridge.cli", *arguments], capture_output=True, text=True, timeout=60)


def test_status_has_a_row_for_each(shared, client):
    seen = json.loads(bridge("status", "--address", shared.address, "--json").stdout)
    assert {front["id"]: front["pid"] for front in seen["fronts"]} == {each.id: each.pid for each in client.fronts()}
    assert {front["state"] for front in seen["fronts"]} == {"serving"}
    shown = bridge("status", "--address", shared.address).stdout
    for front in client.fronts():
        (row,) = [line.split() for line in shown.splitlines() if line.startswith(front.id)]
        assert row[1:3] == [str(front.pid), "serving"]
        assert row[-1] == "0"


def test_top_has_their_rates(shared, client):
    seen = json.loads(bridge("top", "--once", "--address", shared.address, "--json").stdout)
    assert [front["id"] for front in seen["fronts"]] == [front.id for front in client.fronts()]
    assert sum(front["calls_per_s"] for front in seen["fronts"]) > 0, "top's own calls"
    assert "LOOP LAG" in bridge("top", "--once", "--address", shared.address).stdout


def test_doctor_tells_of_those_that_run(shared, client):
    done = bridge("doctor", "--config", str(shared.config), "--set", f"server.address={shared.address}", "--json")
    titles = {found["title"]: found for found in json.loads(done.stdout)["findings"]}
    for front in client.fronts():
        assert "calls, event loop late by" in titles[f"front {front.id}"]["detail"]


def test_an_unknown_name_to_profile_is_told_the_fronts_too(shared, client, monkeypatch, tmp_path):
    program = tmp_path / "py-spy"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    done = bridge("profile", "nobody", "--address", shared.address)
    assert done.returncode == 2
    for name in ("front,", *(front.id for front in client.fronts()), "general-1"):
        assert name in done.stderr
