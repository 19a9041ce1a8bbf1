"""Values that are no message of the app: anything, any object, arrays; and lists and numbers as such. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from handlers.errors import ResultInvalid
from handlers.values import tensors

EXACT = 2**53
"""A google.protobuf.Value has floats only: integers beyond this would change."""
Tensors = list[Any]
Read = Callable[[Any, Tensors], Any]
"""Takes a value of a field, and where tensors go; returns it as JSON has it."""
Write = Callable[[Any, Any, str], None]
"""Takes a message, a value of JSON and its path; fills the message."""


def items_of(values: Any, path: str) -> list[Any]:
    """Return the items of a list. Raises ResultInvalid for what is none."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise ResultInvalid(f"{path}: expected a list, got {type(values).__name__}")
    return list(values)


def float_of(value: Any) -> Any:
    """Return a number, also for the names of those that JSON does not have."""
    names = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
    return names.get(value, value) if isinstance(value, str) else value


def as_it_is(value: Any, _beside: Tensors) -> Any:
    """Return a value that protobuf has in the same way."""
    return value


def _read_tensor(value: Any, beside: Tensors) -> Any:
    beside.append(value)
    return {"$tensor": f"t{len(beside) - 1}"}


def _read_any(value: Any, beside: Tensors) -> Any:
    kind = value.WhichOneof("kind")
    if kind in (None, "null_value"):
        return None
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= EXACT else number
    if kind == "struct_value":
        return _read_struct(value.struct_value, beside)
    if kind == "list_value":
        return [_read_any(item, beside) for item in value.list_value.values]
    return getattr(value, kind)


def _read_struct(value: Any, beside: Tensors) -> Any:
    return {key: _read_any(value.fields[key], beside) for key in value.fields}


def _write_any(made: Any, value: Any, path: str) -> None:
    if value is None:
        made.null_value = 0
    elif isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int | float):
        if isinstance(value, int) and abs(value) > EXACT:
            raise ResultInvalid(f"{path}: {value} is too large for a google.protobuf.Value; annotate it as int")
        made.number_value = value
    elif isinstance(value, str):
        made.string_value = value
    elif isinstance(value, bytes):
        made.string_value = base64.b64encode(value).decode()
    elif isinstance(value, dict):
        made.struct_value.SetInParent()
        _write_struct(made.struct_value, value, path)
    else:
        made.list_value.SetInParent()
        for index, item in enumerate(items_of(value, path)):
            _write_any(made.list_value.values.add(), item, f"{path}[{index}]")


def _write_struct(made: Any, value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise ResultInvalid(f"{path}: expected an object, got {type(value).__name__}")
    for key, item in value.items():
        _write_any(made.fields[str(key)], item, f"{path}.{key}")


def _write_tensor(made: Any, value: Any, path: str) -> None:
    import numpy as np

    made.dtype, shape, data = tensors.array_parts(np.asarray(value))
    made.shape.extend(shape)
    made.data = bytes(data)


READERS: dict[str, Read] = {"tensor": _read_tensor, "any": _read_any, "struct": _read_struct}
WRITERS: dict[str, Write] = {"any": _write_any, "struct": _write_struct, "tensor": _write_tensor}
