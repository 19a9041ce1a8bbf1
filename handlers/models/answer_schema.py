"""The JSON Schema that an extracted answer must fit: checked once, then applied strictly.

`AnswerSchema.parse` refuses what can not be applied here: broken schemas, references to other documents (nothing is
ever fetched), too large ones. Models are shown objects, as the arguments of a tool must be one: an answer of another
type is wrapped for them. Owns a bounded cache of parsed schemas. Needs the library jsonschema.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from handlers.errors import BadInput, ExtraMissing, HandlerError

Violations = tuple[tuple[str, str], ...]

MAX_SCHEMA_BYTES = 256 * 1024
MAX_SCHEMA_DEPTH = 64
MAX_VIOLATIONS = 20


LIST_KEY, VALUE_KEY = "items", "value"
"""The one key of an object that wraps an answer of another type: of a list, of anything else."""
_DEFINITIONS = ("$defs", "definitions")
_OF_THE_WHOLE_LIST = ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class AnswerSchema:
    """A schema, and how an answer is checked against it."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        """As the caller gave it, with its type."""
        kind = schema["type"]
        self.wrapper = None if kind == "object" else LIST_KEY if kind == "array" else VALUE_KEY
        self.shown = schema if self.wrapper is None else _wrapped(schema, self.wrapper)
        """What a model is shown: always an object."""
        self._validator = _validator(schema)
        self._of_items = None
        if kind == "array" and isinstance(schema.get("items"), dict | bool) and "prefixItems" not in schema:
            self._of_items = _validator({key: schema[key] for key in schema if key not in _OF_THE_WHOLE_LIST})

    @property
    def has_items(self) -> bool:
        """Whether an answer is a list whose items have one schema, so that each can be checked by itself."""
        return self._of_items is not None

    def item_fits(self, item: Any) -> bool:
        """Return whether an item of the list fits."""
        return self._of_items is not None and self._of_items.is_valid([item])

    def unwrapped(self, answer: Any) -> Any:
        """Return what was meant by an answer to `shown`."""
        if self.wrapper is not None and isinstance(answer, dict) and set(answer) == {self.wrapper}:
            return answer[self.wrapper]
        return answer

    @staticmethod
    def parse(text: str) -> AnswerSchema:
        """Read a schema from JSON text. Raises BadInput; the same text is parsed once."""
        return _parse(text)

    def violations(self, answer: Any) -> Violations:
        """Return where and how an answer does not fit; nothing where it fits."""
        try:
            json.dumps(answer, allow_nan=False)
        except ValueError:
            return (("", "NaN and infinities are not JSON"),)
        found = [
            (_path(error.absolute_path), error.message)
            for error, _ in zip(self._validator.iter_errors(answer), range(MAX_VIOLATIONS), strict=False)
        ]
        return tuple(found)


def output_invalid(violations: Violations, attempts: int, model: str) -> HandlerError:
    """Return the failure of a model whose answers never fit."""
    shown = "; ".join(f"{path}: {what}" if path else what for path, what in violations[:3])
    return HandlerError(
        f"The model {model} was asked {attempts} time(s) and gave no answer that fits the schema."
        f" The last one: {shown}. Ask with a higher max_retries, a simpler schema or a stronger model.",
        code="INTERNAL",
        reason="OUTPUT_INVALID",
        violations=violations,
        metadata={"model": model, "attempts": str(attempts)},
    )


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> AnswerSchema:
    if len(text.encode("utf-8", "replace")) > MAX_SCHEMA_BYTES:
        raise _bad(f"it has more than {MAX_SCHEMA_BYTES} bytes")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(f"it is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise _bad(f"it must be a JSON object, got {type(schema).__name__}")
    _check_nodes(schema)
    return AnswerSchema({"type": "object", **schema})


def _wrapped(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the schema of an object that has the answer under `key`."""
    shared = {name: _moved(schema[name], key) for name in _DEFINITIONS if name in schema}
    inner = {name: _moved(part, key) for name, part in schema.items() if name not in (*_DEFINITIONS, "$schema", "$id")}
    return {"type": "object", "properties": {key: inner}, "required": [key], "additionalProperties": False, **shared}


def _moved(node: Any, key: str) -> Any:
    """Return a part of a schema whose top level is now under `key`, with references that still lead to the same."""
    if isinstance(node, list):
        return [_moved(one, key) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _moved(part, key) for name, part in node.items()}
    for keyword in _REFERENCES:
        path = node.get(keyword)
        kept = tuple(f"#/{name}/" for name in _DEFINITIONS)
        if isinstance(path, str) and (path == "#" or path.startswith("#/")) and not path.startswith(kept):
            made[keyword] = f"#/properties/{key}{path.removeprefix('#')}"
    return made


def json_text(value: Any) -> str:
    """Return a value as JSON text that can be sent: where half a surrogate pair forbids UTF-8, with escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _encodes(text) else json.dumps(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _validator(schema: dict[str, Any]) -> Any:
    try:
        import jsonschema
        import referencing
    except ImportError as error:
        raise ExtraMissing.of("bridge.models.extract", "llm") from error
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise _bad(f"{_path(error.absolute_path) or 'its top level'}: {error.message}") from error
    # An empty registry, because the default one fetches references over the network.
    return kind(schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER)


def _check_nodes(schema: dict[str, Any]) -> None:
    """Refuse nesting that is too deep, and references that lead out of the schema or nowhere."""
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_SCHEMA_DEPTH:
            raise _bad(f"it is nested more than {MAX_SCHEMA_DEPTH} deep")
        if isinstance(node, dict):
            for keyword in _REFERENCES:
                if isinstance(node.get(keyword), str):
                    _check_reference(schema, node[keyword])
            waiting.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            waiting.extend((child, depth + 1) for child in node)


def _check_reference(schema: dict[str, Any], reference: str) -> None:
    if not reference.startswith("#"):
        raise _bad(f"{reference!r} refers to another document; put it under $defs and refer to '#/$defs/NAME'")
    node: Any = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            raise _bad(f"{reference!r} refers to nothing in the schema")


def _bad(what: str) -> BadInput:
    message = f"The schema can not be used: {what}."
    return BadInput(message, violations=(("schema", what),))


def _path(parts: Any) -> str:
    """Return a path such as ``items[2].name``."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
