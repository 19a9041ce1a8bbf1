"""Turns a fork of a template into a worker: its own streams, parent, group, environment and random numbers.

Imported by the template: standard library and the child's own modules only.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys

from pool.environ_block import BLAS_THREADS, WORKER, write_identity
from pool.forking import Order
from pool.startup import harden

_SET_BLAS_THREADS = tuple(
    f"{prefix}openblas_set_num_threads{suffix}" for prefix in ("", "scipy_") for suffix in ("", "64_")
)


def become_worker(order: Order, parent: int, stdout: int, stderr: int) -> None:
    """Take over a worker's place in the world. Ends the process where `parent`, the front, has gone meanwhile."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    os.environ.update(order.environ)
    write_identity(order.environ[WORKER], order.mark)
    signal.set_wakeup_fd(-1)
    harden(parent, order.limits)
    reseed()
    set_blas_threads()


def reseed() -> None:
    """Give this process random numbers of its own: forks of one template would all draw the same."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def set_blas_threads() -> None:
    """Give OpenBLAS the threads that the environment says: it was loaded by a template, where it has one."""
    threads = os.environ.get(BLAS_THREADS, "1")
    if threads == "1" or not threads.isdigit():
        return
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - at each start
        libraries = {line.split(None, 5)[5].strip() for line in file if "openblas" in line}
    for library in libraries:
        loaded = ctypes.CDLL(library)
        for name in _SET_BLAS_THREADS:
            if hasattr(loaded, name):
                getattr(loaded, name)(int(threads))
