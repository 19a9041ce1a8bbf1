"""Values that fit a JSON Schema, made from a seed instead of being thought up.

Pure and deterministic: the same schema and seed give the same value. The test model answers with these. Keywords that
it honours: type, const, enum, properties, required, items, prefixItems, minItems, maxItems, uniqueItems, minimum,
maximum and their exclusive forms, multipleOf, minLength, maxLength, pattern (simple ones), format, anyOf, oneOf, allOf,
additionalProperties, $ref. Others (not, if, dependent...) are ignored, so that a value may fail them.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from handlers.models.patterns import text_matching

Schema = dict[str, Any] | bool

_FULL_DEPTH = 4
"""Below this depth optional parts are left out, so that recursive schemas end."""
_MAX_DEPTH = 32
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "P1D",
    "email": "test@example.com",
    "idn-email": "test@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "uri": "https://example.com/",
    "iri": "https://example.com/",
    "uri-reference": "/test",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "json-pointer": "/test",
    "regex": "test",
    "byte": "dGVzdA==",
    "base64": "dGVzdA==",
}


def from_schema(schema: Schema, seed: str = "", *, name: str = "value", text: str | None = None) -> Any:
    """Return a value that fits `schema`.

    `seed` decides wherever the schema leaves a choice. `name` is what strings are named after; `text` stands for a
    bare string at the top.
    """
    return _Maker(schema, seed, {} if text is None else {name: text}).value(schema, name, 0)


def pick(seed: str, count: int) -> int:
    """Return a number from 0 to `count` - 1 that depends on nothing but `seed`."""
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % count


class _Maker:
    """Makes the values of one schema; `root` is where references point to, `texts` are bare strings by path."""

    def __init__(self, root: Schema, seed: str, texts: dict[str, str]) -> None:
        self.root = root
        self.seed = seed
        self.texts = texts

    def value(self, schema: Schema, path: str, depth: int) -> Any:
        if isinstance(schema, bool) or depth > _MAX_DEPTH:
            return None
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), path, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][pick(f"{self.seed}|{path}", len(schema["enum"]))]
        for keyword in ("anyOf", "oneOf"):
            if schema.get(keyword):
                base = {key: part for key, part in schema.items() if key != keyword}
                return self.value(_merge(base, self._option(schema[keyword], depth)), path, depth + 1)
        if schema.get("allOf"):
            return self.value(self._all_of(schema), path, depth + 1)
        return self._typed(schema, path, depth)

    def _typed(self, schema: dict[str, Any], path: str, depth: int) -> Any:
        kind = _type_of(schema)
        if kind == "object":
            return self._object(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, depth)
        if kind == "integer":
            return _integer(schema, f"{self.seed}|{path}")
        if kind == "number":
            return _number(schema, f"{self.seed}|{path}")
        if kind == "boolean":
            return pick(f"{self.seed}|{path}", 2) == 1
        if kind == "null":
            return None
        return self._string(schema, path)

    def _resolve(self, reference: str) -> Schema:
        node: Any = self.root
        for part in reference.removeprefix("#").split("/"):
            if part and isinstance(node, dict):
                node = node.get(part.replace("~1", "/").replace("~0", "~"), {})
        return node if isinstance(node, dict | bool) else {}

    def _option(self, options: list[Schema], depth: int) -> dict[str, Any]:
        """Return the first option that is not null, or near the recursion's bound the simplest."""
        resolved = [self._resolve(o["$ref"]) if isinstance(o, dict) and "$ref" in o else o for o in options]
        usable = [option for option in resolved if isinstance(option, dict)]
        if depth >= _FULL_DEPTH:
            return min(usable, key=lambda option: _type_of(option) in {"object", "array"}, default={})
        return next((option for option in usable if option.get("type") != "null"), usable[0] if usable else {})

    def _all_of(self, schema: dict[str, Any]) -> dict[str, Any]:
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            resolved = self._resolve(part["$ref"]) if isinstance(part, dict) and "$ref" in part else part
            if isinstance(resolved, dict):
                merged = _merge(merged, resolved)
        return merged

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if depth < _FULL_DEPTH or name in required]
        names += [name for name in required if name not in properties]
        made = {name: self.value(properties.get(name, {}), f"{path}.{name}", depth + 1) for name in names}
        extra = schema.get("additionalProperties")
        wanted = schema.get("minProperties", 0)
        if isinstance(extra, dict) and extra and not properties and depth < _FULL_DEPTH:
            wanted = max(wanted, 1)
        for number in range(1, wanted - len(made) + 1):
            made[f"key{number}"] = self.value(
                extra if isinstance(extra, dict) else {}, f"{path}.key{number}", depth + 1
            )
        return made

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        items: list[Any] = [self.value(part, f"{path}.{i}", depth + 1) for i, part in enumerate(first)]
        low = schema.get("minItems", 0)
        count = low if depth >= _FULL_DEPTH or first or "items" not in schema else max(low, 2)
        count = min(count, schema.get("maxItems", count))
        salt = 0
        while len(items) < count and salt < count * 20:
            item = self.value(schema.get("items", {}), f"{path}.{len(items) + salt + 1}", depth + 1)
            if schema.get("uniqueItems") and item in items:
                salt += 1
                continue
            items.append(item)
        return items

    def _string(self, schema: dict[str, Any], path: str) -> str:
        pattern = schema.get("pattern")
        made = text_matching(pattern) if isinstance(pattern, str) else None
        if made is None:
            made = _FORMATS.get(str(schema.get("format")))
        if made is None:
            made = self.texts.get(path) or f"test {path.removeprefix('value.').replace('.', ' ')}"
        low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if len(made) < low:
            made += "." * (low - len(made))
        return made if len(made) <= high else made[: int(high)]


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    merged = {**left, **right}
    if "properties" in left and "properties" in right:
        merged["properties"] = {**left["properties"], **right["properties"]}
    if "required" in left and "required" in right:
        merged["required"] = [*left["required"], *right["required"]]
    return merged


def _type_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema or isinstance(schema.get("additionalProperties"), dict):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _bounds(schema: dict[str, Any]) -> tuple[float | None, bool, float | None, bool]:
    """Return (low, low excluded, high, high excluded); accepts the boolean exclusive keywords of draft 4 too."""
    low, high = schema.get("minimum"), schema.get("maximum")
    low_open, high_open = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low_excluded, high_excluded = low_open is True, high_open is True
    if isinstance(low_open, int | float) and not isinstance(low_open, bool) and (low is None or low_open >= low):
        low, low_excluded = low_open, True
    if isinstance(high_open, int | float) and not isinstance(high_open, bool) and (high is None or high_open <= high):
        high, high_excluded = high_open, True
    return low, low_excluded, high, high_excluded


def _integer(schema: dict[str, Any], seed: str) -> int:
    low, low_excluded, high, high_excluded = _bounds(schema)
    least = None if low is None else math.floor(low) + 1 if low_excluded else math.ceil(low)
    most = None if high is None else math.ceil(high) - 1 if high_excluded else math.floor(high)
    step = max(1, int(schema.get("multipleOf", 1)))
    if least is None:
        least = 1 if most is None or most >= 1 else most - 9 * step
    if most is None:
        most = least + 9 * step
    first, last = -(-least // step), most // step
    return step * (first + pick(seed, last - first + 1)) if last >= first else least


def _number(schema: dict[str, Any], seed: str) -> float:
    step = schema.get("multipleOf")
    if step:
        scaled: dict[str, Any] = {key: schema[key] / step for key in ("minimum", "maximum") if key in schema}
        return float(_integer(scaled, seed) * step)
    low, _, high, _ = _bounds(schema)
    if low is None:
        low = 0.0 if high is None or high > 0 else high - 1
    if high is None:
        high = low + 1
    inside = low + (high - low) * (pick(seed, 99) + 1) / 100
    rounded = round(inside, 4)
    return float(rounded if low < rounded < high else min(max(inside, low), high))
