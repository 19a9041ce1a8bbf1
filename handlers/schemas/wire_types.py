"""pydantic's core schemas, rewritten for values that come over the wire.

pydantic's lax mode turns "5" into 5 and its strict mode wants Python objects that JSON does not have. What the bridge
wants lies between: a string is not a number, 5.0 is not an integer, True is not 1; dates, enums, UUIDs and (in JSON)
bytes come as strings; lists stand for tuples and sets; objects stand for dataclasses and models. Owns no state; knows
nothing of payloads and functions.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import sys
import typing
from abc import ABC, abstractmethod
from typing import Any, Literal

from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from handlers.values import arrays

Side = Literal["json", "packed", "result"]
"""Arguments in JSON; arguments in MessagePack or raw; results, which are Python objects."""

NUMBER_TAG = "$number"
NAN_TAG = "$nan"
"""How the two readings of a float in JSON are marked in the places of errors."""

ARRAY_SCHEMA_KEY = "bridge_array_schema"
"""Where the metadata of an array's node keeps its JSON Schema."""

_NOT_SCHEMAS = frozenset(
    {"cls", "config", "default", "expected", "function", "members", "metadata", "ref", "serialization", "type"}
)
_SCALARS = frozenset({"int", "bool", "str"})
_DATES = {
    "date": "an ISO 8601 date such as '2026-01-31'",
    "time": "an ISO 8601 time such as '12:30:00'",
    "datetime": "an ISO 8601 date and time such as '2026-01-31T12:30:00Z'",
    "timedelta": "an ISO 8601 duration such as 'PT1H30M'",
}
_CHOICES = frozenset({"union", "tagged-union", "chain", "json-or-python", "lax-or-strict"})
_LISTS = frozenset({"list", "tuple", "set", "frozenset"})
_NEED_DUMP = frozenset({"model", "dataclass"})


class UnsupportedType(TypeError):
    """An annotation that no value on the wire can satisfy."""


def compile_validator(schema: Any) -> SchemaValidator:
    """Return the validator of a rewritten schema. Models' own validators, which are lax, are not reused."""
    try:
        return SchemaValidator(schema, _use_prebuilt=False)
    except TypeError:  # pydantic-core before 2.33 reuses none and does not know the argument
        return SchemaValidator(schema)


def with_arrays(schema: Any, annotation: Any) -> Any:
    """Return a core schema with nodes that check numpy arrays in place of plain isinstance checks."""
    if "numpy" not in sys.modules:
        return schema
    return _Arrays().rewrite(schema, annotation)


class _Walk(ABC):
    """Copies a core schema node by node. `choosing` counts the nodes above that try several readings."""

    def __init__(self) -> None:
        self.choosing = 0

    @abstractmethod
    def node(self, node: dict[str, Any]) -> Any: ...

    def children(self, node: dict[str, Any]) -> dict[str, Any]:
        chooses = node["type"] in _CHOICES or node["type"].startswith("function-")
        self.choosing += chooses
        copied = {key: value if key in _NOT_SCHEMAS else self.value(value) for key, value in node.items()}
        self.choosing -= chooses
        return copied

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("type"), str):
                return self.node(value)
            return {key: self.value(item) for key, item in value.items()}  # fields by name, choices by tag
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.value(item) for item in value)
        return value


class _Arrays(_Walk):
    """Replaces isinstance checks of np.ndarray.

    Core schemas have lost the dtype, so it is read from the annotation of the nearest field. A field with arrays of
    several dtypes accepts each of them in each place.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scalars: arrays.Scalars = ()
        self._hints: dict[str, Any] = {}

    def rewrite(self, schema: Any, annotation: Any) -> Any:
        self._scalars = arrays.scalars_in(annotation)
        return self.value(schema)

    def node(self, node: dict[str, Any]) -> Any:
        if node["type"] == "is-instance" and node["cls"] is sys.modules["numpy"].ndarray:
            return core_schema.no_info_plain_validator_function(
                arrays.array_check(self._scalars),
                metadata={ARRAY_SCHEMA_KEY: arrays.json_schema(self._scalars)},
                ref=node.get("ref"),
            )
        before = self._hints, self._scalars
        if node["type"] in ("typed-dict", "dataclass", "model"):
            self._hints = _hints(node["cls"])
        elif node["type"] == "dataclass-field":
            self._scalars = arrays.scalars_in(self._hints.get(node["name"]))
        copied = self.children(node)
        self._hints, self._scalars = before
        return copied

    def value(self, value: Any) -> Any:
        if isinstance(value, dict) and not isinstance(value.get("type"), str):
            return {name: self._named(name, item) for name, item in value.items()}
        return super().value(value)

    def _named(self, name: Any, item: Any) -> Any:
        before = self._scalars
        if name in self._hints:
            self._scalars = arrays.scalars_in(self._hints[name])
        copied = super().value(item)
        self._scalars = before
        return copied


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError:  # a name that only pydantic could resolve: the dtype stays unchecked
        return {}


class Rewrite(_Walk):
    """One rewriting of a core schema; afterwards it knows what it met."""

    def __init__(self, side: Side, *, fail_fast: bool = False) -> None:
        super().__init__()
        self._side = side
        self._fail_fast = fail_fast
        self.depends_on_form = False
        """Whether JSON and MessagePack are to be read differently."""
        self.has_lists = False
        """Whether `fail_fast` makes a difference."""
        self.needs_dump = False
        """Whether a result has to be turned into plain objects."""

    def __call__(self, schema: Any) -> Any:
        """Return the rewritten schema. Raises UnsupportedType."""
        return self.value(schema)

    def node(self, node: dict[str, Any]) -> Any:
        """Return one node rewritten, its children too."""
        kind = node["type"]
        self.needs_dump = self.needs_dump or kind in _NEED_DUMP or "serialization" in node
        if kind in _SCALARS:
            return {"strict": True, **node}
        if kind == "float":
            return self._float(node)
        if kind == "bytes":
            return self._bytes(node)
        if kind in _DATES and self._side != "result":
            return _before(_date_reader(_DATES[kind]), node)
        if kind in ("literal", "enum"):
            return _guarded_choice(node)
        if kind in ("is-instance", "is-subclass", "callable"):
            return self._python_only(node)
        return self._container(node)

    def _float(self, node: dict[str, Any]) -> Any:
        number = {"strict": True, **node}
        if self._side == "json":
            self.depends_on_form = True
        if self._side != "json" or node.get("allow_inf_nan") is False:
            return number
        names = core_schema.literal_schema(["NaN", "Infinity", "-Infinity"])
        named = core_schema.chain_schema([names, {**node, "strict": False}])
        choices: Any = [(number, NUMBER_TAG), (named, NAN_TAG)]
        return core_schema.union_schema(choices, mode="left_to_right")

    def _bytes(self, node: dict[str, Any]) -> Any:
        strict = {"strict": True, **node}
        if self._side != "json":
            return strict
        self.depends_on_form = True
        return _before(_bytes_of_base64, strict)

    def _python_only(self, node: dict[str, Any]) -> Any:
        if self._side != "result" and not self.choosing:
            name = getattr(node.get("cls"), "__qualname__", node["type"])
            raise UnsupportedType(
                f"expected a type that can come over the wire (numbers, text, bytes, lists, dicts, dataclasses, "
                f"pydantic models, arrays, ...), got {name}"
            )
        return node

    def _container(self, node: dict[str, Any]) -> Any:
        kind = node["type"]
        if kind == "generator":
            node = {"type": "list", **{key: node[key] for key in ("items_schema", "metadata", "ref") if key in node}}
        elif kind == "lax-or-strict":
            return self.value(node["lax_schema"]) if "ref" not in node else self.children(node)
        elif kind == "json-or-python" and self._side != "result":
            readings: Any = [node["python_schema"], node["json_schema"]]
            node = {"type": "union", "choices": readings, "mode": "left_to_right"} | _ref(node)
        copied = self.children(node)
        if kind == "dict" and node.get("keys_schema", {}).get("type") in ("int", "float", "bool"):
            copied["keys_schema"] = node["keys_schema"]  # keys of JSON objects are always strings
        if node["type"] in _LISTS:
            self.has_lists = True
            if self._fail_fast:
                copied["fail_fast"] = True
        return copied


def _ref(node: dict[str, Any]) -> dict[str, Any]:
    return {"ref": node["ref"]} if "ref" in node else {}


def _before(function: Any, node: Any) -> Any:
    """Put a function before a node; the node's ref moves out, so that references pass through the function too."""
    inner = {key: value for key, value in node.items() if key != "ref"}
    return core_schema.no_info_before_validator_function(function, inner, ref=node.get("ref"))


def _bytes_of_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("bridge_base64", "Input should be base64 (RFC 4648, padded)") from None


def _date_reader(expected: str) -> Any:
    def check(value: Any) -> Any:
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
            return value
        if not isinstance(value, str) or value.lstrip("+-").replace(".", "", 1).isdigit():
            raise PydanticCustomError("bridge_date", "{expected}", {"expected": f"Input should be {expected}"})
        return value

    return check


def _guarded_choice(node: dict[str, Any]) -> Any:
    """Keep 1, 1.0 and True apart, which are equal in Python, in a Literal or an Enum."""
    is_enum = node["type"] == "enum"
    values = [member.value for member in node["members"]] if is_enum else node["expected"]
    if all(isinstance(value, str) for value in values):
        return node
    kinds = {type(value) for value in values} | {type(member) for member in node.get("members", ())}
    shown = ", ".join(repr(value) for value in values)[:200]

    def check(value: Any) -> Any:
        if type(value) not in kinds:
            context = {"expected": f"Input should be one of {shown}"}
            raise PydanticCustomError("bridge_choice", "{expected}", context)
        return value

    return _before(check, node)
