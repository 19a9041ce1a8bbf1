"""Several calls in one: how the front puts them into the body of a single call, and how their answers come back.

The front calls a function by the method `METHOD`; the body holds the members, each with its own `CallMeta` and request.
A handler that is declared with a `BatchRule` answers all of them. Pools see one call. All integers are little-endian.
Pure: it must not know what functions do, nor how calls were gathered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import NamedTuple

import msgspec

from handlers.contract import CallMeta, ErrorRecord, ReplyMeta

METHOD = "batch"
"""`CallMeta.method` of a call that holds several."""

_COUNT = Struct("<I")
_LIMIT = Struct("<Q")
_MEMBER = Struct("<II")
_ANSWER = Struct("<?dII")
_decode_meta = msgspec.msgpack.Decoder(CallMeta).decode
_encode = msgspec.msgpack.Encoder().encode


class Member(NamedTuple):
    """One call of a batch, as a worker reads it."""

    meta: CallMeta
    request: bytes


class Answer(NamedTuple):
    """What became of one member. `weight` is its part of the work, in a unit that is the same for all members.

    Where `ok` is false, `meta` is a `ReplyMeta` with the error.
    """

    ok: bool
    weight: float
    meta: bytes
    body: bytes


def pack(members: Sequence[tuple[bytes, bytes]], limit: int) -> bytes:
    """Return the body of a batch from its members' encoded metas and requests; its reply may have `limit` bytes."""
    sizes = [_MEMBER.pack(len(meta), len(request)) for meta, request in members]
    parts = (part for member in members for part in member)
    return b"".join((_LIMIT.pack(limit), _COUNT.pack(len(members)), *sizes, *parts))


def unpack(body: bytes) -> tuple[list[Member], int]:
    """Return the members of a batch and the limit of its reply. Raises ValueError for what `pack` has not made."""
    if len(body) < _LIMIT.size:
        raise ValueError(f"a batch of {len(body)} bytes")
    parts = _parts(body[_LIMIT.size :], _MEMBER)
    return [Member(_decode_meta(meta), request) for _, (meta, request) in parts], int(_LIMIT.unpack_from(body)[0])


def pack_answers(answers: Iterable[Answer], limit: int) -> bytes:
    """Return the body of a batch's reply: the answers in the order of the members.

    Those that no longer fit into one message of `limit` bytes become failures.
    """
    answers = _bounded(answers, limit)
    heads = [_ANSWER.pack(ok, weight, len(meta), len(body)) for ok, weight, meta, body in answers]
    data = (part for answer in answers for part in (answer.meta, answer.body))
    return b"".join((_COUNT.pack(len(answers)), *heads, *data))


def unpack_answers(body: bytes) -> list[Answer]:
    """Return the answers in a batch's reply. Raises ValueError for what `pack_answers` has not made."""
    return [Answer(head[0], head[1], meta, data) for head, (meta, data) in _parts(body, _ANSWER)]


def good(body: bytes, weight: float = 1.0) -> Answer:
    """Return the answer of a member that went well."""
    return Answer(True, weight, b"", body)


def failed(record: ErrorRecord, weight: float = 1.0) -> Answer:
    """Return the answer of a member that failed."""
    return Answer(False, weight, _encode(ReplyMeta(error=record)), b"")


def _bounded(answers: Iterable[Answer], limit: int) -> list[Answer]:
    kept, size = [], _COUNT.size
    for answer in answers:
        size += _ANSWER.size + len(answer.meta) + len(answer.body)
        if size <= limit:
            kept.append(answer)
            continue
        size -= len(answer.body)
        kept.append(failed(_no_room(len(answer.body), limit), answer.weight))
    return kept


def _no_room(size: int, limit: int) -> ErrorRecord:
    message = (
        f"the result has {size} bytes, and with those of the calls that ran together with it that is more than the "
        f"{limit} that may be sent; lower the function's max_items or raise server.max_message_bytes"
    )
    metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
    return ErrorRecord(code="RESOURCE_EXHAUSTED", reason="MESSAGE_TOO_LARGE", message=message, metadata=metadata)


def _parts(body: bytes, head: Struct) -> list[tuple[tuple[bool, float], tuple[bytes, bytes]]]:
    """Return (what the head says beside the sizes, the two parts) of each item. Raises ValueError."""
    if len(body) < _COUNT.size:
        raise ValueError(f"a batch of {len(body)} bytes")
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size + count * head.size
    if at > len(body):
        raise ValueError(f"a batch of {len(body)} bytes that states {count} members")
    found = []
    for index in range(count):
        *said, first, second = head.unpack_from(body, _COUNT.size + index * head.size)
        middle, end = at + first, at + first + second
        if end > len(body):
            raise ValueError(f"a batch of {len(body)} bytes whose member {index} ends at {end}")
        found.append((tuple(said), (body[at:middle], body[middle:end])))
        at = end
    return found
