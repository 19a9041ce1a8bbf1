"""A stream of one request between the main process and a front: bounded both ways, at either end. No IO of its own.

Owns what has come and is not taken yet, and the window of what goes out. One side's `take` gives the other side room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from bridge.fronts import wire

if TYPE_CHECKING:
    from bridge.fronts.link import Link

TOLD_AT_ONCE = wire.WINDOW // 4
"""The other end is told of room when there is so much of it."""


class Stream:
    """Messages of one request, in and out."""

    __slots__ = ("_came", "_ended", "_link", "_loop", "_news", "_request", "_room", "_taken", "_window")

    def __init__(self, link: Link, request: int, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._request = request
        self._loop = loop
        self._window = wire.WINDOW
        self._room: asyncio.Future[None] | None = None
        self._came: deque[bytes] = deque()
        self._ended = False
        self._news: asyncio.Future[None] | None = None
        self._taken = 0

    async def wait_for_room(self) -> None:
        """Wait until a message may go out."""
        while self._window <= 0:
            self._room = self._loop.create_future()
            await self._room

    async def write(self, message: bytes) -> None:
        """Send a message; waits while the other end has taken too few of those before it."""
        if self._window <= 0:
            await self.wait_for_room()
        self._window -= wire.message_cost(len(message))
        self._link.send(wire.MESSAGE, self._request, 0, b"", message)

    def credit(self, amount: int) -> None:
        """Take note that the other end has taken so much."""
        self._window += amount
        if self._window > 0 and self._room is not None and not self._room.done():
            self._room.set_result(None)

    def came(self, message: bytes) -> None:
        """Take a message in."""
        self._came.append(message)
        self._tell()

    def end(self) -> None:
        """No more messages come."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def read(self) -> bytes | None:
        """Return the next message, which gives the other end room for more; None after the last."""
        while not self._came:
            if self._ended:
                return None
            self._news = self._loop.create_future()
            await self._news
        message = self._came.popleft()
        self._taken += wire.message_cost(len(message))
        if self._taken >= TOLD_AT_ONCE:
            self._link.send(wire.CREDIT, self._request, self._taken)
            self._taken = 0
        return message
