"""Why a process must not be forked: what its imports have left that a fork would lose, break or share.

Looks at this process; changes nothing. Imported by the template: standard library only.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

_HARMLESS_DEVICES = frozenset(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_MODULES = {
    "grpc": "grpc is loaded, and a fork of a process with grpc may hang",
    "ray": "ray is loaded, and its connection does not survive a fork",
}
_NAMES_TOLD = 5


def open_descriptors() -> dict[int, str]:
    """Return what each open descriptor of this process refers to, as /proc names it."""
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - before each fork
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue  # the descriptor of this very listing
    return found


def dangers(before: Mapping[int, str], but: Collection[int] = ()) -> list[str]:
    """Return why this process must not be forked, in plain words; empty where it may.

    `before` is what `open_descriptors` returned before any code of the user was loaded; descriptors that came since
    and are no matter of the user's are `but` them.
    """
    return [*_threads(), *_modules(), *_children(), *_descriptors(before, but)]


def _threads() -> Iterator[str]:
    """Threads end at a fork, and what they had locked stays locked: a pool of OpenMP or BLAS is such threads."""
    tasks = [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]  # noqa: PTH208
    if not tasks:
        return
    python = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    names = [python.get(task) or _comm(task) for task in tasks]
    told = ", ".join(sorted(set(names))[:_NAMES_TOLD])
    what = "thread runs" if len(tasks) == 1 else "threads run"
    yield f"{len(tasks)} {what} that importing it has started ({told})"


def _comm(task: str) -> str:
    try:
        return "native thread " + Path(f"/proc/self/task/{task}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a native thread"


def _modules() -> Iterator[str]:
    for name, why in _MODULES.items():
        if name in sys.modules:
            yield why
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        yield "CUDA is in use, which a fork can not take over; touch the GPU in a warm-up or at the first call"


def _children() -> Iterator[str]:
    """A process that was started is the template's child and would be nobody's in a worker."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    yield "importing it has started a process"


def _descriptors(before: Mapping[int, str], but: Collection[int]) -> Iterator[str]:
    """A descriptor that all workers share: they would read each other's answers and write over each other."""
    told = set()
    for descriptor, target in open_descriptors().items():
        if descriptor in but or before.get(descriptor) == target or target in _HARMLESS_DEVICES:
            continue
        what = _describe(descriptor, target)
        if what is not None and what not in told:
            told.add(what)
            yield what


def _describe(descriptor: int, target: str) -> str | None:
    if target.startswith("socket:"):
        return "importing it has opened a socket (a connection or an event loop)"
    if target.startswith("pipe:"):
        return "importing it has opened a pipe"
    if target.startswith("anon_inode:"):
        return f"importing it has opened an {target.partition(':')[2].strip('[]')}"
    try:
        mode = os.fstat(descriptor).st_mode
        writes = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return None
    if stat.S_ISREG(mode) and not writes and _is_mapped(target):
        return None  # only read through memory, which may be shared
    return f"importing it has opened {target} and left it open"


def _is_mapped(path: str) -> bool:
    return path in Path("/proc/self/maps").read_text("utf-8", "replace")
