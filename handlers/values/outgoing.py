"""A result on its way out: what the codec writes it into, and the response message made from it with one copy.

protobuf would copy each large field twice: into its message, and out of it. Both responses of InvokeService have the
payload in field 1, so one form serves both. Owns the parts of one result; knows nothing of functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.errors import ResultInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview

_JSON, _MSGPACK, _RAW, _TENSOR = b"\x0a", b"\x12", b"\x1a", b"\x22"
_RESULT = b"\x0a"
_NAME, _DTYPE, _SHAPE, _DATA = b"\x0a", b"\x12", b"\x1a", b"\x22"
_ONE_BYTE = [bytes((number,)) for number in range(0x80)]
SMALL = 1 << 30
MOST_BYTES = (1 << 31) - 1
"""No protobuf message may be larger."""


class Outgoing:
    """A payload that is written once. Set one of `json`, `msgpack` and `raw`; add tensors beside it."""

    __slots__ = ("json", "msgpack", "raw", "tensors")

    def __init__(self) -> None:
        self.json: bytes | None = None
        self.msgpack: bytes | None = None
        self.raw: Buffer | None = None
        self.tensors: list[tuple[str, str, Sequence[int], Buffer]] = []
        """Each as name, dtype, shape and data."""

    def response(self) -> bytes:
        """Return the serialized response. Raises ResultInvalid where it is too large for any message."""
        body: Buffer
        if self.json is not None:
            tag, body = _JSON, self.json
        elif self.msgpack is not None:
            tag, body = _MSGPACK, self.msgpack
        else:
            tag, body = _RAW, self.raw or b""
        head = tag + varint(len(body))
        if not self.tensors and len(body) < SMALL:
            return b"".join((_RESULT, varint(len(head) + len(body)), head, body))
        parts: list[Buffer] = [head, body]
        for tensor in self.tensors:
            parts += _tensor(*tensor)
        size = sum(map(len, parts))
        if size > MOST_BYTES:
            raise ResultInvalid(f"expected a result of less than 2 GiB, got one of {size} bytes")
        return b"".join((_RESULT, varint(size), *parts))


def varint(number: int) -> bytes:
    """Return a number of 0 or more as protobuf writes it."""
    if number < 0x80:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _tensor(name: str, dtype: str, shape: Sequence[int], data: Buffer) -> list[Buffer]:
    """Return one tensor of the payload, in parts. What is empty is left out, as protobuf does."""
    lengths = b"".join(map(varint, shape))
    parts: list[Buffer] = []
    for tag, value in ((_NAME, name.encode()), (_DTYPE, dtype.encode()), (_SHAPE, lengths), (_DATA, data)):
        if len(value):
            parts += (tag, varint(len(value)), value)
    return [_TENSOR, varint(sum(map(len, parts))), *parts]
