"""The typed API as data: services, messages and enums as they stand in a .proto file, and what each is in JSON.

Made from schemas (`handlers.typed.reader`), numbered by the lock (`handlers.typed.lock`), and read by all that writes
or speaks it: descriptors, the .proto text, the values of calls, the generated clients. Pure records; owns nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Basic = Literal["bool", "int", "float", "string", "bytes", "any", "struct", "tensor", "message", "enum"]
Label = Literal["one", "optional", "list", "map"]
Role = Literal["object", "list", "map", "union", "tuple", "box"]


class Type(msgspec.Struct, frozen=True, omit_defaults=True):
    """The type of one value; `name` is that of its message or enum."""

    kind: Basic
    name: str = ""

    @property
    def proto(self) -> str:
        """The type as the .proto file writes it."""
        return self.name or PROTO_NAMES[self.kind]


PROTO_NAMES: dict[str, str] = {
    "bool": "bool",
    "int": "int64",
    "float": "double",
    "string": "string",
    "bytes": "bytes",
    "any": "google.protobuf.Value",
    "struct": "google.protobuf.Struct",
    "tensor": "bridge.v1.Tensor",
}
ANY = Type("any")


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of a message. `json` is its key in JSON, `name` its name in the .proto file."""

    json: str
    name: str
    type: Type
    label: Label = "one"
    number: int = 0
    """0 until the lock has given one."""
    required: bool = True
    nullable: bool = False
    doc: str = ""
    note: str = ""
    """What the type does not say, such as the numbers that are allowed."""
    default: str = ""
    """Its default as JSON text; empty where there is none."""

    @property
    def told(self) -> str:
        """The field's type and label as the lock keeps them. Presence alone is no difference on the wire."""
        if self.label == "map":
            return f"map<string, {self.type.proto}>"
        return f"repeated {self.type.proto}" if self.label == "list" else self.type.proto


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message. Its `role` says what its value is in JSON.

    ``object``: an object with a key per field. ``list``, ``map``: the content of its only field. ``union``: the field
    of its oneof that is set. ``tuple``: an array with the fields' values. ``box``: the value of its field, or null.
    """

    name: str
    fields: tuple[Field, ...]
    role: Role = "object"
    doc: str = ""
    extra: bool = False
    """Whether the last field holds the keys that have no field of their own."""
    reserved: tuple[tuple[str, int], ...] = ()
    """Names and numbers that fields had which are gone; the name is empty where a field has it again."""


class EnumValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value of an enum; `json` is the text that stands for it."""

    json: str
    name: str
    number: int = 0


class Enum(msgspec.Struct, frozen=True, omit_defaults=True):
    """An enum whose values are texts in JSON. The value 0, which says nothing, is not among them."""

    name: str
    values: tuple[EnumValue, ...]
    doc: str = ""
    reserved: tuple[tuple[str, int], ...] = ()

    @property
    def nothing(self) -> str:
        """The name of its value 0."""
        return f"{constant(self.name)}_UNSPECIFIED"


class Method(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RPC and the function that answers it."""

    name: str
    function: str
    service: str
    request: str
    response: str
    streaming: bool = False
    program: bool = False
    doc: str = ""


class Api(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is typed of one server."""

    package: str
    methods: tuple[Method, ...] = ()
    messages: tuple[Message, ...] = ()
    enums: tuple[Enum, ...] = ()

    def message(self, name: str) -> Message:
        """Return a message by its name. Raises KeyError."""
        return {message.name: message for message in self.messages}[name]

    def services(self) -> dict[str, list[Method]]:
        """Return the methods of each service, in the order of names."""
        found: dict[str, list[Method]] = {}
        for method in sorted(self.methods, key=lambda one: (one.service, one.name)):
            found.setdefault(method.service, []).append(method)
        return found


def constant(name: str) -> str:
    """Return a name such as ``TicketQueue`` as ``TICKET_QUEUE``."""
    return snake(name).upper()


def snake(name: str) -> str:
    """Return a name such as ``TicketQueue`` as ``ticket_queue``."""
    letters: list[str] = []
    for index, letter in enumerate(name):
        before, after = name[index - 1 : index], name[index + 1 : index + 2]
        starts = letter.isupper() and before not in ("", "_") and (not before.isupper() or after.islower())
        letters.append(f"_{letter.lower()}" if starts else letter.lower())
    return "".join(letters)
