"""Tensors of the wire <-> numpy arrays.

Everything about a tensor is checked before an array is made from it, and the array is a read-only view of the
received bytes, not a copy. numpy is imported when the first tensor or array occurs, never before. Owns no state;
knows nothing of objects, JSON or functions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from handlers.errors import BadInput, ResultInvalid

if TYPE_CHECKING:
    import numpy as np

    from bridge.v1 import common_pb2
    from handlers.values.large import LargeTensor

DTYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("|b1", 1),
    "UINT8": ("|u1", 1),
    "UINT16": ("<u2", 2),
    "UINT32": ("<u4", 4),
    "UINT64": ("<u8", 8),
    "INT8": ("|i1", 1),
    "INT16": ("<i2", 2),
    "INT32": ("<i4", 4),
    "INT64": ("<i8", 8),
    "FP16": ("<f2", 2),
    "FP32": ("<f4", 4),
    "FP64": ("<f8", 8),
}
"""Names of the Open Inference Protocol -> numpy's name and the size of one element in bytes."""

MAX_DIMENSIONS = 32
"""numpy 1 allows 32, numpy 2 allows 64."""

_NAMES = {numpy_name: name for name, (numpy_name, _) in DTYPES.items()}


def to_array(tensor: common_pb2.Tensor | LargeTensor) -> np.ndarray[Any, Any]:
    """Return a read-only view of a tensor's data. Raises BadInput where dtype, shape and data do not fit together."""
    shape, numpy_name = _checked(tensor)
    import numpy as np

    try:
        array: np.ndarray[Any, Any] = np.ndarray(shape, dtype=numpy_name, buffer=tensor.data)
    except ValueError as error:  # a shape with a 0 whose other lengths overflow numpy's own arithmetic
        raise _bad(tensor, "shape", f"expected a shape that numpy can hold, got {_shape_text(shape)}") from error
    if tensor.dtype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise _bad(tensor, "data", "expected bytes 0 or 1 for BOOL, got another byte")
    return array


def array_parts(array: np.ndarray[Any, Any]) -> tuple[str, tuple[int, ...], memoryview]:
    """Return an array as dtype, shape and its bytes, row-major and little-endian: not copied where they lie so.

    Raises ResultInvalid for a dtype without a name.
    """
    import numpy as np

    dtype, array = _little(array)
    return dtype, array.shape, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _little(array: np.ndarray[Any, Any]) -> tuple[str, np.ndarray[Any, Any]]:
    """Return an array's dtype by the wire's name, and the array with little-endian elements."""
    little = array.dtype.newbyteorder("<")
    dtype = _NAMES.get(little.str)
    if dtype is None:
        raise ResultInvalid(
            f"expected an array with a dtype out of {', '.join(DTYPES)}, got {str(array.dtype)[:60]!r}; "
            "convert it with .astype(...), or return .tolist()"
        )
    return dtype, array.astype(little, copy=False)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the wire's name of a numpy dtype, or numpy's own where the wire has none."""
    return _NAMES.get(dtype.newbyteorder("<").str, str(dtype))


def _checked(tensor: common_pb2.Tensor | LargeTensor) -> tuple[tuple[int, ...], str]:
    known = DTYPES.get(tensor.dtype)
    if known is None:
        raise _bad(tensor, "dtype", f"expected one of {', '.join(DTYPES)}, got {tensor.dtype[:40]!r}")
    if len(tensor.shape) > MAX_DIMENSIONS:
        raise _bad(tensor, "shape", f"expected at most {MAX_DIMENSIONS} dimensions, got {len(tensor.shape)}")
    shape = tuple(tensor.shape)
    negative = next((length for length in shape if length < 0), None)
    if negative is not None:
        raise _bad(tensor, "shape", f"expected lengths of 0 or more, got {negative}")
    numpy_name, size = known
    expected = math.prod(shape) * size
    got = len(tensor.data)
    if expected != got:
        detail = f"{tensor.dtype} of shape {_shape_text(shape)} takes {expected} bytes"
        raise _bad(tensor, "data", f"expected {expected} bytes because {detail}, got {got} bytes")
    return shape, numpy_name


def _shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _bad(tensor: common_pb2.Tensor | LargeTensor, field: str, description: str) -> BadInput:
    path = f'tensors["{tensor.name[:64]}"].{field}'
    return BadInput(f"{path}: {description}", violations=((path, description),))
