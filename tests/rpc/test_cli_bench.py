"""`bridge bench` and `bridge profile` against real servers: figures, reports, and errors that say what to do."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest
from bridge_client import connect

CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
APP = '''
"""Functions to be measured."""
from collections.abc import Iterator


def greet(name: str) -> str:
    return f"hello {name}"


def numbers(to: int) -> Iterator[int]:
    yield from range(to)


def fail(name: str) -> str:
    raise ValueError(name)
'''
QUICK = ("--duration", "0.3", "--json")


@pytest.fixture(scope="module")
def running(start_shared_server):
    return start_shared_server(APP, CONFIG)


def bridge(*arguments, code=0):
    command = [sys.executable, "-m", "bridge.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_closed_loop_in_steps(running):
    report = json.loads(bridge("bench", running.address, *QUICK, "-n", "1,4").stdout)
    (target,) = report["targets"]
    assert [step["concurrency"] for step in target["steps"]] == [1, 4]
    for step in target["steps"]:
        assert step["calls"] > 0
        assert step["errors"] == {}
        assert 0 < step["p50_ms"] <= step["p99_ms"] <= step["max_ms"]
        assert sum(step["split_ms"].values()) == pytest.approx(step["mean_ms"], rel=0.5)
    assert report["loop"] == "closed"
    assert target["saturation"] is None


def test_an_open_loop_keeps_its_rate(running):
    report = json.loads(bridge("bench", running.address, "--duration", "2", "--json", "--rate", "100").stdout)
    (step,) = report["targets"][0]["steps"]
    assert 130 <= step["calls"] + sum(step["errors"].values()) <= 280
    assert report["loop"] == "open"


def test_the_search_for_saturation_ends(running):
    report = json.loads(bridge("bench", running.address, *QUICK).stdout)
    (target,) = report["targets"]
    assert len(target["steps"]) >= 2
    assert target["saturation"]["calls_per_s"] == max(step["calls_per_s"] for step in target["steps"])


def test_a_function_with_arguments_against_another_server(running, tmp_path):
    page = tmp_path / "report.html"
    arguments = ("name=you", "-f", "greet", "--vs", running.address, "--html", str(page), "-n", "2")
    report = json.loads(bridge("bench", running.address, *QUICK, *arguments).stdout)
    assert [target["address"] for target in report["targets"]] == [running.address, f"{running.address} (again)"]
    assert page.read_text().startswith("<!doctype html>")


def test_streams_are_read_to_their_end(running):
    report = json.loads(bridge("bench", running.address, *QUICK, "to=50", "-f", "numbers", "-n", "1").stdout)
    (step,) = report["targets"][0]["steps"]
    assert step["calls"] > 0
    assert step["errors"] == {}


def test_errors_are_counted_by_reason(running):
    report = json.loads(bridge("bench", running.address, *QUICK, "name=x", "-f", "fail", "-n", "1", code=1).stdout)
    (step,) = report["targets"][0]["steps"]
    assert set(step["errors"]) == {"UNKNOWN USER_EXCEPTION"}


def test_an_app_is_served_as_long_as_it_takes(tmp_path):
    app, config = tmp_path / "app.py", tmp_path / "bridge.toml"
    app.write_text(APP)
    config.write_text(CONFIG)
    done = bridge("bench", str(app), "name=you", "-f", "greet", "-n", "1", "--duration", "0.3", "-c", str(config))
    assert "greet on" in done.stdout
    assert "1 at a time" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "1", "--rate", "5"), "name one of them"),
        (("-n", "none"), "a load is a number"),
        (("-n", "1,2.."), "goes up from one number"),
        (("--duration", "0"), "above 0"),
    ],
)
def test_wrong_usage(running, arguments, said):
    assert said in bridge("bench", running.address, *arguments, code=2).stderr


def test_no_server(running):
    assert "cannot connect" in bridge("bench", "127.0.0.1:1", code=3).stderr
    assert "cannot connect to 127.0.0.1:1" in bridge("bench", running.address, "--vs", "127.0.0.1:1", code=3).stderr


def test_a_profile_without_py_spy_says_how_to_install_it(running, monkeypatch, tmp_path):
    from bridge.cli import profiling
    from bridge.cli.failures import Failure

    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    options = profiling.ProfileOptions(
        worker="front", address=running.address, seconds=1, out=None, speedscope=False, native=False, gil=False
    )
    with pytest.raises(Failure) as caught:
        profiling.run(options, None)
    assert "pip install py-spy" in caught.value.lines[0]


@pytest.fixture
def profile(running):
    """`profile(worker, *options)` is what `bridge profile --json` says, while calls are made."""
    if shutil.which("py-spy", path=f"{sys.prefix}/bin:{os.environ['PATH']}") is None:
        pytest.skip("py-spy is not installed")
    ended = threading.Event()

    def keep_calling():
        with connect(running.address) as client:
            while not ended.is_set():
                client.call("greet", name="you")

    caller = threading.Thread(target=keep_calling)
    caller.start()

    def look(worker, *options):
        command = [sys.executable, "-m", "bridge.cli", "profile", worker, "-a", running.address, "-d", "1", "--json"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=90, check=False)
        if "may not trace" in done.stderr:
            pytest.skip("this user may not trace other processes")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield look
    ended.set()
    caller.join()


def test_an_unknown_worker_is_told_from_those_that_there_are(running):
    assert "there is front, general-1" in bridge("profile", "nobody", "-a", running.address, code=2).stderr


def test_a_flame_graph_of_the_front(profile, tmp_path):
    out = tmp_path / "front.svg"
    assert profile("front", "-o", str(out), "--gil")["file"] == str(out)
    text = out.read_text()
    assert ">front, 1 s, with the GIL held<" in text
    assert re.search(r"bridge/[a-z_/]+\.py", text), "its own code is among what it runs"
    assert "py-spy" not in re.search(r'id="title".*', text)[0]


def test_a_profile_of_a_worker_for_speedscope(profile, tmp_path):
    out = tmp_path / "worker.json"
    profile("general-1", "-o", str(out), "--speedscope")
    frames = json.loads(out.read_text())["shared"]["frames"]
    assert any(frame["file"].endswith("pool/child.py") for frame in frames)
