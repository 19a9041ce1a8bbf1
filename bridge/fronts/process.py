"""A front as a process: takes gRPC from its clients, and passes every request on to the main process over one socket.

Started as `python -P -m bridge.fronts.process SOCKET PARENT`. It runs no code of the user and knows no function, worker
or session. It ends when main tells it, after what it has in flight, or when main is gone. SIGTERM it passes on to main.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

import uvloop

from bridge.doors.failures import AddressInUse
from bridge.doors.identity import TlsIdentity
from bridge.fronts import wire
from bridge.fronts.link import Link
from bridge.fronts.relay import Relay
from bridge.server import GrpcServer, ServerOptions
from bridge.upkeep.garbage import settle
from bridge.upkeep.idle_memory import IdleMemory
from bridge.upkeep.loop_lag import LoopLag
from bridge.upkeep.slow_readers import SlowReaders
from pool import heap
from pool.own_memory import PAGE_BYTES, rss_pages, rss_reader

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
LOST_S = 1.0
"""How long answers may take to be sent when main is gone."""
LAST_RESORT_S = 5
"""The kernel ends a front that has lost main and does not end by itself."""
FIGURES_S = 1.0
MOST_BYTES = (1 << 32) - 1
"""The largest body that a frame can state; main sends none that its own limits do not allow."""


def main(arguments: list[str]) -> int:
    """Run a front; return its exit status."""
    sock, parent = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    _harden(parent)
    heap.keep()
    return uvloop.run(_run(sock, parent))


def _harden(parent: int) -> None:
    """Hear of the parent's end, write no core, leave signals of a terminal to the parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the line above
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Front:
    """One front from its first frame to its end."""

    def __init__(self, sock: socket.socket, parent: int) -> None:
        loop = asyncio.get_running_loop()
        self._sock = sock
        self._parent = parent
        self._link = Link(self._frame, lambda _why: self._lose(), MOST_BYTES, self._wants)
        self._setup: asyncio.Future[wire.Setup] = loop.create_future()
        self._end: asyncio.Future[float] = loop.create_future()
        """How long what is in flight may take, once the front is to end."""
        self._relay: Relay | None = None
        self._server: GrpcServer | None = None
        self._tls: TlsIdentity | None = None
        self._readers = SlowReaders(LOST_S)
        self._lag = LoopLag()
        self._statm = rss_reader()
        self._lost = False

    async def run(self) -> int:
        """Serve until the end; return the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_end)
        await loop.create_unix_connection(lambda: self._link, sock=self._sock)
        first: list[asyncio.Future[Any]] = [self._setup, self._end]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not self._setup.done():
            return 1
        setup = self._setup.result()
        self._relay = Relay(self._link, self._readers, setup.lost)
        self._readers.renew(setup.slow_reader_timeout_s)
        server = await self._listen(setup, self._relay)
        if server is None:
            await self._end
            return 1
        watching = (self._lag.watch(), self._readers.watch(), IdleMemory(self._relay).watch(), self._tell())
        tasks = [asyncio.create_task(each) for each in watching]
        settle()
        grace_s = await self._end
        self._readers.drain()
        await server.stop(grace_s)
        for task in tasks:
            task.cancel()
        self._link.close()
        return 1 if self._lost else 0

    async def _listen(self, setup: wire.Setup, relay: Relay) -> GrpcServer | None:
        """Serve, and tell main; None where that is not possible, and main has been told why."""
        options = ServerOptions(
            address=setup.address,
            max_message_bytes=setup.max_message_bytes,
            keepalive_time_s=setup.keepalive_time_s,
            keepalive_timeout_s=setup.keepalive_timeout_s,
            tls=self._tls or setup.tls,
            shared=True,
        )
        server = self._server = GrpcServer(options, *relay.handlers(setup))
        try:
            await server.start()
        except AddressInUse as error:
            self._link.send(wire.LISTENING, 0, 0, wire.encode(wire.Listening(str(error))))
            return None
        self._link.send(wire.LISTENING, 0, 0, wire.encode(wire.Listening()))
        return server

    def _wants(self, request: int) -> bool:
        return self._relay is None or self._relay.wants(request)

    def _frame(self, kind: int, request: int, number: int, meta: bytes, body: bytes, deadline: float) -> None:
        if request and self._relay is not None:
            self._relay.frame(kind, request, number, meta, body, deadline)
        elif kind == wire.SETUP:
            self._setup.set_result(wire.read_setup(body))
        elif kind == wire.RENEW:
            self._renew(wire.read_renew(body))
        elif kind == wire.STOP:
            self._end_within(wire.read_stop(meta).grace_s)

    def _renew(self, renew: wire.Renew) -> None:
        self._readers.renew(renew.slow_reader_timeout_s)
        self._tls = renew.tls
        if renew.tls is not None and self._server is not None:
            self._server.renew_tls(renew.tls)

    def _end_within(self, grace_s: float) -> None:
        if not self._end.done():
            self._end.set_result(grace_s)

    def _told_to_end(self) -> None:
        """SIGTERM: main has died, or somebody ends this front, alone or with all processes of the server."""
        if os.getppid() != self._parent:
            self._lose()
        else:
            self._link.send(wire.LEAVING, 0)

    def _lose(self) -> None:
        """Main is gone: nothing can be answered any more."""
        if not self._lost:
            self._lost = True
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LAST_RESORT_S)
            if self._relay is not None:
                self._relay.lost()
            self._end_within(LOST_S)

    async def _tell(self) -> None:
        """Give main this front's figures, which are its sign of life; never ends."""
        while True:
            times = os.times()
            figures = wire.Figures(
                cpu_s=times.user + times.system,
                rss_bytes=rss_pages(self._statm) * PAGE_BYTES,
                loop_lag_s=self._lag.worst_s,
                sent_at=time.monotonic(),
            )
            self._link.send(wire.FIGURES, 0, 0, wire.encode(figures))
            await asyncio.sleep(FIGURES_S)


async def _run(sock: socket.socket, parent: int) -> int:
    return await Front(sock, parent).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
