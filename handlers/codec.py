"""Payloads of the wire <-> plain Python values, without validation against any annotation.

JSON: integers are exact (up to 4300 digits), the literals NaN and Infinity are refused, of two equal keys the last
one wins, bytes leave as base64. MessagePack: integers have 64 bits, bytes and NaN are native, no extension types but
timestamps. Dates and times leave as ISO 8601 strings in both. Arrays travel beside the object as tensors. Owns no
state; knows nothing of functions and schemas.
"""

from __future__ import annotations

import collections
import math
import os
import sys
from collections.abc import Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

from handlers import tensors
from handlers.errors import BadInput, ResultInvalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.v1 import common_pb2

Form = Literal["json", "msgpack", "raw"]

MAX_DEPTH = 200
"""Arrays and objects of a request may be nested this deep."""

TENSOR_KEY = "$tensor"
BLOB_KEY = "$blob"

_LISTS = (collections.deque, range, KeysView, ValuesView)
_TIMESTAMPS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
_NATIVE_IN_MSGPACK = (bytes, bytearray, memoryview)
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def decode_arguments(payload: common_pb2.Payload) -> tuple[dict[str, Any] | bytes, Form]:
    """Return a call's arguments by name (for raw: the bytes) and the form that they came in.

    References to tensors and blobs are resolved; a tensor or blob that nothing refers to is the argument of its name.
    Raises BadInput on anything malformed.
    """
    value, form = _decode(payload)
    if form == "raw":
        return value, form
    arguments = {} if value is _NOTHING else value
    if type(arguments) is not dict:
        raise _malformed("arguments", f"expected an object with one key per parameter, got {_kind(arguments)}")
    beside = _Beside(payload)
    if beside or _may_refer(payload, form):
        beside.resolve(arguments, "")
        beside.add_unreferenced(arguments)
    if form == "msgpack":
        for key in arguments:
            if type(key) is not str:
                raise _malformed("arguments", f"expected keys that are strings, got {_kind(key)}")
    return arguments, form


def decode_value(payload: common_pb2.Payload) -> Any:
    """Return any value, such as a result: the inverse of `encode_value`. Raises BadInput on anything malformed."""
    value, form = _decode(payload)
    if value is _NOTHING:
        return None
    if form == "raw":
        return value
    return _Beside(payload).resolve(value, "")


def encode_value(value: Any, form: Form) -> common_pb2.Payload:
    """Return a value as a payload; raw is for bytes, any other value becomes MessagePack then.

    Takes what Python code returns: plain values, bytes, dates and times, enums, dataclasses, pydantic models, numpy
    arrays and scalars. Raises ResultInvalid for what can not travel.
    """
    from bridge.v1 import common_pb2

    payload = common_pb2.Payload()
    write_value(value, form, payload)
    return payload


def write_value(value: Any, form: Form, payload: common_pb2.Payload) -> None:
    """Do as `encode_value` into an empty payload that exists, which saves a copy."""
    try:
        if form == "json":
            _write_json(value, payload)
        elif form == "raw" and isinstance(value, _NATIVE_IN_MSGPACK):
            payload.raw = bytes(value)
        else:
            _write_msgpack(value, payload)
    except RecursionError:
        raise ResultInvalid(
            "expected a value without cycles and with less nesting, got one too deep to encode"
        ) from None
    except UnicodeEncodeError:
        raise ResultInvalid(
            "expected text that UTF-8 can carry, got a string with a lone surrogate; return bytes, or replace it"
        ) from None
    except OverflowError:
        raise ResultInvalid(
            "expected integers of at most 64 bits in MessagePack, got a larger one; "
            "call with JSON arguments, or return it as a string"
        ) from None
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ResultInvalid(f"expected a value that can be encoded as {form}: {str(error)[:200]}") from error


# -- decoding -----------------------------------------------------------------------------------------------------


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise _malformed("msgpack", f"expected no extension types but timestamps, got extension type {code}")


_NOTHING: Any = object()
_JSON_DECODER = msgspec.json.Decoder()
_MSGPACK_DECODER = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)


def _decode(payload: common_pb2.Payload) -> tuple[Any, Form]:
    body = payload.WhichOneof("body")
    if body is None:
        return _NOTHING, "json"
    if body == "raw":
        if payload.tensors or payload.blobs:
            raise _malformed(
                "raw", "expected raw bytes alone, got tensors or blobs beside them; use JSON or MessagePack"
            )
        return payload.raw, body
    encoded = payload.json if body == "json" else payload.msgpack
    if not encoded:
        return _NOTHING, body
    return _parse(encoded, body), body


def _parse(encoded: str | bytes, form: Form) -> Any:
    decoder = _JSON_DECODER if form == "json" else _MSGPACK_DECODER
    try:
        value = decoder.decode(encoded)  # type: ignore[arg-type]
    except RecursionError:
        raise _too_deep(form) from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        name = "JSON" if form == "json" else "MessagePack"
        raise _malformed(form, f"expected valid {name}, got an error: {str(error)[:200]}") from None
    if _may_be_deep(encoded):
        _check_depth(value, form)
    return value


def _may_be_deep(encoded: str | bytes) -> bool:
    if isinstance(encoded, str):
        return len(encoded) > MAX_DEPTH and encoded.count("[") + encoded.count("{") > MAX_DEPTH
    return len(encoded) > MAX_DEPTH


def _check_depth(value: Any, form: Form) -> None:
    """Go through the levels of a value. Leaves are told apart in C (`map`), since there may be millions."""
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container
            kinds = set(map(type, items)) if type(container) in (dict, list) else ()
            if dict in kinds or list in kinds:
                deeper.extend(item for item in items if type(item) is dict or type(item) is list)
        if not deeper:
            return
        level = deeper
    raise _too_deep(form)


def _may_refer(payload: common_pb2.Payload, form: Form) -> bool:
    if form == "json":
        text = payload.json
        return '"$tensor"' in text or '"$blob"' in text
    packed = payload.msgpack
    return b"\xa7$tensor" in packed or b"\xa5$blob" in packed


class _Beside:
    """The tensors and blobs of one payload, and which of them the object has referred to."""

    __slots__ = ("_blobs", "_tensors", "_used", "_values")

    def __init__(self, payload: common_pb2.Payload) -> None:
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
                    raise _malformed(f'{field}["{name[:64]}"]', detail)
                arguments[name] = self._value(key, name)

    def _get(self, key: str, name: Any, path: str) -> Any:
        names = self._tensors if key == TENSOR_KEY else self._blobs
        if type(name) is not str or name not in names:
            known = ", ".join(sorted(names)[:10]) or "none"
            shown = repr(name[:64]) if type(name) is str else _kind(name)
            what = "tensor" if key == TENSOR_KEY else "blob"
            where = path.lstrip(".")[:200] or "arguments"
            raise _malformed(where, f"expected the name of a {what} beside the object (there: {known}), got {shown}")
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
        raise _malformed(field, "expected different names, got one name twice")
    if "" in named:
        raise _malformed(field, "expected a name for each, got an empty one")
    return named


def _malformed(path: str, description: str) -> BadInput:
    return BadInput(f"{path}: {description}", violations=((path, description),))


def _too_deep(form: Form) -> BadInput:
    return _malformed(form, f"expected at most {MAX_DEPTH} levels of arrays and objects, got more")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    names |= {int: "an integer", float: "a number", bytes: "binary data"}
    return names.get(type(value), f"a {type(value).__name__}")


# -- encoding -----------------------------------------------------------------------------------------------------

_JSON_ENCODER = msgspec.json.Encoder()
_MSGPACK_ENCODER = msgspec.msgpack.Encoder()


def _write_json(value: Any, payload: common_pb2.Payload) -> None:
    """Encode at once what can be; msgspec writes NaN as null, so a null may be one and takes the careful way."""
    try:
        encoded = _JSON_ENCODER.encode(value)
        if b"null" not in encoded or value is None:
            payload.json = encoded  # type: ignore[assignment]  # protobuf takes UTF-8 bytes and checks them
            return
    except TypeError:
        pass  # holds something that only the careful way knows
    arrays: list[Any] = []
    plain = msgspec.to_builtins(value, builtin_types=(), enc_hook=_hook(arrays))
    payload.json = _JSON_ENCODER.encode(_name_non_finite(plain))  # type: ignore[assignment]
    _write_arrays(arrays, payload)


def _write_msgpack(value: Any, payload: common_pb2.Payload) -> None:
    """Encode at once what can be; what may be a timestamp takes the careful way, which makes it a string."""
    try:
        encoded = _MSGPACK_ENCODER.encode(value)
        if type(value) in (bytes, str, int) or not any(mark in encoded for mark in _TIMESTAMPS):
            payload.msgpack = encoded
            return
    except TypeError:
        pass  # holds something that only the careful way knows
    arrays: list[Any] = []
    plain = msgspec.to_builtins(value, builtin_types=_NATIVE_IN_MSGPACK, enc_hook=_hook(arrays))
    payload.msgpack = _MSGPACK_ENCODER.encode(plain)
    _write_arrays(arrays, payload)


def _write_arrays(arrays: list[Any], payload: common_pb2.Payload) -> None:
    payload.tensors.extend(tensors.of_array(array, f"t{index}") for index, array in enumerate(arrays))


def _name_non_finite(value: Any) -> Any:
    """Replace NaN and infinities by their names, in a value that holds only what JSON knows."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else _NON_FINITE.get(value, "NaN")
    if kind is dict:
        return {key: _name_non_finite(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_name_non_finite(item) for item in value]
    return value


def _hook(arrays: list[Any]) -> Callable[[Any], Any]:
    """Return msgspec's hook for types that it does not know; arrays are put aside and referred to."""

    def convert(value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.generic):
            return value.item()
        if hasattr(value, "__array__"):
            import numpy as np

            arrays.append(np.asarray(value))
            return {TENSOR_KEY: f"t{len(arrays) - 1}"}
        return _plain_object(value)

    return convert


def _plain_object(value: Any) -> Any:
    if hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump"):
        return value.model_dump(by_alias=True)
    if isinstance(value, Iterator):
        raise ResultInvalid(
            f"expected a value, got an iterator ({_type_name(value)}); return a list, or write a function that yields"
        )
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, _LISTS):
        return list(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    import pydantic_core

    try:
        return pydantic_core.to_jsonable_python(value)
    except pydantic_core.PydanticSerializationError:
        raise ResultInvalid(
            "expected numbers, text, bytes, dates, lists, dicts, dataclasses, pydantic models or arrays, "
            f"got an object of type {_type_name(value)}"
        ) from None


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"[:120]
