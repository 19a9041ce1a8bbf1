"""A signature as plain records: what a program takes and gives, in the form that is stored and compared.

Pure. `parser` reads it from text, `fields` from a list that a client sent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.signatures.field_types import FieldType, ObjectType, is_optional, objects

MAX_FIELDS = 200
"""Of one signature, inputs and outputs together."""


class Constraints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of a field's value. Lengths are characters or items."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


class SignatureField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input or output."""

    name: str
    type: FieldType
    description: str = ""
    constraints: Constraints = Constraints()
    default: str | None = None
    """JSON text of the value that stands in for a missing input; None where the input must be there."""

    @property
    def required(self) -> bool:
        """Whether a caller must send it."""
        return self.default is None and not is_optional(self.type)


class SignatureSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A program's signature."""

    inputs: tuple[SignatureField, ...]
    outputs: tuple[SignatureField, ...]
    instructions: str = ""

    def __str__(self) -> str:
        return f"{_side(self.inputs)} -> {_side(self.outputs)}"

    @property
    def types(self) -> dict[str, ObjectType]:
        """The types with names of their own, by name."""
        return {found.name: found for field in (*self.inputs, *self.outputs) for found in objects(field.type)}


def _side(fields: tuple[SignatureField, ...]) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in fields)


def to_json(spec: SignatureSpec) -> bytes:
    """Return the signature as JSON, the same bytes for equal signatures."""
    return msgspec.json.encode(spec, order="deterministic")


def from_json(data: bytes | str) -> SignatureSpec:
    """Read what `to_json` wrote. Raises msgspec.ValidationError."""
    return msgspec.json.decode(data, type=SignatureSpec)


def plain(spec: SignatureSpec) -> Any:
    """Return the signature as plain objects."""
    return msgspec.to_builtins(spec)
