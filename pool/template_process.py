"""One template process as the front sees it: started, asked to fork, ended.

Owns the process, its socket and its output. Knows what a template answers; what to do about it is `pool.template`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from pool import frames
from pool.environ_block import BLAS_THREADS, placeholders
from pool.errors import StartFailed
from pool.events import Listener, OutputDropped, WorkerOutput
from pool.exits import Killed, describe
from pool.forking import ANSWERS, BECOME, DESCRIPTORS, FORK, FORKED, STALE, UNSAFE, Order, from_body
from pool.guard import Guard
from pool.options import PoolOptions
from pool.output import Output
from pool.reader import FrameReader
from pool.spawn import Child, Launch, new_mark
from pool.startup import Limits
from pool.stop import kill_group, kill_with_stack
from pool.wires import Wires

FORK_S = 10.0
"""How long a template may take to fork: a stopped one must not hold up the pool."""
GONE_S = 2.0
"""How long a template that has closed its socket may take to end."""
STATUS_UNKNOWN = 255
"""Stands for the exit status of a worker that somebody else has reaped, as with SIGCHLD set to be ignored."""
_FROM_TEMPLATE = ANSWERS | {frames.READY, frames.FAILED}


class TemplateGone(OSError):
    """The template has ended or does not answer: another one may."""


class StaleCode(Exception):
    """The code has changed since the template has imported it."""


class UnsafeToFork(Exception):
    """The template holds what does not survive a fork; the message says what."""


class Template:
    """A template process. It is started at once; wait for `ready` before the first `fork`."""

    def __init__(self, options: PoolOptions, guard: Guard, listener: Listener) -> None:
        self.options = options
        self._guard = guard
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._mark = new_mark()
        self._reader = FrameReader(kinds=_FROM_TEMPLATE)
        self._turn = asyncio.Lock()
        self._orders = 0
        self._woken: asyncio.Event | None = None
        self._killed: Killed | None = None
        self.cause = ""
        """How it has ended; empty while it lives."""
        self.started_at = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the process has been reaped."""
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._sock.setblocking(False)
            self._process = self._start(theirs.fileno())
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)
        guard.watch(self.pid, self._mark)
        self._loop.add_reader(self.pidfd, self._on_exit)

    def _start(self, sock: int) -> subprocess.Popen[bytes]:
        mode = "concurrent" if self.options.concurrency > 1 else "blocking"
        with ExitStack() as theirs:
            (stdout, out), (stderr, err) = os.pipe(), os.pipe()
            theirs.callback(os.close, out)
            theirs.callback(os.close, err)
            for descriptor in (stdout, stderr):
                os.set_blocking(descriptor, False)
            self._output = Output(self._loop, {"stdout": stdout, "stderr": stderr}, self._on_line, self._on_dropped)
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "pool.template_child", str(sock), str(os.getpid()), mode],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=(sock,),
                process_group=0,
                env={**os.environ, **self._environ(), **placeholders(self.name, self._mark)},
            )

    def _environ(self) -> dict[str, str]:
        own = dict(self.options.env)
        return {**own, BLAS_THREADS: "1"} if BLAS_THREADS in own else own

    @property
    def name(self) -> str:
        """What its output is labelled with."""
        return f"{self.options.name}-template"

    def _on_line(self, stream: str, line: str) -> None:
        self._listener(WorkerOutput(pool=self.options.name, worker=self.name, stream=stream, line=line))

    def _on_dropped(self, count: int) -> None:
        self._listener(OutputDropped(pool=self.options.name, worker=self.name, lines=count))

    async def ready(self) -> None:
        """Wait until it has imported everything. Raises StartFailed where it can not, UnsafeToFork."""
        timeout_s = self.options.start_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                kind, _, body = await self._initialise()
        except TimeoutError:
            self._killed = Killed(why=f"not ready after {timeout_s:g} s")
            await kill_with_stack(self)
            await self.ended
            raise StartFailed(self.options.name, self.cause, self._output.tail) from None
        except ConnectionError:
            await asyncio.wait([self.ended], timeout=GONE_S)  # how it ends by itself tells more than a kill
            await self.end()
            raise StartFailed(self.options.name, self.cause, self._output.tail) from None
        if kind == frames.FAILED:
            cause, _, detail = str(body, "utf-8", "replace").partition("\n")
            await self.end()
            raise StartFailed(self.options.name, cause, detail)
        if reasons := from_body(body):
            raise UnsafeToFork("; ".join(reasons))

    async def _initialise(self) -> tuple[int, int, memoryview]:
        """Say what to import and return the answer. Raises ConnectionError."""
        entry = self.options.entry.encode()
        init = struct.pack("<H", len(entry)) + entry + self.options.entry_options
        rest = memoryview(frames.pack(frames.INIT, 0, init))
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                await self._wait(self._loop.add_writer, self._loop.remove_writer)
        return await self._next()

    async def fork(self, launch: Launch) -> Child:
        """Fork a worker. Raises TemplateGone, StaleCode, UnsafeToFork, or OSError where the machine can not."""
        async with self._turn:
            with ExitStack() as undo:
                wires = Wires()
                undo.callback(wires.close_ours)
                mark = new_mark()
                try:
                    pid = await self._ask(launch, wires, mark)
                finally:
                    wires.close_theirs()
                child = Child.of(wires, pid, mark, lambda: _reap(pid))  # where that fails, the worker finds no front
                undo.pop_all()
        self._guard.watch(pid, mark)
        return child

    async def become(self, launch: Launch) -> Child:
        """Let the template itself become a worker: for one that must not fork. Raises TemplateGone, OSError."""
        async with self._turn:
            with ExitStack() as undo:
                wires = Wires()
                undo.callback(wires.close_ours)
                try:
                    await self._ask(launch, wires, self._mark, become=True)
                finally:
                    wires.close_theirs()
                undo.pop_all()
        self._loop.remove_reader(self.pidfd)
        os.close(self.pidfd)
        self._output.finish()
        self._sock.close()
        self.ended.set_result(None)  # as a template
        return Child.of(wires, self.pid, self._mark, self._process.wait)

    async def _ask(self, launch: Launch, wires: Wires, mark: str, *, become: bool = False) -> int:
        limits = Limits(nice=launch.nice, cpus=launch.cpus, data_bytes=launch.data_limit_bytes or 0)
        order = Order(concurrent=launch.concurrent, limits=limits, environ=launch.environ, mark=mark)
        self._orders += 1
        frame = frames.pack(BECOME if become else FORK, self._orders, order.pack())
        assert len(wires.theirs) == DESCRIPTORS
        try:
            if socket.send_fds(self._sock, [frame], wires.theirs) != len(frame):
                raise TemplateGone("the template does not read")
            async with asyncio.timeout(FORK_S):
                kind, answered, body = await self._next()
                while answered != self._orders:  # to an order whose caller has left meanwhile
                    kind, answered, body = await self._next()
        except TimeoutError:
            self.kill(Killed(why=f"it has not forked within {FORK_S:g} s"))
            raise TemplateGone(f"the template has not forked within {FORK_S:g} s") from None
        except (BlockingIOError, ConnectionError) as error:
            self.kill(Killed(why="it did not answer"))
            raise TemplateGone(str(error)) from None
        return self._pid(kind, from_body(body))

    def _pid(self, kind: int, said: list[Any]) -> int:
        if kind == FORKED:
            return int(said[0])
        if kind == STALE:
            raise StaleCode(said[0])
        if kind == UNSAFE:
            raise UnsafeToFork("; ".join(said))
        raise OSError(*said)

    async def _next(self) -> tuple[int, int, memoryview]:
        """Return the next frame. Raises ConnectionError at the end of the stream."""
        while (frame := self._reader.next()) is None:
            try:
                count = self._sock.recv_into(self._reader.space())
            except BlockingIOError:
                if self.ended.done():
                    raise ConnectionResetError("the template has ended") from None
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
                continue
            if count == 0:
                raise ConnectionResetError("the template has ended")
            self._reader.filled(count)
        return frame

    async def _wait(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        """Wait until the socket is ready or the process has ended."""
        self._woken = asyncio.Event()
        add(self._sock.fileno(), self._woken.set)
        try:
            await self._woken.wait()
        finally:
            self._woken = None
            remove(self._sock.fileno())

    def kill(self, killed: Killed) -> None:
        """End the process; `ended` tells when it has gone."""
        if not self.ended.done():
            self._killed = self._killed or killed
            kill_group(self)

    async def end(self) -> None:
        """End the process and wait until it has gone."""
        self.kill(Killed(why="no longer needed", stopped=True))
        await self.ended

    def _on_exit(self) -> None:
        self._loop.remove_reader(self.pidfd)
        kill_group(self)
        status = self._process.wait()
        os.close(self.pidfd)
        self._guard.ended(self._mark)
        self._output.finish()
        self.cause, _, _ = describe(status, self._killed)
        self.ended.set_result(None)
        if self._woken is not None:
            self._woken.set()

    def close(self) -> None:
        """Give back the socket; the process has ended and nobody waits for it."""
        self._sock.close()


def _reap(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return STATUS_UNKNOWN
