"""Whether one JSON Schema takes every value of another, and what is in the way. Pure.

Of keywords that can not be compared (patterns, formats of strings) only equality is known: another one breaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from handlers.typed.unions import without_null

Schema = dict[str, Any]
MOST_DEPTH = 60
_LOWER, _UPPER = ("minimum", "exclusiveMinimum", "minLength", "minItems"), (
    "maximum", "exclusiveMaximum", "maxLength", "maxItems"
)  # fmt: skip
_CHOICES = ("anyOf", "oneOf")
_ASKS = ("type", "enum", "const", "properties")
_EXACT = ("pattern", "multipleOf", "contentEncoding", "format")


class Sides:
    """The two schemas with their definitions. `extra` says whether keys that the wide one lacks are let through.

    They are for results: callers leave alone what they do not know. Arguments that are not known are refused.
    """

    def __init__(self, wide: Schema, narrow: Schema, *, extra: bool) -> None:
        self._wide, self._narrow = wide.get("$defs", {}), narrow.get("$defs", {})
        self._extra = extra
        self._seen: set[tuple[str, str]] = set()

    def obstacles(self, wide: Any, narrow: Any, path: str, depth: int = 0) -> Iterator[str]:
        """Yield what values of `narrow` are not taken by `wide`: a path and why."""
        key = (str(wide.get("$ref", "")), str(narrow.get("$ref", ""))) if _both(wide, narrow) else ("", "")
        if any(key):
            if key in self._seen:
                return
            self._seen.add(key)
        wide, narrow = self._resolved(wide, self._wide), self._resolved(narrow, self._narrow)
        if depth > MOST_DEPTH or wide == narrow or not _says_something(wide):
            return
        yield from self._different(wide, narrow, path, depth)

    def _resolved(self, schema: Any, definitions: Schema) -> Any:
        for _ in range(MOST_DEPTH):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), **beside}
        return schema

    def _different(self, wide: Schema, narrow: Schema, path: str, depth: int) -> Iterator[str]:
        if _options(wide) != [wide] and any(key in wide for key in _ASKS):
            rest = {key: value for key, value in wide.items() if key not in _CHOICES}
            yield from self.obstacles(rest, narrow, path, depth + 1)
            wide = {key: value for key, value in wide.items() if key in _CHOICES}
        wide_plain, wide_null = without_null(wide)
        narrow_plain, narrow_null = without_null(narrow)
        if narrow_null and not wide_null and narrow != {"type": "null"}:
            yield f"{path}: null is not possible any more"
        options, given = _options(wide_plain), _options(narrow_plain)
        if len(given) > 1:
            for one in given:
                yield from self._one_of(options, one, path, depth)
        elif len(options) > 1:
            yield from self._one_of(options, narrow_plain, path, depth)
        elif narrow_plain == {"type": "null"}:
            if not wide_null and wide_plain.get("type") != "null":
                yield f"{path}: null is not possible any more"
        else:
            yield from self._plain(wide_plain, narrow_plain, path, depth)

    def _one_of(self, options: list[Schema], one: Schema, path: str, depth: int) -> Iterator[str]:
        """Yield what stands in the way at the option that fits best."""
        found: list[str] | None = None
        for option in options:
            before = set(self._seen)
            obstacles = list(self.obstacles(option, one, path, depth + 1))
            if not obstacles:
                return
            self._seen = before
            if found is None or len(obstacles) < len(found):
                found = obstacles
        yield from found or ()

    def _plain(self, wide: Schema, narrow: Schema, path: str, depth: int) -> Iterator[str]:
        if (values := _values(wide)) is not None:
            yield from _lacking(values, _values(narrow), path, narrow)
            return
        if not _says_something(narrow):
            yield f"{path}: it was anything, is {_named(wide)}"
            return
        if _kind(wide) not in (None, _kind(narrow)) and (_kind(wide), _kind(narrow)) != ("number", "integer"):
            yield f"{path}: {_named(narrow)} is not {_named(wide)}"
            return
        yield from _limits(wide, narrow, path)
        if _kind(narrow) == "object":
            yield from self._objects(wide, narrow, path, depth)
        elif _kind(narrow) == "array":
            yield from self._arrays(wide, narrow, path, depth)

    def _objects(self, wide: Schema, narrow: Schema, path: str, depth: int) -> Iterator[str]:
        properties, given = wide.get("properties", {}), narrow.get("properties", {})
        others = wide.get("additionalProperties", True)
        for name in wide.get("required", ()):
            if name not in narrow.get("required", ()):
                why = "may be missing" if name in given else "is missing"
                yield f"{_joined(path, name)}: it {why}, and must be there"
        for name, schema in given.items():
            if name in properties:
                yield from self.obstacles(properties[name], schema, _joined(path, name), depth + 1)
            elif others is False and not self._extra:
                yield f"{_joined(path, name)}: it is not known any more"
            elif isinstance(others, dict):
                yield from self.obstacles(others, schema, _joined(path, name), depth + 1)
        rest = narrow.get("additionalProperties")
        for name in properties.keys() - given.keys() if isinstance(rest, dict) else ():
            yield from self.obstacles(properties[name], rest, _joined(path, name), depth + 1)
        if isinstance(rest, dict) and isinstance(others, dict):
            yield from self.obstacles(others, rest, _joined(path, "*"), depth + 1)
        elif rest not in (None, False) and others is False and not self._extra:
            yield f"{path}: other keys are not taken any more"

    def _arrays(self, wide: Schema, narrow: Schema, path: str, depth: int) -> Iterator[str]:
        first, second = wide.get("prefixItems"), narrow.get("prefixItems")
        if first is not None or second is not None:
            if first is None:
                for index, item in enumerate(second or ()):
                    yield from self.obstacles(wide.get("items", {}), item, f"{path}[{index}]", depth + 1)
            elif second is None or len(first) != len(second):
                yield f"{path}: it has another length"
            else:
                for index, (item, given) in enumerate(zip(first, second, strict=True)):
                    yield from self.obstacles(item, given, f"{path}[{index}]", depth + 1)
            return
        yield from self.obstacles(wide.get("items", {}), narrow.get("items", {}), f"{path}[]", depth + 1)


def _both(wide: Any, narrow: Any) -> bool:
    return isinstance(wide, dict) and isinstance(narrow, dict)


def _says_something(schema: Any) -> bool:
    return isinstance(schema, dict) and any(
        key in schema for key in ("type", "anyOf", "oneOf", "enum", "const", "properties")
    )


def _options(schema: Schema) -> list[Schema]:
    found = schema.get("anyOf") or schema.get("oneOf")
    return list(found) if found else [schema]


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _lacking(values: list[Any], given: list[Any] | None, path: str, narrow: Schema) -> Iterator[str]:
    if given is None:
        yield f"{path}: {_named(narrow)} is not one of {values}"
        return
    for value in given:
        if not any(value == one and type(value) is type(one) for one in values):
            yield f"{path}: {value!r} is not one of {values}"


def _limits(wide: Schema, narrow: Schema, path: str) -> Iterator[str]:
    for key in (*_LOWER, *_UPPER):
        limit, inner = wide.get(key), narrow.get(key)
        if limit is None or limit == inner:
            continue
        if inner is None or (inner < limit if key in _LOWER else inner > limit):
            yield f"{path}: {key} is {limit}, was {'not limited' if inner is None else inner}"
    for key in _EXACT:
        if wide.get(key) not in (None, narrow.get(key)):
            yield f"{path}: {key} is {wide[key]!r}, was {narrow.get(key, 'not there')!r}"


def _kind(schema: Schema) -> str | None:
    kind = schema.get("type")
    if kind is None and "properties" in schema:
        return "object"
    if kind is None and _values(schema):
        return {str: "string", bool: "boolean", int: "integer"}.get(type((_values(schema) or [None])[0]))
    return kind if isinstance(kind, str) else None


def _named(schema: Schema) -> str:
    if _values(schema):
        return f"one of {_values(schema)}"
    return str(schema.get("title") if schema.get("properties") else None or _kind(schema) or "a union")


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
