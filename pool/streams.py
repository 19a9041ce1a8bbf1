"""The chunks of one streaming call between the worker that sends and the reader that takes.

Owns the chunks not yet taken, which the worker's credit bounds: credit goes back only as chunks are taken, so a slow
reader suspends the producer and memory stays flat. Where a worker keeps chunks to send several at once, a reader that
waits has them looked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pool import chunked
from pool.errors import FrameError
from pool.frames import CHUNK, CHUNK_OVERHEAD, STREAM_WINDOW, Body, Reply, read_chunk

if TYPE_CHECKING:
    from pool.calls import Call
    from pool.tokens import Tokens

LOOK_S = 0.002
LOOK_MAX_S = 0.064
"""How often, while its reader waits, what a worker has kept is looked for: seldomer by and by."""


class StreamBuffer:
    """One reader at a time takes what has come. It ends with `future`, the end of the call, at the latest.

    `credit(amount)`, set when the call starts, returns room to the worker. `kept`, where it is set, returns what the
    worker has kept, as `chunked.read` does.
    """

    __slots__ = ("_came", "_chunks", "_discarding", "_ended", "_loop", "_owed", "_timer", "_waiter", "credit", "kept")

    def __init__(self, future: asyncio.Future[Reply]) -> None:
        self.credit: Callable[[int], None] | None = None
        self.kept: Callable[[], tuple[int, list[bytes]]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._came = 0
        """Chunks that have come."""
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
        """Add a chunk that the worker sent by itself: it has kept none."""
        self.kept = None
        self._came += 1
        if self._discarding:
            self._pay(len(chunk) + CHUNK_OVERHEAD)
            return
        self._chunks.append(chunk)
        self._wake()

    def put_all(self, first: int, chunks: list[bytes]) -> None:
        """Add chunks of which the first has this number; those that have come before are left out. FrameError."""
        if first > self._came:
            raise FrameError(f"a stream's chunks from number {first} on, expected those from {self._came} on")
        new = chunks[self._came - first :]
        self._came += len(new)
        if self._discarding:
            self._pay(_cost(new))
        elif new:
            self._chunks += new
            self._wake()

    def take_kept(self) -> None:
        """Add what the worker has kept."""
        if self.kept is not None:
            first, chunks = self.kept()
            if first <= self._came:
                self.put_all(first, chunks)

    def _look(self, pause_s: float) -> None:
        self.take_kept()
        if self._waiter is not None and not self._waiter.done():
            self._timer = self._loop.call_later(pause_s, self._look, min(2 * pause_s, LOOK_MAX_S))

    def end(self) -> None:
        """Say that no chunk follows."""
        self._ended = True
        self._wake()

    def discard(self) -> None:
        """Drop what is here and what still comes, so that the producer is not held back before it notices."""
        self._discarding = True
        self._pay(_cost(self._chunks))
        self._chunks.clear()

    async def take(self) -> list[bytes]:
        """Return all chunks that have come, waiting for one; an empty list at the end."""
        while not self._chunks and not self._ended:
            self._waiter = self._loop.create_future()
            if self.kept is not None:
                self._timer = self._loop.call_later(LOOK_S, self._look, 2 * LOOK_S)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
        chunks, self._chunks = self._chunks, []
        if chunks and not self._ended:
            self._pay(_cost(chunks))
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


def _cost(chunks: list[bytes]) -> int:
    return sum(map(len, chunks)) + len(chunks) * CHUNK_OVERHEAD


def take_frame(call: Call | None, kind: int, body: Body, tokens: Tokens) -> None:
    """Take a CHUNK or CHUNKS frame of a call. Raises FrameError."""
    if call is None or call.buffer is None or call.lined:
        raise FrameError("a chunk of a call that does not stream now")
    if kind == CHUNK:
        call.buffer.put(read_chunk(body))
        return
    call.buffer.put_all(*chunked.read(bytes(body)))
    if call.buffer.kept is None:
        call.buffer.kept = partial(_left_behind, tokens, call.id)


def _left_behind(tokens: Tokens, call_id: int) -> tuple[int, list[bytes]]:
    return chunked.left_behind(tokens.outbox, call_id)
