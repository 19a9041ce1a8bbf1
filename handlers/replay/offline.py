"""Keeps this process off the network for the rest of its life. Owns what it has refused."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMES = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


class Offline:
    """Refuses every connection and every look-up of a name that Python code makes; local sockets stay."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        """Where the code wanted to go."""

    def begin(self) -> None:
        """Refuse from now on. There is no way back: a hook of the interpreter can not be taken off."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTS:
            sock, address = arguments[0], arguments[1]
            if getattr(sock, "family", None) in (socket.AF_INET, socket.AF_INET6):
                self._refuse(":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address))
        elif event in _NAMES:
            self._refuse(str(arguments[0]))

    def _refuse(self, where: str) -> None:
        self.refused.append(where)
        raise OSError(errno.ENETUNREACH, f"a replay has no network; it wanted to reach {where}")
