"""Starts and stops a server under test, and finds all of its processes by a mark in their environment.

Owns the process. Knows of an adapter only its command, its environment and how to make a client.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from adapters.contract import Adapter
    from calling import Client

MARK = "SCORECARD_RUN"
STOP_S = 15.0


class StartFailed(Exception):
    """A server did not come up; the text has the end of its log."""


@dataclass(kw_only=True)
class Server:
    """A server that serves."""

    process: subprocess.Popen[bytes]
    client: Client
    mark: str
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def processes(self) -> list[psutil.Process]:
        """All living processes of the server, however far they have moved from it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def rss_bytes(self) -> int:
        """Resident memory of all its processes."""
        total = 0
        for process in self.processes():
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    async def exit_code(self, limit_s: float) -> int | None:
        """The code that the front exits with; None where it has not after `limit_s`."""
        end = time.monotonic() + limit_s
        while (code := self.process.poll()) is None and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return code

    async def stop(self) -> None:
        """End it: by SIGTERM, then by SIGKILL for all that is left of it."""
        with suppress(TimeoutError):
            await self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            await self.exit_code(STOP_S)
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    """A port that is free now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start(adapter: Adapter, folder: Path) -> Server:
    """Start a server and wait until it answers. Raises StartFailed."""
    mark = uuid.uuid4().hex
    log = folder / f"{adapter.name}.log"
    port = free_port()
    out = folder / f"{adapter.name}-{mark}.out"
    with log.open("ab") as file, out.open("wb") as stdout:
        process = subprocess.Popen(
            adapter.command(port),
            cwd=folder,
            env={**os.environ, **adapter.environment(), MARK: mark, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=file,
            start_new_session=True,
        )
    end = time.monotonic() + adapter.start_limit_s
    server: Server | None = None
    try:
        client = await adapter.client(out, port, adapter.start_limit_s)
        server = Server(process=process, client=client, mark=mark, log=log)
        while not await server.client.healthy():
            if time.monotonic() > end or process.poll() is not None:
                raise StartFailed(f"{adapter.title} was not healthy in time; see {log}:\n{_tail(log)}")
            await asyncio.sleep(0.1)
    except (StartFailed, TimeoutError, ValueError) as error:
        if server is None:
            process.kill()
            process.wait()
        else:
            await server.stop()
        raise StartFailed(f"{adapter.title} did not start ({error!r}); the end of its log:\n{_tail(log)}") from error
    return server


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


async def first_line(output: Path, limit_s: float) -> str:
    """The first line that a server prints. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while "\n" not in (text := output.read_text()):
            await asyncio.sleep(0.05)
    return text.partition("\n")[0]
