"""The numbers of fields and enum values, kept in a file, so that what was given once is never given again.

A field that is new gets the next free number; one that is gone keeps its number reserved; one that changes its type
gets a new number, since old bytes would be misread. Pure: reading and writing the file is for others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from handlers.typed.names import NameProblem, check_package
from handlers.typed.shapes import Api, Enum, EnumValue, Field, Message

FILE_NAME = "bridge.proto.lock"
_RESERVED = range(19_000, 20_000)
"""Numbers that protobuf keeps for itself."""
_LARGEST = 2**29 - 1


class LockedField(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A field's number, and the type that it is for. `former` are numbers that it had with other types."""

    number: int
    type: str
    former: list[int] = []


class Lock(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The content of the file."""

    package: str
    version: int = 1
    messages: dict[str, dict[str, LockedField]] = {}
    enums: dict[str, dict[str, int]] = {}


class LockProblem(ValueError):
    """A lock file that can not be used; the message says why."""


def read_lock(data: bytes) -> Lock:
    """Return the content of a lock file. Raises LockProblem."""
    try:
        lock = msgspec.json.decode(data, type=Lock)
        check_package(lock.package)
    except (msgspec.MsgspecError, NameProblem) as error:
        raise LockProblem(f"not a lock file of this program: {error}; take back the version before") from None
    if lock.version != 1:
        raise LockProblem(f"expected version 1, got {lock.version}: it was written by a newer bridge")
    for name, fields in lock.messages.items():
        _check(name, [number for one in fields.values() for number in (one.number, *one.former)])
    for name, values in lock.enums.items():
        _check(name, list(values.values()))
    return lock


def _check(name: str, numbers: list[int]) -> None:
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise LockProblem(f"{name} has the number {twice[0]} twice; were two branches merged? Take one of them back")
    if any(number < 1 or number > _LARGEST or number in _RESERVED for number in numbers):
        raise LockProblem(f"{name} has a number that no field can have")


def write_lock(lock: Lock) -> bytes:
    """Return the content of the file: sorted, one line per field, so that it merges well."""
    fields = {name: sorted(lock.messages[name].items(), key=_place) for name in sorted(lock.messages)}
    values = {name: sorted(lock.enums[name].items(), key=_number) for name in sorted(lock.enums)}
    head = [f'  "version": {lock.version}', f'  "package": {_text(lock.package)}']
    return ("{\n" + ",\n".join([*head, _table("messages", fields), _table("enums", values)]) + "\n}\n").encode()


def _table(key: str, groups: Mapping[str, Sequence[tuple[str, Any]]]) -> str:
    parts = []
    for name, pairs in groups.items():
        lines = ",\n".join(f"      {_text(one)}: {_text(value)}" for one, value in pairs)
        parts.append(f"    {_text(name)}: {{\n{lines}\n    }}" if pairs else f"    {_text(name)}: {{}}")
    inside = ",\n".join(parts)
    return f'  "{key}": {{\n{inside}\n  }}' if parts else f'  "{key}": {{}}'


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _place(pair: tuple[str, LockedField]) -> int:
    return pair[1].number


def _number(pair: tuple[str, int]) -> int:
    return pair[1]


def numbered(api: Api, lock: Lock) -> tuple[Api, Lock]:
    """Return an API with its numbers, and the lock with those that are new. What is gone stays in the lock."""
    messages = {name: dict(fields) for name, fields in lock.messages.items()}
    enums = {name: dict(values) for name, values in lock.enums.items()}
    shown = tuple(_message(message, messages.setdefault(message.name, {})) for message in api.messages)
    values = tuple(_enum(enum, enums.setdefault(enum.name, {})) for enum in api.enums)
    return (
        msgspec.structs.replace(api, package=lock.package, messages=shown, enums=values),
        Lock(lock.package, lock.version, messages, enums),
    )


def _message(message: Message, locked: dict[str, LockedField]) -> Message:
    fields = tuple(_field(field, locked) for field in message.fields)
    here = {field.name for field in fields}
    gone = [(name, one.number) for name, one in locked.items() if name not in here]
    former = [("", number) for one in locked.values() for number in one.former]
    return msgspec.structs.replace(message, fields=fields, reserved=(*sorted(gone, key=_number), *sorted(former)))


def _field(field: Field, locked: dict[str, LockedField]) -> Field:
    known = locked.get(field.name)
    if known is None:
        known = locked[field.name] = LockedField(_next(locked), field.told)
    elif known.type != field.told:
        former = [*known.former, known.number]
        known = locked[field.name] = LockedField(_next(locked), field.told, former)
    return msgspec.structs.replace(field, number=known.number)


def _next(locked: dict[str, LockedField]) -> int:
    number = 1 + max((number for one in locked.values() for number in (one.number, *one.former)), default=0)
    return _RESERVED.stop if number in _RESERVED else number


def _enum(enum: Enum, locked: dict[str, int]) -> Enum:
    values: list[EnumValue] = []
    for value in enum.values:
        number = locked.setdefault(value.name, 1 + max(locked.values(), default=0))
        values.append(msgspec.structs.replace(value, number=number))
    here = {value.name for value in values}
    gone = sorted(((name, number) for name, number in locked.items() if name not in here), key=_number)
    return msgspec.structs.replace(enum, values=tuple(values), reserved=tuple(gone))
