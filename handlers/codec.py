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
from collections.abc import Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

from handlers.errors import ResultInvalid
from handlers.values import tensors
from handlers.values.outgoing import Outgoing
from handlers.values.references import TENSOR_KEY, Beside, kind, malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.v1 import common_pb2
    from handlers.errors import BadInput
    from handlers.values.large import LargePayload

Form = Literal["json", "msgpack", "raw"]

MAX_DEPTH = 200
"""Arrays and objects of a request may be nested this deep."""

_LISTS = (collections.deque, range, KeysView, ValuesView)
_TIMESTAMPS = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
_NATIVE_IN_MSGPACK = (bytes, bytearray, memoryview)
_NON_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def decode_arguments(payload: common_pb2.Payload | LargePayload) -> tuple[dict[str, Any] | bytes, Form]:
    """Return a call's arguments by name (for raw: the bytes) and the form that they came in.

    References to tensors and blobs are resolved; a tensor or blob that nothing refers to is the argument of its name.
    Raises BadInput on anything malformed.
    """
    value, form = _decode(payload)
    if form == "raw":
        return value, form
    arguments = {} if value is _NOTHING else value
    if type(arguments) is not dict:
        raise malformed("arguments", f"expected an object with one key per parameter, got {kind(arguments)}")
    beside = Beside(payload)
    if beside or _may_refer(payload, form):
        beside.resolve(arguments, "")
        beside.add_unreferenced(arguments)
    if form == "msgpack":
        for key in arguments:
            if type(key) is not str:
                raise malformed("arguments", f"expected keys that are strings, got {kind(key)}")
    return arguments, form


def decode_value(payload: common_pb2.Payload) -> Any:
    """Return any value, such as a result: the inverse of `encode_value`. Raises BadInput on anything malformed."""
    value, form = _decode(payload)
    if value is _NOTHING:
        return None
    if form == "raw":
        return value
    return Beside(payload).resolve(value, "")


def encode_value(value: Any, form: Form) -> common_pb2.Payload:
    """Return a value as a payload; raw is for bytes, any other value becomes MessagePack then.

    Takes what Python code returns: plain values, bytes, dates and times, enums, dataclasses, pydantic models, numpy
    arrays and scalars. Raises ResultInvalid for what can not travel.
    """
    from bridge.v1 import invoke_pb2

    return invoke_pb2.CallResponse.FromString(encode_response(value, form)).result


def encode_response(value: Any, form: Form) -> bytes:
    """Do as `encode_value`; return the serialized CallResponse or StreamCallResponse that carries the payload."""
    outgoing = Outgoing()
    try:
        if form == "json":
            _write_json(value, outgoing)
        elif form == "raw" and isinstance(value, _NATIVE_IN_MSGPACK):
            outgoing.raw = value if type(value) is bytes else bytes(value)
        else:
            _write_msgpack(value, outgoing)
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
    return outgoing.response()


# -- decoding -----------------------------------------------------------------------------------------------------


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise malformed("msgpack", f"expected no extension types but timestamps, got extension type {code}")


_NOTHING: Any = object()
_JSON_DECODER = msgspec.json.Decoder()
_MSGPACK_DECODER = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)


def _decode(payload: common_pb2.Payload | LargePayload) -> tuple[Any, Form]:
    body = payload.WhichOneof("body")
    if body is None:
        return _NOTHING, "json"
    if body == "raw":
        if payload.tensors or payload.blobs:
            raise malformed(
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
        raise malformed(form, f"expected valid {name}, got an error: {str(error)[:200]}") from None
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


def _may_refer(payload: common_pb2.Payload | LargePayload, form: Form) -> bool:
    if form == "json":
        text = payload.json
        return '"$tensor"' in text or '"$blob"' in text
    packed = payload.msgpack
    return b"\xa7$tensor" in packed or b"\xa5$blob" in packed


def _too_deep(form: Form) -> BadInput:
    return malformed(form, f"expected at most {MAX_DEPTH} levels of arrays and objects, got more")


# -- encoding -----------------------------------------------------------------------------------------------------

_JSON_ENCODER = msgspec.json.Encoder()
_MSGPACK_ENCODER = msgspec.msgpack.Encoder()


def _write_json(value: Any, payload: Outgoing) -> None:
    """Encode at once what can be; msgspec writes NaN as null, so a null may be one and takes the careful way."""
    try:
        encoded = _JSON_ENCODER.encode(value)
        if b"null" not in encoded or value is None:
            payload.json = encoded
            return
    except TypeError:
        pass  # holds something that only the careful way knows
    arrays: list[Any] = []
    plain = msgspec.to_builtins(value, builtin_types=(), enc_hook=_hook(arrays))
    payload.json = _JSON_ENCODER.encode(_name_non_finite(plain))
    _write_arrays(arrays, payload)


def _write_msgpack(value: Any, payload: Outgoing) -> None:
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


def _write_arrays(arrays: list[Any], payload: Outgoing) -> None:
    for index, array in enumerate(arrays):
        payload.tensors.append((f"t{index}", *tensors.array_parts(array)))


def _name_non_finite(value: Any) -> Any:
    """Replace NaN and infinities by their names, in a value that holds only what JSON knows."""
    form = type(value)
    if form is float:
        return value if math.isfinite(value) else _NON_FINITE.get(value, "NaN")
    if form is dict:
        return {key: _name_non_finite(item) for key, item in value.items()}
    if form is list or form is tuple:
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
