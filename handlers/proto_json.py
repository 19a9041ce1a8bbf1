"""Protobuf messages as plain objects and back, and the JSON Schemas of both directions.

Pure. Field names are those of the proto (snake_case), enums are names, 64-bit integers stay integers: that is why
results do not go through `json_format`, which writes them as strings. Knows no particular message.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from handlers.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_UNSIGNED = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
_FLOATS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
_PLACE = re.compile(r' at "?\w+((?:\.\w+|\[\d+\])+)"?')
_INSIDE = re.compile(r"Failed to parse (\w+) field: ")
_UNKNOWN_FIELD = re.compile(r'has no field named "(.*?)" at')

_Field = Any
"""A field's descriptor: its class differs between the implementations of protobuf."""


def fill(message: Message, plain: dict[str, Any]) -> None:
    """Set the fields of `message` from a plain object. Raises BadInput with the path of the field that does not fit."""
    try:
        json_format.ParseDict(plain, message, ignore_unknown_fields=False)
    except (json_format.ParseError, TypeError, ValueError, AttributeError) as error:
        # ParseDict lets some mistakes through as what they happened to raise inside.
        path, text = _complaint(" ".join(str(error).split()))
        raise BadInput(
            f"The arguments do not fit {message.DESCRIPTOR.full_name}: {path or 'the object'}: {text}",
            violations=((path, text),),
        ) from error


def to_plain(message: Message) -> dict[str, Any]:
    """Return every field of `message` as plain Python; unset fields that know presence are left out."""
    plain: dict[str, Any] = {}
    field: _Field
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if _is_map(field):
            values = field.message_type.fields_by_name["value"]
            plain[field.name] = {str(key): _plain(values, one) for key, one in value.items()}
        elif field.is_repeated:
            plain[field.name] = list(value) if _is_scalar(field) else [_plain(field, one) for one in value]
        else:
            plain[field.name] = _plain(field, value)
    return plain


def arguments_schema(descriptor: Any, *, required: Iterable[str] = (), omit: Iterable[str] = ()) -> str:
    """Return the JSON Schema, as JSON text, of plain objects that `fill` takes. Fields in `omit` are not shown."""
    schemas = _Schemas(all_required=False)
    schema = schemas.of_message(descriptor)
    for name in omit:
        schema["properties"].pop(name, None)
    if names := list(required):
        schema["required"] = names
    return schemas.text(schema)


def result_schema(descriptor: Any) -> str:
    """Return the JSON Schema, as JSON text, of what `to_plain` returns."""
    schemas = _Schemas(all_required=True)
    return schemas.text(schemas.of_message(descriptor))


class _Schemas:
    """Builds one schema; owns its $defs, one per message type below the top."""

    def __init__(self, *, all_required: bool) -> None:
        self.all_required = all_required
        self.defs: dict[str, dict[str, Any]] = {}

    def text(self, schema: dict[str, Any]) -> str:
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        return json.dumps({**whole, "$defs": self.defs} if self.defs else whole)

    def of_message(self, descriptor: Any) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "title": descriptor.name,
            "properties": {field.name: self._of_field(field) for field in descriptor.fields},
            "additionalProperties": False,
        }
        always = [field.name for field in descriptor.fields if not field.has_presence]
        return {**schema, "required": always} if self.all_required and always else schema

    def _of_field(self, field: _Field) -> dict[str, Any]:
        if _is_map(field):
            return {
                "type": "object",
                "additionalProperties": self._of_value(field.message_type.fields_by_name["value"]),
            }
        if field.is_repeated:
            return {"type": "array", "items": self._of_value(field)}
        return self._of_value(field)

    def _of_value(self, field: _Field) -> dict[str, Any]:
        if field.message_type is not None:
            name = field.message_type.name
            if name not in self.defs:
                self.defs[name] = {}  # stops a recursive type
                self.defs[name] = self.of_message(field.message_type)
            return {"$ref": f"#/$defs/{name}"}
        if field.enum_type is not None:
            return {"enum": [value.name for value in field.enum_type.values]}
        if field.cpp_type in _INTEGERS:
            return {"type": "integer", "minimum": 0} if field.cpp_type in _UNSIGNED else {"type": "integer"}
        if field.cpp_type in _FLOATS:
            return {"type": "number"}
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "string"}


def _is_map(field: _Field) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_scalar(field: _Field) -> bool:
    return field.message_type is None and field.enum_type is None


def _plain(field: _Field, value: Any) -> Any:
    if field.message_type is not None:
        return to_plain(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value


def _complaint(text: str) -> tuple[str, str]:
    """Split what `json_format` complains about into the field's path, such as ``messages[0].role``, and the rest."""
    place, unknown = _PLACE.search(text), _UNKNOWN_FIELD.search(text)
    path = place[1].removeprefix(".") if place else ".".join(_INSIDE.findall(text)[:1])
    if unknown:
        return ".".join(part for part in (path, unknown[1]) if part), "no such field"
    return path, _PLACE.sub("", _INSIDE.sub("", text)).rstrip(". ")
