"""Who a process is, told to those who look at it from outside: the mark and the worker's id in its environment.

The kernel shows the block of variables that a process was started with, and a fork has its template's. So a template
is started with room for what its workers are, and each writes itself into its own copy of the block, and of the
command line. Imported by the template: standard library only.
"""

from __future__ import annotations

import ctypes
import os
import re

MARK = "BRIDGE_WORKER_MARK"
WORKER = "BRIDGE_WORKER_ID"
TEMPLATE = "BRIDGE_TEMPLATES"
"""Has the place of `WORKER` in the block of a template, which is no worker; as long as that."""
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
"""OpenBLAS starts so many threads when it is loaded; a template must have none, so each worker starts its own."""
ROOM = 96
"""Characters of a worker's id that fit."""
_START, _END = 47, 48
_ARGUMENTS_START, _ARGUMENTS_END = 45, 46
"""Fields of /proc/self/stat after the name: where the kernel reads the variables, and the command line."""


def placeholders(template: str, mark: str) -> dict[str, str]:
    """Return the last variables of a template's environment; marks have one length, names may be shorter."""
    return {"PYTHONUNBUFFERED": "1", MARK: mark, TEMPLATE: template.ljust(ROOM)}


def write_identity(worker: str, mark: str) -> None:
    """Make this process, a fork of a template or the template itself, the worker `worker` with the mark `mark`.

    What it executes gets that by `os.environ`, what it forks by the block. Where a library has written over the block,
    nothing happens to it, and processes that leave the group without executing anything are not found.
    """
    os.environ[MARK] = mark
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - at each start
        fields = [int(field) for field in file.read().rpartition(b")")[2].split()[1:]]
    _replace(fields[_START - 1], fields[_END - 1], rb"(?<![^\0])BRIDGE_WORKER_MARK=[^\0]*", f"{MARK}={mark}")
    _replace(fields[_START - 1], fields[_END - 1], rb"(?<![^\0])BRIDGE_TEMPLATES=[^\0]*", f"{WORKER}={worker}")
    _replace(
        fields[_ARGUMENTS_START - 1], fields[_ARGUMENTS_END - 1], rb"pool\.template_child\0.*", f"pool.child {worker}"
    )


def _replace(start: int, end: int, pattern: bytes, text: str) -> None:
    """Write a text over the first match in a range of this process's memory, if it fits; zeros fill what is left."""
    found = re.search(pattern, ctypes.string_at(start, end - start), re.DOTALL) if end > start else None
    if found is not None and len(text.encode()) <= len(found[0]):
        new = text.encode().ljust(len(found[0]), b"\0")
        ctypes.memmove(start + found.start(), new, len(new))
