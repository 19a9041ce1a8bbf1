"""What changed between two signatures, and whether callers of the old one still work with the new one. Pure.

Inputs may take more than before, outputs may give less; anything else breaks somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handlers.signatures import field_types as kinds
from handlers.signatures.spec import Constraints

if TYPE_CHECKING:
    from handlers.signatures.field_types import FieldType
    from handlers.signatures.spec import SignatureField, SignatureSpec


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    field: str
    what: str
    breaking: bool


def compare(old: SignatureSpec, new: SignatureSpec) -> list[Change]:
    """Return the differences, those that break callers first."""
    changes = [
        *_side(old.inputs, new.inputs, "input"),
        *_side(old.outputs, new.outputs, "output"),
    ]
    if old.instructions != new.instructions:
        changes.append(Change("", "the instructions differ", False))
    return sorted(changes, key=lambda change: not change.breaking)


def _side(old: tuple[SignatureField, ...], new: tuple[SignatureField, ...], side: str) -> list[Change]:
    before = {field.name: field for field in old}
    after = {field.name: field for field in new}
    changes = [Change(name, f"the {side} is gone", True) for name in before if name not in after]
    for name, field in after.items():
        if name in before:
            changes += _field(before[name], field, side)
        elif side == "output":
            changes.append(Change(name, "the output is new", False))
        elif field.required:
            changes.append(Change(name, "the input is new and required", True))
        else:
            changes.append(Change(name, "the input is new and optional", False))
    return changes


def _field(old: SignatureField, new: SignatureField, side: str) -> list[Change]:
    changes = []
    if old.type != new.type:
        wide, narrow = (new.type, old.type) if side == "input" else (old.type, new.type)
        changes.append(Change(old.name, f"its type was {old.type}, is {new.type}", not accepts(wide, narrow)))
    if side == "input" and new.required and not old.required:
        changes.append(Change(old.name, "it was optional, is required", True))
    elif side == "input" and old.required and not new.required:
        changes.append(Change(old.name, "it was required, is optional", False))
    if old.constraints != new.constraints:
        wide_limits, narrow_limits = (
            (new.constraints, old.constraints) if side == "input" else (old.constraints, new.constraints)
        )
        changes.append(Change(old.name, "its limits differ", not _within(narrow_limits, wide_limits)))
    if old.default != new.default and None not in (old.default, new.default):
        changes.append(Change(old.name, f"its default was {old.default}, is {new.default}", False))
    if old.description != new.description:
        changes.append(Change(old.name, "its description differs", False))
    return changes


def accepts(wide: FieldType, narrow: FieldType) -> bool:
    """Return whether every value of `narrow`, as JSON, is a value of `wide`. Named types are alike when equal."""
    if wide in (kinds.ANY, narrow):
        return True
    if isinstance(narrow, kinds.UnionType):
        return all(accepts(wide, member) for member in narrow.members)
    if isinstance(wide, kinds.UnionType):
        return any(accepts(member, narrow) for member in wide.members)
    if isinstance(narrow, kinds.LiteralType):
        return all(_has(wide, value) for value in narrow.values)
    match wide, narrow:
        case kinds.ScalarType("float"), kinds.ScalarType("int"):
            return True
        case kinds.ScalarType("str"), kinds.SpecialType("code" | "reasoning"):
            return True
        case kinds.ListType(item, shape), kinds.ListType(inner, inner_shape):
            return accepts(item, inner) and (shape in ("list", inner_shape) or "list" not in (shape, inner_shape))
        case kinds.DictType(key, value), kinds.DictType(inner_key, inner_value):
            return accepts(key, inner_key) and accepts(value, inner_value)
        case kinds.TupleType(), kinds.TupleType():
            return _tuple_accepts(wide, narrow)
        case kinds.ListType(item, "list"), kinds.TupleType(items):
            return all(accepts(item, one) for one in items)
    return False


def _tuple_accepts(wide: kinds.TupleType, narrow: kinds.TupleType) -> bool:
    if wide.open_ended:
        return all(accepts(wide.items[0], item) for item in narrow.items)
    same = not narrow.open_ended and len(wide.items) == len(narrow.items)
    return same and all(map(accepts, wide.items, narrow.items))


def _has(kind: FieldType, value: str | int | bool | None) -> bool:
    match kind:
        case kinds.LiteralType(values):
            return any(value == one and type(value) is type(one) for one in values)
        case kinds.ScalarType(name):
            wanted = {str: ("str", "any"), bool: ("bool", "any"), int: ("int", "float", "any")}
            return name in wanted.get(type(value), ("none", "any"))
        case kinds.SpecialType("code" | "reasoning"):
            return isinstance(value, str)
    return False


def _within(narrow: Constraints, wide: Constraints) -> bool:
    """Return whether what fits the narrow limits fits the wide ones, as far as the numbers tell."""
    lows = ("ge", "gt", "min_length")
    for name in Constraints.__struct_fields__:
        limit, inner = getattr(wide, name), getattr(narrow, name)
        if limit is None or limit == inner:
            continue
        if inner is None or name in ("pattern", "multiple_of"):
            return False
        if (inner < limit) if name in lows else (inner > limit):
            return False
    return True
