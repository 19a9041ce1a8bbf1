"""The values of session variables: from the wire to what is kept, and back. Pure.

A value is kept as MessagePack with the name of its type. Anything that JSON can say may be kept, and bytes; arrays that
travel beside a payload may not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bridge.errors import bad_field
from bridge.v1.common_pb2 import Payload
from handlers import codec
from handlers.errors import HandlerError

if TYPE_CHECKING:
    from handlers.codec import Form

Kind = Literal["bool", "int", "float", "string", "bytes", "list", "map"]
KINDS: dict[type, Kind] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
}
_INSIDE = {*KINDS, type(None)}

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def of_payload(payload: Payload, most_bytes: int) -> tuple[Kind, bytes]:
    """Return the type of a payload's value and the value as MessagePack. Raises SCHEMA_MISMATCH."""
    if payload.tensors or payload.blobs:
        raise bad_field("value", "expected a value by itself, got tensors or blobs beside it; use bytes or lists")
    if payload.ByteSize() > 2 * most_bytes:
        raise too_large(payload.ByteSize(), most_bytes)
    try:
        value = codec.decode_value(payload)
    except HandlerError as error:
        raise bad_field("value", str(error)) from None
    return of_value(value, most_bytes)


def of_packed(packed: bytes, most_bytes: int) -> tuple[Kind, bytes]:
    """Do as `of_payload` for MessagePack."""
    return of_payload(Payload(msgpack=packed), most_bytes)


def of_value(value: Any, most_bytes: int) -> tuple[Kind, bytes]:
    """Return the type of a plain value and the value as MessagePack. Raises SCHEMA_MISMATCH."""
    kind = KINDS.get(type(value))
    if kind is None:
        got = "null" if value is None else type(value).__name__
        raise bad_field(
            "value", f"expected a bool, number, text, bytes, list or map, got {got}; to have no value, delete it"
        )
    _check(value)
    try:
        packed = _pack(value)
    except OverflowError:
        raise bad_field("value", "expected integers of at most 64 bits; send a larger one as text") from None
    except UnicodeEncodeError:
        raise bad_field("value", "expected text that UTF-8 can carry, got a lone surrogate") from None
    if len(packed) > most_bytes:
        raise too_large(len(packed), most_bytes)
    return kind, packed


def too_large(size: int, most_bytes: int) -> Exception:
    """Return the error of a value that is larger than one may be; sizes in bytes."""
    return bad_field(
        "value", f"expected at most {most_bytes} bytes, got {size}; raise sessions.max_value_bytes or keep it elsewhere"
    )


def _check(value: Any) -> None:
    """Refuse what only MessagePack can say: timestamps, keys that are not text."""
    level = [value] if type(value) in (list, dict) else []
    while level:
        deeper: list[Any] = []
        for container in level:
            items = container
            if type(container) is dict:
                if strange := {*map(type, container)} - {str}:
                    raise bad_field("value", f"expected keys that are text, got {strange.pop().__name__}")
                items = container.values()
            kinds = {*map(type, items)}
            if strange := kinds - _INSIDE:
                raise bad_field("value", f"expected what JSON can say, and bytes, got {strange.pop().__name__}")
            if list in kinds or dict in kinds:
                deeper += [item for item in items if type(item) in (list, dict)]
        level = deeper


def widened(packed: bytes) -> bytes | None:
    """Return an integer as the same floating-point number, None where there is none."""
    number = _unpack(packed)
    try:
        wide = float(number)
    except OverflowError:
        return None
    return _pack(wide) if int(wide) == number else None


def to_payload(packed: bytes, form: Form) -> Payload:
    """Return a value in the form that is asked for."""
    return Payload(msgpack=packed) if form == "msgpack" else codec.encode_value(_unpack(packed), form)
