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
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MEMORY = "memory"
PIDS = "pids"
_PREFIX = "bridge-"
_FRONT = "bridge-front-"
HEADROOM_BYTES = 64 << 20
_NEAR_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupSupport:
    """What this environment offers. `why` says it in words, for people."""

    kind: Literal["v2", "v1", "none"]
    path: Path | None
    """Where memory groups are made; None where none are."""
    why: str
    pids: Path | None = None
    """Where groups that bound the number of processes are made: the same place in v2."""


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


def switched_off() -> CgroupSupport:
    """Return what is said where the configuration asks for none."""
    return CgroupSupport(kind="none", path=None, why="switched off by server.cgroups")


def detect(proc: Path = Path("/proc")) -> CgroupSupport:
    """Return how workers can have groups of their own here. Changes nothing."""
    try:
        own = _own_groups(proc)
    except OSError as error:
        return CgroupSupport(kind="none", path=None, why=f"this kernel tells nothing of cgroups: {error}")
    second = _detect_v2(own["unified"]) if "unified" in own else None
    if second is not None and second.kind == "v2":
        return second
    if MEMORY in own:
        first = own[MEMORY]
        if _writable(first):
            pids = own.get(PIDS)
            return CgroupSupport(
                kind="v1",
                path=first,
                why=f"cgroup v1, in {first}",
                pids=pids if pids is not None and _writable(pids) else None,
            )
        return CgroupSupport(kind="none", path=None, why=f"cgroup v1: {first} may not be written by this user")
    return second or CgroupSupport(
        kind="none", path=None, why="no cgroup file system with a memory controller is there"
    )


def _own_groups(proc: Path) -> dict[str, Path]:
    """Return the directory of this process's group by controller; that of v2 as `unified`."""
    paths: dict[str, str] = {}
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller or "unified"] = path
    found: dict[str, Path] = {}
    for line in (proc / "self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, point = (field.replace("\\040", " ") for field in before.split()[3:5])
        kind, _, options = after.split(" ", 2)
        names = {"cgroup2": ["unified"], "cgroup": options.split(",")}.get(kind, [])
        for name in names:
            path = paths.get(name, "")
            if name not in found and (path == root or path.startswith(root.rstrip("/") + "/")):
                found[name] = Path(point) / path[len(root.rstrip("/")) :].strip("/")
    return found


def _detect_v2(own: Path) -> CgroupSupport:
    places = [own]
    if own.name.startswith(_FRONT):
        places = [own.parent]  # where this front, or one before it in the same process, has moved itself
    elif _delegated(own.parent):
        places.append(own.parent)
    reasons = []
    for place in places:
        why_not = _unusable_v2(place)
        if why_not is None:
            return CgroupSupport(kind="v2", path=place, why=f"cgroup v2, in {place}", pids=place)
        reasons.append(why_not)
    return CgroupSupport(kind="none", path=None, why="cgroup v2: " + "; ".join(reasons))


def _unusable_v2(place: Path) -> str | None:
    """Return why no group with a memory limit can be made in `place`, or None."""
    if MEMORY not in _words(place / "cgroup.controllers"):
        return f"{place} has no memory controller; delegate it, such as with Delegate=yes of systemd"
    if not _writable(place):
        return f"{place} may not be written by this user; delegate it, such as with Delegate=yes of systemd"
    if MEMORY in _words(place / "cgroup.subtree_control"):
        return None
    others = [pid for pid in _words(place / "cgroup.procs") if pid != str(os.getpid())]
    if others:
        return (
            f"{place} holds {len(others)} other processes, so the kernel refuses limits inside of it; start the bridge "
            "in a group of its own, such as with systemd-run --user --scope -p Delegate=yes"
        )
    return None


def _delegated(place: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(place, name) == b"1":
                return True
    return False


def _writable(place: Path) -> bool:
    return os.access(place, os.W_OK) and os.access(place / "cgroup.procs", os.W_OK)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text("ascii").split()
    except OSError:
        return []


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
        self._name = f"{_PREFIX}{pid}-{_started(pid)}-"
        self._groups: dict[int, list[Path]] = {}
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
                owner, _, started = group.name.removeprefix(_FRONT).removeprefix(_PREFIX).partition("-")
                if owner.isdigit() and _started(int(owner)) != started.partition("-")[0]:
                    with contextlib.suppress(OSError):
                        group.rmdir()  # refused where a process is in it
        if self.support.kind == "v2":
            self._enable(place)

    def _enable(self, place: Path) -> None:
        """Enable the controllers. A group with limits inside may hold no process itself: the front moves down."""
        wanted = [name for name in (MEMORY, PIDS) if name in _words(place / "cgroup.controllers")]
        missing = [f"+{name}" for name in wanted if name not in _words(place / "cgroup.subtree_control")]
        if not missing:
            return
        if str(os.getpid()) in _words(place / "cgroup.procs"):
            front = place / f"{_FRONT}{os.getpid()}-{_started(os.getpid())}"
            front.mkdir(exist_ok=True)
            _write(front / "cgroup.procs", str(os.getpid()))
        _write(place / "cgroup.subtree_control", " ".join(missing))

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

    def members(self, pid: int) -> list[int] | None:
        """Return all processes of a worker's group, whatever became of their parents; None where it has no group."""
        groups = self._groups.get(pid)
        if groups is None:
            return None
        return [int(member) for member in _words(groups[0] / "cgroup.procs")]

    def ended(self, pid: int) -> OutOfMemory | None:
        """A worker has been reaped: kill what is left in its group, remove it, and tell if memory ran out in it."""
        groups = self._groups.pop(pid, None)
        if groups is None:
            return None
        verdict = _out_of_memory(groups[0], second=self.support.kind == "v2")
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
        while self._groups:
            self._left += self._groups.popitem()[1]
        for group in tuple(self._left):
            _kill_all(group)
        self._sweep()
        return not self._left


def _out_of_memory(group: Path, *, second: bool) -> OutOfMemory | None:
    events = _figures(group / ("memory.events" if second else "memory.oom_control"))
    if not events.get("oom_kill"):
        return None
    if second:
        own = _figures(group / "memory.events.local") or events
        return OutOfMemory(
            peak_bytes=_number(group / "memory.peak") or _number(group / "memory.max"), own_limit=own.get("oom", 0) > 0
        )
    peak = _number(group / "memory.max_usage_in_bytes")  # its count of failures stays 0 in some kernels
    return OutOfMemory(peak_bytes=peak, own_limit=peak + _NEAR_BYTES >= _number(group / "memory.limit_in_bytes"))


def _kill_all(group: Path) -> None:
    """Kill every process of a group: in one stroke in v2, else each, its membership checked while its pid is held."""
    if (group / "cgroup.kill").exists():
        with contextlib.suppress(OSError):
            _write(group / "cgroup.kill", "1")
        return
    for pid in _words(group / "cgroup.procs"):
        try:
            descriptor = os.pidfd_open(int(pid))
        except OSError:
            continue
        try:
            if pid in _words(group / "cgroup.procs"):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _figures(file: Path) -> Mapping[str, int]:
    words = _words(file)
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}


def _number(file: Path) -> int:
    words = _words(file)
    return int(words[0]) if words and words[0].isdigit() else 0


def _write(file: Path, text: str) -> None:
    with open(file, "w") as target:  # noqa: PTH123 - one write call: cgroup files take a value whole
        target.write(text)
