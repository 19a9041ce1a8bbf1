"""From the JSON Schemas of functions and programs to messages, enums and methods.

What has no type in a .proto file becomes `google.protobuf.Value`, so that every function has a method. What can not be
named (two names that become one) is told as a problem of its function, and the others stay. Owns nothing; knows
nothing of numbers, wires and languages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from handlers.typed import names
from handlers.typed.definitions import Definitions, Schema, message_name
from handlers.typed.names import NameProblem
from handlers.typed.schema_kinds import (
    basic,
    beside,
    is_array,
    is_map,
    is_object,
    is_open,
    is_tensor,
    message_field,
    named_class,
    note_of,
    refers_to_itself,
    schema_of,
)
from handlers.typed.shapes import ANY, Api, Enum, EnumValue, Field, Label, Message, Method, Type, constant
from handlers.typed.unions import members_of, without_null

SERVED_KINDS = ("function", "program")


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one function, from a catalogue or from a server."""

    name: str
    module: str = ""
    program: bool = False
    streaming: bool = False
    doc: str = ""
    arguments_schema: str = "{}"
    result_schema: str = "{}"


class SavedCatalogue(msgspec.Struct, frozen=True):
    """Functions as they were at a time, in a file."""

    functions: list[Function]


@dataclass(frozen=True, slots=True)
class Problem:
    """A function that has no method, and why."""

    function: str
    message: str


def read(package: str, functions: Iterable[Function]) -> tuple[Api, list[Problem]]:
    """Return the typed API of functions, in the order of their names, without numbers; and those that have none."""
    problems: list[Problem] = []
    definitions, defined = Definitions(), []
    for function in sorted(functions, key=lambda one: one.name):
        try:
            definitions = _defined(definitions.copy(), function)
            defined.append(function)
        except NameProblem as problem:
            problems.append(Problem(function.name, str(problem)))
    reader = _Reader(definitions)
    for function in defined:
        try:
            reader = reader.with_function(function)
        except NameProblem as problem:
            problems.append(Problem(function.name, str(problem)))
        except RecursionError:
            problems.append(Problem(function.name, "its types are nested too deep"))
    return Api(package, tuple(reader.methods), tuple(reader.messages.values()), tuple(reader.enums.values())), problems


def _defined(definitions: Definitions, function: Function) -> Definitions:
    """Add the classes of a function's schemas. Raises NameProblem."""
    result = json.loads(function.result_schema or "{}")
    for schema, given in ((json.loads(function.arguments_schema or "{}"), False), (result, True)):
        for key, definition in schema.get("$defs", {}).items():
            definitions.add(message_name(key), definition, result=given, function=function.name)
    if not function.program and _stands_alone(result):
        alone = {key: value for key, value in result.items() if key != "$defs"}
        definitions.add(message_name(result["title"]), alone, result=True, function=function.name)
    return definitions


def _stands_alone(result: Schema) -> bool:
    """Whether a function's result is a class that stands in its schema without a reference."""
    return is_object(result) and bool(result.get("title")) and "$ref" not in result


class _Reader:
    """Reads one function after the other. One that fails leaves no trace: it is read on a copy."""

    def __init__(self, definitions: Definitions) -> None:
        self.methods: list[Method] = []
        self.messages: dict[str, Message] = {}
        self.enums: dict[str, Enum] = {}
        self._definitions = definitions
        self._open: set[str] = set()
        """Messages that are being read: a type may hold itself."""

    def with_function(self, function: Function) -> _Reader:
        """Return a reader that has read one function more. Raises NameProblem."""
        other = _Reader(self._definitions)
        other.methods, other.messages, other.enums = [*self.methods], {**self.messages}, {**self.enums}
        other._read(function)
        return other

    def _read(self, function: Function) -> None:
        method = names.pascal(function.name)
        service = names.service_name(function.module, program=function.program)
        for known in self.methods:
            if known.name.lower() == method.lower():
                raise NameProblem(
                    f"its method would be called {method}, as that of {known.function!r}; give one of them another "
                    "name with @function(name=...)"
                )
        arguments, result = json.loads(function.arguments_schema or "{}"), json.loads(function.result_schema or "{}")
        request, response = f"{method}Request", f"{method}Response"
        self._object(request, arguments, doc=f"{request} has what {method} takes.")
        if function.program:
            self._object(response, self._resolve(result), doc=f"{response} has what {method} gives.")
        else:
            item = "one item of what it sends" if function.streaming else "what it returns"
            self._result(response, result, f"{response} is the answer of {method}: {item}.")
        self.methods.append(
            Method(
                method, function.name, service, request, response, function.streaming, function.program, function.doc
            )
        )

    def _result(self, response: str, schema: Schema, doc: str) -> None:
        """Make a message with the only field `result`; a class that stands alone keeps its name."""
        if _stands_alone(schema):
            schema = {"$ref": f"#/$defs/{schema['title']}"}
        fields = () if schema == {"type": "null"} else (self._field(response, "result", "result", schema, True),)
        self._add(Message(response, fields, doc=doc))

    def _add(self, message: Message) -> None:
        if message.name in self.messages or message.name in self.enums:
            raise NameProblem(f"two messages would be called {message.name}; rename the class or the function")
        self.messages[message.name] = message

    # -- objects --------------------------------------------------------------------------------------------------

    def _object(self, name: str, schema: Schema, doc: str = "") -> None:
        """Read an object with properties as a message."""
        properties: dict[str, Schema] = schema.get("properties", {})
        required = schema.get("required", ())
        known = names.field_names(properties, name)
        self._open.add(name)
        fields = [
            self._field(name, key, known[key], schema_of(one), key in required) for key, one in properties.items()
        ]
        extra = is_open(schema)
        if extra:
            if names.EXTRA in known.values():
                raise NameProblem(f"{name}: its key {names.EXTRA!r} is the name of the field for all other keys")
            fields.append(
                Field("", names.EXTRA, ANY, "map", required=False, doc="What has no field of its own, by its key.")
            )
        self._open.discard(name)
        self._add(Message(name, tuple(fields), "object", doc or schema.get("description", ""), extra))

    def _field(self, parent: str, key: str, name: str, schema: Schema, required: bool) -> Field:
        hint = f"{parent}{names.pascal(name)}"
        plain, nullable = without_null(self._resolved_union(schema))
        label, kind = self._labelled(plain, hint)
        default = schema.get("default", msgspec.UNSET)
        doc = schema.get("description", "") or plain.get("description", "")
        if label in ("list", "map"):
            may_be_absent = nullable or (not required and default not in (msgspec.UNSET, [], {}))
            if may_be_absent:
                label, kind = "optional", self._wrapper(hint, label, kind)
        elif nullable and not required and default is not None and kind != ANY:
            label, kind = "optional", self._boxed(f"{hint}OrNull", kind)
        elif nullable or not required:
            label = "optional"
        told = "" if default is msgspec.UNSET else json.dumps(default)
        note = note_of(plain)
        return Field(key, name, kind, label, 0, required, nullable, doc, note, told)

    def _labelled(self, schema: Schema, hint: str) -> tuple[Label, Type]:
        """Return a schema's type, and whether it is one value, a list of them or a map."""
        schema = self._resolved_alias(schema)
        if is_array(schema) and not is_tensor(schema) and "prefixItems" not in schema:
            return "list", self._single(schema_of(schema.get("items")), f"{hint}Item")
        if is_map(schema):
            value = schema["additionalProperties"]
            return "map", self._single(schema_of(value), f"{hint}Value")
        return "one", self._one(schema, hint)

    def _single(self, schema: Schema, hint: str) -> Type:
        """Return the type of a value inside a list, a map or a union: always one value, never absent."""
        plain, nullable = without_null(self._resolved_union(schema))
        label, kind = self._labelled(plain, hint)
        if label in ("list", "map"):
            kind = self._wrapper(hint, label, kind)
        return self._boxed(hint if kind.name != hint else f"{hint}OrNull", kind) if nullable and kind != ANY else kind

    def _wrapper(self, hint: str, label: Label, kind: Type) -> Type:
        name = f"{hint}List" if label == "list" else f"{hint}Map"
        role = "list" if label == "list" else "map"
        doc = f"{name} is a {role} that may also be absent, or stands inside of another."
        self._add(Message(name, (Field("values", "values", kind, label),), role, doc))  # type: ignore[arg-type]
        return Type("message", name)

    def _boxed(self, name: str, kind: Type) -> Type:
        doc = f"{name} is a value or, where it is not set, null."
        self._add(Message(name, (Field("value", "value", kind, "optional", nullable=True),), "box", doc))
        return Type("message", name)

    # -- single values --------------------------------------------------------------------------------------------

    def _one(self, schema: Schema, hint: str) -> Type:
        if "$ref" in schema:
            return self._named(schema["$ref"])
        if is_tensor(schema):
            return Type("tensor")
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._union(options, hint)
        if "const" in schema or "enum" in schema:
            return self._enum(hint, schema)
        if "prefixItems" in schema:
            return self._tuple(schema, hint)
        if schema.get("properties"):
            name = message_name(schema["title"]) if schema.get("title", "") in self._definitions else hint
            if name not in self.messages:
                self._object(name, schema)
            return Type("message", name)
        return basic(schema)

    def _named(self, reference: str) -> Type:
        name = message_name(reference.rpartition("/")[2])
        schema = self._definitions.get(name)
        if is_object(schema):
            if name not in self.messages and name not in self._open:
                self._object(name, schema)
            return Type("message", name)
        if name in self.enums:
            return Type("enum", name)
        if "enum" in schema or "const" in schema:
            return self._enum(name, schema)
        return ANY  # a type that holds itself without a class of its own, such as any JSON

    def _resolve(self, schema: Schema) -> Schema:
        """Return what a reference refers to."""
        if "$ref" not in schema:
            return schema
        name = message_name(schema["$ref"].rpartition("/")[2])
        return self._definitions.get(name)

    def _resolved_union(self, schema: Schema) -> Schema:
        """Return the union that a name stands for, so that its null is seen; other schemas as they are."""
        if "$ref" not in schema:
            return schema
        found = self._resolve(schema)
        return {**found, **beside(schema)} if found.get("anyOf") and not refers_to_itself(found, schema) else schema

    def _resolved_alias(self, schema: Schema) -> Schema:
        """Return the list, map or union that a name stands for; classes and enums keep their names."""
        if "$ref" not in schema:
            return schema
        found = self._resolve(schema)
        named = is_object(found) or "enum" in found or "const" in found
        return schema if named or refers_to_itself(found, schema) else found

    def _enum(self, name: str, schema: Schema) -> Type:
        texts = [schema["const"]] if "const" in schema else schema["enum"]
        if not all(isinstance(text, str) for text in texts):
            kinds = {type(text) for text in texts}
            return Type({int: "int", bool: "bool"}.get(kinds.pop(), "any")) if len(kinds) == 1 else ANY  # type: ignore[arg-type]
        found = names.value_names(texts, constant(name))
        if found is None:
            return Type("string")
        if name in self.messages or name in self.enums:
            raise NameProblem(f"two types would be called {name}; rename the class or the function")
        values = tuple(EnumValue(text, found[text]) for text in found)
        self.enums[name] = Enum(name, values, schema.get("description", ""))
        return Type("enum", name)

    def _tuple(self, schema: Schema, hint: str) -> Type:
        fields = tuple(
            Field(str(index), f"item_{index}", self._single(schema_of(one), f"{hint}Item{index}"), "one")
            for index, one in enumerate(schema["prefixItems"], 1)
        )
        if schema.get("maxItems", len(fields)) != len(fields) or not fields:
            return ANY
        self._add(Message(hint, fields, "tuple", f"{hint} is an array of {len(fields)} values."))
        return Type("message", hint)

    def _union(self, options: list[Schema], hint: str) -> Type:
        found = members_of([self._resolved_alias(one) for one in options], self._resolve)
        if found is None:
            return ANY
        if len(found) == 1:
            return self._single(found[0][1], hint)
        fields = []
        for member, schema in found:
            kind = self._single(schema, f"{hint}{names.pascal(member)}")
            name = f"{member}_value" if kind.kind != "message" or not named_class(schema) else message_field(kind)
            fields.append(Field(name, name, kind, "optional"))
        if len({field.name for field in fields}) != len(fields):
            return ANY
        self._add(Message(hint, tuple(fields), "union", f"{hint} is one of several types."))
        return Type("message", hint)
