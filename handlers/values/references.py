"""The tensors and blobs beside a payload's object, and the references to them inside it.

`{"$tensor": "NAME"}` stands for an array and `{"$blob": "NAME"}` for bytes. Owns no state beyond one payload; knows
nothing of JSON, MessagePack and functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.errors import BadInput
from handlers.values import tensors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.v1 import common_pb2
    from handlers.values.large import LargePayload

TENSOR_KEY = "$tensor"
BLOB_KEY = "$blob"


class Beside:
    """The tensors and blobs of one payload, and which of them the object has referred to."""

    __slots__ = ("_blobs", "_tensors", "_used", "_values")

    def __init__(self, payload: common_pb2.Payload | LargePayload) -> None:
        self._tensors = _by_name(payload.tensors, "tensors")
        self._blobs = _by_name(payload.blobs, "blobs")
        self._values: dict[tuple[str, str], Any] = {}
        self._used: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._tensors or self._blobs)

    def resolve(self, value: Any, path: str) -> Any:
        """Replace references in a value, in place where it is a container. The depth is bounded by MAX_DEPTH."""
        if type(value) is dict:
            if len(value) == 1:
                ((key, name),) = value.items()
                if key in (TENSOR_KEY, BLOB_KEY):
                    return self._get(key, name, path)
            pairs: Iterable[tuple[Any, Any]] = value.items()
        elif type(value) is list:
            pairs = enumerate(value)
        else:
            return value
        for key, item in pairs:
            if type(item) is dict or type(item) is list:
                value[key] = self.resolve(item, f"{path}[{key}]" if type(value) is list else f"{path}.{key}")
        return value

    def add_unreferenced(self, arguments: dict[str, Any]) -> None:
        """Make every tensor and blob that nothing refers to the argument of its name."""
        for field, key, names in (("tensors", TENSOR_KEY, self._tensors), ("blobs", BLOB_KEY, self._blobs)):
            for name in names:
                if key + name in self._used:
                    continue
                if name in arguments:
                    detail = "expected a reference to it or no argument of its name, got an argument of its name"
                    raise malformed(f'{field}["{name[:64]}"]', detail)
                arguments[name] = self._value(key, name)

    def _get(self, key: str, name: Any, path: str) -> Any:
        names = self._tensors if key == TENSOR_KEY else self._blobs
        if type(name) is not str or name not in names:
            known = ", ".join(sorted(names)[:10]) or "none"
            shown = repr(name[:64]) if type(name) is str else kind(name)
            what = "tensor" if key == TENSOR_KEY else "blob"
            where = path.lstrip(".")[:200] or "arguments"
            raise malformed(where, f"expected the name of a {what} beside the object (there: {known}), got {shown}")
        self._used.add(key + name)
        return self._value(key, name)

    def _value(self, key: str, name: str) -> Any:
        if (key, name) not in self._values:
            value = tensors.to_array(self._tensors[name]) if key == TENSOR_KEY else self._blobs[name].data
            self._values[key, name] = value
        return self._values[key, name]


def _by_name(items: Any, field: str) -> dict[str, Any]:
    if not items:
        return {}
    named = {item.name: item for item in items}
    if len(named) != len(items):
        raise malformed(field, "expected different names, got one name twice")
    if "" in named:
        raise malformed(field, "expected a name for each, got an empty one")
    return named


def malformed(path: str, description: str) -> BadInput:
    """Return the error for a mistake at a place of the request."""
    return BadInput(f"{path}: {description}", violations=((path, description),))


def kind(value: Any) -> str:
    """Say in a word or two what a decoded value is."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    names |= {int: "an integer", float: "a number", bytes: "binary data"}
    return names.get(type(value), f"a {type(value).__name__}")
