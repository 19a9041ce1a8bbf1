"""Checks of the machine for `bridge doctor`. They read and change nothing, but for a probe of the port."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.failures import Failure
from bridge.cli.findings import Finding
from bridge.cli.output import size
from bridge.cli.ports import check_free

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OLDEST_PYTHON = (3, 11)
LOW_OPEN_FILES = 1024
LOW_SHARED_BYTES = 256 << 20
LOW_MEMORY_BYTES = 1 << 30

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM")


def check_platform() -> Finding:
    """Check Python's version and the operating system."""
    detail = f"Python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("problem", "platform", detail, "use Python 3.11 or newer")
    if sys.platform != "linux":
        return Finding(
            "problem", "platform", f"{detail}; worker processes are supervised with Linux calls", "use Linux"
        )
    return Finding("ok", "platform", detail)


def check_limits() -> Iterator[Finding]:
    """Check the limits on open files and processes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LOW_OPEN_FILES:
        yield Finding(
            "note", "open files", f"at most {soft} (hard limit {hard})", f"ulimit -n {LOW_OPEN_FILES} or more"
        )
    else:
        yield Finding("ok", "open files", f"at most {'unlimited' if soft == resource.RLIM_INFINITY else soft}")


def check_memory() -> Iterator[Finding]:
    """Check free memory and shared memory."""
    import psutil

    available = psutil.virtual_memory().available
    fix = "give it more memory, or serve fewer workers" if available < LOW_MEMORY_BYTES else ""
    yield Finding("note" if fix else "ok", "memory", f"{size(available)} available, {os.cpu_count()} processors", fix)
    yield _shared_memory(Path("/dev/shm"))  # noqa: S108 (looked at, not written to)


def _shared_memory(path: Path) -> Finding:
    if not os.access(path, os.W_OK):
        return Finding(
            "note", "shared memory", f"{path} can not be written to", "mount a tmpfs there, if torch needs it"
        )
    info = os.statvfs(path)
    free = info.f_bavail * info.f_frsize
    if free < LOW_SHARED_BYTES:
        return Finding("note", "shared memory", f"{size(free)} free in {path}", "docker run --shm-size=1g")
    return Finding("ok", "shared memory", f"{size(free)} free in {path}")


def check_threads(environ: Mapping[str, str]) -> Finding:
    """Say which thread settings of numeric libraries are in the environment; workers get their own from the pool."""
    given = [f"{name}={environ[name]}" for name in _THREAD_VARIABLES if name in environ]
    if given:
        fix = "set pools.NAME.threads in bridge.toml instead"
        return Finding("note", "threads", f"{', '.join(given)} in the environment", fix)
    return Finding("ok", "threads", "set by each pool (pools.NAME.threads)")


def check_port(address: str) -> Finding:
    """Check that the configured address is free, and who could reach it."""
    try:
        check_free(address)
    except Failure as failure:
        return Finding("problem", "address", failure.message, failure.lines[0] if failure.lines else "change it")
    return Finding("ok", "address", f"{address} is free")
