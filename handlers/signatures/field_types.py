"""The types that a signature's fields can have: a small tree of plain records, with its notation.

Pure values, kept as JSON beside a stored program. The notation is DSPy's. Knows neither dspy nor pydantic.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Scalar = Literal["str", "int", "float", "bool", "bytes", "date", "datetime", "time", "any", "none"]
Special = Literal["image", "audio", "file", "history", "code", "reasoning"]

_SCALARS: dict[str, str] = {
    "any": "Any",
    "none": "None",
    "date": "datetime.date",
    "datetime": "datetime.datetime",
    "time": "datetime.time",
}
_SPECIALS: dict[str, str] = {name: f"dspy.{name.capitalize()}" for name in Special.__args__}  # type: ignore[attr-defined]


class ScalarType(msgspec.Struct, frozen=True, tag="scalar"):
    """A single value."""

    name: Scalar

    def __str__(self) -> str:
        return _SCALARS.get(self.name, self.name)


class SpecialType(msgspec.Struct, frozen=True, tag="special"):
    """A type of DSPy's own: media, a conversation, code, or the model's reasoning."""

    name: Special
    language: str = ""
    """Of `code` only: the programming language, or nothing."""

    def __str__(self) -> str:
        text = _SPECIALS[self.name]
        return f"{text}[{self.language!r}]" if self.language else text


class ListType(msgspec.Struct, frozen=True, tag="list"):
    """Values of one type in an order; `kind` says what Python gets."""

    item: FieldType
    kind: Literal["list", "set", "frozenset"] = "list"

    def __str__(self) -> str:
        return f"{self.kind}[{self.item}]"


class DictType(msgspec.Struct, frozen=True, tag="dict"):
    """An object with any keys."""

    key: FieldType
    value: FieldType

    def __str__(self) -> str:
        return f"dict[{self.key}, {self.value}]"


class TupleType(msgspec.Struct, frozen=True, tag="tuple"):
    """Values in an order, each of its own type; with `open_ended` any number of the one type."""

    items: tuple[FieldType, ...]
    open_ended: bool = False

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.items)) + (", ..." if self.open_ended else "")
        return f"tuple[{inner}]" if inner else "tuple[()]"


class UnionType(msgspec.Struct, frozen=True, tag="union"):
    """One of several types."""

    members: tuple[FieldType, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.members))


class LiteralType(msgspec.Struct, frozen=True, tag="literal", eq=False):
    """One of several values. 1 and True are two values here, unlike in Python."""

    values: tuple[str | int | bool | None, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiteralType) and repr(self.values) == repr(other.values)

    def __hash__(self) -> int:
        return hash(repr(self.values))

    def __str__(self) -> str:
        return f"Literal[{', '.join(map(repr, self.values))}]"


class ObjectType(msgspec.Struct, frozen=True, tag="object"):
    """A type that came as JSON Schema, under a name of its own."""

    name: str
    schema: str
    """JSON Schema (2020-12) as JSON text; complete in itself."""

    def __str__(self) -> str:
        return self.name


FieldType = ScalarType | SpecialType | ListType | DictType | TupleType | UnionType | LiteralType | ObjectType

TEXT = ScalarType("str")
ANY = ScalarType("any")
NONE = ScalarType("none")


def union(members: list[FieldType]) -> FieldType:
    """Return the union of types: nested ones flattened, each once, one alone as itself."""
    flat: list[FieldType] = []
    for member in members:
        for one in member.members if isinstance(member, UnionType) else (member,):
            if one not in flat:
                flat.append(one)
    return flat[0] if len(flat) == 1 else UnionType(tuple(flat))


def is_optional(kind: FieldType) -> bool:
    """Return whether the type says that None is a value of it; `Any` does not say so."""
    if isinstance(kind, UnionType):
        return any(map(is_optional, kind.members))
    if isinstance(kind, LiteralType):
        return any(value is None for value in kind.values)
    return kind == NONE


def objects(kind: FieldType) -> list[ObjectType]:
    """Return every type with a name of its own inside a type."""
    if isinstance(kind, ObjectType):
        return [kind]
    return [found for part in _parts(kind) for found in objects(part)]


def _parts(kind: FieldType) -> tuple[FieldType, ...]:
    match kind:
        case ListType():
            return (kind.item,)
        case DictType():
            return (kind.key, kind.value)
        case TupleType():
            return kind.items
        case UnionType():
            return kind.members
    return ()


def to_builtins(kind: FieldType) -> Any:
    """Return the type as plain objects."""
    return msgspec.to_builtins(kind)
