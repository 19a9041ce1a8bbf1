"""Python values to `Payload` and back: MessagePack with arrays beside it as tensors.

numpy is never imported to encode: an array can only be one if the caller has imported numpy. It is imported to decode a
tensor, if it is installed; without it the caller gets a `Tensor`. Owns no state.
"""

from __future__ import annotations

import importlib
import math
import struct
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from bridge_client.errors import UnexpectedReply
from bridge_client.v1 import common_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_DTYPES = {
    "BOOL": ("bool", "?"), "UINT8": ("uint8", "B"), "UINT16": ("uint16", "H"), "UINT32": ("uint32", "I"),
    "UINT64": ("uint64", "Q"), "INT8": ("int8", "b"), "INT16": ("int16", "h"), "INT32": ("int32", "i"),
    "INT64": ("int64", "q"), "FP16": ("float16", "e"), "FP32": ("float32", "f"), "FP64": ("float64", "d"),
}  # fmt: skip
"""Open Inference Protocol name -> numpy's name, `struct`'s letter."""

_PLAIN: tuple[Any, ...] = (str, bytes, int, float, dict, list, tuple)

_BY_NUMPY = {numpy_name: name for name, (numpy_name, _) in _DTYPES.items()}


class Tensor:
    """A dense array without numpy: row-major, little-endian. May be an argument; is a result where numpy is missing.

    `dtype` is ``BOOL``, ``UINT8`` to ``UINT64``, ``INT8`` to ``INT64``, ``FP16``, ``FP32`` or ``FP64``. No dataclass,
    because msgspec would encode it as one. Raises ValueError where the three do not fit together.
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, *, dtype: str, shape: tuple[int, ...], data: bytes) -> None:
        if dtype not in _DTYPES:
            msg = f"expected a dtype of {', '.join(_DTYPES)}, got {dtype!r}"
            raise ValueError(msg)
        if min(shape, default=0) < 0:
            msg = f"expected no negative length in the shape, got {shape}"
            raise ValueError(msg)
        expected = math.prod(shape) * struct.calcsize("<" + _DTYPES[dtype][1])
        if len(data) != expected:
            msg = f"expected {expected} bytes for {dtype} of shape {shape}, got {len(data)}"
            raise ValueError(msg)
        self.dtype = dtype
        self.shape = shape
        self.data = data

    def __repr__(self) -> str:
        return f"Tensor(dtype={self.dtype!r}, shape={self.shape!r})"

    def tolist(self) -> Any:
        """The elements as nested lists; a scalar for an empty shape."""
        items: list[Any] = list(struct.unpack(f"<{math.prod(self.shape)}{_DTYPES[self.dtype][1]}", self.data))
        for index in range(len(self.shape) - 1, 0, -1):
            length = self.shape[index]
            items = [items[at * length : (at + 1) * length] for at in range(math.prod(self.shape[:index]))]
        return items if self.shape else items[0]


def encode_arguments(arguments: Mapping[str, Any]) -> common_pb2.Payload:
    """The payload of a call's arguments; see `encode_value`."""
    return encode_value(dict(arguments))


def encode_value(value: Any) -> common_pb2.Payload:
    """The payload of a value.

    Takes what MessagePack has (integers of 64 bits, floats, text, bytes, None, lists, dictionaries) and dataclasses,
    pydantic models, dates, UUIDs, enums, decimals, sets, numpy arrays and scalars. Raises TypeError for anything else.
    """
    tensors: list[common_pb2.Tensor] = []

    def encode_other(other: object) -> Any:
        return _encode_other(other, tensors)

    try:
        body = msgspec.msgpack.encode(value, enc_hook=encode_other)
    except OverflowError:
        msg = "expected integers between -2**63 and 2**64-1, got a larger one; send it as text"
        raise TypeError(msg) from None
    except RecursionError:
        msg = "expected values without cycles and with less nesting, got some too deep to send"
        raise TypeError(msg) from None
    return common_pb2.Payload(msgpack=body, tensors=tensors)


def _encode_other(value: Any, tensors: list[common_pb2.Tensor]) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _reference(_from_numpy(value, numpy), tensors)
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, Tensor):
        return _reference(value, tensors)
    if hasattr(type(value), "model_dump"):  # pydantic, without importing it
        return value.model_dump()
    for plain in _PLAIN:  # subclasses, which msgspec does not take as they are
        if isinstance(value, plain):
            return plain(value)
    kind = type(value).__qualname__
    msg = f"a value of type {kind} can not be sent; convert it to numbers, text, lists or dictionaries"
    raise TypeError(msg)


def _reference(tensor: Tensor, tensors: list[common_pb2.Tensor]) -> dict[str, str]:
    # The slash keeps the name apart from every parameter name: a tensor named like a parameter would be its argument.
    name = f"tensor/{len(tensors)}"
    tensors.append(common_pb2.Tensor(name=name, dtype=tensor.dtype, shape=tensor.shape, data=tensor.data))
    return {"$tensor": name}


def _from_numpy(array: Any, numpy: ModuleType) -> Tensor:
    name = _BY_NUMPY.get(array.dtype.name)
    if name is None:
        msg = f"expected an array of {', '.join(_BY_NUMPY)}, got {array.dtype}; convert it with astype()"
        raise TypeError(msg)
    data = numpy.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return Tensor(dtype=name, shape=tuple(array.shape), data=data)


def decode_value(payload: common_pb2.Payload) -> Any:
    """The Python value of a payload. Raises `UnexpectedReply` where it is malformed."""
    form = payload.WhichOneof("body")
    try:
        if form is None:
            return None
        if form == "raw":
            return payload.raw
        encoded = payload.msgpack if form == "msgpack" else payload.json.encode()
        if not encoded:
            return None
        value = msgspec.msgpack.decode(encoded) if form == "msgpack" else msgspec.json.decode(encoded)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        msg = f"expected a {form} value in the reply, got something else: {error}"
        raise UnexpectedReply(msg) from error
    if not payload.tensors and not payload.blobs:
        return value
    named: dict[tuple[str, str], Any] = {("$tensor", tensor.name): _to_array(tensor) for tensor in payload.tensors}
    named |= {("$blob", blob.name): blob.data for blob in payload.blobs}
    return _resolve(value, named)


def _resolve(value: Any, named: Mapping[tuple[str, str], Any]) -> Any:
    """Puts arrays and binary values where the object refers to them; walks only results that carry some."""
    if isinstance(value, list):
        return [_resolve(item, named) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, name),) = value.items()
        if kind in {"$tensor", "$blob"} and isinstance(name, str):
            try:
                return named[kind, name]
            except KeyError:
                msg = f"the reply refers to {kind} {name!r} but carries none of that name"
                raise UnexpectedReply(msg) from None
    return {key: _resolve(item, named) for key, item in value.items()}


def _to_array(tensor: common_pb2.Tensor) -> Any:
    try:
        plain = Tensor(dtype=tensor.dtype, shape=tuple(tensor.shape), data=tensor.data)
    except ValueError as error:
        msg = f"the reply's tensor {tensor.name!r} is malformed: {error}"
        raise UnexpectedReply(msg) from error
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        return plain
    dtype = numpy.dtype(_DTYPES[plain.dtype][0]).newbyteorder("<")
    return numpy.frombuffer(plain.data, dtype=dtype).reshape(plain.shape).copy()  # a copy, because bytes are read-only
