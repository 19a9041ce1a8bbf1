"""Values of typed messages <-> plain values of JSON, by a plan that is made once per method.

Lists and maps of plain values are copied in C; only messages inside of messages cost Python time, one step per field.
Owns the message classes of its API; knows nothing of functions, envelopes and calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import message_factory

from handlers.errors import BadInput, ResultInvalid
from handlers.typed.descriptors import file_of, pool_with
from handlers.typed.fitting import chooser
from handlers.typed.free_values import READERS, WRITERS, Read, Tensors, Write, as_it_is, float_of, items_of
from handlers.typed.shapes import Api, Enum, Field, Message, Type

_LEFT_OUT: Any = object()


class Values:
    """Reads and writes the messages of one API."""

    def __init__(self, api: Api) -> None:
        self._package = api.package
        self._pool = pool_with([file_of(api)])
        self._messages = {message.name: message for message in api.messages}
        self._enums = {enum.name: enum for enum in api.enums}
        self._readers: dict[str, Read] = {}
        self._writers: dict[str, Write] = {}

    def message_class(self, name: str) -> Any:
        """Return the class of a message."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{self._package}.{name}"))

    def reader(self, name: str) -> Read:
        """Return what reads a message; a message may hold itself, so it is looked up when it is read."""
        if name not in self._readers:
            self._readers[name] = lambda value, beside: self._readers[name](value, beside)
            self._readers[name] = self._make_reader(self._messages[name])
        return self._readers[name]

    def writer(self, name: str) -> Write:
        """Return what fills a message."""
        if name not in self._writers:
            self._writers[name] = lambda message, value, path: self._writers[name](message, value, path)
            self._writers[name] = self._make_writer(self._messages[name])
        return self._writers[name]

    # -- reading --------------------------------------------------------------------------------------------------

    def _make_reader(self, message: Message) -> Read:
        steps = [(field.json, self._field_reader(field, message)) for field in message.fields]
        if message.role == "union":
            by_name = {field.name: self._one_reader(field.type) for field in message.fields}

            def read_union(value: Any, beside: Tensors) -> Any:
                name = value.WhichOneof("kind")
                return _LEFT_OUT if name is None else by_name[name](getattr(value, name), beside)

            return read_union
        if message.role in ("list", "map"):
            ((_, only),) = steps
            return only
        if message.role == "box":
            ((_, boxed),) = steps
            return lambda value, beside: None if (read := boxed(value, beside)) is _LEFT_OUT else read
        if message.role == "tuple":
            return lambda value, beside: [read(value, beside) for _, read in steps]
        extra = steps.pop()[1] if message.extra else None

        def read_object(value: Any, beside: Tensors) -> dict[str, Any]:
            found: dict[str, Any] = extra(value, beside) if extra is not None else {}
            for key, read in steps:
                if (item := read(value, beside)) is not _LEFT_OUT:
                    found[key] = item
            return found

        return read_object

    def _field_reader(self, field: Field, message: Message) -> Read:
        """Return what reads a field of a message, given the message."""
        name = field.name
        plain = field.type.kind in ("bool", "int", "float", "string", "bytes")
        one = self._one_reader(field.type)
        if field.label == "list":
            keeps_empty = field.required or message.role == "list"

            def read_list(value: Any, beside: Tensors) -> Any:
                items = getattr(value, name)
                if not items and not keeps_empty:
                    return _LEFT_OUT
                return list(items) if plain else [one(item, beside) for item in items]

            return read_list
        if field.label == "map":
            keeps_empty = field.required or message.role == "map" or not field.json

            def read_map(value: Any, beside: Tensors) -> Any:
                items = getattr(value, name)
                if not items and not keeps_empty:
                    return _LEFT_OUT
                return dict(items) if plain else {key: one(items[key], beside) for key in items}

            return read_map
        if plain and field.label == "one":
            return lambda value, _beside: getattr(value, name)
        if field.type.kind == "enum" and field.label == "one":
            return lambda value, beside: one(getattr(value, name), beside)
        null = None if field.required and field.nullable else _LEFT_OUT

        def read_present(value: Any, beside: Tensors) -> Any:
            return one(getattr(value, name), beside) if value.HasField(name) else null

        return read_present

    def _one_reader(self, kind: Type) -> Read:
        if kind.kind == "message":
            return self.reader(kind.name)
        if kind.kind == "enum":
            return _enum_reader(self._enums[kind.name])
        return READERS.get(kind.kind, as_it_is)

    # -- writing --------------------------------------------------------------------------------------------------

    def _make_writer(self, message: Message) -> Write:
        steps = {field.json: self._field_writer(field) for field in message.fields}
        if message.role == "union":
            choose, by_name = chooser(message, self._messages, self._enums), steps
            return lambda made, value, path: by_name[choose(value, path)](made, value, path)
        if message.role in ("list", "map", "box"):
            (only,) = steps.values()
            return _box_writer(only) if message.role == "box" else only
        if message.role == "tuple":
            return _tuple_writer(list(steps.values()))
        boxes = {
            field.json
            for field in message.fields
            if field.type.kind == "message" and self._messages[field.type.name].role == "box"
        }
        return _object_writer(message, steps, boxes)

    def _field_writer(self, field: Field) -> Write:
        """Return what writes a value into a field of a message."""
        name, kind = field.name, field.type.kind
        if field.label == "list":
            return self._list_writer(field)
        if field.label == "map":
            return self._map_writer(field)
        if kind in ("message", "any", "struct", "tensor"):
            write = self._inner_writer(field.type)

            def write_inside(made: Any, value: Any, path: str) -> None:
                inner = getattr(made, name)
                inner.SetInParent()
                write(inner, value, path)

            return write_inside
        convert = self._plain_writer(field.type)

        def write_plain(made: Any, value: Any, path: str) -> None:
            try:
                setattr(made, name, convert(value, path))
            except (TypeError, ValueError) as error:
                raise _unfit(path, field.type, value) from error

        return write_plain

    def _list_writer(self, field: Field) -> Write:
        name, kind = field.name, field.type.kind
        if kind in ("message", "any", "struct", "tensor"):
            write = self._inner_writer(field.type)

            def write_messages(made: Any, values: Any, path: str) -> None:
                items = getattr(made, name)
                for index, value in enumerate(items_of(values, path)):
                    write(items.add(), value, f"{path}[{index}]")

            return write_messages
        convert = None if kind in ("bool", "int", "float", "string", "bytes") else self._plain_writer(field.type)

        def write_plains(made: Any, values: Any, path: str) -> None:
            values = items_of(values, path)
            try:
                getattr(made, name).extend(values if convert is None else [convert(value, path) for value in values])
            except (TypeError, ValueError) as error:
                raise _unfit(path, field.type, values) from error

        return write_plains

    def _map_writer(self, field: Field) -> Write:
        name, kind = field.name, field.type
        inner = self._inner_writer(kind) if kind.kind in ("message", "any", "struct", "tensor") else None
        convert = None if inner is not None else self._plain_writer(kind)

        def write_map(made: Any, values: Any, path: str) -> None:
            if not isinstance(values, dict):
                raise _unfit(path, kind, values)
            items = getattr(made, name)
            for key, value in values.items():
                where = f"{path}.{key}" if path else str(key)
                try:
                    if inner is not None:
                        inner(items[str(key)], value, where)
                    elif convert is not None:
                        items[str(key)] = convert(value, where)
                except (TypeError, ValueError) as error:
                    raise _unfit(where, kind, value) from error

        return write_map

    def _inner_writer(self, kind: Type) -> Write:
        return self.writer(kind.name) if kind.kind == "message" else WRITERS[kind.kind]

    def _plain_writer(self, kind: Type) -> Callable[[Any, str], Any]:
        if kind.kind == "enum":
            numbers = {value.json: value.number for value in self._enums[kind.name].values}
            return lambda value, path: _number_of(numbers, value, path, kind)
        if kind.kind == "float":
            return lambda value, _path: float_of(value)
        return lambda value, _path: value


def _object_writer(message: Message, steps: dict[str, Write], boxes: set[str]) -> Write:
    extra = steps.pop("", None) if message.extra else None
    nullable = {field.json for field in message.fields if field.type.kind == "any" and field.label == "one"}

    def write_object(made: Any, values: Any, path: str) -> None:
        if not isinstance(values, dict):
            raise ResultInvalid(f"{path or 'the result'}: expected an object, got {type(values).__name__}")
        others: dict[str, Any] = {}
        for key, value in values.items():
            write = steps.get(key)
            if write is None:
                others[key] = value
            elif value is not None or key in nullable or key in boxes:
                write(made, value, f"{path}.{key}" if path else key)
        if extra is not None and others:
            extra(made, others, path)

    return write_object


def _tuple_writer(steps: list[Write]) -> Write:
    def write_tuple(made: Any, values: Any, path: str) -> None:
        found = items_of(values, path)
        if len(found) != len(steps):
            raise ResultInvalid(f"{path}: expected {len(steps)} values, got {len(found)}")
        for index, (write, value) in enumerate(zip(steps, found, strict=True)):
            write(made, value, f"{path}[{index}]")

    return write_tuple


def _box_writer(only: Write) -> Write:
    def write_box(made: Any, value: Any, path: str) -> None:
        if value is not None:
            only(made, value, path)

    return write_box


def _number_of(numbers: dict[str, int], value: Any, path: str, kind: Type) -> int:
    if (number := numbers.get(value) if isinstance(value, str) else None) is None:
        raise _unfit(path, kind, value)
    return number


def _unfit(path: str, kind: Type, value: Any) -> ResultInvalid:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return ResultInvalid(
        f"{path or 'the result'}: {shown} does not fit into the type {kind.proto} of the typed service"
    )


def _enum_reader(enum: Enum) -> Read:
    texts = {value.number: value.json for value in enum.values}

    def read(number: Any, _beside: Tensors) -> Any:
        if number == 0:
            return _LEFT_OUT
        if number not in texts:
            known = ", ".join(value.name for value in enum.values)
            raise BadInput(f"{enum.name}: expected one of {known}, got the number {number}")
        return texts[number]

    return read
