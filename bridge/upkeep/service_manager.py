"""What a service manager such as systemd is told: ready, reloading, stopping, and that the server is well.

Speaks the sd_notify protocol, which is datagrams to a socket that the environment names; without one, or where nobody
reads it, nothing happens. Owns that socket. Knows nothing of what makes the server well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_PER_INTERVAL = 3
"""How often a watchdog is fed in its interval: one bad moment of the server must not cost its life."""


class ServiceManager:
    """Whoever started this process, as far as it listens."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take the protocol's variables out of `environ`: workers must not speak for the server."""
        address, interval, pid = (environ.pop(name, "") for name in _VARIABLES)
        self._address = _address(address)
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        ours = pid in ("", str(os.getpid()))
        self.watchdog_s = int(interval) / 1e6 if ours and interval.isdecimal() and int(interval) else None
        """The longest time that the manager waits for a sign of life, in seconds; None where it wants none."""

    def ready(self, status: str) -> None:
        """Say that the server serves; also at the end of a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        """Say that the server ends."""
        self._send("STOPPING=1", "STATUS=draining")

    async def feed_watchdog(self, is_well: Callable[[], bool]) -> None:
        """Give signs of life for as long as the server is well; never ends where signs are wanted."""
        if self.watchdog_s is None or self._socket is None:
            return
        while True:
            if is_well():
                self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / _PER_INTERVAL)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        with contextlib.suppress(OSError):  # gone, never there, or not reading: the server does its work all the same
            self._socket.sendto("\n".join(lines).encode(), self._address)


def _address(text: str) -> str | None:
    """Return the socket's address as Python wants it, or None: a path, or a name after '@' in the abstract space."""
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return text if text.startswith("/") and "\0" not in text else None
