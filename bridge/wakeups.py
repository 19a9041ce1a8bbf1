"""grpcio's wake-ups of the event loop, taken together.

grpcio's own thread puts each event into a queue and writes a byte into a socket; the loop reads one byte and then
handles the whole queue. Each of the bytes that have gathered meanwhile costs a turn of the loop that finds nothing.
Here all of them are read at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from grpc._cython.cygrpc import PollerCompletionQueue

GATHERED = 4096
"""Bytes that are taken at once; what is left is taken in the next turn."""


class _Gathered(socket.socket):
    """A socket of wake-ups. Every reader of it handles all that there is, whatever the number of bytes."""

    __slots__ = ()

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        """Take all wake-ups."""
        return super().recv(GATHERED)


@contextmanager
def gathered(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Gather the wake-ups of what grpcio binds to the loop within the block."""
    add_reader = loop.add_reader

    def watch(fd: Any, callback: Callable[..., object], *arguments: Any) -> None:
        handler = getattr(callback, "func", callback)
        if type(fd) is socket.socket and isinstance(getattr(handler, "__self__", None), PollerCompletionQueue):
            fd.__class__ = _Gathered
        add_reader(fd, callback, *arguments)

    loop.add_reader = watch  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del loop.add_reader
