"""The descriptor of a typed API: what protobuf, reflection and the workers know it by. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from bridge.v1 import common_pb2
from handlers.typed.names import pascal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.typed.shapes import Api, Enum, Field, Message, Type

COMMON = "bridge/v1/common.proto"
STRUCT = "google/protobuf/struct.proto"
_TYPES = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int": FieldDescriptorProto.TYPE_INT64,
    "float": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "enum": FieldDescriptorProto.TYPE_ENUM,
}
_ELSEWHERE = {
    "any": ".google.protobuf.Value",
    "struct": ".google.protobuf.Struct",
    "tensor": ".bridge.v1.Tensor",
}


def file_name(package: str) -> str:
    """Return the path of a package's file, such as ``shop/v1/shop.proto`` for ``shop.v1``."""
    words = package.split(".")
    stem = words[-2] if len(words) > 1 and words[-1][:1] == "v" and words[-1][1:].isdigit() else words[-1]
    return "/".join([*words, f"{stem}.proto"])


def imports(api: Api) -> list[str]:
    """Return the files that an API's file imports."""
    kinds = {field.type.kind for message in api.messages for field in message.fields}
    found = [COMMON] if "tensor" in kinds else []
    return found + ([STRUCT] if kinds & {"any", "struct"} else [])


def file_of(api: Api) -> FileDescriptorProto:
    """Return the descriptor of an API's file."""
    file = FileDescriptorProto(name=file_name(api.package), package=api.package, syntax="proto3")
    file.dependency.extend(imports(api))
    for message in sorted(api.messages, key=lambda one: one.name):
        _add_message(file.message_type.add(), message, api.package)
    for enum in sorted(api.enums, key=lambda one: one.name):
        _add_enum(file, enum)
    for name, methods in api.services().items():
        service = file.service.add(name=name)
        for method in methods:
            service.method.add(
                name=method.name,
                input_type=f".{api.package}.{method.request}",
                output_type=f".{api.package}.{method.response}",
                server_streaming=method.streaming or None,
            )
    return file


def pool_with(files: Iterable[FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """Return a pool with these files and what they may import. Raises TypeError where they do not fit together."""
    pool = descriptor_pool.DescriptorPool()
    for module in (struct_pb2, common_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in files:
        pool.Add(file)
    return pool


def _add_message(into: DescriptorProto, message: Message, package: str) -> None:
    into.name = message.name
    presences = []
    if message.role == "union":
        into.oneof_decl.add(name="kind")
    for field in message.fields:
        made = into.field.add(name=field.name, number=field.number, json_name=json_name(field.name))
        made.label = FieldDescriptorProto.LABEL_OPTIONAL
        _set_type(made, field.type, package)
        if field.label == "list":
            made.label = FieldDescriptorProto.LABEL_REPEATED
        elif field.label == "map":
            _make_map(into, made, field, f"{package}.{message.name}")
        elif message.role == "union":
            made.oneof_index = 0
        elif has_optional(field):
            made.proto3_optional = True
            presences.append(made)
    for made in presences:  # the oneofs that only mark presence come after all others
        made.oneof_index = len(into.oneof_decl)
        into.oneof_decl.add(name=f"_{made.name}")
    for name, number in message.reserved:
        into.reserved_range.add(start=number, end=number + 1)
        if name:
            into.reserved_name.append(name)


def has_optional(field: Field) -> bool:
    """Whether a field says `optional`; messages know of themselves whether they are there."""
    return field.label == "optional" and field.type.kind not in ("any", "struct", "tensor", "message")


def json_name(name: str) -> str:
    """Return protobuf's own name of a field in its JSON."""
    first, *words = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in words)


def _set_type(made: FieldDescriptorProto, kind: Type, package: str) -> None:
    made.type = _TYPES.get(kind.kind, FieldDescriptorProto.TYPE_MESSAGE)
    if kind.name:
        made.type_name = f".{package}.{kind.name}"
    elif kind.kind in _ELSEWHERE:
        made.type_name = _ELSEWHERE[kind.kind]


def _make_map(into: DescriptorProto, made: FieldDescriptorProto, field: Field, parent: str) -> None:
    entry = into.nested_type.add(name=f"{pascal(field.name)}Entry")
    entry.options.map_entry = True
    entry.field.add(
        name="key",
        number=1,
        json_name="key",
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    value = entry.field.add(name="value", number=2, json_name="value", label=FieldDescriptorProto.LABEL_OPTIONAL)
    value.type, value.type_name = made.type, made.type_name
    if not value.type_name:
        value.ClearField("type_name")
    made.label = FieldDescriptorProto.LABEL_REPEATED
    made.type = FieldDescriptorProto.TYPE_MESSAGE
    made.type_name = f".{parent}.{entry.name}"


def _add_enum(file: FileDescriptorProto, enum: Enum) -> None:
    made = file.enum_type.add(name=enum.name)
    made.value.add(name=enum.nothing, number=0)
    for value in enum.values:
        made.value.add(name=value.name, number=value.number)
    for name, number in enum.reserved:
        made.reserved_range.add(start=number, end=number)
        made.reserved_name.append(name)
