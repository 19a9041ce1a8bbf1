"""Which member of a union a value is: told by its kind, and of several classes by its keys and its constants. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from handlers.errors import ResultInvalid
from handlers.typed.shapes import Enum, Field, Message

_KINDS: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "float": (float, int),
    "string": str,
    "enum": str,
    "bytes": bytes,
    "struct": dict,
}


def chooser(union: Message, messages: Mapping[str, Message], enums: Mapping[str, Enum]) -> Callable[[Any, str], str]:
    """Return what finds the field of a union for a value. It raises ResultInvalid where none is for it."""
    tests = [(field.json, _test(field, messages, enums)) for field in union.fields]

    def choose(value: Any, path: str) -> str:
        for name, fits in tests:
            if fits(value):
                return name
        names = ", ".join(field.name for field in union.fields)
        raise ResultInvalid(f"{path}: a value of type {type(value).__name__} is none of {names}")

    return choose


def _test(field: Field, messages: Mapping[str, Message], enums: Mapping[str, Enum]) -> Callable[[Any], bool]:
    kind = field.type.kind
    if kind == "message":
        message = messages[field.type.name]
        if message.role == "object":
            return lambda value: _is_of(message, value, enums)
        shape = dict if message.role == "map" else list
        return lambda value: isinstance(value, shape)
    if kind in ("tensor", "any"):
        return lambda value: kind == "any" or hasattr(value, "__array__")
    wanted = _KINDS[kind]
    return lambda value: isinstance(value, wanted) and (kind == "bool" or not isinstance(value, bool))


def _is_of(message: Message, value: Any, enums: Mapping[str, Enum]) -> bool:
    if not isinstance(value, dict):
        return False
    fields = {field.json: field for field in message.fields}
    if not message.extra and not value.keys() <= fields.keys():
        return False
    if any(field.required and key and key not in value for key, field in fields.items()):
        return False
    return all(
        value[key] in {one.json for one in enums[field.type.name].values}
        for key, field in fields.items()
        if field.type.kind == "enum" and field.label == "one" and isinstance(value.get(key), str)
    )
