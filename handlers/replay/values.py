"""Any value that a call takes or gives, as JSON and back: bytes, arrays and odd numbers are marked. Pure."""

from __future__ import annotations

import base64
import math
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.boundary import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

_TEXT, _BYTES, _PACKED, _ARRAY, _NUMBER, _OTHER = "$text", "$bytes", "$packed", "$array", "$number", "$value"


def to_json(value: Any, of_bytes: Callable[[Any], Any] | None = None) -> Any:
    """Return a value that `msgspec.json` and people can read; of what can not be kept, its type.

    `of_bytes` is another way of writing bytes.
    """
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {_NUMBER: str(value)}
    if isinstance(value, dict):
        return {key if type(key) is str else str(key): to_json(item, of_bytes) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, of_bytes) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return (of_bytes or _of_bytes)(value)
    return _rare(value)


def _rare(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return to_json(value.item())
    if numpy is not None and isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf":
        data = base64.b64encode(value.tobytes()).decode()
        return {_ARRAY: {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}}
    import pydantic_core

    try:
        return to_json(pydantic_core.to_jsonable_python(value))
    except (pydantic_core.PydanticSerializationError, ValueError):
        return {_OTHER: getattr(value, "__qualname__", type(value).__qualname__)}


def from_json(value: Any) -> Any:
    """Return what `to_json` was given. Raises ValueError for what was only kept as a text."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == _BYTES and isinstance(inner, str):
            return base64.b64decode(inner)
        if key == _TEXT and isinstance(inner, str):
            return inner.encode()
        if key == _PACKED:
            form, value = inner
            return next(encode for name, _, encode in _FORMS if name == form)(from_json(value))
        if key == _NUMBER:
            return float(inner)
        if key == _OTHER:
            raise ValueError(f"a value was not kept whole: {inner}")
        if key == _ARRAY:
            import numpy as np

            made = np.frombuffer(base64.b64decode(inner["data"]), dtype=np.dtype(inner["dtype"]))
            return made.reshape(inner["shape"])
    return {key: from_json(item) for key, item in value.items()}


def packed(body: bytes) -> Any:
    """Return what is asked of the front, or answered: MessagePack or JSON, in which more such bytes may be packed."""
    for form, decode, encode in _FORMS:
        try:
            value = decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if encode(value) == body:
            return {_PACKED: [form, to_json(value, packed)]}
    return _of_bytes(body)


def _of_bytes(value: Any) -> Any:
    """Return bytes as text where they are one: people, and what looks for secrets, can read that."""
    data = bytes(value)
    try:
        return {_TEXT: data.decode()}
    except UnicodeDecodeError:
        return {_BYTES: base64.b64encode(data).decode()}


_FORMS = (
    ("msgpack", msgspec.msgpack.Decoder().decode, msgspec.msgpack.Encoder().encode),
    ("json", msgspec.json.Decoder().decode, msgspec.json.Encoder().encode),
)
ASKED = Shape(packed, lambda body: body)
"""Replies of the front."""
