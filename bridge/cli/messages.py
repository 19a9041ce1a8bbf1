"""Protobuf messages as plain values for `--json`. Pure.

Unlike protobuf's own JSON, 64-bit numbers stay numbers, durations are seconds (`age` becomes `age_s`) and enums are
their names in small letters without the prefix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration

if TYPE_CHECKING:
    from google.protobuf.message import Message


def plain(message: Message) -> dict[str, Any]:
    """Return a message as a dict with every field; one that is absent is None."""
    values: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        raw = getattr(message, field.name)
        key = field.name
        if field.message_type is not None and field.message_type.full_name == Duration.DESCRIPTOR.full_name:
            key += "_s"
        if field.is_repeated:
            values[key] = [_plain_value(field, item) for item in raw]
        elif field.has_presence and not message.HasField(field.name):
            values[key] = None
        else:
            values[key] = _plain_value(field, raw)
    return values


def _plain_value(field: Any, value: Any) -> Any:
    if isinstance(value, Duration):
        return value.ToTimedelta().total_seconds()
    if field.message_type is not None:
        return plain(value)
    if field.enum_type is not None:
        return enum_name(field.enum_type.values_by_number[value].name, field.enum_type.values_by_number[0].name)
    return value


def enum_name(name: str, first: str) -> str:
    """Return `POOL_STATE_READY` as `ready`; `first` is the name of the enum's value 0, ..._UNSPECIFIED."""
    return name.removeprefix(first.removesuffix("UNSPECIFIED")).lower()
