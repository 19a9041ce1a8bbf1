"""JSON Schema (2020-12) of a signature's inputs or outputs, in the same words as for functions of the app. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.signatures import field_types as kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.signatures.field_types import FieldType, ObjectType
    from handlers.signatures.spec import Constraints, SignatureField

MAX_WRITTEN_OUT = 500
"""Objects of a schema whose references are written out."""

_SCALARS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "any": {},
    "none": {"type": "null"},
}
_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
_SPECIALS: dict[str, dict[str, Any]] = {
    "image": {"properties": {"url": {**_TEXT, "description": "A data URI or an http(s) URL."}}, "required": ["url"]},
    "audio": {
        "properties": {"data": {**_TEXT, "description": "Base64."}, "audio_format": {**_TEXT, "examples": ["wav"]}},
        "required": ["data", "audio_format"],
    },
    "file": {
        "properties": {
            "file_data": {**_TEXT_OR_NULL, "description": "A data URI."},
            "file_id": _TEXT_OR_NULL,
            "filename": _TEXT_OR_NULL,
        }
    },
    "history": {
        "properties": {"messages": {"type": "array", "items": {"type": "object", "additionalProperties": True}}},
        "required": ["messages"],
    },
}
_LENGTHS = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def of_fields(fields: Sequence[SignatureField]) -> dict[str, Any]:
    """Return the schema of an object with one property per field."""
    definitions: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for field in fields:
        schema = _constrained(_of_type(field.type, definitions), field.constraints)
        if field.description:
            schema["description"] = field.description
        if field.default is not None:
            schema["default"] = json.loads(field.default)
        elif not field.required:
            schema["default"] = None
        properties[field.name] = schema
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required := [field.name for field in fields if field.required]:
        found["required"] = required
    if definitions:
        found["$defs"] = definitions
    return found


def of_type(kind: FieldType) -> dict[str, Any]:
    """Return the schema of one type, complete in itself."""
    definitions: dict[str, Any] = {}
    schema = _of_type(kind, definitions)
    return {**schema, "$defs": definitions} if definitions else schema


def without_references(kind: ObjectType) -> dict[str, Any]:
    """Return a type's schema with what it refers to written out, at most MAX_WRITTEN_OUT objects of it.

    What lies beyond, and where the type contains itself, is left open.
    """
    root = json.loads(kind.schema)
    schema: dict[str, Any] = _WrittenOut(root).of(root, ("#",))
    return schema


class _WrittenOut:
    """Writes references out. Counts, because a small schema can refer to itself without an end in practice."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MAX_WRITTEN_OUT

    def of(self, node: Any, open_references: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [self.of(one, open_references) for one in node]
        if not isinstance(node, dict):
            return node
        self._left -= 1
        reference = node.get("$ref")
        if self._left < 0 or reference in open_references:
            return {}
        if isinstance(reference, str):
            section, _, name = reference.removeprefix("#/").partition("/")
            return self.of(self._root[section][name], (*open_references, reference))
        kept = ((key, value) for key, value in node.items() if key not in ("$defs", "definitions"))
        return {key: self.of(value, open_references) for key, value in kept}


def _of_type(kind: FieldType, definitions: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case kinds.ScalarType(name):
            return dict(_SCALARS[name])
        case kinds.SpecialType(name):
            return _special(name, definitions)
        case kinds.ListType(item, shape):
            return {"type": "array", "items": _of_type(item, definitions)} | (
                {} if shape == "list" else {"uniqueItems": True}
            )
        case kinds.DictType(key, value):
            names = {"propertyNames": {"enum": list(key.values)}} if isinstance(key, kinds.LiteralType) else {}
            return {"type": "object", "additionalProperties": _of_type(value, definitions), **names}
        case kinds.TupleType():
            return _tuple(kind, definitions)
        case kinds.UnionType(members):
            return {"anyOf": [_of_type(member, definitions) for member in members]}
        case kinds.LiteralType(values):
            return {"enum": list(values)} if len(values) > 1 else {"const": values[0]}
    return _object(kind, definitions)


def _special(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    if name not in _SPECIALS:
        return {"type": "string"}
    title = name.capitalize()
    definitions[title] = {"type": "object", **_SPECIALS[name], "additionalProperties": False}
    return {"$ref": f"#/$defs/{title}"}


def _tuple(kind: kinds.TupleType, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.open_ended:
        return {"type": "array", "items": _of_type(kind.items[0], definitions)}
    count = len(kind.items)
    items = [_of_type(item, definitions) for item in kind.items]
    return {"type": "array", "minItems": count, "maxItems": count} | ({"prefixItems": items} if items else {})


def _object(kind: ObjectType, definitions: dict[str, Any]) -> dict[str, Any]:
    """Lift a schema with its definitions to the top, where its references lead from now on."""
    if kind.name not in definitions:
        schema = json.loads(kind.schema)
        inner = {**schema.pop("definitions", {}), **schema.pop("$defs", {})} if isinstance(schema, dict) else {}
        for name, one in inner.items():
            definitions[f"{kind.name}.{name}"] = _moved(one, kind.name)
        definitions[kind.name] = _moved(schema, kind.name)
    return {"$ref": f"#/$defs/{kind.name}"}


def _moved(node: Any, name: str) -> Any:
    if isinstance(node, list):
        return [_moved(one, name) for one in node]
    if not isinstance(node, dict):
        return node
    moved = {key: _moved(value, name) for key, value in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str):
        tail = reference.removeprefix("#/$defs/").removeprefix("#/definitions/")
        moved["$ref"] = f"#/$defs/{name}" if reference == "#" else f"#/$defs/{name}.{tail}"
    return moved


def _constrained(schema: dict[str, Any], limits: Constraints) -> dict[str, Any]:
    if "anyOf" in schema:
        return {**schema, "anyOf": [_constrained(one, limits) for one in schema["anyOf"]]}
    kind = schema.get("type", "")
    found = {word: getattr(limits, key) for key, word in _LIMITS.items()} if kind in ("integer", "number") else {}
    if kind in ("integer", "number"):
        found["multipleOf"] = limits.multiple_of
    if kind == "string":
        found["pattern"] = limits.pattern
    if kind in _LENGTHS:
        least, most = _LENGTHS[kind]
        found |= {least: limits.min_length, most: limits.max_length}
    return schema | {word: value for word, value in found.items() if value is not None}
