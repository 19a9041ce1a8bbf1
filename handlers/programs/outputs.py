"""The outputs of a program: their schema, and turning what the program returned into plain objects.

Owns no state. Knows schemas and predictions; not how programs run.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

import dspy
import pydantic
from typing_extensions import TypedDict

from handlers.errors import ResultInvalid
from handlers.programs.signatures import TEXT_ATTRIBUTES, Described
from handlers.schema import ResultSchema

OBJECT = '{"type":"object"}'


class Outputs:
    """What a program gives: one object."""

    def __init__(self, schema: ResultSchema | None, names: frozenset[str] | None, *, wraps: bool = False) -> None:
        self._schema = schema
        self._names = names
        self._wraps = wraps
        self.json_schema = schema.json_schema if schema else OBJECT

    @classmethod
    def of_types(cls, name: str, types: dict[str, Any], *, closed: bool = True, wraps: bool = False) -> Outputs:
        """Give these fields; others are left out. Not `closed`: a field may be missing and others are let through.

        With `wraps`, the value that the program returns is its only field.
        """
        if not types:
            return cls(None, None)
        make: Any = TypedDict
        shape = make(_title(name), {key: _described(one) for key, one in types.items()}, total=closed)
        if not closed:
            shape.__pydantic_config__ = pydantic.ConfigDict(extra="allow")
        return cls(ResultSchema.of_annotation(shape), frozenset(types) if closed else None, wraps=wraps)

    @classmethod
    def of_object(cls, annotation: Any) -> Outputs:
        """Give a value of this type, whose plain form is an object."""
        return cls(ResultSchema.of_annotation(annotation), None)

    def dump(self, result: Any) -> Any:
        """Return the outputs as plain objects. Raises ResultInvalid where they do not fit the schema."""
        if self._wraps:
            result = {"result": result}
        if isinstance(result, dspy.Example | dspy.Prediction):
            result = {name: result[name] for name in result.keys()}  # noqa: SIM118  # a Prediction iterates differently
        if isinstance(result, dict):
            names = result.keys() if self._names is None else [name for name in result if name in self._names]
            result = {name: _plain(result[name]) for name in names}
        if self._schema is None and not isinstance(result, dict):
            raise ResultInvalid(
                f"The program should return dspy.Prediction or a dict and returned {type(result).__name__}. "
                "Annotate what its forward returns, or return a Prediction."
            )
        return (self._schema or _ANYTHING).dump(result)


_ANYTHING = ResultSchema.of_annotation(dict[str, Any])


def _plain(value: Any) -> Any:
    for cls, attribute in TEXT_ATTRIBUTES.items():
        if isinstance(value, cls):
            return getattr(value, attribute)
    return value


def _described(annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    base, *metadata = get_args(annotation)
    shown = [pydantic.Field(description=str(one)) if isinstance(one, Described) else one for one in metadata]
    return Annotated[(base, *shown)]


def _title(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Outputs"
