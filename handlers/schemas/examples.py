"""Example values made from a JSON Schema, for a first call.

What is made fits types, bounds, formats and lengths; patterns and a user's own validators may still refuse it, so the
caller tries the variants and keeps one that validates. Owns no state.
"""

from __future__ import annotations

import math
from typing import Any

VARIANTS = 6
"""How many different examples there are of one schema."""

_MAX_DEPTH = 8
_STRINGS = ("text", "a", "1", "Ab1-", "user@example.com", "2026-01-31")
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:30:00Z",
    "time": "12:30:00Z",
    "duration": "PT1H30M",
    "uuid": "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b",
    "uri": "https://example.com/",
    "email": "user@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "ipv4network": "192.0.2.0/24",
    "ipv6network": "2001:db8::/32",
    "path": "file.txt",
    "json-string": "{}",
}


def example_of(schema: dict[str, Any], variant: int = 0) -> Any:
    """Return a value for a JSON Schema (2020-12, as pydantic writes it)."""
    return _Maker(schema.get("$defs", {}), variant).make(schema, 0)


class _Maker:
    def __init__(self, definitions: dict[str, Any], variant: int) -> None:
        self._definitions = definitions
        self._variant = variant

    def make(self, schema: dict[str, Any], depth: int) -> Any:
        if depth > _MAX_DEPTH:
            return None
        if schema.get("default") is not None:
            return schema["default"]
        if "examples" in schema:
            return schema["examples"][self._variant % len(schema["examples"])]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if "$ref" in schema:
            return self.make(self._definitions.get(schema["$ref"].rpartition("/")[2], {}), depth + 1)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._choose(schema[key], depth)
        return self._of_type(schema, depth)

    def _choose(self, choices: list[dict[str, Any]], depth: int) -> Any:
        real = [choice for choice in choices if choice.get("type") != "null"]
        return self.make((real or choices)[0], depth + 1) if real else None

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind == "integer":
            return math.ceil(_number(schema, 1))
        if kind == "number":
            return float(_number(schema, 0.5))
        if kind == "boolean":
            return True
        return None if kind == "null" else "text"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        wanted = [name for name in properties if name in required or properties[name].get("default") is not None]
        made = {name: self.make(properties[name], depth + 1) for name in wanted}
        additional = schema.get("additionalProperties")
        if not properties and isinstance(additional, dict):
            key = "key" if self._variant == 0 else _STRINGS[self._variant]
            made[key] = self.make(additional, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        made = [self.make(item, depth + 1) for item in schema.get("prefixItems", ())]
        item = schema.get("items", {})
        if "x-bridge-dtypes" in schema:
            return _array_values(schema["x-bridge-dtypes"])
        least = max(schema.get("minItems", 0), 0 if made or schema.get("maxItems") == 0 else 1)
        while len(made) < least:
            value = self.make(item if isinstance(item, dict) else {}, depth + 1)
            made.append(_different(value, len(made)) if schema.get("uniqueItems") else value)
        return made

    def _string(self, schema: dict[str, Any]) -> str:
        if schema.get("contentEncoding") == "base64":
            return "Ynl0ZXM="
        text = _FORMATS.get(schema.get("format", "")) or _STRINGS[self._variant % len(_STRINGS)]
        text = text.ljust(schema.get("minLength", 0), "x")
        return text[: schema.get("maxLength", len(text))]


def _number(schema: dict[str, Any], usual: float) -> float:
    step = schema.get("multipleOf")
    low: float = schema.get("minimum", -math.inf)
    high: float = schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    below = schema.get("exclusiveMaximum", math.inf)
    integer = schema.get("type") == "integer"
    low = max(low, above + 1 if integer else math.nextafter(above, math.inf))
    high = min(high, below - 1 if integer else math.nextafter(below, -math.inf))
    if step:
        usual = step * (math.ceil(low / step) if math.isfinite(low) else 1)
    if low <= usual <= high:
        return usual
    if math.isfinite(low) and math.isfinite(high) and not integer:
        return (low + high) / 2
    return low if math.isfinite(low) else high


def _array_values(dtypes: list[str]) -> list[Any]:
    if dtypes[:1] == ["BOOL"]:
        return [True, False]
    return [1, 2] if any("INT" in dtype for dtype in dtypes) else [0.5, 1.5]


def _different(value: Any, index: int) -> Any:
    if isinstance(value, str):
        return f"{value}{index}" if index else value
    return value + index if isinstance(value, (int, float)) else value
