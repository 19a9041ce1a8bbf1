"""The flame graphs: what waits is left out, libraries are one frame, shares add up, and the picture is sound."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from xml.dom import minidom

import pytest

ROOT = Path(__file__).resolve().parents[2]
CYGRPC = "(grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so)"
START = "0x7f (libc.so.6);<module> (<string>:1);run (bridge/process.py:45);Loop__Loop__run (loop.c:19903)"
RAW = f"""\
{START};uv_run (core.c:464);uv__io_poll (linux.c:1452);epoll_pwait (libc.so.6) 500
0x7f (libc.so.6);Thread.run (threading.py:982);PyThread_acquire_lock_timed (libpython3.11.so.1.0);0x7e (libc.so.6) 90
{START};task_step (_asynciomodule.c:2990);0x7a {CYGRPC};0x7b {CYGRPC};sendmsg (libc.so.6) 50
{START};task_step (_asynciomodule.c:2990);0x7a {CYGRPC};Channel.send (pool/channel.py:60);s (socketmodule.c:42);\
send (libc.so.6) 30
{START};task_step (_asynciomodule.c:2990);0x7c {CYGRPC};Channel.send (pool/channel.py:61) 20
"""


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent))
    yield importlib.import_module("flame_graph")
    sys.modules.pop("flame_graph", None)


def test_what_waits_is_left_out_and_the_rest_adds_up(graph):
    tree = graph.fold(graph.read(RAW))
    assert tree.count == 100
    assert graph.shares(tree) == {"grpcio": 0.5, "pool": 0.5}


def test_libraries_are_one_frame_and_lines_of_a_function_are_one(graph):
    tree = graph.fold(graph.read(RAW))
    (loop,) = tree.below.values()
    (grpcio,) = loop.below.values()
    assert (loop.frame.label, grpcio.frame.label) == ("uvloop, asyncio", "grpcio")
    assert {one.frame.label: one.count for one in grpcio.below.values()} == {
        "sendmsg": 50,
        "Channel.send (pool/channel.py)": 50,
    }
    assert graph.share_of(tree, "Channel.send") == 0.5
    assert graph.share_of(tree, "grpcio") == 1.0


def test_a_thread_that_wants_to_run_does_not_wait(graph):
    stack = ("take_gil (libpython3.11.so.1.0)", "PyThread_acquire_lock_timed (libpython3.11.so.1.0)")
    assert not graph.waits(stack)


def test_the_picture_shows_each_frame_with_its_share(graph):
    text = graph.svg(graph.fold(graph.read(RAW)), "a <title>")
    minidom.parseString(text)
    assert "a &lt;title&gt;" in text
    assert "<title>Channel.send (pool/channel.py): 50.0 %</title>" in text
    assert "<script" not in text


def test_the_pictures_of_the_docs_are_there_small_and_without_paths_of_a_machine():
    page = (ROOT / "docs/performance.md").read_text()
    pictures = list((ROOT / "docs/flames").glob("*.svg"))
    assert {path.stem for path in pictures} == {"front", "front-1mib", "worker", "worker-1mib"}
    for path in pictures:
        assert f"flames/{path.name}" in page, path.name
        assert path.stat().st_size < 60_000
        assert not re.search(r"\(/\w", path.read_text()), "a frame with an absolute path"
        minidom.parse(str(path))
