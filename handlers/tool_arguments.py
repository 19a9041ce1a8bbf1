"""The arguments that a model gives to a tool, against the tool's JSON Schema; and the schema as a model reads it.

Pure, and quick whatever the schema says, which may be a stranger's: no patterns are matched, no references followed
but a few to show them. Whoever has the function checks the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

DEPTH = 8
SHOWN_NODES = 500
"""Of a schema, with what its references point to."""

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or _is_whole(value),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def problems(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with arguments, as a model may read it; nothing where they fit."""
    return list(_object("", schema, arguments, 0))


def _check(path: str, schema: Any, value: Any, depth: int) -> Iterator[str]:
    if not isinstance(schema, dict) or depth > DEPTH:
        return
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and not any(_TYPES.get(str(kind), _anything)(value) for kind in kinds):
        yield f"{path}: expected {' or '.join(map(str, kinds))}, got {_short(value)}"
        return
    allowed = schema.get("enum")
    if isinstance(allowed, list) and value not in allowed:
        yield f"{path}: expected one of {_short(allowed)}, got {_short(value)}"
    if isinstance(value, dict):
        yield from _object(path, schema, value, depth)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check(f"{path}[{index}]", schema.get("items"), item, depth + 1)


def _object(path: str, schema: Mapping[str, Any], value: Mapping[str, Any], depth: int) -> Iterator[str]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    dot = f"{path}." if path else ""
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str) and name not in value:
            yield f"{dot}{name}: is required"
    for name, one in value.items():
        if name in properties:
            yield from _check(f"{dot}{name}", properties[name], one, depth + 1)
        elif schema.get("additionalProperties") is False:
            yield f"{dot}{name}: there is no such argument; there is {', '.join(properties) or 'none'}"


def shown(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the schema of each argument as a model is shown it: references written out, what may be missing marked."""
    room = [SHOWN_NODES]
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    found: dict[str, dict[str, Any]] = {}
    for name, part in (schema.get("properties") or {}).items():
        one = _written_out(part, schema, 0, room)
        if not isinstance(one, dict):
            one = {}
        if name not in needed and "default" not in one:
            one["description"] = f"{one.get('description', '')} (optional)".strip()
        found[name] = one
    return found


def _written_out(part: Any, root: Mapping[str, Any], depth: int, room: list[int]) -> Any:
    room[0] -= 1
    if room[0] < 0:
        return {}
    if isinstance(part, list):
        return [_written_out(one, root, depth, room) for one in part]
    if not isinstance(part, dict):
        return part
    if isinstance(there := part.get("$ref"), str):
        beside = {key: value for key, value in part.items() if key != "$ref"}
        if depth >= DEPTH:
            return beside
        target = _target(there, root)
        return _written_out({**target, **beside}, root, depth + 1, room) if isinstance(target, dict) else beside
    return {key: _written_out(value, root, depth, room) for key, value in part.items() if key not in ("$defs", "title")}


def _target(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _anything(_value: Any) -> bool:
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
