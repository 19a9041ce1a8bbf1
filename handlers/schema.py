"""Validation of arguments and results against annotations: pydantic behind one door.

Strict as JSON is: a string is not a number, 5.0 is not an integer and True is not 1; an integer is fine for a float;
strings stand for dates, enums, UUIDs and, in JSON, bytes (base64); lists stand for tuples, sets and arrays. A type's
own leniency (`Field(strict=False)`) is kept. Everything is built once, at load. Owns no state; knows nothing of
payloads, functions and programs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import warnings
from typing import TYPE_CHECKING, Any, NotRequired, Required

import msgspec
from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, SchemaError, SchemaSerializer, ValidationError
from typing_extensions import TypedDict

from handlers import codec
from handlers.errors import BadInput, HandlerError, ResultInvalid
from handlers.schemas import examples, violations, wire_types
from handlers.values.plain import without_python_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import SchemaValidator

    from handlers.codec import Form

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
_EXACT = (int, str, bool, bytes, float, type(None))
_LISTING_LIMIT = 10_000
"""Arguments with more items than this get the first violation of each list, not all."""
_BUILD_ERRORS = (
    PydanticUserError,
    PydanticUndefinedAnnotation,
    UserWarning,
    SchemaError,
    TypeError,
    NameError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One argument: its annotation, its default (`...` where it is required) and what it is."""

    annotation: Any
    default: Any = ...
    description: str = ""


class ArgumentsSchema:
    """The arguments of a function or the inputs of a program, by name. Any names will do, keywords too."""

    __slots__ = ("_core", "_defaults", "_hints", "_json", "_packed", "example", "json_schema", "name")

    def __init__(self, name: str, core: Any, schema: dict[str, Any], defaults: dict[str, Any]) -> None:
        self.name = name
        self._core = core
        self._defaults = defaults
        self._hints = {key: _type_text(value) for key, value in schema.get("properties", {}).items()}
        rewrite = wire_types.Rewrite("json", fail_fast=True)
        self._json = wire_types.compile_validator(rewrite(core))
        self._packed = self._compile("packed", fail_fast=True) if rewrite.depends_on_form else self._json
        self.json_schema: str = json.dumps(schema)
        """JSON Schema (2020-12) of the arguments as JSON text."""
        self.example: str = self._find_example(schema)
        """Arguments as JSON text that validate; empty where none were found."""

    @classmethod
    def of_fields(cls, name: str, fields: Mapping[str, Field]) -> ArgumentsSchema:
        """Build the schema of named fields. Raises UnsupportedType, naming the field, where a type can not travel."""
        for key, field in fields.items():
            try:
                core = _core_of_fields(name, {key: field})
                wire_types.Rewrite("json")(core)
            except _BUILD_ERRORS as error:
                raise wire_types.UnsupportedType(f"{key}: {_first_line(error)}") from error
        core = _core_of_fields(name, fields)
        schema = _JsonSchema(by_alias=True).generate(core, mode="validation")
        defaults = {key: field.default for key, field in fields.items() if field.default is not ...}
        return cls(name, core, _annotated_schema(schema, name, fields), defaults)

    def validate(self, arguments: Mapping[str, Any], form: Form) -> dict[str, Any]:
        """Return the arguments with values of the annotated types, defaults filled in.

        Raises BadInput with one violation per field.
        """
        validator = self._json if form == "json" else self._packed
        try:
            values: dict[str, Any] = validator.validate_python(arguments)
        except ValidationError as error:
            raise self._bad_input(error, arguments, form) from None
        if len(values) <= len(self._hints) and self._defaults:
            for name, default in self._defaults.items():
                values.setdefault(name, default)
        return values

    def _bad_input(self, error: ValidationError, arguments: Mapping[str, Any], form: Form) -> BadInput:
        """The first look stops at a list's first mistake, since a list may hold millions; small arguments get two."""
        if _is_small(arguments):
            try:
                self._compile("json" if form == "json" else "packed", fail_fast=False).validate_python(arguments)
            except ValidationError as full:
                error = full
        found = violations.violations_of(error, arguments, hints=self._hints)
        return BadInput(f"{self.name}: {violations.summary(found)}", violations=found)

    def _compile(self, side: wire_types.Side, *, fail_fast: bool) -> SchemaValidator:
        return wire_types.compile_validator(wire_types.Rewrite(side, fail_fast=fail_fast)(self._core))

    def _find_example(self, schema: dict[str, Any]) -> str:
        for variant in range(examples.VARIANTS):
            try:
                text = json.dumps(examples.example_of(schema, variant), allow_nan=False)
                self.validate(json.loads(text), "json")
            except (
                HandlerError,
                ArithmeticError,
                AttributeError,
                LookupError,
                OSError,
                RuntimeError,
                TypeError,
                ValueError,
            ):
                continue  # a pattern, or the user's own check, wants something else
            return text
        return ""


class ResultSchema:
    """What a function returns, or one item of what it streams."""

    __slots__ = ("_exact", "_serializer", "_validator", "json_schema")

    def __init__(self, annotation: Any) -> None:
        self._exact = annotation if annotation in _EXACT else None
        try:
            core = _core_of(annotation)
            rewrite = wire_types.Rewrite("result")
            self._validator = wire_types.compile_validator(rewrite(core))
        except _BUILD_ERRORS as error:
            raise wire_types.UnsupportedType(f"result: {_first_line(error)}") from error
        self._serializer = SchemaSerializer(core) if rewrite.needs_dump else None
        self.json_schema: str = json.dumps(_JsonSchema(by_alias=True).generate(core, mode="serialization"))
        """JSON Schema (2020-12) of the result as JSON text."""

    @classmethod
    def of_annotation(cls, annotation: Any) -> ResultSchema:
        """Build the schema of a return annotation; `Any` takes whatever can be encoded. Raises UnsupportedType."""
        return cls(type(None) if annotation is None else annotation)

    def dump(self, value: Any) -> Any:
        """Check a result and turn dataclasses and models into plain objects for the codec. Raises ResultInvalid."""
        if type(value) is self._exact:
            return value
        try:
            return self._dump(value)
        except (ValidationError, PydanticSerializationError):
            plain = _plain(value)
        try:
            return self._dump(plain)
        except ValidationError as error:
            found = violations.violations_of(error, plain, root="result")
            raise ResultInvalid(violations.summary(found), violations=found) from None
        except PydanticSerializationError as error:
            raise ResultInvalid(f"expected a result that fits its annotation: {_first_line(error)}") from None

    def _dump(self, value: Any) -> Any:
        checked = self._validator.validate_python(value)
        if self._serializer is None:
            return checked
        return self._serializer.to_python(checked, by_alias=True, warnings="error")


def _plain(result: Any) -> Any:
    """Return a result without numpy's scalars, and without instances that hold what they should not."""
    try:
        return without_python_types(result)
    except RecursionError:
        raise ResultInvalid(
            "expected a result that fits its annotation, got one that holds itself or is too deep"
        ) from None


class _JsonSchema(GenerateJsonSchema):
    """pydantic's generator, taught how bytes and arrays travel."""

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        return {"type": "string", "contentEncoding": "base64"}

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        array = schema.get("metadata", {}).get(wire_types.ARRAY_SCHEMA_KEY)
        return array if array is not None else super().function_plain_schema(schema)

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        """Publish no constraint for what JSON Schema can not express, such as a check of a Python class."""
        return {}


def _core_of(annotation: Any) -> Any:
    """Build one annotation as a field, since pydantic lets nothing configure a dataclass that stands alone."""
    core = _core_of_fields("result", {"value": Field(annotation=annotation)})
    if core["type"] != "definitions":
        return core["fields"]["value"]["schema"]
    return {**core, "schema": core["schema"]["fields"]["value"]["schema"]}


def _core_of_fields(name: str, fields: Mapping[str, Field]) -> Any:
    """Build a TypedDict of the fields: unlike a model it has no names of its own that could clash."""
    hints: dict[str, Any] = {}
    for key, field in fields.items():
        hints[key] = Required[field.annotation] if field.default is ... else NotRequired[field.annotation]
    make: Any = TypedDict  # called, not declared: the names are the user's
    arguments = make(name, hints)
    arguments.__pydantic_config__ = _CONFIG
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".* is not a Python type", UserWarning)  # pydantic takes anything then
        core = TypeAdapter(arguments).core_schema
    return wire_types.with_arrays(core, arguments)


def _annotated_schema(schema: dict[str, Any], name: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    schema["title"] = name
    for key, described in schema.get("properties", {}).items():
        if fields[key].description:
            described["description"] = fields[key].description
        if fields[key].default is not ...:
            try:
                described["default"] = msgspec.json.decode(codec.encode_value(fields[key].default, "json").json)
            except ResultInvalid:
                continue  # a default that has no JSON form is not published
    return schema


def _type_text(schema: dict[str, Any]) -> str:
    names = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false"}
    names |= {"array": "an array", "object": "an object", "null": "null"}
    return names.get(schema.get("type", ""), "a value, because it is required")


def _is_small(arguments: Mapping[str, Any]) -> bool:
    """Count the items of nested containers, no further than the limit."""
    seen = 0
    waiting: list[Any] = [arguments]
    while waiting and seen <= _LISTING_LIMIT:
        container = waiting.pop()
        items = list(itertools.islice(container.values() if isinstance(container, dict) else container, _LISTING_LIMIT))
        seen += len(items)
        waiting.extend(item for item in items if isinstance(item, (dict, list)))
    return seen <= _LISTING_LIMIT


def _first_line(error: Exception) -> str:
    if isinstance(error, PydanticInvalidForJsonSchema | PydanticUserError):
        return str(error.message).partition("\n")[0][:300]
    return (str(error).partition("\n")[0] or type(error).__name__)[:300]
