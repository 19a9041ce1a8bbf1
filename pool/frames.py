"""The frames between the front and a worker: no IO.

A frame is `<length u32, kind u8, call id u64>` and `length` bytes. A call's body starts with its deadline and the
lengths of two fields; a result's with its status, its times and the length of one field. Both ends import this module,
so a frame has one definition. All integers are little-endian.
"""

import time
from functools import lru_cache
from struct import Struct

from pool.errors import FrameError

HEADER = Struct("<IBQ")
HEADER_SIZE = HEADER.size
_CALL = Struct("<dHI")
_CALL_FRAME = Struct(HEADER.format + _CALL.format[1:])
_RESULT = Struct("<?Qq?I")
_CREDIT = Struct("<I")
_ASK = Struct("<IH")
_ANSWER = Struct("<I?")

MAX_FRAME_BYTES = 2**32 - 1
"""The largest body a frame can state; settings keep messages far below."""

# front -> worker
INIT = 1
CALL = 2
STREAM = 3
CANCEL = 4
CREDIT = 5
STOP = 6
ANSWER = 7
LINED = 0x40
"""Added to CALL or STREAM: the call was sent ahead, and is begun only by who takes its token (`pool.tokens`)."""
# worker -> front
READY = 16
RESULT = 17
CHUNK = 18
FAILED = 19
ASK = 20
FROM_WORKER = frozenset((READY, RESULT, CHUNK, FAILED, ASK))

STREAM_WINDOW = 1 << 20
"""Bytes of chunks that a worker may send ahead of the reader."""
CHUNK_OVERHEAD = 64
"""What a chunk costs beside its bytes, so that empty chunks are bounded as well."""

OPEN_ASKS = 256
"""Asks of one call that may be without an answer at a time."""
ASK_BYTES = 64 << 20
"""The largest body of an ask or an answer."""
ASK_NAME_BYTES = 128


class Reply:
    """The end of a call. `ok` is false where user code failed; `meta` then says how."""

    __slots__ = ("body", "meta", "ok", "rss_change", "worker_ns")

    def __init__(self, ok: bool, meta: bytes, body: bytes, worker_ns: int = 0, rss_change: int | None = None) -> None:
        self.ok = ok
        self.meta = meta
        self.body = body
        self.worker_ns = worker_ns
        self.rss_change = rss_change

    def __repr__(self) -> str:
        return f"Reply(ok={self.ok}, meta={len(self.meta)} B, body={len(self.body)} B, worker_ns={self.worker_ns})"


class Request:
    """A call as a worker reads it. `timeout_s` is what is left of its deadline, None for none."""

    __slots__ = ("body", "call_id", "function", "meta", "stream", "timeout_s")

    def __init__(
        self, call_id: int, stream: bool, timeout_s: float | None, function: str, meta: bytes, body: bytes
    ) -> None:
        self.call_id = call_id
        self.stream = stream
        self.timeout_s = timeout_s
        self.function = function
        self.meta = meta
        self.body = body


def pack(kind: int, call_id: int = 0, body: bytes = b"") -> bytes:
    """Return a whole frame."""
    return HEADER.pack(len(body), kind, call_id) + body


@lru_cache(maxsize=4096)
def _encoded(function: str) -> bytes:
    return function.encode("utf-8")


def call_head(kind: int, call_id: int, deadline: float, function: str, meta: bytes, size: int) -> bytes:
    """Return all of a CALL or STREAM frame but the last `size` bytes, the request itself.

    `deadline` is on the machine's monotonic clock, which both ends share; -1 for none.
    """
    name = _encoded(function)
    extra = len(name) + len(meta)
    return _CALL_FRAME.pack(_CALL.size + extra + size, kind, call_id, deadline, len(name), len(meta)) + name + meta


def read_call(kind: int, call_id: int, body: memoryview) -> Request:
    """Read the body of a CALL or STREAM frame."""
    deadline, function_size, meta_size = _CALL.unpack_from(body)
    meta_at = _CALL.size + function_size
    body_at = meta_at + meta_size
    return Request(
        call_id,
        kind & ~LINED == STREAM,
        None if deadline < 0 else max(0.0, deadline - time.monotonic()),
        str(body[_CALL.size : meta_at], "utf-8"),
        bytes(body[meta_at:body_at]),
        bytes(body[body_at:]),
    )


def result_head(call_id: int, ok: bool, meta: bytes, size: int, worker_ns: int, rss_change: int | None) -> bytes:
    """Return all of a RESULT frame but the last `size` bytes, the response itself."""
    length = _RESULT.size + len(meta) + size
    known = rss_change is not None
    return HEADER.pack(length, RESULT, call_id) + _RESULT.pack(ok, worker_ns, rss_change or 0, known, len(meta)) + meta


def read_result(body: memoryview) -> Reply:
    """Read the body of a RESULT frame. Raises FrameError where it states more than it has."""
    if len(body) < _RESULT.size:
        raise FrameError(f"a result of {len(body)} bytes, expected at least {_RESULT.size}")
    ok, worker_ns, rss_change, known, meta_size = _RESULT.unpack_from(body)
    body_at = _RESULT.size + meta_size
    if body_at > len(body):
        raise FrameError(f"a result that states {meta_size} bytes of meta in a body of {len(body)}")
    return Reply(
        ok, bytes(body[_RESULT.size : body_at]), bytes(body[body_at:]), worker_ns, rss_change if known else None
    )


def pack_credit(call_id: int, amount: int) -> bytes:
    """Return a frame that lets the worker send `amount` more bytes of chunks."""
    return pack(CREDIT, call_id, _CREDIT.pack(amount))


def read_credit(body: memoryview) -> int:
    """Read the body of a CREDIT frame."""
    return int(_CREDIT.unpack(body)[0])


def ask_head(call_id: int, ask_id: int, name: bytes, size: int) -> bytes:
    """Return all of an ASK frame but the last `size` bytes, what is asked with."""
    return HEADER.pack(_ASK.size + len(name) + size, ASK, call_id) + _ASK.pack(ask_id, len(name)) + name


def read_ask(body: memoryview) -> tuple[int, str, bytes]:
    """Read the body of an ASK frame as (ask id, name, bytes). Raises FrameError for what no worker may send."""
    if len(body) < _ASK.size:
        raise FrameError(f"an ask of {len(body)} bytes, expected at least {_ASK.size}")
    ask_id, name_size = _ASK.unpack_from(body)
    body_at = _ASK.size + name_size
    if name_size > ASK_NAME_BYTES or body_at > len(body) or len(body) - body_at > ASK_BYTES:
        raise FrameError(
            f"an ask that states a name of {name_size} bytes in a body of {len(body)}; at most {ASK_NAME_BYTES} and "
            f"{ASK_BYTES} bytes go"
        )
    try:
        return ask_id, str(body[_ASK.size : body_at], "utf-8"), bytes(body[body_at:])
    except UnicodeDecodeError:
        raise FrameError("an ask whose name is not UTF-8") from None


def answer_head(call_id: int, ask_id: int, ok: bool, size: int) -> bytes:
    """Return all of an ANSWER frame but the last `size` bytes, what is answered."""
    return HEADER.pack(_ANSWER.size + size, ANSWER, call_id) + _ANSWER.pack(ask_id, ok)


def read_answer(body: memoryview) -> tuple[int, tuple[bool, bytes]]:
    """Read the body of an ANSWER frame as (ask id, (ok, bytes))."""
    ask_id, ok = _ANSWER.unpack_from(body)
    return ask_id, (ok, bytes(body[_ANSWER.size :]))


def chunk_cost(size: int) -> int:
    """Return what a chunk of `size` bytes takes of the window."""
    return size + CHUNK_OVERHEAD


class FrameReader:
    """Cuts a stream of bytes into frames. The owner reads into `space()` and then calls `filled(n)`.

    Small frames come out of one reused buffer; a frame larger than that gets a buffer of its exact size, so that
    nothing is copied twice and nothing grows by appending.
    """

    __slots__ = ("_big", "_big_filled", "_big_head", "_buffer", "_end", "_kinds", "_limit", "_start", "_view")

    def __init__(
        self, limit: int = MAX_FRAME_BYTES, buffer_size: int = 65536, kinds: frozenset[int] | None = None
    ) -> None:
        self._limit = limit
        self._kinds = kinds
        self._buffer = bytearray(buffer_size)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._big: memoryview | None = None
        self._big_filled = 0
        self._big_head = (0, 0)

    def space(self) -> memoryview:
        """Return where the next bytes belong; never empty."""
        if self._big is not None:
            return self._big[self._big_filled :]
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._buffer):
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._end -= self._start
            self._start = 0
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Say that `count` bytes were read into `space()`."""
        if self._big is not None:
            self._big_filled += count
        else:
            self._end += count

    def next(self) -> tuple[int, int, memoryview] | None:
        """Return the next whole frame as (kind, call id, body), or None. The body is valid until `space` is called.

        Raises FrameError where a frame states more than the limit, or is not of the `kinds` that are expected and has
        not come as a whole: text that user code wrote to the socket must not be taken for the head of a huge frame.
        """
        if self._big is not None:
            if self._big_filled < len(self._big):
                return None
            body, self._big = self._big, None
            return (*self._big_head, body)
        available = self._end - self._start
        if available < HEADER_SIZE:
            return None
        length, kind, call_id = HEADER.unpack_from(self._buffer, self._start)
        if length > self._limit:
            raise FrameError(f"a frame of {length} bytes, the limit is {self._limit}")
        body_at = self._start + HEADER_SIZE
        if available >= HEADER_SIZE + length:
            self._start = body_at + length
            return kind, call_id, self._view[body_at : self._start]
        if self._kinds is not None and kind not in self._kinds:
            raise FrameError(f"a frame of unknown kind {kind}")
        if HEADER_SIZE + length > len(self._buffer):
            self._begin_big(length, kind, call_id, body_at)
        return None

    def _begin_big(self, length: int, kind: int, call_id: int, body_at: int) -> None:
        self._big = memoryview(bytearray(length))
        self._big_filled = self._end - body_at
        self._big[: self._big_filled] = self._view[body_at : self._end]
        self._big_head = (kind, call_id)
        self._start = self._end = 0
