"""Readings of a process group's memory and members from /proc: pure functions of the kernel's files, no state.

Resident memory is cheap (12 us a process) and counts shared pages in full; proportional memory counts them by share
and costs 10 ms a GB, so it is read only where a limit seems to be broken.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - up to a hundred times a second
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def proportional_bytes(pid: int) -> int:
    """Return the proportional memory (PSS) of a process in bytes, shared pages counted by share. Slow: 10 ms a GB."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def descendants(pid: int) -> list[int]:
    """Return the pids of all living descendants whose line of parents lives too, whatever group they are in.

    Empty where the kernel has no `children` files. Cheap: one small file for each thread of each process.
    """
    found: list[int] = []
    parents = [pid]
    while parents:
        parent = parents.pop()
        children = _children(parent)
        found += children
        parents += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                children += map(int, file.read().split())
    except OSError:
        return children  # it has ended, or a thread has
    return children


def members_by_group(groups: Iterable[int]) -> dict[int, list[int]]:
    """Return the pids of each process group asked for, leaders included where they live. Reads all of /proc.

    Empty where no more files can be opened: who watches must not end for that.
    """
    found: dict[int, list[int]] = {group: [] for group in groups}
    try:
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return found
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                group = int(file.read().rpartition(b")")[2].split()[2])
        except (OSError, IndexError, ValueError):
            continue
        if group in found:
            found[group].append(int(name))
    return found
