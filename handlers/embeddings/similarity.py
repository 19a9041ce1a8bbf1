"""How two lists of vectors are compared. Pure functions over arrays; numpy is imported by the first call.

Every function is larger for vectors that are more alike; distances are negated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Function = Literal["cosine", "dot", "euclidean", "manhattan"]


def compare_pairs(function: Function, left: Array, right: Array) -> Array:
    """Compare row i with row i. Both have shape (n, dimensions); returns shape (n,)."""
    return _COMPARE[function](left, right)


def compare_all(function: Function, left: Array, right: Array) -> Array:
    """Compare each row of `left`, shape (n, dimensions), with each of `right`, (m, dimensions); returns (n, m)."""
    import numpy as np

    if function == "cosine":
        cosines: Array = np.clip(scaled(left) @ scaled(right).T, -1.0, 1.0)
        return cosines
    if function == "dot":
        dots: Array = left @ right.T
        return dots
    # One row at a time: the differences of all pairs at once would take n * m * dimensions numbers.
    rows = [_COMPARE[function](row[None, :], right) for row in left]
    return np.stack(rows) if rows else np.zeros((0, len(right)), dtype=np.float32)


def _cosine(left: Array, right: Array) -> Array:
    import numpy as np

    return np.clip(_dot(scaled(left), scaled(right)), -1.0, 1.0)


def _dot(left: Array, right: Array) -> Array:
    dots: Array = (left * right).sum(axis=1)
    return dots


def _euclidean(left: Array, right: Array) -> Array:
    import numpy as np

    distances: Array = np.sqrt(((left - right) ** 2).sum(axis=1))
    return 0.0 - distances  # not -distances, which makes -0.0 of 0.0


def _manhattan(left: Array, right: Array) -> Array:
    import numpy as np

    distances: Array = np.abs(left - right).sum(axis=1)
    return 0.0 - distances


def scaled(rows: Array) -> Array:
    """Scale each row to length 1; a row of zeros stays as it is, so its cosine with anything is 0."""
    import numpy as np

    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    units: Array = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return units


_COMPARE: dict[Function, Callable[[Array, Array], Array]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}
