"""Turns a fork of a template into a worker: its own streams, parent, group, environment and random numbers.

Imported by the template: standard library and the child's own modules only.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import time

from pool.forking import Order
from pool.startup import harden

MARK = "BRIDGE_WORKER_MARK"
"""As `pool.orphans` has it, which is no part of a worker."""
PARENT_S = 0.00005


def become_worker(order: Order, intermediate: int, stdout: int, stderr: int) -> None:
    """Take over a worker's place in the world. Ends the process where the front has gone meanwhile.

    `intermediate` is the process that has forked this one and ends now: the kernel makes the front the parent then.
    """
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    carry_mark(order.mark)
    os.environ.update(order.environ)
    while os.getppid() == intermediate:
        time.sleep(PARENT_S)
    signal.set_wakeup_fd(-1)
    harden(order.parent, order.limits)
    reseed()


def carry_mark(mark: str) -> None:
    """Make this process one of the worker `mark`, for those who read its environment from outside.

    The kernel shows the block that the process was started with, so the template's mark in it is written over; what
    this process forks has a copy of the block, and what it executes gets `os.environ`.
    """
    os.environ[MARK] = mark
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - at each start
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    block = ctypes.string_at(start, end - start) if end > start else b""
    at = (b"\0" + block).find(b"\0" + MARK.encode() + b"=")
    if at < 0:
        return  # a library has written over the block: only what executes a program is found
    value_at = at + len(MARK) + 1
    value = block[value_at : block.index(b"\0", value_at)]
    if len(value) == len(mark):
        ctypes.memmove(start + value_at, mark.encode(), len(mark))


def reseed() -> None:
    """Give this process random numbers of its own: forks of one template would all draw the same."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
