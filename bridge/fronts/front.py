"""One front as the main process sees it: its process, its link, what it has brought, and whether it is well.

Owns all four. When the process has ended, or is ended because its link broke or it gave no sign of life, `on_end` is
called with the cause; who puts another one in its place is no business of this module.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bridge.fronts import wire
from bridge.fronts.link import Link
from bridge.fronts.served import Handlers, Served
from pool.exits import describe
from pool.output import Output

MODULE = "bridge.fronts.process"
LOOK_S = 1.0
SILENT_LOOKS = 10
"""A front that gives no sign of life for so many looks is ended."""
STOPPED_LOOKS = 3
"""The same for one whose process is stopped, as by SIGSTOP."""
LEAVE_S = 30.0
"""How long the calls of a front may take to end that was asked to end by SIGTERM."""
LEAVE_SOON_S = 1.0
"""A service manager asks all processes of a server at a time, and the main process may hear of it last."""
MOST_BYTES = (1 << 32) - 1


class Front:
    """A front process, from its start to its end."""

    def __init__(
        self,
        name: str,
        earlier_ends: int,
        on_end: Callable[[Front, str], None],
        on_line: Callable[[str, str], None],
        draining: Callable[[], bool],
    ) -> None:
        """Start the process; it imports what it needs and waits for `setup`. Raises OSError."""
        self._draining = draining
        self.name = name
        self.earlier_ends = earlier_ends
        """Fronts before it in its place that ended although they were to serve."""
        self.started_at = time.monotonic()
        self.figures: wire.Figures | None = None
        self.link_delay_s = 0.0
        """How long the last figures took to come, as all frames did at that time."""
        self.listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when it serves, with "", or with why it can not."""
        self.ended = asyncio.Event()
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._served: Served | None = None
        self._why = ""
        self._stopping = False
        self._silent = 0
        ours, theirs = socket.socketpair()
        try:
            self._process = _start(theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._output = _listen(self._loop, self._process, partial(on_line, name))
        self._loop.add_reader(self._pidfd, self._exited)
        self._sock = ours
        self._link = Link(self._frame, self._link_closed, MOST_BYTES)

    @property
    def state(self) -> str:
        """What it does, in a word: starting, serving or stopping."""
        if self._stopping or self.ended.is_set():
            return "stopping"
        return "serving" if self.listening.done() and not self.listening.result() else "starting"

    @property
    def open_calls(self) -> int:
        """Requests of its clients that are not answered."""
        return 0 if self._served is None else len(self._served)

    @property
    def calls(self) -> int:
        """Requests that it has brought."""
        return 0 if self._served is None else self._served.count

    @property
    def last_words(self) -> str:
        """The last lines that it wrote to stderr."""
        return self._output.tail

    async def setup(self, setup: wire.Setup, handlers: Handlers) -> str:
        """Let it serve; return "" once it does, or why it does not."""
        self._served = Served(handlers, self._link, self._loop)
        await self._loop.create_unix_connection(lambda: self._link, sock=self._sock)
        self._link.send(wire.SETUP, 0, 0, b"", wire.encode(setup))
        return await asyncio.shield(self.listening)

    def renew(self, renew: wire.Renew) -> None:
        """Tell it of settings that have changed."""
        self._link.send(wire.RENEW, 0, 0, b"", wire.encode(renew))

    def look(self) -> None:
        """End it where it shows no life although it has begun to."""
        if self.figures is None or self._stopping:
            return
        self._silent += 1
        if self._silent >= SILENT_LOOKS:
            self.kill(f"gave no sign of life for {SILENT_LOOKS} s")
        elif self._silent >= STOPPED_LOOKS and _is_stopped(self.pid):
            self.kill("its process was stopped, as by SIGSTOP")

    def stop(self, grace_s: float) -> None:
        """Tell it to end, with so much time for what it still has to send."""
        self._stopping = True
        if self._served is None:
            self.kill("was not needed")
            return
        self._link.send(wire.STOP, 0, 0, wire.encode(wire.Stop(grace_s)))

    def _leave(self) -> None:
        """End it after its calls, unless the server ends."""
        if not self._stopping and not self._draining():
            self._why = "was asked to end by SIGTERM"
            self.stop(LEAVE_S)

    def kill(self, why: str) -> None:
        """End it now."""
        self._why = self._why or why
        if not self.ended.is_set():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _frame(self, kind: int, request: int, number: int, meta: bytes, body: bytes, deadline: float) -> None:
        if request:
            assert self._served is not None
            self._served.frame(kind, request, number, meta, body, deadline)
        elif kind == wire.FIGURES:
            self._silent = 0
            self.figures = wire.read_figures(meta)
            self.link_delay_s = max(0.0, time.monotonic() - self.figures.sent_at)
        elif kind == wire.LEAVING:
            self._loop.call_later(LEAVE_SOON_S, self._leave)
        elif kind == wire.LISTENING and not self.listening.done():
            self.listening.set_result(wire.read_listening(meta).problem)

    def _link_closed(self, why: str) -> None:
        """Nothing of it can be answered any more: it is ended if it does not end by itself."""
        self._give_up_calls()
        if why or not self._stopping:
            self._loop.call_later(LOOK_S, self.kill, f"its link broke: {why}" if why else "closed its link")

    def _give_up_calls(self) -> None:
        if self._served is not None:
            self._served.lost()

    def _exited(self) -> None:
        """The process has ended."""
        self._loop.remove_reader(self._pidfd)
        status = self._process.wait()
        os.close(self._pidfd)
        self._link.close()
        if self._served is None:
            self._sock.close()  # else it is its transport's
        self._give_up_calls()
        self._output.finish()
        cause, _, _ = describe(status, None)
        cause = self._why or cause
        self.ended.set()
        if not self.listening.done():
            self.listening.set_result(f"{self.name} ended: {cause}\n{self.last_words}".strip())
        self._on_end(self, cause)


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(descriptor,),
        process_group=0,  # Ctrl-C at a terminal is for main alone
    )


def _listen(
    loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], on_line: Callable[[str], None]
) -> Output:
    """Read what it writes; nothing, unless something is wrong."""
    pipes = {}
    for stream, file in (("stdout", process.stdout), ("stderr", process.stderr)):
        assert file is not None
        pipes[stream] = os.dup(file.fileno())
        os.set_blocking(pipes[stream], False)
        file.close()
    return Output(loop, pipes, lambda _stream, line: on_line(line), lambda count: on_line(f"... {count} lines dropped"))


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")
