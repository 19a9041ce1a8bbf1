"""Chunks that come faster than they can be sent one by one: several in one frame.

The worker sends a chunk as soon as it is made. Only where many have come in quick succession it keeps the next for a
moment, to send several at once, and keeps them in memory that the front can read: what a stream that stands still has
kept is looked for there, so that no chunk waits for the next. Imported by the child.
"""

import time
from collections.abc import Callable
from struct import Struct

from pool import frames
from pool.errors import FrameError
from pool.packed import Outbox

_FIRST = Struct("<Q")
_SIZE = Struct("<I")
_KEPT = Struct("<QQQ")
"""As `Outbox` has it: the call, where its bytes end, and the first of them, the number of the first chunk."""

QUICK_NS = 50_000
"""A chunk is quick that comes so soon after the one before."""
QUICK_CHUNKS = 8
"""So many quick ones in a row are sent by themselves; then they are kept."""
CHUNKS = 32
BYTES = 16_384
"""More are sent; a larger chunk is not kept. Twice as many have room in the shared memory."""
KEEP_NS = 1_000_000
"""How many chunks are kept at most, and for how long; at first fewer, so that the reader has something to do."""


class Keeper:
    """The chunks of one stream, as the worker sends them: `send(head, body)` sends a frame in two parts."""

    __slots__ = ("_call_id", "_kept", "_last", "_most", "_number", "_outbox", "_quick", "_send", "_since")

    def __init__(self, outbox: memoryview, call_id: int, send: Callable[[bytes, bytes], None]) -> None:
        self._outbox = Outbox(outbox)
        self._call_id = call_id
        self._send = send
        self._number = self._kept = self._quick = 0
        self._last = self._since = 0
        self._most = 1

    def add(self, chunk: bytes) -> None:
        """Send a chunk, or keep it for a moment."""
        now = time.perf_counter_ns()
        quick = self._quick = self._quick + 1 if now - self._last < QUICK_NS else 0
        self._last = now
        if (quick < QUICK_CHUNKS and not self._kept) or not self._keep(chunk, now):
            self.flush()
            self._most = 1  # the next that is kept is sent at once, which tells the front to look for others
            self._number += 1
            self._send(frames.HEADER.pack(len(chunk), frames.CHUNK, self._call_id), chunk)
        elif not quick or self._kept >= self._most or self._outbox.size > BYTES or now - self._since > KEEP_NS:
            self._most = min(CHUNKS, 2 * self._most)
            self.flush()

    def _keep(self, chunk: bytes, now: int) -> bool:
        """Keep a chunk; False where it is too large."""
        outbox, call_id, size = self._outbox, self._call_id, len(chunk)
        if size > BYTES:
            return False
        if not self._kept:
            self._since = now
            outbox.begin(call_id)
            outbox.add(call_id, _FIRST.pack(self._number))
        outbox.add(call_id, _SIZE.pack(size) + chunk)
        self._number += 1
        self._kept += 1
        return True

    def flush(self) -> None:
        """Send what is kept."""
        if self._kept:
            self._kept = 0
            body = self._outbox.content()
            self._send(frames.HEADER.pack(len(body), frames.CHUNKS, self._call_id), body)


def read(body: bytes) -> tuple[int, list[bytes]]:
    """Read the body of a CHUNKS frame: the number of its first chunk, from 0, and the chunks. Raises FrameError."""
    at, end, size_of = _FIRST.size, len(body), _SIZE.unpack_from
    if at > end:
        raise FrameError(f"chunks of {end} bytes, expected at least {at}")
    chunks = []
    while at < end:
        if at + _SIZE.size > end:
            raise FrameError(f"{end - at} bytes of a chunk among others, expected at least {_SIZE.size}")
        begins = at + _SIZE.size
        at = begins + size_of(body, at)[0]
        chunks.append(body[begins:at])
    if at > end:
        raise FrameError("a chunk among others that states more bytes than there are")
    return _FIRST.unpack_from(body)[0], chunks


def left_behind(outbox: memoryview, call_id: int) -> tuple[int, list[bytes]]:
    """Return what a worker has kept of a stream, as `read` does; nothing where it changes it at this moment."""
    if len(outbox) < _KEPT.size:
        return 0, []
    owner, end, first = _KEPT.unpack_from(outbox)
    if owner != call_id or not _KEPT.size <= end <= len(outbox):
        return 0, []
    body = bytes(outbox[_KEPT.size - _FIRST.size : end])
    if _KEPT.unpack_from(outbox)[::2] != (owner, first):
        return 0, []
    try:
        return read(body)
    except FrameError:
        return 0, []
