"""Where running code reaches out of its worker: language models, other functions, the front.

What passes here can be written down, and given back later in place of the world outside. Owns the mark of who does so
for the code that runs now; nobody does unless replays are configured. Knows nothing of files.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

T = TypeVar("T")


class Shape(NamedTuple):
    """How replies of one kind become plain values, and plain values such replies again."""

    plain: Callable[[Any], Any]
    restore: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


PLAIN = Shape(_same, _same)
"""Replies that are plain values already."""


class Boundary(Protocol):
    """Stands between running code and the world outside. `request` is a plain value that tells requests apart."""

    def through(self, kind: str, request: Any, send: Callable[[], T], shape: Shape) -> T:
        """Return the reply to a request of code that is not async."""
        ...

    async def athrough(self, kind: str, request: Any, send: Callable[[], Awaitable[T]], shape: Shape) -> T:
        """Return the reply to a request of async code."""
        ...

    def items(self, kind: str, request: Any, send: Callable[[], Iterator[T]], shape: Shape) -> Iterator[T]:
        """Yield the replies to a request of code that is not async."""
        ...

    def aitems(
        self, kind: str, request: Any, send: Callable[[], AsyncGenerator[T, None]], shape: Shape
    ) -> AsyncGenerator[T, None]:
        """Yield the replies to a request of async code."""
        ...


BOUNDARY: ContextVar[Boundary | None] = ContextVar("bridge_boundary", default=None)
"""Of the call that runs here."""
