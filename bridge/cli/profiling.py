"""`bridge profile`: a flame graph of a running worker or of the front, by py-spy, which looks from outside.

Owns nothing. The server must run on this machine; what is looked at goes on meanwhile, a little slower.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from bridge.cli.output import Output

FRONT = "front"
RATE = 200
"""Looks in a second."""
_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')
_INSTALL = "install it: pip install py-spy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """What was typed."""

    worker: str
    address: str
    seconds: float
    out: Path | None
    speedscope: bool
    native: bool
    gil: bool


def run(options: ProfileOptions, output: Output) -> int:
    """Look at the process and write the file. Raises Failure."""
    program = _program()
    pid = _pid(options.worker, options.address)
    out = options.out or Path(f"{options.worker}.{'json' if options.speedscope else 'svg'}")
    command = [program, "record", "--pid", str(pid), "--duration", f"{max(1, round(options.seconds))}"]
    command += ["--rate", str(RATE), "--output", str(out), "--format"]
    command += ["speedscope" if options.speedscope else "flamegraph", *(["--native"] if options.native else [])]
    command += ["--gil"] if options.gil else []
    with output.waiting(f"looking at {options.worker} (process {pid}) for {options.seconds:g} s"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.exists():
        raise _failure(done.stderr or done.stdout, pid)
    if not options.speedscope:
        _name(out, f"{options.worker}, {options.seconds:g} s" + (", with the GIL held" if options.gil else ""))
    if output.machine:
        output.json({"worker": options.worker, "pid": pid, "seconds": options.seconds, "file": str(out)})
    else:
        output.line(f"written: {out}" + (" (open it at speedscope.app)" if options.speedscope else ""))
    return ExitCode.OK


def _program() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise Failure(ExitCode.FAILED, "this needs py-spy, which is not installed", lines=(_INSTALL,))
    return found


def _pid(worker: str, address: str) -> int:
    with Connection(address) as connection:
        pools = connection.ask("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
    pids = {one.id: one.pid for pool in pools.pools for one in pool.workers if one.pid}
    fronts = {one.id: one.pid for one in pools.fronts}
    if worker == FRONT:
        return _parent(next(iter(pids.values()), 0))
    if worker in fronts:
        _parent(fronts[worker])
        return fronts[worker]
    if worker not in pids:
        known = ", ".join([FRONT, *fronts, *pids])
        raise Failure(ExitCode.USAGE, f"there is no worker {worker!r}; there is {known}", fields={"workers": [*pids]})
    _parent(pids[worker])
    return pids[worker]


def _parent(pid: int) -> int:
    """Return the parent of a worker or front: the server. Raises Failure where those are not of this machine."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        arguments, status = b"", ""
    found = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
    if found is None or not any(name in arguments for name in (b"pool.", b"bridge.fronts.")):
        raise Failure(
            ExitCode.FAILED,
            "the server's workers are not processes of this machine, or it has none",
            lines=("run this where the server runs, inside its container too",),
        )
    return int(found[1])


def _name(graph: Path, title: str) -> None:
    """Put a title over a flame graph in place of py-spy's command line, which is of no use to who reads it."""
    text = graph.read_text(encoding="utf-8")
    graph.write_text(_TITLE.sub(lambda found: f"{found[1]}{escape(title)}{found[2]}", text, count=1), encoding="utf-8")


def _failure(said: str, pid: int) -> Failure:
    if "No stack counts found" in said:
        return Failure(ExitCode.FAILED, f"process {pid} did nothing meanwhile; put load on it, with `bridge bench` say")
    lines = tuple(line for line in said.splitlines() if line.strip())[-5:]
    if "ermission" in said or "not permitted" in said:
        lines += ("run this as root, or start the container with --cap-add SYS_PTRACE",)
        return Failure(ExitCode.FAILED, f"this user may not trace process {pid}, which py-spy does", lines=lines)
    return Failure(ExitCode.FAILED, f"py-spy could not look at process {pid}", lines=lines)
