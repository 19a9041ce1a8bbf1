"""Whether this environment lets the bridge give each worker a cgroup: found out by looking, nothing is changed.

Groups are made inside of the group that the front itself runs in, so that every limit around the front holds for them.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MEMORY = "memory"
PIDS = "pids"
FRONT = "bridge-front-"
"""Begins the name of the group that a front moves itself into, in v2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupSupport:
    """What this environment offers. `why` says it in words, for people."""

    kind: Literal["v2", "v1", "none"]
    path: Path | None
    """Where memory groups are made; None where none are."""
    why: str
    pids: Path | None = None
    """Where groups that bound the number of processes are made: the same place in v2."""


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
    if own.name.startswith(FRONT):
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
    if MEMORY not in words(place / "cgroup.controllers"):
        return f"{place} has no memory controller; delegate it, such as with Delegate=yes of systemd"
    if not _writable(place):
        return f"{place} may not be written by this user; delegate it, such as with Delegate=yes of systemd"
    if MEMORY in words(place / "cgroup.subtree_control"):
        return None
    others = [pid for pid in words(place / "cgroup.procs") if pid != str(os.getpid())]
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


def words(file: Path) -> list[str]:
    """Return the words of a small file; none where it can not be read."""
    try:
        return file.read_text("ascii").split()
    except OSError:
        return []
