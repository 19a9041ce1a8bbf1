"""Reading the name out of a request without parsing the rest: the front routes bytes, workers parse them.

Every request that is forwarded to a worker has its function, program, metric or model in field 1, a string. Messages
are written in the order of fields, so the name stands at the start; where it does not, the message is parsed.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from bridge.errors import malformed

_TAG = 0x0A
"""Field 1, length-delimited."""
_AGGREGATE = b"\x18\x01"
"""Field 3, true."""
_PART = b"\xa2"
"""The first byte of a message that has a part of an item."""
_ITEMS = b"\x12"
"""Field 2, length-delimited."""
ITEMS_BYTES = 1 << 20
"""Items go together into messages of about this size: clients take 4 MiB unless told otherwise."""
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED = {1: 8, 5: 4}


def first_name(request: bytes, message: type[Message], field: str) -> str:
    """Return the string in field 1 of a serialized `message`, whose name is `field`; "" where it is not set."""
    if begins_with_name(request):
        try:
            return request[2 : 2 + request[1]].decode("utf-8")
        except UnicodeDecodeError:
            raise malformed(message.DESCRIPTOR.name) from None
    try:
        return str(getattr(message.FromString(request), field))
    except DecodeError:
        raise malformed(message.DESCRIPTOR.name) from None


def begins_with_name(request: bytes) -> bool:
    """Return whether field 1 stands at the start, of fewer than 128 bytes: tag, length in one byte, name."""
    return len(request) > 1 and request[0] == _TAG and request[1] < 0x80 and 2 + request[1] <= len(request)


def wants_items(request: bytes) -> bool:
    """Return whether a serialized `StreamCallRequest` has `aggregate` set; its arguments are not looked into."""
    return _AGGREGATE in request and bool(varint_field(request, _AGGREGATE[0] >> 3, "StreamCallRequest"))


def varint_field(request: bytes, field: int, message: str) -> int:
    """Return the integer in a field, numbered up to 15, of a serialized message; 0 where it is not set.

    The other fields are not looked into.
    """
    tag = field << 3
    if tag not in request:
        return 0
    found = at = 0
    try:
        while at < len(request):
            this, at = _varint(request, at)
            kind = this & 7
            if kind == _VARINT:
                value, at = _varint(request, at)
                found = value if this == tag else found
            elif kind == _LENGTH_DELIMITED:
                size, at = _varint(request, at)
                at += size
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError):
        raise malformed(message) from None
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer that stands at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def join_items(messages: list[bytes]) -> list[bytes]:
    """Return serialized `StreamCallResponse`s with one `item` each as a few with `items`; parts of items stay apart."""
    joined: list[bytes] = []
    parts: list[bytes | memoryview] = []
    size = 0
    for message in messages:
        if message[:1] == _PART:
            if parts:
                joined.append(b"".join(parts))
                parts, size = [], 0
            joined.append(message)
            continue
        if len(message) > ITEMS_BYTES:
            parts += (_ITEMS, memoryview(message)[1:])
        else:
            parts.append(_ITEMS + message[1:] if message else _ITEMS + b"\0")
        size += len(message)
        if size > ITEMS_BYTES:
            joined.append(b"".join(parts))
            parts, size = [], 0
    if parts:
        joined.append(b"".join(parts))
    return joined
