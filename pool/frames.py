"""The frames between the front and a worker: no IO.

A frame is `<length u32, kind u8, call id u64>` and `length` bytes. A call's body starts with its deadline and the
lengths of two fields; a result's with its status, its times and the length of one field. Both ends import this module,
so a frame has one definition. All integers are little-endian.
"""

import time
from functools import lru_cache
from struct import Struct
from typing import final

from pool.errors import FrameError

HEADER = Struct("<IBQ")
HEADER_SIZE = HEADER.size
_CALL = Struct("<dHI")
_CALL_FRAME = Struct(HEADER.format + _CALL.format[1:])
_RESULT = Struct("<?Qq?I")
_RESULT_FRAME = Struct(HEADER.format + _RESULT.format[1:])
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
PACK = 8
LINED = 0x40
"""Added to CALL, STREAM or PACK: the call was sent ahead, and is begun only by who takes its token (`pool.tokens`)."""
# worker -> front
READY = 16
RESULT = 17
CHUNK = 18
FAILED = 19
ASK = 20
PACKED = 21
CHUNKS = 22
FROM_WORKER = frozenset((READY, RESULT, CHUNK, FAILED, ASK, PACKED, CHUNKS))

JOINED_BYTES = 65536
"""Up to this many bytes a worker copies a message behind its head, to write both at once."""

STREAM_WINDOW = 1 << 20
"""Bytes of chunks that a worker may send ahead of the reader."""
CHUNK_OVERHEAD = 64
"""What a chunk costs beside its bytes, so that empty chunks are bounded as well."""

OPEN_ASKS = 256
"""Asks of one call that may be without an answer at a time."""
ASK_BYTES = 64 << 20
"""The largest body of an ask or an answer."""
ASK_NAME_BYTES = 128
TOLD = 0
"""The id of an ask that has no answer."""


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


@final
class Large:
    """The body of a CALL, STREAM, RESULT or CHUNK that is larger than the reader's buffer, in two parts.

    What precedes the message, and the message, as the very bytes that it was read into.
    """

    __slots__ = ("payload", "prefix")

    def __init__(self, prefix: bytes, payload: bytes) -> None:
        self.prefix = prefix
        self.payload = payload

    def __bytes__(self) -> bytes:
        return self.prefix + self.payload


Body = memoryview | Large
"""What a frame carries, as a reader returns it."""


def lasting(body: Body) -> Body:
    """Return a body that stays valid whatever the reader does next."""
    return body if type(body) is Large else memoryview(bytes(body))


def pack(kind: int, call_id: int = 0, body: bytes = b"") -> bytes:
    """Return a whole frame."""
    return HEADER.pack(len(body), kind, call_id) + body


@lru_cache(maxsize=4096)
def _encoded(function: str) -> bytes:
    return function.encode("utf-8")


_CALL_SIZE = _CALL.size
_RESULT_SIZE = _RESULT.size
_read_result = _RESULT.unpack_from


def call_head(kind: int, call_id: int, deadline: float, function: str, meta: bytes, size: int) -> bytes:
    """Return all of a CALL, STREAM or PACK frame but the last `size` bytes, the request itself.

    `deadline` is on the machine's monotonic clock, which both ends share; -1 for none.
    """
    name = _encoded(function)
    named, told = len(name), len(meta)
    return _CALL_FRAME.pack(_CALL_SIZE + named + told + size, kind, call_id, deadline, named, told) + name + meta


def read_call(kind: int, call_id: int, body: Body) -> Request:
    """Read the body of a CALL, STREAM or PACK frame."""
    payload = None
    if type(body) is Large:
        payload, body = body.payload, memoryview(body.prefix)
    deadline, function_size, meta_size = _CALL.unpack_from(body)
    meta_at = _CALL.size + function_size
    body_at = meta_at + meta_size
    return Request(
        call_id,
        kind & ~LINED == STREAM,
        None if deadline < 0 else max(0.0, deadline - time.monotonic()),
        str(body[_CALL.size : meta_at], "utf-8"),
        bytes(body[meta_at:body_at]),
        bytes(body[body_at:]) if payload is None else payload,
    )


def result_head(call_id: int, ok: bool, meta: bytes, size: int, worker_ns: int, rss_change: int | None) -> bytes:
    """Return all of a RESULT frame but the last `size` bytes, the response itself."""
    told, known = len(meta), rss_change is not None
    head = _RESULT_FRAME.pack(_RESULT_SIZE + told + size, RESULT, call_id, ok, worker_ns, rss_change or 0, known, told)
    return head + meta if meta else head


def read_result(body: Body) -> Reply:
    """Read the body of a RESULT frame. Raises FrameError where it states more than it has."""
    payload = None
    if type(body) is Large:
        payload, body = body.payload, memoryview(body.prefix)
    size = len(body)
    if size < _RESULT_SIZE:
        raise FrameError(f"a result of {size} bytes, expected at least {_RESULT_SIZE}")
    ok, worker_ns, rss_change, known, meta_size = _read_result(body)
    meta, body_at = b"", _RESULT_SIZE
    if meta_size:
        body_at += meta_size
        if body_at > size:
            raise FrameError(f"a result that states {meta_size} bytes of meta in a body of {size}")
        meta = bytes(body[_RESULT_SIZE:body_at])
    response = bytes(body[body_at:]) if payload is None else payload
    return Reply(ok, meta, response, worker_ns, rss_change if known else None)


def read_chunk(body: Body) -> bytes:
    """Read the body of a CHUNK frame."""
    return body.payload if type(body) is Large else bytes(body)


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


def prefix_size(kind: int, body: memoryview) -> int | None:
    """Return how many bytes of a frame's body precede its message, None where `body`, its beginning, does not say yet.

    0 for a frame that is nothing but its message, -1 for one that is not read in two parts.
    """
    kind &= ~LINED
    if kind == CHUNK:
        return 0
    if kind == RESULT:
        return _RESULT.size + int(_RESULT.unpack_from(body)[4]) if len(body) >= _RESULT.size else None
    if kind in (CALL, STREAM):
        return _CALL.size + sum(_CALL.unpack_from(body)[1:]) if len(body) >= _CALL.size else None
    return -1


def chunk_cost(size: int) -> int:
    """Return what a chunk of `size` bytes takes of the window."""
    return size + CHUNK_OVERHEAD
