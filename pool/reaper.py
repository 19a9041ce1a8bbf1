"""Lets go of what has been re-parented to the front: processes that workers have started and left behind.

A worker that is forked from a template becomes the front's child because the front is a child subreaper; so do
orphans, and somebody has to read their exit status. Never reads that of a process which the front itself has started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator

_PR_SET_CHILD_SUBREAPER = 36
_STATE, _PARENT, _GROUP, _SESSION, _POLICY = 0, 1, 2, 3, 38
"""Fields of /proc/PID/stat after the name."""
_STAT_FIELDS = 39


def become_subreaper() -> None:
    """Make orphans among the descendants of this process its children. Raises OSError where the kernel can not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process can not be made a child subreaper (prctl 36)")


def resign_as_subreaper() -> None:
    """Leave orphans to whoever had them before: nobody reaps them here any more."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Reaper:
    """Reaps every dead child of this process that comes from a worker and is not `is_known`.

    Workers and what they start are scheduled as SCHED_BATCH, which is inherited and outlives their end in /proc. What
    the front starts otherwise, for instance by a native function, has the front's policy and is left to its starter.
    """

    def __init__(self, is_known: Callable[[int], bool]) -> None:
        self._is_known = is_known
        self._seen: set[int] = set()

    def reap(self) -> int:
        """Reap once; return how many. What could be the worker of another pool is reaped at the second sight only."""
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return 0
        if dead is None or os.sched_getscheduler(0) == os.SCHED_BATCH:
            return 0  # none is dead, the usual case; or nothing tells orphans from other children
        found = {pid: certain for pid, certain, dead in _children() if dead and not self._is_known(pid)}
        reaped = [pid for pid, certain in found.items() if certain or pid in self._seen]
        self._seen = set(found).difference(reaped)
        for pid in reaped:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return len(reaped)

    def has_orphans(self) -> bool:
        """Return whether there are children, living or dead, that are no workers but come from one."""
        return os.sched_getscheduler(0) != os.SCHED_BATCH and any(
            certain and not self._is_known(pid) for pid, certain, _ in _children()
        )


def _children() -> Iterator[tuple[int, bool, bool]]:
    """Return the children of this process that are scheduled as workers are; whether each can be no worker, is dead.

    A worker leads a process group, and no session.
    """
    own = str(os.getpid()).encode()
    batch = str(os.SCHED_BATCH).encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", "rb") as file:  # noqa: PTH123 - of every process
                fields = file.read().rpartition(b")")[2].split(None, _STAT_FIELDS)
        except OSError:
            continue
        if (fields[_PARENT], fields[_POLICY]) == (own, batch):
            pid = entry.name.encode()
            yield int(pid), fields[_GROUP] != pid or fields[_SESSION] == pid, fields[_STATE] == b"Z"
