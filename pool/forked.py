"""Turns a fork of a template into a worker: its own streams, parent, group, environment and random numbers.

Imported by the template: standard library and the child's own modules only.
"""

from __future__ import annotations

import os
import random
import signal
import sys

from pool.environ_block import WORKER, write_identity
from pool.forking import Order
from pool.startup import harden


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


def reseed() -> None:
    """Give this process random numbers of its own: forks of one template would all draw the same."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
