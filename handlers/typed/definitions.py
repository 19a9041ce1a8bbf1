"""The named types of all schemas of an app, each under one name: a class that several functions use is one message.

A class has a schema as an argument and another as a result (what has a default may be left out of the one and is always
in the other); the two are put together here. Owns the definitions that were read.
"""

from __future__ import annotations

from typing import Any

from handlers.typed.names import NameProblem, pascal

Schema = dict[str, Any]
_NO_MEANING = ("title", "description", "default", "examples")


class Definitions:
    """Named schemas by the name of their message. `origin` of a name is the function that brought it first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Schema, bool, str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def get(self, name: str) -> Schema:
        """Return a definition; nothing is known of a name that there is not."""
        return self._found[name][0] if name in self._found else {}

    def copy(self) -> Definitions:
        """Return definitions that can be added to without changing these."""
        other = Definitions()
        other._found = dict(self._found)
        return other

    def add(self, name: str, schema: Schema, *, result: bool, function: str) -> None:
        """Add a class as a schema has it. Raises NameProblem where another class has its name."""
        if name not in self._found:
            self._found[name] = (schema, result, function)
            return
        known, known_result, origin = self._found[name]
        merged = _merge(known, schema, same_side=result == known_result)
        if merged is None:
            raise NameProblem(
                f"{name}: the functions {origin} and {function} use two classes of this name, and both would be the "
                "same message; rename one of the classes"
            )
        self._found[name] = (merged, known_result, origin)


def message_name(key: str) -> str:
    """Return the message of a key of `$defs`; pydantic writes a generic class as ``Page_Item_``."""
    return pascal(key)


def _merge(known: Schema, other: Schema, *, same_side: bool) -> Schema | None:
    """Return one schema for both, or None where they are not of one class."""
    if _bare(known) == _bare(other):
        return known
    if "properties" not in known or "properties" not in other:
        return None
    first, second = known["properties"], other["properties"]
    if same_side and first.keys() != second.keys():
        return None
    both = [name for name in first if name in second]
    if any(_bare(first[name]) != _bare(second[name]) for name in both):
        return None
    properties = {name: {**second[name], **first[name]} if name in second else first[name] for name in first}
    properties |= {name: second[name] for name in second if name not in first}
    required = [name for name in known.get("required", ()) if name in other.get("required", ()) and name in both]
    return {**known, "properties": properties, "required": required}


def _bare(schema: Any) -> Any:
    """Return a schema without what says nothing about the values; which fields are required is compared apart."""
    if isinstance(schema, dict):
        skipped = (*_NO_MEANING, "required") if "properties" in schema else _NO_MEANING
        kept = {key: value for key, value in schema.items() if key not in skipped}
        if isinstance(properties := schema.get("properties"), dict):
            kept["properties"] = {name: _bare(one) for name, one in properties.items()}
        return {key: value if key == "properties" else _bare(value) for key, value in kept.items()}
    return [_bare(item) for item in schema] if isinstance(schema, list) else schema
