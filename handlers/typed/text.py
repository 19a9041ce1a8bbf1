"""The .proto file of a typed API, with its documentation as comments. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.typed.descriptors import has_optional, imports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.typed.shapes import Api, Enum, Field, Message

_WIDTH = 110


def proto_text(api: Api) -> str:
    """Return the text of an API's file."""
    lines = [
        f"// The typed services of {api.package}, written by `bridge proto export`. Numbers are kept in the lock file.",
        'syntax = "proto3";',
        "",
        f"package {api.package};",
        "",
    ]
    if found := imports(api):
        lines += [*(f'import "{name}";' for name in found), ""]
    for name, methods in api.services().items():
        lines += [*comment(f"{name} has what its module serves.", ""), f"service {name} {{"]
        for method in methods:
            lines += comment(method.doc or f"{method.name} calls {method.function}.", "  ")
            stream = "stream " if method.streaming else ""
            lines.append(f"  rpc {method.name}({method.request}) returns ({stream}{method.response});")
        lines += ["}", ""]
    for message in sorted(api.messages, key=lambda one: one.name):
        lines += [*_message(message), ""]
    for enum in sorted(api.enums, key=lambda one: one.name):
        lines += [*_enum(enum), ""]
    return "\n".join(lines[:-1]) + "\n"


def comment(text: str, indent: str) -> list[str]:
    """Return a text as comment lines; what could end a comment or has no sign of its own is left out."""
    lines = []
    for line in text.strip().splitlines():
        plain = "".join(letter for letter in line.rstrip() if letter.isprintable() or letter == "\t")
        lines.append(f"{indent}// {plain}".rstrip())
    return lines


def _message(message: Message) -> Iterator[str]:
    yield from comment(message.doc or f"{message.name} is a class of the app.", "")
    if not message.fields and not message.reserved:
        yield f"message {message.name} {{}}"
        return
    yield f"message {message.name} {{"
    inner = "  "
    if message.role == "union":
        yield "  // The type is told by which of these is set."
        yield "  oneof kind {"
        inner = "    "
    for field in message.fields:
        yield from comment(about(field), inner)
        yield f"{inner}{_label(field, message)}{_type(field)} {field.name} = {field.number};"
    if message.role == "union":
        yield "  }"
    for name, number in message.reserved:
        yield f"  reserved {number};"
        if name:
            yield f'  reserved "{name}";'
    yield "}"


def about(field: Field) -> str:
    """Return what is known of a field beside its type."""
    parts = [field.doc.strip(), field.note]
    if field.default and field.default != "null":
        shown = field.default if len(field.default) <= _WIDTH else f"{field.default[:_WIDTH]}..."
        parts.append(f"Default: {shown}.")
    return " ".join(part for part in parts if part) or f"The {field.name.replace('_', ' ')}."


def _label(field: Field, message: Message) -> str:
    if field.label == "list":
        return "repeated "
    return "optional " if message.role != "union" and has_optional(field) else ""


def _type(field: Field) -> str:
    return f"map<string, {field.type.proto}>" if field.label == "map" else field.type.proto


def _enum(enum: Enum) -> Iterator[str]:
    yield from comment(enum.doc or f"{enum.name} is one of {len(enum.values)} texts.", "")
    yield f"enum {enum.name} {{"
    yield "  // Not set."
    yield f"  {enum.nothing} = 0;"
    for value in enum.values:
        yield from comment(f'The text "{value.json}".', "  ")
        yield f"  {value.name} = {value.number};"
    for name, number in enum.reserved:
        yield f"  reserved {number};"
        yield f'  reserved "{name}";'
    yield "}"
