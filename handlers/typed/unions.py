"""Unions of a JSON Schema: what their members are in a .proto file, if a value says by itself which one it is. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
_SCALARS = {"integer": "int", "number": "float", "boolean": "bool"}


def without_null(schema: Schema) -> tuple[Schema, bool]:
    """Return a schema without the null among its choices, and whether there was one."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        kept = [one for one in options if one != {"type": "null"}]
        if len(kept) < len(options):
            if len(kept) == 1:
                return without_null({**_texts(schema), **kept[0]})[0], True
            return {**_texts(schema), "anyOf": kept}, True
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kept_kinds = [kind for kind in kinds if kind != "null"]
        plain = (
            {**schema, "type": kept_kinds[0]}
            if len(kept_kinds) == 1
            else {"anyOf": [{"type": kind} for kind in kept_kinds]}
        )
        return plain, "null" in kinds
    values = schema.get("enum")
    if isinstance(values, list) and None in values:
        return {**schema, "enum": [value for value in values if value is not None]}, True
    return schema, False


def members_of(options: list[Schema], resolve: Callable[[Schema], Schema]) -> list[tuple[str, Schema]] | None:
    """Return the members with their names; None where a value would not say which of them it is.

    Texts of every kind are one text; there may be one list and one map. Several classes are told apart by their keys.
    """
    found: dict[str, Schema] = {}
    for option in options:
        whole = resolve(option)
        name = _name(whole)
        if name is None:
            return None
        if name == "object":
            name = f"object{sum(known.startswith('object') for known in found)}"
        elif name in found:
            if name != "text":
                return None
            option = {"type": "string"}
        found[name] = option
    if "map" in found and any(name.startswith("object") for name in found):
        return None
    if set(found) == {"float", "text"} and _is_decimal(options):
        return [("text", {"type": "string"})]
    return list(found.items())


def _name(schema: Schema) -> str | None:
    """Return a member's name by the kind of its values; "object" for a class."""
    kind = schema.get("type")
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        names = {"text" if isinstance(value, str) else "" for value in values}
        return "text" if names == {"text"} else None
    if kind == "string":
        return "bytes" if schema.get("contentEncoding") == "base64" else "text"
    if kind == "array":
        return "list"
    if kind == "object":
        return "object" if schema.get("properties") else "map"
    return _SCALARS.get(kind) if isinstance(kind, str) else None


def _is_decimal(options: list[Schema]) -> bool:
    """Whether these are the two ways to write a decimal number, of which one takes all."""
    return any("pattern" in option and option.get("type") == "string" for option in options) and len(options) == 2


def _texts(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("title", "description", "default") if key in schema}
