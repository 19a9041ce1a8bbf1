"""A unix socket whose callers are checked one by one: who connects is asked of the kernel, then connected through.

grpcio gives no hook for connections that it accepts, so they are accepted here, and the bytes of those who may come in
are passed to the socket on which grpcio listens. That costs two copies; where only the server's own user may connect,
the file's mode says so and there is no such door (docs/howto/sidecar.md). Owns the socket and the connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING, cast

from bridge.doors import socket_file
from bridge.doors.failures import ListenFailed
from bridge.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREDENTIALS = struct.Struct("iII")
"""struct ucred: process id, user id, group id."""
PAUSE_S = 1.0
"""After a failure to accept, as where there are no more descriptors."""
TOLD_S = 10.0
"""Refused connections of one user are told of once in this time."""
MOST_TOLD = 1000
BUFFER_BYTES = 256 << 10


def user_ids(users: Iterable[str]) -> frozenset[int]:
    """Return the ids of users by name or id, with root and the server's own. Raises ListenFailed."""
    found = {0, os.geteuid()}
    for user in users:
        try:
            found.add(int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid)
        except KeyError:
            raise ListenFailed(f"server.unix_users: there is no user '{user}' on this machine") from None
    return frozenset(found)


def needs_door(users: Iterable[str]) -> bool:
    """Return whether others may connect than those whom the file's mode lets in by itself. Raises ListenFailed."""
    return not user_ids(users) <= {0, os.geteuid()}


class UnixDoor:
    """Listens on `path` for `users`. `open`, then `close`."""

    def __init__(self, path: str, users: Iterable[str], inner: str) -> None:
        """Make it; `inner` is the socket that those who may come in are connected to. Raises ListenFailed."""
        self._path = path
        self._inner = inner
        self._allowed = user_ids(users)
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._told: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[_Side] = set()
        self.refused = 0
        """Connections of users who may not come in."""

    def open(self) -> None:
        """Let them in. Raises ListenFailed."""
        self._socket = socket_file.listen(self._path)
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def shut(self) -> None:
        """Take no more connections; those that there are go on."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            socket_file.remove(self._path)

    def close(self) -> None:
        """End it, with its connections; what they still have to send is sent."""
        self.shut()
        for task in self._tasks:
            task.cancel()
        for side in list(self._open):
            side.end()

    def _accept(self) -> None:
        """Take all that wait."""
        assert self._socket is not None
        while True:
            try:
                accepted, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ECONNABORTED:
                    log(logging.WARNING, f"unix socket: can not accept connections: {error.strerror or error}")
                    self._loop.remove_reader(self._socket.fileno())
                    self._waiting = self._loop.call_later(PAUSE_S, self._accept_again)
                    return
                continue
            self._check(accepted)

    def _accept_again(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _check(self, accepted: socket.socket) -> None:
        """Ask the kernel who connected; it says what was so when they did."""
        found = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(found)
        if uid not in self._allowed:
            accepted.close()
            self._tell(uid, pid)
            return
        task = self._loop.create_task(self._connect(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, uid: int, pid: int) -> None:
        self.refused += 1
        now = self._loop.time()
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        if now - self._told.get(uid, -TOLD_S) >= TOLD_S:
            self._told[uid] = now
            message = f"unix socket: refused user {_name(uid)}; server.unix_users names those who may connect"
            log(logging.WARNING, message, event="unix_refused", uid=uid, pid=pid, refused=self.refused)

    async def _connect(self, accepted: socket.socket) -> None:
        """Connect them through."""
        outer, inner = _Side(self._open), _Side(self._open)
        outer.other, inner.other = inner, outer
        accepted.setblocking(False)
        try:
            await self._loop.create_unix_connection(lambda: inner, self._inner)
        except OSError as error:  # grpcio has stopped listening: the server ends
            accepted.close()
            log(logging.INFO, f"unix socket: a connection came too late: {error.strerror or error}")
            return
        try:
            await self._loop.connect_accepted_socket(lambda: outer, accepted)
        except (OSError, asyncio.CancelledError):
            accepted.close()
            inner.end()
            raise


class _Side(asyncio.Protocol):
    """One end of a connection that goes through: what comes here goes out at the other."""

    other: _Side

    def __init__(self, everyone: set[_Side]) -> None:
        self._everyone = everyone
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self._transport = cast("asyncio.Transport", transport)
        made.set_write_buffer_limits(BUFFER_BYTES)
        self._everyone.add(self)
        for data in self._early:
            made.write(data)
        self._early.clear()
        if self._ended:
            made.close()

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send what has come at the other end; the inner side may speak before the outer one is there."""
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def pause_writing(self) -> None:
        """The reader here is slow: the other end waits."""
        transport = self.other._transport
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def resume_writing(self) -> None:
        transport = self.other._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def end(self) -> None:
        """Send what is to be sent, then close."""
        self._ended = True
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._everyone.discard(self)
        self.other.end()


def _name(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)
