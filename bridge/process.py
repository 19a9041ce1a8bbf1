"""A server as a process: its signals, its log, what its service manager hears, and its exit status.

SIGTERM and SIGINT drain, a second one ends the process now. Owns the signal handlers; the server itself is `app`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING

import uvloop

from bridge.app import App
from bridge.log_output import log_to_stderr
from bridge.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.app import Ready
    from bridge.config import Config

GC_ALLOCATIONS = 20_000
SAME_SIGNAL_S = 0.3


def run(config: Config, apps: tuple[str, ...], announce: Callable[[Ready], None]) -> int:
    """Serve until a signal ends it; return the exit status. Raises StartFailed."""
    manager = ServiceManager(os.environ)
    with log_to_stderr(config.log.level, config.log.format) as writer:
        try:
            status = uvloop.run(_serve(config, apps, announce, manager))
        finally:
            manager.close()
    if writer.is_stuck:
        os._exit(status)  # Python would wait for the log's reader before it ends
    return status


async def _serve(
    config: Config, apps: tuple[str, ...], announce: Callable[[Ready], None], manager: ServiceManager
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = _Signals(loop, stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.received)
    app = App(config, apps)
    watchdog = None
    try:
        starting = asyncio.ensure_future(app.start())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return 0
        _settle_garbage()
        ready = starting.result()
        announce(ready)
        manager.ready(f"serving on {ready.address}")
        watchdog = asyncio.create_task(manager.feed_watchdog(lambda: app.is_well))
        await stopping
        manager.stopping()
        return 0 if await app.drain() else 1
    finally:
        if watchdog is not None:
            watchdog.cancel()
        await app.stop()


def _settle_garbage() -> None:
    """Leave what start-up made out of every later collection, and collect less often: calls leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)


class _Signals:
    """The first signal drains; a second one ends the process now, and the workers die with it.

    Two that come at the same time are one: tools that run commands pass a signal on that the terminal sends as well.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        self._loop = loop
        self._stop = stop
        self._first_at = 0.0

    def received(self) -> None:
        """Act on a signal."""
        if not self._stop.is_set():
            self._first_at = self._loop.time()
            self._stop.set()
        elif self._loop.time() - self._first_at > SAME_SIGNAL_S:
            os._exit(130)
