"""Whether all values that fit one JSON Schema fit another too: so a function can stand in for another. Pure.

Knows the part of JSON Schema that functions are described in. What it does not know must be equal in both; so it may
refuse a pair that would fit. Names that only one of two open objects knows are taken to be ignored by the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SAID_ONLY = frozenset({"title", "description", "default", "examples", "deprecated", "$defs", "$schema", "$id"})
"""What explains a schema and forbids no value."""
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_HANDLED = frozenset({"type", "enum", "const", "anyOf", "oneOf", "properties", "required", "additionalProperties"})
_HANDLED |= {"items", *_LEAST, *_MOST}
REFERENCES = 40
Pairs = frozenset[tuple[str, str]]
"""Named schemas that are being compared: one that holds itself is looked into once."""
_ANY: Mapping[str, Any] = {}


def misfits(wide: str, narrow: str) -> list[str]:
    """Return why a value that fits `narrow` may not fit `wide`, one line per place. Both are JSON texts."""
    given, taken = json.loads(narrow), json.loads(wide)
    return list(_misfits(taken, given, _Defs(taken, given), "", frozenset()))


class _Defs:
    def __init__(self, wide: Any, narrow: Any) -> None:
        self._wide, self._narrow = wide, narrow

    def wide(self, schema: Any) -> tuple[Mapping[str, Any], str]:
        return _resolve(schema, self._wide)

    def narrow(self, schema: Any) -> tuple[Mapping[str, Any], str]:
        return _resolve(schema, self._narrow)


def _resolve(schema: Any, root: Any) -> tuple[Mapping[str, Any], str]:
    """Return a schema without its outer reference, and the reference's name."""
    name = ""
    for _ in range(REFERENCES):
        if schema is True:
            return _ANY, name
        if schema is False:
            return {"enum": []}, name
        reference = schema.get("$ref")
        if reference is None:
            return schema, name
        name = str(reference)
        found = root
        for part in name.removeprefix("#/").split("/"):
            found = found.get(part, {})
        schema = found
    return schema, name


def _misfits(wide: Any, narrow: Any, defs: _Defs, path: str, around: Pairs) -> Iterator[str]:
    taken, taken_name = defs.wide(wide)
    given, given_name = defs.narrow(narrow)
    if not _rules(taken):
        return
    if taken_name and given_name:
        if (taken_name, given_name) in around:
            return
        around |= {(taken_name, given_name)}
    where = path or "the value"
    if (branches := given.get("anyOf") or given.get("oneOf")) is not None:
        for branch in branches:
            yield from _misfits(wide, branch, defs, path, around)
        return
    if (branches := taken.get("anyOf") or taken.get("oneOf")) is not None:
        if not any(not list(_misfits(branch, narrow, defs, path, around)) for branch in branches):
            yield f"{where}: {_words(given)} fits none of {' | '.join(_words(defs.wide(one)[0]) for one in branches)}"
        return
    if (values := given.get("enum", [given["const"]] if "const" in given else None)) is not None:
        yield from _values(taken, values, where)
        return
    if "enum" in taken or "const" in taken:
        yield f"{where}: {_words(given)} is more than {_words(taken)}"
        return
    if not _types(given) <= _wider(_types(taken)):
        yield f"{where}: expected {_words(taken)}, got {_words(given)}"
        return
    yield from _limits(taken, given, where)
    if "object" in _types(given):
        yield from _object(taken, given, defs, path, around)
    if "array" in _types(given) and "items" in taken:
        yield from _misfits(taken["items"], given.get("items", _ANY), defs, f"{path}[]", around)
    for key in _rules(taken) - _HANDLED:
        if taken[key] != given.get(key):
            yield f"{where}: {key} is {json.dumps(taken[key])[:60]} in one and not in the other"


def _rules(schema: Mapping[str, Any]) -> set[str]:
    return set(schema) - _SAID_ONLY


def _types(schema: Mapping[str, Any]) -> set[str]:
    kinds = schema.get("type")
    if kinds is None:
        return {"null", "boolean", "integer", "number", "string", "array", "object"}
    return set(kinds) if isinstance(kinds, list) else {kinds}


def _wider(kinds: set[str]) -> set[str]:
    return kinds | {"integer"} if "number" in kinds else kinds


_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def _values(taken: Mapping[str, Any], values: list[Any], where: str) -> Iterator[str]:
    """Yield which of a few values do not fit."""
    allowed = taken.get("enum", [taken["const"]] if "const" in taken else None)
    for value in values:
        kind = "null" if value is None else _KINDS[type(value)]
        if (allowed is not None and value not in allowed) or kind not in _wider(_types(taken)):
            yield f"{where}: {json.dumps(value)} does not fit {_words(taken)}"


def _limits(taken: Mapping[str, Any], given: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in _LEAST:
        if key in taken and not (key in given and given[key] >= taken[key]):
            yield f"{where}: {key} is {taken[key]}, and {given.get(key, 'none')} in the other"
    for key in _MOST:
        if key in taken and not (key in given and given[key] <= taken[key]):
            yield f"{where}: {key} is {taken[key]}, and {given.get(key, 'none')} in the other"


def _object(taken: Mapping[str, Any], given: Mapping[str, Any], defs: _Defs, path: str, around: Pairs) -> Iterator[str]:
    dot = f"{path}." if path else ""
    wanted, offered = taken.get("properties", {}), given.get("properties", {})
    for name in taken.get("required", ()):
        if name not in given.get("required", ()):
            yield f"{dot}{name}: required, and {'optional' if name in offered else 'unknown'} in the other"
    others = taken.get("additionalProperties", True)
    for name, schema in offered.items():
        if name in wanted:
            yield from _misfits(wanted[name], schema, defs, f"{dot}{name}", around)
        elif others is False:
            yield f"{dot}{name}: not known"
        else:
            yield from _misfits(others, schema, defs, f"{dot}{name}", around)
    more = given.get("additionalProperties", True)
    if more is not False:
        if others is False:
            yield f"{path or 'the value'}: takes no further names"
        else:
            yield from _misfits(others, more, defs, f"{dot}*", around)


def _words(schema: Mapping[str, Any]) -> str:
    """Return a schema briefly."""
    if "enum" in schema or "const" in schema:
        return json.dumps(schema.get("enum", schema.get("const")))[:60]
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(_words(one) for one in branches)[:80]
    kinds = schema.get("type", "anything")
    return " | ".join(kinds) if isinstance(kinds, list) else str(kinds)
