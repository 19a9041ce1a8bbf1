"""What a piece of JSON Schema is: a class, a map, a list, an array of numbers, a plain value. Pure."""

from __future__ import annotations

import json
from typing import Any

from handlers.typed.definitions import Schema
from handlers.typed.shapes import ANY, Type, constant


def schema_of(schema: Any) -> Schema:
    """Return a schema as an object; JSON Schema also has true for anything."""
    return schema if isinstance(schema, dict) else {}


def message_field(kind: Type) -> str:
    """Return the field of a union for a class."""
    return constant(kind.name).lower()


def named_class(schema: Schema) -> bool:
    """Whether a schema names a class."""
    return "$ref" in schema


def beside(schema: Schema) -> Schema:
    """Return what stands beside a reference."""
    return {key: value for key, value in schema.items() if key != "$ref"}


def refers_to_itself(found: Schema, reference: Schema) -> bool:
    """Whether what a reference refers to holds the same reference."""
    return json.dumps(reference["$ref"]) in json.dumps(found)


def is_object(schema: Schema) -> bool:
    """Whether values are objects with keys of their own."""
    return schema.get("type") == "object" and ("properties" in schema or not is_map(schema)) and not is_struct(schema)


def is_struct(schema: Schema) -> bool:
    """Whether values are any objects."""
    return "properties" not in schema and schema.get("additionalProperties", True) in (True, {})


def is_map(schema: Schema) -> bool:
    """Whether values are objects with any keys, and values of one type."""
    value = schema.get("additionalProperties")
    return schema.get("type") == "object" and "properties" not in schema and isinstance(value, dict) and bool(value)


def is_open(schema: Schema) -> bool:
    """Whether an object may have keys beside its properties."""
    closed = schema.get("additionalProperties")
    return (
        closed is True or isinstance(closed, dict) or (closed is None and not schema.get("properties") and bool(schema))
    )


def is_array(schema: Schema) -> bool:
    """Whether values are lists."""
    return schema.get("type") == "array"


def is_tensor(schema: Schema) -> bool:
    """Whether values are arrays of numbers that may travel as tensors."""
    return any("x-bridge-dtypes" in schema_of(one) for one in schema.get("anyOf", ()))


def basic(schema: Schema) -> Type:
    """Return the type of a value that is no class, list, map or union."""
    kind = schema.get("type")
    if kind == "string":
        return Type("bytes") if schema.get("contentEncoding") == "base64" else Type("string")
    if kind == "object":
        return Type("struct")
    names_of: dict[Any, Type] = {"integer": Type("int"), "number": Type("float"), "boolean": Type("bool")}
    return names_of.get(kind if isinstance(kind, str) else None, ANY)


def note_of(schema: Schema) -> str:
    """Return what a .proto type does not say of a value."""
    values = schema.get("enum") if schema.get("type") != "string" else None
    said = [f"One of {', '.join(json.dumps(value) for value in values)}."] if values else []
    if schema.get("format"):
        said.append(f"Format: {schema['format']}.")
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]}" for key, sign in limits.items() if key in schema]
    return " ".join([*said, *([f"Must be {' and '.join(bounds)}."] if bounds else [])])
