"""A port that several processes of ours are to listen on, and nobody else: claimed before the first of them does.

A front listens with SO_REUSEPORT, and so would share the port silently with a server that is still there, or with one
of another bridge. The claim fails where anybody listens, holds the port while fronts come and go, and takes no
connections itself. Owns its sockets.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - to recognise them
_TRIES = 5
"""For a free port on all addresses of a name: what is free on one may be taken on another."""


class Claim:
    """The claimed port. `address` is HOST:PORT with its real port."""

    def __init__(self, address: str) -> None:
        """Claim it; port 0 takes a free one. Raises OSError."""
        host, _, port = address.rpartition(":")
        targets = _targets(host.strip("[]"))
        for left in reversed(range(_TRIES)):
            with ExitStack() as undo:
                try:
                    real = _claim_all(targets, int(port), undo)
                except OSError as error:
                    if error.errno != errno.EADDRINUSE or int(port) or not left:
                        raise
                    continue
                self.address = f"{host}:{real}"
                self.close = undo.pop_all().close
                return


def _targets(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Return where gRPC listens for a host: every address of a name, all of both kinds for all of one."""
    if host in _EVERYWHERE:
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(target[0])) for family, _, _, _, target in found))


def _claim_all(targets: list[tuple[socket.AddressFamily, str]], port: int, undo: ExitStack) -> int:
    for family, host in targets:
        claimed = _claim(family, host, port)
        undo.callback(claimed.close)
        port = int(claimed.getsockname()[1])
    return port


def _claim(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Bind so that others of this user may bind it too from now on, if they ask for sharing. Raises OSError.

    Without SO_REUSEADDR nobody else can listen there. Where connections of an earlier server are still closing, that
    can not be had: then it is made sure that nobody listens now.
    """
    try:
        claimed = _bound(family, host, port, reuse=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        claimed = _bound(family, host, port, reuse=True)
        try:
            claimed.listen(1)
            claimed.shutdown(socket.SHUT_RDWR)
        except OSError:
            claimed.close()
            raise
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return claimed


def _bound(family: socket.AddressFamily, host: str, port: int, *, reuse: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if reuse:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
