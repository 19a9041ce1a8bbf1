"""What changed between two descriptor sets, as protoc or `bridge proto export` writes them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from handlers.typed.changes import ApiChange

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumValueDescriptorProto,
        FieldDescriptorProto,
        FileDescriptorSet,
    )

_OURS = ("bridge.", "google.", "grpc.")


def descriptor_changes(old: FileDescriptorSet, new: FileDescriptorSet) -> list[ApiChange]:
    """Return what breaks callers with stubs of the old files."""
    return [*_methods(old, new), *_messages(old, new), *_enums(old, new)]


def _methods(old: FileDescriptorSet, new: FileDescriptorSet) -> Iterator[ApiChange]:
    now = dict(_all_methods(new))
    for path, shape in _all_methods(old):
        if path not in now:
            yield ApiChange(path, "the method is gone", "typed callers")
        elif now[path] != shape:
            yield ApiChange(path, f"it was {shape}, is {now[path]}", "typed callers")


def _all_methods(files: FileDescriptorSet) -> Iterator[tuple[str, str]]:
    for file in files.file:
        for service in file.service if not f"{file.package}.".startswith(_OURS) else ():
            for method in service.method:
                streams = "stream " if method.server_streaming else ""
                shape = f"{method.input_type.lstrip('.')} to {streams}{method.output_type.lstrip('.')}"
                yield f"{file.package}.{service.name}/{method.name}", shape


def _messages(old: FileDescriptorSet, new: FileDescriptorSet) -> Iterator[ApiChange]:
    now = dict(_all_messages(new))
    for name, message in _all_messages(old):
        if name not in now:
            yield ApiChange(name, "the message is gone", "typed callers")
            continue
        fields = {field.number: field for field in now[name].field}
        names = {field.name: field for field in now[name].field}
        for field in message.field:
            where, found = f"{name}.{field.name}", fields.get(field.number)
            if found is None:
                again = names.get(field.name)
                what = "the field is gone" if again is None else f"its number was {field.number}, is {again.number}"
                yield ApiChange(where, what, "typed callers")
            elif _shape(found) != _shape(field):
                yield ApiChange(
                    where, f"number {field.number} was {_shape(field)}, is {_shape(found)}", "typed callers"
                )


def _all_messages(files: FileDescriptorSet) -> Iterator[tuple[str, DescriptorProto]]:
    for file in files.file:
        if not f"{file.package}.".startswith(_OURS):
            yield from ((f"{file.package}.{message.name}", message) for message in file.message_type)


def _shape(field: FieldDescriptorProto) -> str:
    kind = field.type_name.lstrip(".") or field.Type.Name(field.type).removeprefix("TYPE_").lower()
    repeated = "repeated " if field.label == field.LABEL_REPEATED else ""
    return f"{field.name} of {repeated}{kind}"


def _enums(old: FileDescriptorSet, new: FileDescriptorSet) -> Iterator[ApiChange]:
    now = {name: {one.name: one.number for one in values} for name, values in _all_enums(new)}
    for name, values in _all_enums(old):
        for value in values:
            number = now.get(name, {}).get(value.name)
            if number != value.number:
                what = "the value is gone" if number is None else f"its number was {value.number}, is {number}"
                yield ApiChange(f"{name}.{value.name}", what, "typed callers")


def _all_enums(files: FileDescriptorSet) -> Iterator[tuple[str, list[EnumValueDescriptorProto]]]:
    for file in files.file:
        if not f"{file.package}.".startswith(_OURS):
            yield from ((f"{file.package}.{enum.name}", list(enum.value)) for enum in file.enum_type)
