"""A cgroup for each worker, where the environment lets us have one.

The kernel then stops what grows faster than the memory watch looks, counts memory and processes that have left the
worker's process group, bounds the number of processes, and tells whether it killed a worker for lack of memory. Groups
are made inside of the group that the front itself runs in, so that every limit around the front holds for them too.
Their names carry the front's pid and its start time; empty ones of fronts that have ended are removed at the start.
Owns the directories that it made; must not know what a worker is beyond its name and pid.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pool.cgroup_support import FRONT, MEMORY, PIDS, CgroupSupport, words

_PREFIX = "bridge-"
HEADROOM_BYTES = 64 << 20
_NEAR_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    """The kernel killed in a worker's group for lack of memory."""

    peak_bytes: int
    """The most that was charged to the group, shared pages and caches of files included."""
    own_limit: bool
    """Whether the group's own limit was reached; else it was the machine's, or that of a group around it."""


def kernel_limit(hard_bytes: int) -> int:
    """Return the limit for the kernel to enforce: above the hard limit, so that the watch comes first if it can."""
    return hard_bytes + max(HEADROOM_BYTES, hard_bytes // 8)


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty where it does not live."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Cgroups:
    """The groups of one pool's workers. Every method is safe to call where there is no support: it does nothing."""

    def __init__(self, support: CgroupSupport) -> None:
        self.support = support
        pid = os.getpid()
        self._name = f"{_PREFIX}{pid}-{_started(pid)}-{secrets.token_hex(3)}-"  # two pools may share a front
        self._groups: dict[int, list[Path]] = {}
        self._events: dict[int, int] = {}
        self._full: set[int] = set()
        self._left: deque[Path] = deque()
        if support.path is not None:
            try:
                self._prepare(support.path)
            except OSError as error:
                self.support = CgroupSupport(kind="none", path=None, why=f"cgroup {support.kind}: {error}")

    def _prepare(self, place: Path) -> None:
        """Remove what ended fronts have left; in v2, have the controllers in force inside of `place`."""
        for parent in {place, self.support.pids or place}:
            for group in parent.glob(f"{_PREFIX}*"):
                owner, _, started = group.name.removeprefix(FRONT).removeprefix(_PREFIX).partition("-")
                if owner.isdigit() and _started(int(owner)) != started.partition("-")[0]:
                    with contextlib.suppress(OSError):
                        group.rmdir()  # refused where a process is in it
        if self.support.kind == "v2":
            self._enable(place)

    def _enable(self, place: Path) -> None:
        """Enable the controllers. A group with limits inside may hold no process itself: the front moves down."""
        wanted = [name for name in (MEMORY, PIDS) if name in words(place / "cgroup.controllers")]
        missing = [f"+{name}" for name in wanted if name not in words(place / "cgroup.subtree_control")]
        if not missing:
            return
        if str(os.getpid()) in words(place / "cgroup.procs"):
            front = place / f"{FRONT}{os.getpid()}-{_started(os.getpid())}"
            front.mkdir(exist_ok=True)
            _write(front / "cgroup.procs", str(os.getpid()))
        _write(place / "cgroup.subtree_control", " ".join(missing))

    @property
    def places(self) -> list[str]:
        """How the paths of all groups begin that are made here."""
        parents = sorted({str(place) for place in (self.support.path, self.support.pids) if place is not None})
        return [f"{parent}/{self._name}" for parent in parents]

    def attach(self, worker: str, pid: int, *, memory_bytes: int | None, tasks: int | None) -> str:
        """Put a process that has just started into a group of its own; return why it could not be, or "".

        `memory_bytes` is the hard limit: the kernel's lies a little above it. `tasks` bounds its processes and threads.
        The first time after a while this takes some milliseconds, in which the kernel waits for all CPUs.
        """
        if self.support.path is None:
            return ""
        made: list[Path] = []
        try:
            self._make(self.support.path / f"{self._name}{worker}", memory_bytes, tasks, made)
            if self.support.kind == "v1" and self.support.pids is not None and tasks is not None:
                group = self.support.pids / f"{self._name}{worker}"
                group.mkdir()
                made.append(group)
                _write(group / "pids.max", str(tasks))
            for group in made:
                _write(group / "cgroup.procs", str(pid))
            if self.support.kind == "v1" and memory_bytes is not None:
                self._events[pid] = _notify(made[0])
        except OSError as error:
            self._left += made
            return f"no cgroup for it: {error}"
        self._groups[pid] = made
        return ""

    def _make(self, group: Path, memory_bytes: int | None, tasks: int | None, made: list[Path]) -> None:
        group.mkdir()
        made.append(group)
        second = self.support.kind == "v2"
        if memory_bytes is not None:
            limit = str(kernel_limit(memory_bytes))
            _write(group / ("memory.max" if second else "memory.limit_in_bytes"), limit)
            if second:
                _write(group / "memory.oom.group", "1")
            swap = group / ("memory.swap.max" if second else "memory.memsw.limit_in_bytes")
            if swap.exists():
                _write(swap, "0" if second else limit)
        if second and tasks is not None and (group / "pids.max").exists():
            _write(group / "pids.max", str(tasks))

    def event(self, pid: int) -> int | None:
        """Return a descriptor that becomes readable when memory may have run out in a worker's group; ours to close.

        There is one in v1 only, where the kernel kills a single process of the group: in v2 it kills them all.
        """
        return self._events.get(pid)

    def is_full(self, pid: int) -> bool:
        """Return whether a worker's group is at its limit, which is remembered, and clear its event.

        The event comes when a group around it is at its limit, too.
        """
        groups, event = self._groups.get(pid), self._events.get(pid)
        if groups is None or event is None:
            return False
        os.eventfd_read(event)
        if _near(_number(groups[0] / "memory.usage_in_bytes"), groups[0]):
            self._full.add(pid)
        return pid in self._full

    def members(self, pid: int) -> list[int] | None:
        """Return all processes of a worker's group, whatever became of their parents; None where it has no group."""
        groups = self._groups.get(pid)
        if groups is None:
            return None
        return [int(member) for member in words(groups[0] / "cgroup.procs")]

    def ended(self, pid: int) -> OutOfMemory | None:
        """A worker has been reaped: kill what is left in its group, remove it, and tell if memory ran out in it."""
        groups = self._groups.pop(pid, None)
        if (event := self._events.pop(pid, None)) is not None:
            os.close(event)
        if groups is None:
            return None
        verdict = _out_of_memory(groups[0], second=self.support.kind == "v2", full=pid in self._full)
        self._full.discard(pid)
        for group in groups:
            _kill_all(group)
        self._left += groups
        self._sweep()
        return verdict

    def _sweep(self) -> None:
        """Remove the groups of workers that have ended; one whose last process is just dying is tried again later."""
        for _ in range(len(self._left)):
            group = self._left.popleft()
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                self._left.append(group)

    def close(self) -> bool:
        """Remove what is left; return whether nothing is. Call it again a moment later where it is not."""
        for pid in tuple(self._groups):
            self.ended(pid)
        for group in tuple(self._left):
            _kill_all(group)
        self._sweep()
        return not self._left


def _out_of_memory(group: Path, *, second: bool, full: bool) -> OutOfMemory | None:
    events = _figures(group / ("memory.events" if second else "memory.oom_control"))
    if not full and not events.get("oom_kill"):
        return None
    if second:
        own = _figures(group / "memory.events.local") or events
        return OutOfMemory(
            peak_bytes=_number(group / "memory.peak") or _number(group / "memory.max"), own_limit=own.get("oom", 0) > 0
        )
    peak = _number(group / "memory.max_usage_in_bytes")  # its count of failures stays 0 in some kernels
    return OutOfMemory(peak_bytes=peak, own_limit=_near(peak, group))


def _near(used: int, group: Path) -> bool:
    return used + _NEAR_BYTES >= _number(group / "memory.limit_in_bytes")


def _notify(group: Path) -> int:
    """Return an eventfd that the kernel signals when memory runs out in a group of v1, or in one around it."""
    event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        with (group / "memory.oom_control").open() as control:
            _write(group / "cgroup.event_control", f"{event} {control.fileno()}")
    except OSError:
        os.close(event)
        raise
    return event


def _kill_all(group: Path) -> None:
    """Kill every process of a group: in one stroke in v2, else each, its membership checked while its pid is held."""
    if (group / "cgroup.kill").exists():
        with contextlib.suppress(OSError):
            _write(group / "cgroup.kill", "1")
        return
    for pid in words(group / "cgroup.procs"):
        try:
            descriptor = os.pidfd_open(int(pid))
        except OSError:
            continue
        try:
            if pid in words(group / "cgroup.procs"):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _figures(file: Path) -> Mapping[str, int]:
    found = words(file)
    return {name: int(value) for name, value in zip(found[::2], found[1::2], strict=False) if value.isdigit()}


def _number(file: Path) -> int:
    found = words(file)
    return int(found[0]) if found and found[0].isdigit() else 0


def _write(file: Path, text: str) -> None:
    with open(file, "w") as target:  # noqa: PTH123 - one write call: cgroup files take a value whole
        target.write(text)
