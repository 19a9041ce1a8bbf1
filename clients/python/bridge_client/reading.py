"""Messages into records, field by field, by name and type hint. Owns one plan per record class, made at its first use.

A record's field is the message's of the same name, or of that name with `_s` for a duration, which becomes seconds.
Hints say the rest: None stands for what is not set, a tuple for what is repeated, a mapping for a map or a JSON object,
a record for a message, text for an enum: its name without the prefix. A field that the message lacks is a TypeError.
"""

from __future__ import annotations

import datetime
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from bridge_client.errors import UnexpectedReply

if typing.TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message

RecordT = TypeVar("RecordT")

Get = Callable[[Any], Any]
"""Takes a field's value, for a record."""


def read(record: type[RecordT], message: Message) -> RecordT:
    """A record of what a message says."""
    kind: Any = record
    plan = _plan(kind, type(message).DESCRIPTOR)
    return record(**{name: get(message) for name, get in plan})


def enum_name(wrapper: Any, number: int, prefix: str) -> str:
    """``POOL_STATE_READY`` as ``ready``; a number that a newer server has added as ``unknown_7``."""
    try:
        name: str = wrapper.Name(number)
    except ValueError:
        return f"unknown_{number}"
    return name.removeprefix(prefix).lower()


def json_object(text: str) -> dict[str, Any]:
    """A JSON object that the server sent as text; empty text is an empty object."""
    if not text:
        return {}
    value = json_value(text)
    if not isinstance(value, dict):
        msg = f"expected a JSON object in the reply, got {type(value).__name__}"
        raise UnexpectedReply(msg)
    return value


def json_value(text: str) -> Any:
    """A JSON value that the server sent as text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        msg = f"expected JSON in the reply, got something else: {error}"
        raise UnexpectedReply(msg) from error


def seconds(duration: Any) -> float:
    """A duration as float seconds."""
    return float(duration.seconds + duration.nanos / 1e9)


@functools.cache
def _plan(record: Any, descriptor: Descriptor) -> tuple[tuple[str, Get], ...]:
    hints = typing.get_type_hints(record)
    return tuple((one.name, _field(record, one.name, hints[one.name], descriptor)) for one in fields(record))


def _field(record: type[Any], name: str, hint: Any, descriptor: Descriptor) -> Get:
    found = descriptor.fields_by_name.get(name) or descriptor.fields_by_name.get(name.removesuffix("_s"))
    if found is None:
        msg = f"{descriptor.full_name} has no field for {record.__name__}.{name}"
        raise TypeError(msg)
    own = str(found.name)
    hint, absent = _without_none(hint)
    value = _value(hint, found)
    if absent:
        return lambda message: value(getattr(message, own)) if message.HasField(own) else None
    return lambda message: value(getattr(message, own))


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint, False
    rest = [one for one in get_args(hint) if one is not types.NoneType]
    return rest[0], len(rest) < len(get_args(hint))


def _value(hint: Any, found: FieldDescriptor) -> Get:
    origin = get_origin(hint)
    if origin is tuple:
        one = get_args(hint)[0]
        return functools.partial(_records, one) if is_dataclass(one) else tuple
    if origin is Mapping:
        return json_object if found.message_type is None else dict
    if found.message_type is not None:
        return _message(hint)
    if found.enum_type is not None:
        return _enum(found.enum_type, get_args(hint) if origin is Literal else ())
    return _same


def _records(record: Any, messages: Any) -> tuple[Any, ...]:
    return tuple([read(record, message) for message in messages])


def _message(hint: Any) -> Get:
    if hint is float:
        return seconds
    if hint is datetime.datetime:
        return lambda stamp: stamp.ToDatetime(tzinfo=datetime.UTC)
    return lambda message: read(hint, message)


def _enum(enum: EnumDescriptor, known: tuple[str, ...]) -> Get:
    prefix = str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")
    names = {number: str(value.name).removeprefix(prefix).lower() for number, value in enum.values_by_number.items()}
    if "unknown" in known:
        return lambda number: name if (name := names.get(number, "unknown")) in known else "unknown"
    return lambda number: names.get(number, f"unknown_{number}")


def _same(value: Any) -> Any:
    return value
