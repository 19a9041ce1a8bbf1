"""The decorator `function`: what a declaration says about a function beyond its signature.

It attaches a frozen record and returns the function as it is, so decorated functions stay plain callables. Nothing
needs it: undecorated public functions are served too. Owns no state; knows nothing of handlers and schemas.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar, overload

from handlers.contract import PlacementName

if TYPE_CHECKING:
    from collections.abc import Callable

_ATTRIBUTE = "__bridge_function__"

F = TypeVar("F", bound="Callable[..., Any]")


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
) -> Any:
    """Declare a function: `@function` or `@function(pool="llm", idempotent=True)`.

    `placement="native"` lets it run in the front process, which must then import it: only for code that is quick,
    safe and light. Raises TypeError or ValueError where the declaration makes no sense.
    """
    if placement not in ("native", "pooled"):
        raise ValueError(f"placement: expected 'native' or 'pooled', got {placement!r}")
    declaration = Declaration(name=name, pool=pool, placement=placement, idempotent=idempotent, doc=doc)

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
