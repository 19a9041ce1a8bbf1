"""The arguments of a large request, found in its bytes without copying them.

protobuf copies every field that it parses, and again whenever bytes are read from it. So the large fields (tensors,
blobs, raw bytes) are found here by hand, as views of the request; what is left is small and is parsed by protobuf. A
request that is in any way unusual is left to protobuf as a whole: what is valid, and what it means, is decided there.
Owns no state; knows nothing of functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from google.protobuf.message import Message

Body = Literal["json", "msgpack", "raw"]

LARGE_BYTES = 64 << 10
"""From this size on a request is worth the look: below, protobuf's copies cost less."""
_ARGUMENTS = 2
_BODIES: dict[int, Body] = {1: "json", 2: "msgpack", 3: "raw"}
_TENSORS, _TENSOR_DATA = 4, 4
_BLOBS, _BLOB_DATA = 5, 3
_BYTES, _VARINT = 2, 0


class LargeTensor(NamedTuple):
    """A `Tensor` whose data is a view of the request."""

    name: str
    dtype: str
    shape: Sequence[int]
    data: memoryview


class LargeBlob(NamedTuple):
    """A `Blob`; its data is bytes, since functions take those."""

    name: str
    media_type: str
    data: bytes


class LargePayload:
    """A `Payload`, as far as the codec reads one. Of `json`, `msgpack` and `raw` that one is set which `body` names."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.json = ""
        self.msgpack = b""
        self.raw = b""
        self.tensors: list[LargeTensor] = []
        self.blobs: list[LargeBlob] = []

    def WhichOneof(self, _group: str) -> Body | None:  # noqa: N802  # protobuf's name
        """Return which body it has."""
        return self.body


class _Unusual(Exception):
    """Left to protobuf."""


class _Field(NamedTuple):
    number: int
    at: int
    """Where its tag stands."""
    value: int
    end: int
    kind: int


def read_arguments(request: bytes) -> LargePayload | None:
    """Return the arguments in a serialized CallRequest or StreamCallRequest; None where protobuf is to parse it."""
    view = memoryview(request)
    try:
        found = [field for field in _fields(view, 0, len(view)) if field.number == _ARGUMENTS]
        if len(found) != 1 or found[0].kind != _BYTES:
            return None
        return _payload(view, found[0].value, found[0].end)
    except (_Unusual, IndexError, UnicodeDecodeError, DecodeError):
        return None


def read_number(request: bytes, number: int) -> int:
    """Return a number that stands in a field of a serialized message; 0 where it does not."""
    view, found = memoryview(request), 0
    try:
        for field in _fields(view, 0, len(view)):
            if field.number == number and field.kind == _VARINT:
                found, _ = _varint(view, field.value)
    except (_Unusual, IndexError):
        return 0
    return found


def _fields(view: memoryview, at: int, end: int) -> Iterator[_Field]:
    while at < end:
        start = at
        tag, at = _varint(view, at)
        kind, number = tag & 7, tag >> 3
        if kind == _BYTES:
            size, value = _varint(view, at)
            at = value + size
        elif kind == _VARINT:
            value = at
            _, at = _varint(view, at)
        else:
            raise _Unusual
        if at > end or number == 0:
            raise _Unusual
        yield _Field(number, start, value, at, kind)


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    number = view[at]
    if number < 0x80:
        return number, at + 1
    number &= 0x7F
    for index in range(1, 10):
        byte = view[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, at + index + 1
    raise _Unusual


def _payload(view: memoryview, at: int, end: int) -> LargePayload:
    from bridge.v1 import common_pb2

    payload = LargePayload()
    for field in _fields(view, at, end):
        if field.kind != _BYTES:
            raise _Unusual
        if field.number in _BODIES:
            if payload.body is not None:
                raise _Unusual
            payload.body = _BODIES[field.number]
            value = view[field.value : field.end]
            setattr(payload, payload.body, str(value, "utf-8") if payload.body == "json" else bytes(value))
        elif field.number == _TENSORS:
            tensor, data = _apart(view, field, _TENSOR_DATA, common_pb2.Tensor)
            payload.tensors.append(LargeTensor(tensor.name, tensor.dtype, tensor.shape, data))
        elif field.number == _BLOBS:
            blob, data = _apart(view, field, _BLOB_DATA, common_pb2.Blob)
            payload.blobs.append(LargeBlob(blob.name, blob.media_type, bytes(data)))
        else:
            raise _Unusual
    return payload


def _apart(view: memoryview, message: _Field, data_field: int, kind: type[Message]) -> tuple[Any, memoryview]:
    """Return a message without its data, parsed, and a view of the data."""
    data, rest = None, []
    for field in _fields(view, message.value, message.end):
        if field.number != data_field:
            rest.append(view[field.at : field.end])
        elif data is not None or field.kind != _BYTES:
            raise _Unusual
        else:
            data = view[field.value : field.end]
    return kind.FromString(b"".join(rest)), view[:0] if data is None else data
