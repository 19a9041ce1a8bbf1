"""How a worker process comes to be: plain spawn of `python -P -m pool.child` with a socket and nothing else inherited.

Must be called from the main thread: the parent-death signal follows the thread that spawned. The kinds of spawning
stand behind `Spawner`, so that another one changes nothing else.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from pool.guard import Guard
from pool.orphans import MARK
from pool.tokens import Tokens, shared_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A started process as the front holds it: all file descriptors, and `tokens`, are the front's to close."""

    process: subprocess.Popen[bytes]
    pidfd: int
    sock: socket.socket
    control: int
    """Write end of the pipe that names calls to cancel, 8 bytes each."""
    tokens: Tokens
    """One for each call that is lined up in the worker's socket."""
    stdout: int
    stderr: int
    mark: str
    """A value in the environment of the worker and of all that it starts."""

    @property
    def pid(self) -> int:
        """The process id, which is also its process group."""
        return self.process.pid


class Spawner(Protocol):
    """A way to start workers."""

    def spawn(self, worker: str, *, concurrent: bool, env: Mapping[str, str], nice: int) -> Child:
        """Start a worker process and return it at once, before it has imported anything. Raises OSError."""
        ...

    def ended(self, child: Child) -> None:
        """Take note that a worker's process has ended, and end what it has left behind."""
        ...

    async def close(self) -> None:
        """Give back what spawning holds; no worker lives any more."""
        ...


class PlainSpawner:
    """Starts a fresh interpreter for each worker."""

    def __init__(self) -> None:
        self._guard = Guard()

    def spawn(self, worker: str, *, concurrent: bool, env: Mapping[str, str], nice: int) -> Child:
        """Start `python -P -m pool.child`. Raises RuntimeError off the main thread, OSError where it can not start."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "workers must be started from the main thread: they die with the thread that started them"
            )
        with ExitStack() as ours, ExitStack() as theirs:
            sock, child_sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.callback(sock.close)
            theirs.callback(child_sock.close)
            control_read, control_write = os.pipe()
            ours.callback(os.close, control_write)
            theirs.callback(os.close, control_read)
            os.set_blocking(control_read, False)
            os.set_blocking(control_write, False)
            memory = shared_memory()
            theirs.callback(os.close, memory)
            tokens = Tokens(memory, new=True)
            ours.callback(tokens.close)
            inherited = (child_sock.fileno(), control_read, memory)
            mark = secrets.token_hex(8)
            process = self._start(worker, inherited, {**env, MARK: mark}, concurrent=concurrent, nice=nice)
            ours.pop_all()
        self._guard.watch(process.pid, mark)
        stdout, stderr = _take(process.stdout), _take(process.stderr)
        return Child(
            process=process,
            pidfd=os.pidfd_open(process.pid),
            sock=sock,
            control=control_write,
            tokens=tokens,
            stdout=stdout,
            stderr=stderr,
            mark=mark,
        )

    def _start(
        self, worker: str, inherited: tuple[int, int, int], env: Mapping[str, str], *, concurrent: bool, nice: int
    ) -> subprocess.Popen[bytes]:
        mode = "concurrent" if concurrent else "blocking"
        arguments = [*map(str, inherited), str(os.getpid()), mode, str(nice)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "pool.child", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=inherited,
            process_group=0,
            env={**os.environ, **env, "BRIDGE_WORKER_ID": worker, "PYTHONUNBUFFERED": "1"},
        )

    def ended(self, child: Child) -> None:
        """Let the guard sweep."""
        self._guard.ended(child.mark)

    async def close(self) -> None:
        """End the guard."""
        await self._guard.close()


def _take(pipe: object) -> int:
    """Take a pipe's descriptor out of its file object, non-blocking."""
    assert hasattr(pipe, "fileno")
    assert hasattr(pipe, "close")
    descriptor = os.dup(pipe.fileno())
    pipe.close()
    os.set_blocking(descriptor, False)
    return descriptor
