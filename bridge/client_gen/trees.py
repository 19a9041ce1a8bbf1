"""The types of a typed API as a programming language sees them: lists in lists, unions and nulls without messages.

A .proto file needs a message for a list inside of a list; languages do not. Pure; knows no language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from handlers.typed.shapes import Basic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.typed.shapes import Api, Field, Message, Method, Type

Kind = Basic | Literal["class", "list", "map", "tuple", "union"]


@dataclass(frozen=True, slots=True)
class Tree:
    """A type. `name` is that of a class or an enum, `inner` what a list, map, tuple or union is made of."""

    kind: Kind
    name: str = ""
    inner: tuple[Tree, ...] = ()
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a class, or a parameter. `required` says whether it must be given, and always is in results."""

    key: str
    type: Tree
    required: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Class:
    """An object with known keys; with `open` it may have others."""

    name: str
    entries: tuple[Entry, ...]
    doc: str
    open: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its parameters and the type of its result, or of one item of its stream; None for nothing."""

    method: Method
    parameters: Class
    result: Tree | None


class Trees:
    """The types of one API."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._messages: Mapping[str, Message] = {message.name: message for message in api.messages}
        self.texts = {enum.name: tuple(value.json for value in enum.values) for enum in api.enums}
        """The texts of each enum."""

    def classes(self) -> list[Class]:
        """Return the classes that parameters and results are made of, in the order of names."""
        outer = {name for method in self._api.methods for name in (method.request, method.response)}
        outputs = {method.response for method in self._api.methods if method.program}
        return [
            self._class(message)
            for name, message in sorted(self._messages.items())
            if message.role == "object" and (name not in outer or name in outputs)
        ]

    def calls(self, service: str) -> Iterator[Call]:
        """Yield the functions of a service, in the order of names."""
        for method in self._api.services()[service]:
            response = self._messages[method.response]
            if method.program:
                result: Tree | None = Tree("class", response.name)
            else:
                result = self.field(response.fields[0]) if response.fields else None
            told = msgspec.structs.replace(method, doc=clean(method.doc))
            yield Call(told, self._class(self._messages[method.request]), result)

    def _class(self, message: Message) -> Class:
        entries = tuple(
            Entry(field.json, self.field(field), field.required, clean(field.doc))
            for field in message.fields
            if field.json
        )
        return Class(message.name, entries, clean(message.doc), message.extra)

    def field(self, field: Field) -> Tree:
        """Return the type of a field's value."""
        one = self._one(field.type)
        if field.label in ("list", "map"):
            one = Tree("list" if field.label == "list" else "map", inner=(one,))
        return _nullable(one) if field.nullable else one

    def _one(self, kind: Type) -> Tree:
        if kind.kind == "enum":
            return Tree("enum", kind.name)
        if kind.kind != "message":
            return Tree(kind.kind)
        message = self._messages[kind.name]
        if message.role == "object":
            return Tree("class", kind.name)
        inner = tuple(self.field(field) for field in message.fields)
        if message.role == "box":
            return _nullable(inner[0])
        return inner[0] if message.role in ("list", "map") else Tree(message.role, inner=inner)


def clean(text: str) -> str:
    """Return a text without control characters, for code: what a server says must stay inside of a comment."""
    lines = text.strip().splitlines()
    return "\n".join("".join(one if one.isprintable() else " " for one in line).rstrip() for line in lines)


def _nullable(tree: Tree) -> Tree:
    return Tree(tree.kind, tree.name, tree.inner, True)
