"""A server as a process: its signals, its log, what its service manager hears, and its exit status.

SIGTERM and SIGINT drain, a second one ends the process now, SIGHUP reloads. Owns the signal handlers; the server itself
is `app`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

import uvloop

from bridge.app import App
from bridge.log_output import log_to_stderr
from bridge.telemetry import log
from bridge.upkeep.garbage import settle
from bridge.upkeep.service_manager import ServiceManager
from pool import heap

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.ready import Ready

SAME_SIGNAL_S = 0.3


def run(
    config: Config, apps: tuple[str, ...], announce: Callable[[Ready], None], read: Callable[[], Config] | None = None
) -> int:
    """Serve until a signal ends it; return the exit status. Raises StartFailed.

    `read` reads the configuration anew for a reload; without it only the code is new then. `announce` must return at
    once.
    """
    heap.keep(of_any_size=True)
    manager = ServiceManager(os.environ)
    with log_to_stderr(config.log.level, config.log.format) as writer:
        try:
            status = uvloop.run(_serve(lambda: App(config, apps), announce, read or (lambda: config), manager))
        finally:
            manager.close()
    if writer.is_stuck:
        os._exit(status)  # Python would wait for the log's reader before it ends
    return status


async def _serve(
    make_app: Callable[[], App], announce: Callable[[Ready], None], read: Callable[[], Config], manager: ServiceManager
) -> int:
    signals = _Signals(asyncio.get_running_loop())
    signals.listen()
    app = make_app()
    aside: list[asyncio.Task[None]] = []
    try:
        starting = asyncio.ensure_future(app.start())
        stopping = asyncio.ensure_future(signals.stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return 0
        settle()
        ready = starting.result()
        announce(ready)
        manager.ready(_status(ready))
        aside.append(asyncio.create_task(manager.feed_watchdog(lambda: app.is_well)))
        reloading = asyncio.create_task(_reload(app, ready, read, signals.reload, manager))
        aside.append(reloading)
        await asyncio.wait([stopping, reloading], return_when=asyncio.FIRST_COMPLETED)
        if reloading.done():
            reloading.result()  # a fault of the reload: it must not go on unseen
        manager.stopping()
        await _end(aside)
        return 0 if await app.drain() else 1
    finally:
        await _end(aside)
        await app.stop()


async def _reload(
    app: App, ready: Ready, read: Callable[[], Config], wanted: asyncio.Event, manager: ServiceManager
) -> None:
    """Reload whenever it is wanted, one after the other; never ends."""
    while True:
        await wanted.wait()
        wanted.clear()
        manager.reloading()
        await app.reload(read)
        manager.ready(_status(ready))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _status(ready: Ready) -> str:
    return f"serving on {ready.address}"


class _Signals:
    """What the process is told. The first SIGTERM or SIGINT drains; a second one ends the process now.

    Two that come at the same time are one: tools that run commands pass a signal on that the terminal sends as well.
    SIGHUP reloads; where it says that the server's terminal has gone, nobody is left to stop the server, so it drains.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._first_at = 0.0
        self._terminals = [number for number in range(3) if os.isatty(number)]
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()

    def listen(self) -> None:
        """Act on signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._told_to_stop)
        self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def _told_to_stop(self) -> None:
        if not self.stop.is_set():
            self._first_at = self._loop.time()
            self.stop.set()
        elif self._loop.time() - self._first_at > SAME_SIGNAL_S:
            os._exit(130)

    def _hung_up(self) -> None:
        if not all(os.isatty(number) for number in self._terminals):
            self.stop.set()
        elif self.stop.is_set():
            log(logging.INFO, "no reload: the server is shutting down")
        else:
            self.reload.set()
