"""Packs on the wire: many small calls of one function in one frame, their results in as few as they fit into.

A PACK frame is a call whose body has one entry per member and whose meta is the number of its tokens; PACKED frames
have records of results, and a RESULT ends the pack. Until it sends them, the worker keeps results in memory that the
front can read: those of calls that have ended are not lost with a worker that dies in the next. Imported by the child.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from struct import Struct

from pool import frames
from pool.entry import Result
from pool.errors import FrameError
from pool.frames import Request
from pool.tokens import Tokens

_MEMBER = Struct("<HI")
_RECORD = Struct("<H?QII")
_OUTBOX = Struct("<QQ")

SEND_NS = 1_000_000
"""How long the results of a pack may wait for the next."""

Record = tuple[int, bool, int, bytes, bytes]
"""A member's result: its index, whether it is ok, nanoseconds in the worker, meta and body."""


def members(calls: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the calls of a pack, of pairs of meta and body."""
    pack = _MEMBER.pack
    parts: list[bytes] = []
    for meta, body in calls:
        parts += (pack(len(meta), len(body)), meta, body)
    return b"".join(parts)


def read_members(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return the calls of a pack as pairs of meta and body."""
    at = 0
    while at < len(data):
        meta_size, body_size = _MEMBER.unpack_from(data, at)
        at += _MEMBER.size
        body_at = at + meta_size
        meta = data[at:body_at]
        at = body_at + body_size
        yield meta, data[body_at:at]


def record(index: int, ok: bool, meta: bytes, body: bytes, worker_ns: int) -> bytes:
    """Return a result."""
    return _RECORD.pack(index, ok, worker_ns, len(meta), len(body)) + meta + body


def read_records(data: bytes) -> list[Record]:
    """Return results. Raises FrameError where they are cut off."""
    records, at, end, size, unpack = [], 0, len(data), _RECORD.size, _RECORD.unpack_from
    while at < end:
        if at + size > end:
            raise FrameError(f"{end - at} bytes of a result in a pack, expected at least {size}")
        index, ok, worker_ns, meta_size, body_size = unpack(data, at)
        meta_at = at + size
        body_at = meta_at + meta_size
        at = body_at + body_size
        records.append((index, ok, worker_ns, data[meta_at:body_at] if meta_size else b"", data[body_at:at]))
    if at > end:
        raise FrameError("a result in a pack that states more bytes than there are")
    return records


class Outbox:
    """What the worker keeps of one pack or stream, in shared memory: its call, where its bytes end, then the bytes."""

    __slots__ = ("_end", "_memory")

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._end = _OUTBOX.size

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return self._end

    def begin(self, call_id: int) -> None:
        """Start with a pack or a stream, or empty what was sent of it."""
        self._end = _OUTBOX.size
        _OUTBOX.pack_into(self._memory, 0, call_id, self._end)

    def add(self, call_id: int, result: bytes) -> bool:
        """Add a result; False where there is no room."""
        end = self._end + len(result)
        if end > len(self._memory):
            return False
        self._memory[self._end : end] = result
        self._end = end
        _OUTBOX.pack_into(self._memory, 0, call_id, end)
        return True

    def content(self) -> bytes:
        """Return what has been added since `begin`."""
        return bytes(self._memory[_OUTBOX.size : self._end])


def left_behind(memory: memoryview, call_id: int) -> list[Record]:
    """Return the results of a pack that a worker has not sent; none where what it left can not be read."""
    owner, end = _OUTBOX.unpack_from(memory)
    if owner != call_id or not _OUTBOX.size <= end <= len(memory):
        return []
    try:
        return read_records(bytes(memory[_OUTBOX.size : end]))
    except FrameError:
        return []


def run(
    request: Request,
    tokens: Tokens,
    call: Callable[[Request, int, bytes, bytes], Result | None],
    send: Callable[[bytes, bytes], None],
) -> bytes:
    """Run the members one after another, while the front leaves them here.

    `call(request, index, meta, body)` returns None for one that nobody waits for. Results that have waited for long, or
    have no room, are sent at once; the frame with the last ones is returned.
    """
    pack_id, sent = request.call_id, time.perf_counter_ns()
    outbox, has_token = Outbox(tokens.outbox), tokens.taker(request.meta[0])
    outbox.begin(pack_id)
    for index, (meta, body) in enumerate(read_members(request.body)):
        if not has_token():
            break
        started = time.perf_counter_ns()
        answered = call(request, index, meta, body)
        if answered is None:
            continue
        ok, reply_meta, reply = answered
        ended = time.perf_counter_ns()
        result = record(index, ok, reply_meta, reply, ended - started)
        full = not outbox.add(pack_id, result)
        if full or ended - sent > SEND_NS:
            results = outbox.content() + result if full else outbox.content()
            send(frames.HEADER.pack(len(results), frames.PACKED, pack_id), results)
            outbox.begin(pack_id)
            sent = ended
    rest = outbox.content()
    return frames.HEADER.pack(len(rest), frames.PACKED, pack_id) + rest
