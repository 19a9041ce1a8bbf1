"""The chunks of one streaming call between the worker that sends and the reader that takes.

Owns the chunks not yet taken, which the worker's credit bounds: credit goes back only as chunks are taken, so a slow
reader suspends the producer and memory stays flat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pool.frames import STREAM_WINDOW, Reply, chunk_cost


class StreamBuffer:
    """One reader at a time takes what has come. It ends with `future`, the end of the call, at the latest.

    `credit(amount)`, set when the call starts, returns room to the worker.
    """

    __slots__ = ("_chunks", "_discarding", "_ended", "_loop", "_owed", "_waiter", "credit")

    def __init__(self, future: asyncio.Future[Reply]) -> None:
        self.credit: Callable[[int], None] | None = None
        self._loop = future.get_loop()
        self._chunks: list[bytes] = []
        self._owed = 0
        self._ended = False
        self._discarding = False
        self._waiter: asyncio.Future[None] | None = None
        future.add_done_callback(self._on_end)

    def _on_end(self, _future: asyncio.Future[Reply]) -> None:
        self.end()

    def put(self, chunk: bytes) -> None:
        """Add a chunk that the worker sent."""
        if self._discarding:
            self._pay(chunk_cost(len(chunk)))
            return
        self._chunks.append(chunk)
        self._wake()

    def end(self) -> None:
        """Say that no chunk follows."""
        self._ended = True
        self._wake()

    def discard(self) -> None:
        """Drop what is here and what still comes, so that the producer is not held back before it notices."""
        self._discarding = True
        self._pay(sum(chunk_cost(len(chunk)) for chunk in self._chunks))
        self._chunks.clear()

    async def take(self) -> list[bytes]:
        """Return all chunks that have come, waiting for one; an empty list at the end."""
        while not self._chunks and not self._ended:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunks, self._chunks = self._chunks, []
        if chunks and not self._ended:
            self._pay(sum(chunk_cost(len(chunk)) for chunk in chunks))
        return chunks

    def _pay(self, amount: int) -> None:
        """Return credit, in lumps: a frame per chunk would cost as much as the chunk."""
        self._owed += amount
        if self._owed >= STREAM_WINDOW // 4 and self.credit is not None:
            self.credit(self._owed)
            self._owed = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
