"""The public failure suite: that its verdicts can be bad ones, and that what it has published is what it measured."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SUITE = Path(__file__).resolve().parent / "scorecard"
ROOT = SUITE.parents[2]
NAMES = ("calling", "http_client", "faults", "score", "scene", "servers", "grpc_client", "rows", "adapters")


@pytest.fixture
def suite(monkeypatch):
    """The suite's modules, which run as scripts and so are no package."""
    monkeypatch.syspath_prepend(str(SUITE))
    yield SimpleNamespace(
        **{name: importlib.import_module(name) for name in ("calling", "http_client", "faults", "score", "scene")}
    )
    for name in list(sys.modules):
        if name.partition(".")[0] in NAMES:
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_bridge_passes_the_quick_card(tmp_path):
    out = tmp_path / "scorecard.json"
    command = [sys.executable, str(SUITE / "run.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=140, check=False)
    assert out.exists(), done.stdout + done.stderr
    records = json.loads(out.read_text())["servers"]["bridge"]["faults"]
    assert {tuple(record) for record in records.values()} == {("expected", "seen", "pass", "seconds")}
    assert {name: record["seen"] for name, record in records.items() if record["pass"] is not True} == {}
    assert len(records) >= 24
    assert done.returncode == 0


def test_the_published_tables_are_the_published_measurement(suite):
    card = suite.score.read(ROOT / "docs/reference/scorecard.json")
    assert suite.score.between((ROOT / "README.md").read_text()) == suite.score.table(card)
    assert suite.score.between((ROOT / "docs/reference/scorecard.md").read_text()) == suite.score.details(card)
    names = [fault.name for fault in suite.faults.FAULTS]
    assert {name: list(server["faults"]) for name, server in card["servers"].items()} == dict.fromkeys(
        card["servers"], names
    )
    assert len(card["servers"]) >= 3


def test_a_failed_fault_shows_in_the_table(suite):
    fault, other = suite.faults.FAULTS[:2]
    result = suite.score.Result
    results = {
        "one": {
            fault.name: result(expected=fault.expected, seen="as expected", passed=True, seconds=0.1),
            other.name: result(expected=other.expected, seen="a | b", passed=False, seconds=0.1234),
        }
    }
    card = suite.score.make_card({"one": "Server 1"}, results, "a machine")
    assert card["servers"]["one"]["faults"][other.name] == {
        "expected": other.expected,
        "seen": "a | b",
        "pass": False,
        "seconds": 0.12,
    }
    assert suite.score.table(card).splitlines()[2:] == [
        f"| {fault.injected} | yes |",
        f"| {other.injected} | **no** |",
        "| **passed** | **1 of 2** |",
    ]
    assert "a \\| b" in suite.score.details(card)
    page = suite.score.put_between(f"before\n{suite.score.BEGIN}\nold\n{suite.score.END}\nafter", "new")
    assert suite.score.between(page) == "new"
    assert page.startswith("before\n")
    assert page.endswith("\nafter")


async def http_server(answer, then_close=True):
    """A server that sends `answer` whatever it is asked; returns it and its port."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if then_close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"


async def test_a_stream_over_http_that_breaks_off_is_no_end(suite):
    server, port = await http_server(CHUNKED)
    async with server:
        client = suite.http_client.HttpClient(port, "/health")
        items = client.stream("stream", {}, 5.0)
        assert await anext(items) == 3
        with pytest.raises(suite.calling.CallFailed) as caught:
            await anext(items)
        assert caught.value.kind == "error"


async def test_a_stream_over_http_that_says_so_is_at_its_end(suite):
    server, port = await http_server(CHUNKED + b"0\r\n\r\n")
    async with server:
        client = suite.http_client.HttpClient(port, "/health")
        assert [size async for size in client.stream("stream", {}, 5.0)] == [3]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nfull", "refused"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nbad", "error"),
        (b"", "error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{", "error"),
    ],
)
async def test_failed_calls_over_http_are_told_apart(suite, answer, kind):
    server, port = await http_server(answer)
    async with server:
        client = suite.http_client.HttpClient(port, "/health")
        assert not await client.healthy() or answer.startswith(b"HTTP/1.1 200")
        with pytest.raises(suite.calling.CallFailed) as caught:
            await client.call("echo", {"text": "x"}, 5.0)
        assert caught.value.kind == kind


async def test_a_call_over_http_ends_at_its_deadline(suite):
    server, port = await http_server(b"", then_close=False)
    async with server:
        client = suite.http_client.HttpClient(port, "/health")
        with pytest.raises(suite.calling.CallFailed) as caught:
            await client.call("echo", {"text": "x"}, 0.05)
        assert caught.value.kind == "deadline"


async def test_work_that_goes_on_is_no_stop(suite, tmp_path):
    scene = suite.scene.Scene(None, tmp_path)
    mark = scene.mark()
    mark.path.write_text("start 1\n")

    async def work():
        while True:
            with mark.path.open("a") as file:
                file.write(".")
            await asyncio.sleep(0.02)

    working = asyncio.ensure_future(work())
    try:
        with pytest.raises(suite.scene.Unmet, match="went on"):
            await scene.stops(mark, 0.5, asyncio.get_running_loop().time())
    finally:
        working.cancel()
    assert await scene.stops(mark, 0.5, asyncio.get_running_loop().time()) < 0.5
