"""Writes down what one call asks and is answered, while it runs.

Owns the exchanges of its call, up to a number of bytes. A part of what passes may be secret: it is taken out when the
call is saved, not here.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from handlers.boundary import BOUNDARY
from handlers.replay import failures
from handlers.replay.values import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
    from contextvars import Token

    from handlers.boundary import Boundary, Shape

T = TypeVar("T")
_END: Any = object()


class Noted:
    """One exchange, as it was; plain values."""

    __slots__ = ("error", "items", "kind", "reply", "request")

    def __init__(self, kind: str, request: Any, *, stream: bool = False) -> None:
        self.kind = kind
        self.request = to_json(request)
        self.reply: Any = None
        self.items: list[Any] | None = [] if stream else None
        self.error: dict[str, Any] | None = None


def digest(kind: str, request: Any) -> str:
    """Return what tells a request, as JSON, apart from others."""
    return hashlib.sha256(msgspec.json.encode([kind, bare(kind, request)], order="deterministic")).hexdigest()[:16]


def bare(kind: str, request: Any) -> Any:
    """Return a request without the number that a worker gives what it asks the front, another one every time."""
    match request:
        case [str() as name, {"$packed": ["msgpack", [int(), *rest]]}] if kind == "ask":
            return [name, rest]
        case [str() as name, {"$packed": ["msgpack", int()]}] if kind == "ask":
            return [name]
    return request


class Recording:
    """The `Boundary` of a call that is recorded. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._lock = threading.Lock()
        self.noted: list[Noted] = []

    @property
    def complete(self) -> bool:
        """Whether everything has found room."""
        return self._left >= 0

    def through(self, kind: str, request: Any, send: Callable[[], T], shape: Shape) -> T:
        """Pass a request on and note its reply."""
        with _Noting(self, Noted(kind, request)) as noted, _Outside():
            reply = send()
            noted.reply = to_json(shape.plain(reply))
            return reply

    async def athrough(self, kind: str, request: Any, send: Callable[[], Awaitable[T]], shape: Shape) -> T:
        """Pass a request on and note its reply."""
        with _Noting(self, Noted(kind, request)) as noted, _Outside():
            reply = await send()
            noted.reply = to_json(shape.plain(reply))
            return reply

    def items(self, kind: str, request: Any, send: Callable[[], Iterator[T]], shape: Shape) -> Generator[T, None, None]:
        """Pass a request on and note its replies."""
        made: Any = send()  # a generator
        with _Noting(self, Noted(kind, request, stream=True)) as noted, closing(made) as items:
            assert noted.items is not None
            while True:
                with _Outside():
                    item = next(items, _END)
                if item is _END:
                    return
                noted.items.append(to_json(shape.plain(item)))
                yield item

    async def aitems(
        self, kind: str, request: Any, send: Callable[[], AsyncGenerator[T, None]], shape: Shape
    ) -> AsyncGenerator[T, None]:
        """Pass a request on and note its replies."""
        with _Noting(self, Noted(kind, request, stream=True)) as noted:
            assert noted.items is not None
            async with aclosing(send()) as items:
                while True:
                    with _Outside():
                        item = await anext(items, _END)
                    if item is _END:
                        return
                    noted.items.append(to_json(shape.plain(item)))
                    yield item

    def add(self, noted: Noted) -> None:
        """Keep an exchange that has ended, while there is room."""
        size = len(msgspec.json.encode([noted.request, noted.reply, noted.items]))
        with self._lock:
            self._left -= size
            if self._left >= 0:
                self.noted.append(noted)
            else:
                self.noted.clear()


class _Noting:
    """Keeps an exchange however it ends; one that was cancelled has no reply, so it is left out."""

    def __init__(self, recording: Recording, noted: Noted) -> None:
        self._recording = recording
        self._noted = noted

    def __enter__(self) -> Noted:
        return self._noted

    def __exit__(self, kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None and not isinstance(error, (Exception, GeneratorExit)):
            return
        if isinstance(error, Exception):
            self._noted.error = failures.to_plain(error)
        self._recording.add(self._noted)


class _Outside:
    """Lets what runs in the block reach the world directly: what it asks belongs to the exchange that is noted."""

    def __enter__(self) -> None:
        self._token: Token[Boundary | None] = BOUNDARY.set(None)

    def __exit__(self, *_: object) -> None:
        BOUNDARY.reset(self._token)
