"""The types of a stored signature as Python types that DSPy and pydantic understand.

A type that came as JSON Schema becomes a class of its own whose values are plain objects, checked against that very
schema; nothing is made from its text but the check. Owns no state; imports dspy.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import dspy
import jsonschema
import referencing
from pydantic_core import PydanticCustomError, core_schema

from handlers.signatures import field_types as kinds
from handlers.signatures import json_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.signatures.field_types import FieldType, ObjectType

_SCALARS: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "any": Any,
    "none": None,
}
_SPECIALS: dict[str, Any] = {
    "image": dspy.Image,
    "audio": dspy.Audio,
    "file": dspy.File,
    "history": dspy.History,
    "code": dspy.Code,
    "reasoning": dspy.Reasoning,
}


class PythonTypes:
    """The Python types of one signature. The same named type gives the same class."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Any] = {}

    def of(self, kind: FieldType) -> Any:
        """Return the Python type of a field's type."""
        match kind:
            case kinds.ScalarType(name):
                return _SCALARS[name]
            case kinds.SpecialType("code", language) if language:
                return dspy.Code[language]
            case kinds.SpecialType(name):
                return _SPECIALS[name]
            case kinds.ListType(item, shape):
                container: Any = {"list": list, "set": set, "frozenset": frozenset}[shape]
                return container[self.of(item)]
            case kinds.DictType(key, value):
                return dict[self.of(key), self.of(value)]  # type: ignore[misc]  # the types are values here
            case kinds.TupleType(items, open_ended):
                inner = tuple(map(self.of, items))
                return tuple.__class_getitem__((*inner, ...) if open_ended else inner or ((),))
            case kinds.UnionType(members):
                return Union[tuple(map(self.of, members))]  # noqa: UP007  # made from values
            case kinds.LiteralType(values):
                return Literal[values]
        return self._object(kind)

    def _object(self, kind: ObjectType) -> Any:
        key = (kind.name, kind.schema)
        if key not in self._objects:
            self._objects[key] = _class_of(kind.name, json.loads(kind.schema), json_schema.without_references(kind))
        return self._objects[key]


def _class_of(name: str, schema: Any, shown: Any) -> Any:
    """Return a class that accepts what fits the schema, as it is; `shown` is the schema for people and models."""
    # An empty registry, because the default one fetches references over the network.
    check = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
    validate = core_schema.no_info_plain_validator_function(
        _validator(check), serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value)
    )

    def core(_cls: Any, _source: Any, _handler: Any) -> Any:
        return validate

    def json_text(_cls: Any, _core: Any, _handler: Any) -> Any:
        return json.loads(json.dumps(shown))

    methods = {
        "__get_pydantic_core_schema__": classmethod(core),
        "__get_pydantic_json_schema__": classmethod(json_text),
    }
    return type(name, (), methods)


def _validator(check: Any) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if (error := jsonschema.exceptions.best_match(check.iter_errors(value))) is None:
            return value
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        raise PydanticCustomError(
            "json_schema",
            "{where}{what}",
            {"where": f"{where.lstrip('.')}: " if where else "", "what": error.message[:500]},
        )

    return validate


def annotated(kind: Any, metadata: list[Any]) -> Any:
    """Return a type with metadata, or as it is where there is none."""
    return Annotated[(kind, *metadata)] if metadata else kind
