"""What the annotations np.ndarray and NDArray[...] accept: arrays that came as tensors, and lists of numbers.

A tensor must have the annotated dtype exactly. A list becomes an array of that dtype where no element changes its
value's kind or leaves its range. Owns no state; numpy is imported only when a user's annotation has brought it in.
"""

from __future__ import annotations

import functools
import typing
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from handlers.values import tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

Scalars = tuple[type, ...]
"""numpy's scalar types that an array may have; empty for any."""

_NAMED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def scalars_in(annotation: Any) -> Scalars:
    """Return the scalar types of the arrays inside an annotation; where it has several arrays, of all of them."""
    import numpy as np

    found: list[type] = []
    if annotation is np.ndarray or not _collect(annotation, found, np):
        return ()
    return tuple(dict.fromkeys(found))


def _collect(annotation: Any, found: list[type], np: Any) -> bool:
    """Add an annotation's scalar types; False where one of its arrays may have any."""
    if typing.get_origin(annotation) is not np.ndarray:
        return all(
            _collect(argument, found, np) for argument in typing.get_args(annotation) if argument is not np.ndarray
        )
    dtype = typing.get_args(annotation)[1:]
    scalar = next(iter(typing.get_args(dtype[0])), None) if dtype else None
    if not isinstance(scalar, type) or not issubclass(scalar, np.generic) or scalar is np.generic:
        return False
    found.append(scalar)
    return True


def array_check(scalars: Scalars) -> Callable[[Any], np.ndarray[Any, Any]]:
    """Return a function that turns a tensor's array or a list into an array, for pydantic."""
    return functools.partial(_checked, scalars=scalars)


def json_schema(scalars: Scalars) -> dict[str, Any]:
    """Return the JSON Schema of an array: nested lists, or a reference to a tensor."""
    reference = {
        "type": "object",
        "properties": {"$tensor": {"type": "string"}},
        "required": ["$tensor"],
        "additionalProperties": False,
    }
    return {
        "description": f"Array of {_names(scalars)}: nested arrays, or a reference to a tensor beside the object.",
        "anyOf": [{"type": "array", "x-bridge-dtypes": [_name(scalar) for scalar in scalars]}, reference],
    }


def _checked(value: Any, scalars: Scalars) -> np.ndarray[Any, Any]:
    import numpy as np

    if isinstance(value, np.ndarray):
        if scalars and not any(np.issubdtype(value.dtype, scalar) for scalar in scalars):
            raise _error(scalars, f"a tensor of {tensors.dtype_name(value.dtype)}")
        return value
    if isinstance(value, list):
        return _of_list(value, scalars)
    raise _error(scalars, None)


def _of_list(value: list[Any], scalars: Scalars) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        array = np.asarray(value)
        if array.dtype.kind == "U":
            array = np.asarray(_with_numbers(value))
    except (ValueError, OverflowError):
        raise _error(scalars, "lists of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise _error(scalars, "a list that holds something else")
    if not scalars or any(np.issubdtype(array.dtype, scalar) for scalar in scalars):
        return array
    for scalar in scalars:
        fitted = _fitted(array, scalar)
        if fitted is not None:
            return fitted
    raise _error(scalars, f"a list of {tensors.dtype_name(array.dtype)} values that do not fit")


def _fitted(array: np.ndarray[Any, Any], scalar: type) -> np.ndarray[Any, Any] | None:
    """Return the array with another dtype, or None where a value would change its kind or leave the range."""
    import numpy as np

    if issubclass(np.float64, scalar):
        scalar = np.float64  # an abstract type such as np.floating
    elif issubclass(np.int64, scalar):
        scalar = np.int64
    dtype = np.dtype(scalar)
    if array.size == 0:
        return array.astype(dtype)
    allowed = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}.get(dtype.kind, "")
    if array.dtype.kind not in allowed:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        fitted = array.astype(dtype)
    same = np.isfinite(fitted) == np.isfinite(array) if dtype.kind == "f" else fitted == array
    return fitted if bool(same.all()) else None


def _with_numbers(value: Any) -> Any:
    """Replace the names of NaN and the infinities by their values, in nested lists."""
    if isinstance(value, list):
        return [_with_numbers(item) for item in value]
    return _NAMED.get(value, value) if isinstance(value, str) else value


def _error(scalars: Scalars, got: str | None) -> PydanticCustomError:
    expected = f"Input should be a tensor or nested arrays of {_names(scalars)}"
    return PydanticCustomError("bridge_array", "{expected}", {"expected": expected, "got": got})


def _names(scalars: Scalars) -> str:
    return " or ".join(_name(scalar) for scalar in scalars) or "numbers"


def _name(scalar: type) -> str:
    import numpy as np

    names = {np.dtype(numpy_name).type: name for name, (numpy_name, _) in tensors.DTYPES.items()}
    return names.get(scalar, scalar.__name__)
