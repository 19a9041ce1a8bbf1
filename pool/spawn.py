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
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pool.exits import Killed
from pool.guard import Guard
from pool.options import PoolOptions
from pool.orphans import MARK
from pool.tokens import Tokens
from pool.wires import Wires

Kind = Literal["spawn", "template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What one worker is started with. All of it holds before any code of the user runs."""

    worker: str
    """The worker's id."""
    place: int
    """The place of the pool that it fills."""
    concurrent: bool = False
    """Whether it takes many calls at a time."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Set on top of the front's environment."""
    nice: int = 0
    cpus: tuple[int, ...] = ()
    """The CPUs that it may run on; empty for all of the front's."""
    gpu: str | None = None
    """CUDA_VISIBLE_DEVICES; None leaves the variable alone."""
    data_limit_bytes: int | None = None
    """RLIMIT_DATA; None sets none."""

    @classmethod
    def of(cls, options: PoolOptions, worker: str, place: int) -> Launch:
        """Return how the worker of a place is to be started; CPUs and GPUs go to the places in turn."""
        return cls(
            worker=worker,
            place=place,
            concurrent=options.concurrency > 1,
            env=options.env,
            nice=options.nice,
            cpus=options.cpus[place % len(options.cpus)] if options.cpus else (),
            gpu=options.gpus[place % len(options.gpus)] if options.gpus else None,
            data_limit_bytes=options.data_limit_bytes,
        )

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables that are the worker's own."""
        own = {**self.env, "BRIDGE_WORKER_ID": self.worker, "PYTHONUNBUFFERED": "1"}
        if self.gpu is not None:
            own["CUDA_VISIBLE_DEVICES"] = self.gpu
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A started process as the front holds it: all file descriptors, and `tokens`, are the front's to close."""

    pid: int
    """The process id, which is also its process group."""
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
    reap: Callable[[], int]
    """Read the exit status, as `Popen.returncode` gives it, and let the pid go; waits for the end of the process."""

    @classmethod
    def of(cls, wires: Wires, pid: int, mark: str, reap: Callable[[], int]) -> Child:
        """Return a process that has just been started. It holds the front's ends of `wires` from now on."""
        return cls(
            pid=pid,
            pidfd=os.pidfd_open(pid),
            sock=wires.sock,
            control=wires.control,
            tokens=wires.tokens,
            stdout=wires.stdout,
            stderr=wires.stderr,
            mark=mark,
            reap=reap,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HowStarted:
    """How a pool's workers start."""

    kind: Kind
    why: str = ""
    """Why they are not forked; empty where they are, or where that was not asked for."""
    template_pid: int | None = None
    cgroups: str = "switched off by server.cgroups"
    """Where workers have cgroups of their own, or why they have none."""


class Spawner(Protocol):
    """A way to start workers."""

    @property
    def guard(self) -> Guard:
        """What ends everything that workers have started, should the front be killed."""
        ...

    async def spawn(self, launch: Launch) -> Child:
        """Start a worker process and return it at once, before it has imported anything.

        Raises OSError where no process can be started, StartFailed where none ever will be before something is mended.
        """
        ...

    def ended(self, child: Child) -> Killed | None:
        """Take note that a worker's process has been reaped, and end what it has left behind.

        Returns why it was killed, where that is known here and not by its exit status.
        """
        ...

    def describe(self) -> HowStarted:
        """Return how workers start now."""
        ...

    def rebuild(self, options: PoolOptions | None = None) -> None:
        """Import the code anew, with new options where given, before the next worker starts."""
        ...

    def halt(self) -> None:
        """Start nothing more: a start that is under way fails with OSError where it would take long."""
        ...

    async def close(self) -> None:
        """Give back what spawning holds; no worker lives any more."""
        ...


class PlainSpawner:
    """Starts a fresh interpreter for each worker."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()

    async def spawn(self, launch: Launch) -> Child:
        """Start `python -P -m pool.child`. Raises RuntimeError off the main thread, OSError where it can not start."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "workers must be started from the main thread: they die with the thread that started them"
            )
        with ExitStack() as undo:
            wires = Wires()
            undo.callback(wires.close_ours)
            try:
                mark = new_mark()
                process = _start(launch, wires, mark)
            finally:
                wires.close_theirs()
            undo.callback(process.wait)
            undo.callback(process.kill)
            child = Child.of(wires, process.pid, mark, process.wait)
            undo.pop_all()
        self.guard.watch(process.pid, mark)
        return child

    def ended(self, child: Child) -> None:
        """Let the guard sweep."""
        self.guard.ended(child.mark)

    def describe(self) -> HowStarted:
        """Every worker is spawned."""
        return HowStarted(kind="spawn")

    def rebuild(self, options: PoolOptions | None = None) -> None:
        """Do nothing: every worker imports the code anew."""

    def halt(self) -> None:
        """Do nothing: no start takes long."""

    async def close(self) -> None:
        """End the guard."""
        await self.guard.close()


def new_mark() -> str:
    """Return a mark for a process and all that it starts; all marks have one length."""
    return secrets.token_hex(8)


def _start(launch: Launch, wires: Wires, mark: str) -> subprocess.Popen[bytes]:
    mode = "concurrent" if launch.concurrent else "blocking"
    cpus = ",".join(map(str, launch.cpus))
    own = (str(os.getpid()), mode, str(launch.nice), cpus, str(launch.data_limit_bytes or 0))
    *inherited, stdout, stderr = wires.theirs
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "pool.child", *map(str, inherited), *own],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=inherited,
        process_group=0,
        env={**os.environ, **launch.environ, MARK: mark},
    )
