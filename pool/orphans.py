"""Ends what workers leave behind: their process groups, and whatever has left its group but carries a worker's mark.

Run as a script, `python -I -S orphans.py`, it is the guard of a front and reads what `pool.guard` writes: `+` for a
worker that was started, `-` for one that has ended, each with its process group and its mark, `/` for where the front
makes cgroups. Where the input ends, the front has gone, and everything of the workers still listed, and in such
cgroups, is killed. Standard library only; owns no other state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

MARK = "BRIDGE_WORKER_MARK"
"""The environment variable with a worker's mark. A process that was started with an empty environment hides from it."""
PASSES = 50
PAUSE_S = 0.005
CLEAR_S = 10.0
"""How long is waited for processes that were killed to be gone from their cgroup: a busy machine takes its time."""


def sweep(marks: Iterable[str]) -> None:
    """Kill every process that carries one of the marks, and those that such a process starts meanwhile."""
    wanted = [f"{MARK}={mark}\0".encode() for mark in marks]
    for _ in range(PASSES):
        pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
        killed = [pid for pid in pids if _kill_marked(pid, wanted)]
        if not killed:
            return
        time.sleep(PAUSE_S)


def _kill_marked(pid: int, wanted: list[bytes]) -> bool:
    """Kill a process if it is marked. Its pidfd is opened before the look, so that no reused pid is hit."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - no pathlib: this starts in 10 ms
            environ = file.read() + b"\0"
        if not any(mark in environ for mark in wanted):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def clear(place: str) -> None:
    """Kill whatever is in the cgroups whose path begins with `place`, and remove them."""
    parent, _, prefix = place.rpartition("/")
    deadline = time.monotonic() + CLEAR_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            groups = [entry.path for entry in os.scandir(parent) if entry.name.startswith(prefix)]
            for group in groups:
                _clear_one(group)
            if not groups:
                return
        time.sleep(PAUSE_S)


def _clear_one(group: str) -> None:
    try:
        os.rmdir(group)  # noqa: PTH106 - refused while a process is in it
    except OSError:
        with open(f"{group}/cgroup.procs", "rb") as file:  # noqa: PTH123
            for pid in file.read().split():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)


def guard(lines: Iterable[str]) -> None:
    """Follow the list of workers and sweep after each that ends; at the end of the list end them all."""
    groups: dict[str, int] = {}
    places: list[str] = []
    for line in lines:
        sign, group, mark = line.rstrip("\n").split(" ", 2)
        if sign == "/":
            places.append(mark)
        elif sign == "+":
            groups[mark] = int(group)
        else:
            groups.pop(mark, None)
            sweep([mark])
    for leader in groups.values():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    sweep(groups)
    for place in places:
        clear(place)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends after the front, never before
    guard(sys.stdin)
