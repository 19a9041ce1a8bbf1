"""The decorator `function`: what a declaration says about a function beyond its signature.

It attaches a frozen record and returns the function as it is, so decorated functions stay plain callables. Nothing
needs it: undecorated public functions are served too. Owns no state; knows nothing of handlers and schemas.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

from handlers.contract import BatchRule, PlacementName

if TYPE_CHECKING:
    from collections.abc import Callable

_ATTRIBUTE = "__bridge_function__"

F = TypeVar("F", bound="Callable[..., Any]")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How calls of a function are gathered, so that it runs once for several of them.

    Every parameter of such a function is a list with one entry for each call, and it returns a list of one result for
    each, in their order. Callers see the types of the entries: of `def embed(text: list[str]) -> list[Vector]` they
    call `embed(text: str) -> Vector`. An exception in place of a result fails that one call.
    """

    max_items: int = 32
    """Calls that run together at most."""
    max_bytes: int = 1 << 20
    """Bytes of their requests at most; a larger request runs alone."""
    max_wait_ms: float = 5.0
    """How long a call may wait for others while a worker is idle. A call that comes alone never waits."""
    similar_sizes: bool = True
    """Whether only calls whose requests are of similar size run together, so that little is lost to padding."""
    concurrency: int = 1
    """Batches that one worker runs at a time, in a pool whose concurrency is above 1."""

    def __post_init__(self) -> None:
        for name, least in (("max_items", 2), ("max_bytes", 1), ("max_wait_ms", 0), ("concurrency", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
                raise ValueError(f"Batch: {name} must be a number of at least {least}, got {value!r}")

    def rule(self) -> BatchRule:
        """Return what the catalogue says of it."""
        return BatchRule(
            max_items=int(self.max_items),
            max_bytes=int(self.max_bytes),
            max_wait_s=self.max_wait_ms / 1000,
            similar_sizes=self.similar_sizes,
            concurrency=int(self.concurrency),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What `@function(...)` says."""

    name: str | None = None
    """The name to serve it by; None for its own."""
    pool: str | None = None
    """The pool that must serve it; None lets the bridge choose."""
    placement: PlacementName = "pooled"
    idempotent: bool = False
    """Whether repeating a call does no harm, so that callers may retry when a worker dies."""
    doc: str | None = None
    """Its documentation; None for its docstring."""
    batch: Batch | None = None
    """How its calls are gathered; None where each runs by itself."""
    pure: bool = False
    """Whether it depends on its arguments alone and changes nothing: a call may then be run twice."""
    thread_safe: bool = False
    """Whether several threads may run it at the same time."""


@overload
def function(target: F, /) -> F: ...
@overload
def function(
    *,
    name: str | None = None,
    pool: str | None = None,
    placement: PlacementName = "pooled",
    idempotent: bool = False,
    doc: str | None = None,
    batch: Batch | None = None,
    pure: bool = False,
    thread_safe: bool = False,
) -> Callable[[F], F]: ...
def function(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    pool: str | None = None,
    placement: PlacementName = "pooled",
    idempotent: bool = False,
    doc: str | None = None,
    batch: Batch | None = None,
    pure: bool = False,
    thread_safe: bool = False,
) -> Any:
    """Declare a function: `@function` or `@function(pool="llm", idempotent=True)`.

    `placement="native"` lets it run in the front process, which must then import it: only for code that is quick,
    safe and light. `placement="auto"` lets measured times decide for each call; it needs `pure=True` and
    `thread_safe=True`. A pure function is idempotent. With `batch=Batch(...)` it runs once for several calls: see
    `Batch` for its signature. Raises TypeError or ValueError where the declaration makes no sense.
    """
    if batch is not None and not isinstance(batch, Batch):
        raise TypeError(f"batch: expected Batch(...), got {batch!r:.60}")
    if batch is not None and placement != "pooled":
        raise ValueError(
            f"batch: calls are gathered for workers; a function with placement {placement!r} can not have it"
        )
    if placement not in ("native", "pooled", "auto"):
        raise ValueError(f"placement: expected 'native', 'pooled' or 'auto', got {placement!r}")
    declaration = Declaration(
        name=name,
        pool=pool,
        placement=placement,
        idempotent=idempotent or pure,
        doc=doc,
        batch=batch,
        pure=pure,
        thread_safe=thread_safe,
    )

    def attach(decorated: Any) -> Any:
        if isinstance(decorated, type) or not callable(decorated):
            raise TypeError(f"@function: expected a function, got {type(decorated).__name__} {decorated!r:.60}")
        setattr(decorated, _ATTRIBUTE, declaration)
        return decorated

    return attach if target is None else attach(target)


def declaration_of(target: Any) -> Declaration | None:
    """Return what `@function` has attached, or None."""
    found = getattr(target, _ATTRIBUTE, None)
    return found if isinstance(found, Declaration) else None
