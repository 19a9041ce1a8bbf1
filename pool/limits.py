"""What a worker's process group takes of memory, read from /proc.

Resident memory of the leader is read often; the members of the group are looked up less often, because that reads all
of /proc. Owns nothing but the last list of members.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S = 0.1
MEMBERS_S = 1.0


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - ten times a second for each process
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


def members_by_group(groups: Iterable[int]) -> dict[int, list[int]]:
    """Return the pids of each process group asked for, leaders included where they live."""
    found: dict[int, list[int]] = {group: [] for group in groups}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", "rb") as file:  # noqa: PTH123
                group = int(file.read().rpartition(b")")[2].split()[2])
        except (OSError, IndexError, ValueError):
            continue
        if group in found:
            found[group].append(int(entry.name))
    return found


class GroupMemory:
    """The memory of several process groups, sampled."""

    def __init__(self) -> None:
        self._members: dict[int, list[int]] = {}

    def refresh(self, groups: Iterable[int]) -> None:
        """Look up who belongs to each group."""
        self._members = members_by_group(groups)

    def resident(self, group: int) -> int:
        """Return the resident bytes of a group: its leader, and the members found at the last refresh."""
        members = self._members.get(group, [])
        return resident_bytes(group) + sum(resident_bytes(pid) for pid in members if pid != group)

    def proportional(self, group: int) -> int:
        """Return the proportional bytes of a group; the sum a limit is held against before a kill."""
        members = self._members.get(group, [])
        return proportional_bytes(group) + sum(proportional_bytes(pid) for pid in members if pid != group)
