"""Reads a signature that came as a list of fields, with what the text notation has no place for.

Pure. A field is an object: `name`, `type` (notation) or `schema` (JSON Schema), `description`, `default` (any value),
and the constraints `ge gt le lt multiple_of min_length max_length pattern`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.signatures import field_types as kinds
from handlers.signatures import named_types, names
from handlers.signatures.parser import parse_type
from handlers.signatures.scanner import SignatureError
from handlers.signatures.spec import MAX_FIELDS, Constraints, SignatureField, SignatureSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handlers.signatures.field_types import FieldType, ObjectType

_CONSTRAINTS = tuple(Constraints.__struct_fields__)
_KEYS = ("name", "type", "schema", "description", "default", *_CONSTRAINTS)
_NUMBERS = ("ge", "gt", "le", "lt", "multiple_of")
MAX_DESCRIPTION = 10_000
"""Characters."""


def of_fields(
    inputs: Iterable[Mapping[str, Any]],
    outputs: Iterable[Mapping[str, Any]],
    *,
    types: Mapping[str, ObjectType] | None = None,
    instructions: str = "",
) -> SignatureSpec:
    """Read a signature from its fields. Raises SignatureError, naming the field."""
    seen: set[str] = set()
    sides = [
        tuple(_field(field, seen, types or {}, side) for field in fields)
        for side, fields in (("input", inputs), ("output", outputs))
    ]
    for side, fields in zip(("input", "output"), sides, strict=True):
        if not fields:
            raise SignatureError(f"A signature has at least one {side}; got none.")
    if len(seen) > MAX_FIELDS:
        raise SignatureError(f"A signature has at most {MAX_FIELDS} fields; got {len(seen)}.")
    return SignatureSpec(inputs=sides[0], outputs=sides[1], instructions=instructions)


def _field(raw: Mapping[str, Any], seen: set[str], types: Mapping[str, ObjectType], side: str) -> SignatureField:
    name = raw.get("name")
    if not isinstance(name, str):
        raise SignatureError(f"Every field has a name; one of the {side}s has {name!r}.")
    if (why := names.problem(name)) is not None:
        raise SignatureError(why)
    if name in seen:
        raise SignatureError(f"The field {name!r} is there twice.")
    seen.add(name)
    if unknown := sorted(set(raw) - set(_KEYS)):
        raise SignatureError(f"The field {name!r} has {unknown[0]!r}, which is not known. Known: {', '.join(_KEYS)}.")
    kind = _type(name, raw, types)
    description = raw.get("description", "")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        raise SignatureError(f"The description of {name!r} is a text of at most {MAX_DESCRIPTION} characters.")
    if side == "output" and "default" in raw:
        raise SignatureError(f"The output {name!r} has a default; only an input can.")
    return SignatureField(
        name=name,
        type=kind,
        description=description,
        constraints=_constraints(name, raw, kind),
        default=_default(name, raw),
    )


def _type(name: str, raw: Mapping[str, Any], types: Mapping[str, ObjectType]) -> FieldType:
    if "schema" in raw:
        if "type" in raw:
            raise SignatureError(f"The field {name!r} has both 'type' and 'schema'; send one.")
        return named_types.read({f"{name}_value": raw["schema"]})[f"{name}_value"]
    text = raw.get("type", "str")
    if not isinstance(text, str):
        raise SignatureError(f"The type of {name!r} is a text such as 'list[str]'; got {type(text).__name__}.")
    try:
        return parse_type(text, types)
    except SignatureError as error:
        message = f"The type of {name!r}: {error.message}"
        raise SignatureError(message, error.text, error.column, error.length) from None


def _default(name: str, raw: Mapping[str, Any]) -> str | None:
    if "default" not in raw:
        return None
    try:
        return json.dumps(raw["default"], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SignatureError(f"The default of {name!r} is no JSON value: {error}.") from None


def _constraints(name: str, raw: Mapping[str, Any], kind: FieldType) -> Constraints:
    given = {key: raw[key] for key in _CONSTRAINTS if raw.get(key) is not None}
    if not given:
        return Constraints()
    alternatives = kind.members if isinstance(kind, kinds.UnionType) else (kind,)
    base = [member for member in alternatives if member != kinds.NONE]
    for key in given:
        if not all(_fits(key, member) for member in base):
            raise SignatureError(f"The field {name!r} is {kind}; {key!r} does not apply to that type.")
    try:
        found = msgspec.convert(given, Constraints)
    except msgspec.ValidationError as error:
        raise SignatureError(f"A constraint of {name!r}: {error}.") from None
    _check_order(name, found)
    return found


def _fits(key: str, kind: FieldType) -> bool:
    if key in _NUMBERS:
        return isinstance(kind, kinds.ScalarType) and kind.name in ("int", "float")
    if key == "pattern":
        return kind == kinds.TEXT
    if isinstance(kind, kinds.ScalarType):
        return kind.name in ("str", "bytes")
    return isinstance(kind, kinds.ListType | kinds.DictType)


def _check_order(name: str, found: Constraints) -> None:
    if (found.min_length or 0) < 0 or (found.max_length is not None and found.max_length < (found.min_length or 0)):
        raise SignatureError(f"The lengths of {name!r} can not be met: min_length to max_length is empty.")
    lows = [value for value in (found.ge, found.gt) if value is not None]
    highs = [value for value in (found.le, found.lt) if value is not None]
    if lows and highs and max(lows) > min(highs):
        raise SignatureError(f"The limits of {name!r} can not be met: at least {max(lows):g}, at most {min(highs):g}.")
    if found.multiple_of is not None and found.multiple_of <= 0:
        raise SignatureError(f"multiple_of of {name!r} must be more than 0.")
    if found.pattern is not None:
        try:
            re.compile(found.pattern)
        except re.error as error:
            raise SignatureError(f"The pattern of {name!r} is no regular expression: {error}.") from None
