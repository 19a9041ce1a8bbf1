"""How a worker process is ended: its stack first, then its whole process group.

Signals go by pidfd or to the group whose leader has not been reaped, so that no reused pid is ever hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Protocol

STACK_S = 0.2
"""How long a worker gets to write its stack before it is killed."""


class Process(Protocol):
    """A process that leads its group, and a pidfd of it."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...

    @property
    def pidfd(self) -> int:
        """A descriptor of the process."""
        ...


def kill_group(child: Process) -> None:
    """Send SIGKILL to the worker and all of its group. The caller must not have reaped the worker yet."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def send(child: Process, number: signal.Signals) -> None:
    """Send a signal to the worker alone; nothing happens where it has ended."""
    try:
        signal.pidfd_send_signal(child.pidfd, number)
    except ProcessLookupError:
        return


async def kill_with_stack(child: Process) -> None:
    """Ask for the stack of every thread on stderr, which works even where C code holds the interpreter, then kill."""
    send(child, signal.SIGUSR2)
    await asyncio.sleep(STACK_S)
    kill_group(child)
