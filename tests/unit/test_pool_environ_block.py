"""A process that changes what others read of its environment and command line, and what its forks have of it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from pool.environ_block import MARK, ROOM, TEMPLATE, placeholders

ROOT = Path(__file__).resolve().parents[2]
CODE = r"""
import os, sys
from pool.environ_block import write_identity
write_identity(sys.argv[1], "b" * 16)
if os.fork() == 0:
    os.write(1, b"%d\n" % os.getpid())
else:
    os.write(1, os.environb[b"BRIDGE_WORKER_MARK"] + b"\n")
sys.stdin.read()
"""


def told(worker, **changes):
    """What a process that has become `worker`, and its fork, show to others."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes, **placeholders("rig-template", "a" * 16)}
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, worker],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        lines = sorted((process.stdout.readline().strip() for _ in range(2)), key=str.isdigit)
        found = [psutil.Process(pid).environ() for pid in (process.pid, int(lines[1]))]
        block = Path(f"/proc/{process.pid}/environ").read_bytes()
        process.stdin.close()
    assert lines[0] == "b" * 16
    return found, block


def test_a_worker_shows_its_id_and_its_mark_and_so_does_its_fork():
    found, block = told("general-12")
    for environ in found:
        assert (environ[MARK], environ["BRIDGE_WORKER_ID"]) == ("b" * 16, "general-12")
        assert TEMPLATE not in environ
        assert environ["PATH"] == os.environ["PATH"], "the rest stays"
    assert b"a" * 16 not in block


def test_an_id_that_does_not_fit_is_left_out_and_the_mark_is_not():
    (environ, _), _ = told("x" * (ROOM + 1))
    assert environ[MARK] == "b" * 16
    assert "BRIDGE_WORKER_ID" not in environ


def test_a_variable_that_only_ends_alike_is_no_mark():
    (environ, _), _ = told("w", **{f"MY_{MARK}": "c" * 16})
    assert environ[f"MY_{MARK}"] == "c" * 16
    assert environ[MARK] == "b" * 16


def test_the_mark_is_the_last_but_the_name_so_that_zeros_end_the_block():
    assert list(placeholders("a", "b"))[-2:] == [MARK, TEMPLATE]
