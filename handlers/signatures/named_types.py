"""Types that come as JSON Schema under names of their own: checked once, before anything uses them.

Pure. Nothing is fetched: a reference leads to another place of the same schema.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.signatures import names
from handlers.signatures.field_types import ObjectType
from handlers.signatures.scanner import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 64 * 1024
"""Of one schema."""
MAX_DEPTH = 64
MAX_TYPES = 100
"""Of one signature."""

_WORDS = """
str int float bool bytes date datetime time Any None NoneType list set frozenset dict tuple Optional Union
Literal Annotated List Set FrozenSet Dict Tuple Image Audio File History Code Reasoning string integer number
boolean
"""
_TAKEN = frozenset(_WORDS.split())
_TYPES = frozenset(["object", "array", "string", "integer", "number", "boolean", "null"])
_LISTS = frozenset(("enum", "required", "examples", "prefixItems", "anyOf", "allOf", "oneOf"))
_SCHEMAS = frozenset(("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"))
_MAPS = frozenset(("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"))


def read(schemas: Mapping[str, Any]) -> dict[str, ObjectType]:
    """Return the types of a mapping from names to schemas (objects or JSON text). Raises SignatureError."""
    if len(schemas) > MAX_TYPES:
        raise SignatureError(f"A signature has at most {MAX_TYPES} types of its own; got {len(schemas)}.")
    return {name: _read(name, schema) for name, schema in schemas.items()}


def _read(name: str, schema: Any) -> ObjectType:
    if name in _TAKEN:
        raise SignatureError(f"The type {name!r} is built in; give yours another name.")
    if (why := names.problem(name)) is not None and name not in names.RESERVED:
        raise SignatureError(f"The type {name!r} can not be used: {why}")
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise SignatureError(f"The schema of the type {name!r} is not JSON: {error}.") from None
    try:
        _check(name, schema)
        text = json.dumps(schema, sort_keys=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, SignatureError):
            raise
        raise SignatureError(f"The schema of the type {name!r} can not be used: {error}.") from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise SignatureError(f"The schema of the type {name!r} has more than {MAX_BYTES} bytes.")
    return ObjectType(name, text)


def _check(name: str, root: Any) -> None:
    waiting: list[tuple[Any, str, int]] = [(root, "", 1)]
    while waiting:
        node, path, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise SignatureError(f"The schema of the type {name!r} is nested more than {MAX_DEPTH} deep.")
        if isinstance(node, bool):
            continue
        if not isinstance(node, dict):
            raise _bad(name, path, f"a schema is an object, got {type(node).__name__}")
        _check_type(name, path, node)
        for keyword, value in node.items():
            below = f"{path}/{keyword}"
            if keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
                _check_reference(name, root, value, below)
            elif keyword in _MAPS:
                if not isinstance(value, dict):
                    raise _bad(name, below, f"an object is expected, got {type(value).__name__}")
                waiting.extend((child, f"{below}/{key}", depth + 1) for key, child in value.items())
            elif keyword in _LISTS:
                if not isinstance(value, list):
                    raise _bad(name, below, f"a list is expected, got {type(value).__name__}")
                if keyword in ("prefixItems", "anyOf", "allOf", "oneOf"):
                    waiting.extend((child, f"{below}/{index}", depth + 1) for index, child in enumerate(value))
            elif keyword in _SCHEMAS:
                waiting.append((value, below, depth + 1))


def _check_type(name: str, path: str, node: dict[str, Any]) -> None:
    kinds = node.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            raise _bad(name, f"{path}/type", f"one of {', '.join(sorted(_TYPES))} is expected, got {kind!r}")


def _check_reference(name: str, root: Any, reference: Any, path: str) -> None:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _bad(name, path, f"{reference!r} refers to another document; put it under $defs of this one")
    if not (reference == "#" or reference.startswith(("#/$defs/", "#/definitions/"))):
        raise _bad(name, path, f"{reference!r}: only '#', '#/$defs/NAME' and '#/definitions/NAME' are followed")
    if reference == "#":
        return
    section, _, key = reference.removeprefix("#/").partition("/")
    if key not in root.get(section, {}):
        raise _bad(name, path, f"{reference!r} refers to nothing in the schema")


def _bad(name: str, path: str, what: str) -> SignatureError:
    return SignatureError(f"The schema of the type {name!r} can not be used: {path or 'top'}: {what}.")
