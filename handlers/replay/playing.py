"""Gives a call that runs again the replies that were recorded, in place of the world outside.

A request gets the reply that the same one had. Where none was recorded the next one of its kind is given, and that is
told; where there is no more, the request fails. Owns which replies have been given.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from handlers.replay import failures
from handlers.replay.recording import bare, digest
from handlers.replay.saving import scrubbed
from handlers.replay.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator

    from handlers.boundary import Shape
    from handlers.replay.record import Exchange, SavedCall
    from handlers.secret_scan import Scanner

T = TypeVar("T")
DEFINITION = "program.definition"
_SHOWN = 3


class NotRecorded(Exception):
    """The call has asked for something that it had not asked for when it was saved."""


class Playing:
    """The `Boundary` of a call that runs again. Safe to use from several threads."""

    def __init__(self, saved: SavedCall, scrub: Scanner) -> None:
        self._left = list(saved.exchanges)
        self._definition = saved.program.definition
        self._scrub = scrub
        self._lock = threading.Lock()
        self.remarks: list[str] = []
        """What was not asked as it was then."""

    def left(self) -> list[Exchange]:
        """Return the exchanges of models and functions that the call has not asked for this time."""
        return [one for one in self._left if one.kind != "ask"]

    def through(self, kind: str, request: Any, send: Callable[[], T], shape: Shape) -> T:
        """Return what was answered then."""
        found: T = self._reply(kind, request, shape)
        return found

    async def athrough(self, kind: str, request: Any, send: Callable[[], Awaitable[T]], shape: Shape) -> T:
        """Return what was answered then."""
        found: T = self._reply(kind, request, shape)
        return found

    def items(self, kind: str, request: Any, send: Callable[[], Iterator[T]], shape: Shape) -> Generator[T, None, None]:
        """Yield what was answered then."""
        found = self._take(kind, request)
        for item in found.items or ():
            yield shape.restore(from_json(item))
        if found.error is not None:
            raise failures.restored(found.error)

    async def aitems(
        self, kind: str, request: Any, send: Callable[[], AsyncGenerator[T, None]], shape: Shape
    ) -> AsyncGenerator[T, None]:
        """Yield what was answered then."""
        found = self._take(kind, request)
        for item in found.items or ():
            yield shape.restore(from_json(item))
        if found.error is not None:
            raise failures.restored(found.error)

    def _reply(self, kind: str, request: Any, shape: Shape) -> Any:
        if kind == "ask" and request[0] == DEFINITION and self._definition is not None:
            return msgspec.json.encode(self._definition)
        found = self._take(kind, request)
        if found.error is not None:
            raise failures.restored(found.error)
        return shape.restore(from_json(found.reply))

    def _take(self, kind: str, request: Any) -> Exchange:
        plain = scrubbed(to_json(request), self._scrub)
        wanted = digest(kind, plain)
        with self._lock:
            same = [one for one in self._left if one.kind == kind and one.digest == wanted]
            alike = [one for one in self._left if one.kind == kind and _name(one.request) == _name(plain)]
            if not same and not alike:
                self.remarks.append(f"asked for more than then: {kind} {_name(plain)}")
                raise NotRecorded(f"nothing was recorded that answers this: {kind} {_name(plain)}")
            found = (same or alike)[0]
            self._left.remove(found)
            if not same:
                what = _difference(bare(kind, found.request), bare(kind, plain))
                self.remarks.append(f"{kind} {_name(plain)} was asked otherwise: {what}")
            return found


def _name(request: Any) -> str:
    """Return what a request is made of: a model, a function, a question to the front."""
    if isinstance(request, dict):
        return str(request.get("model", ""))
    return str(request[0]) if isinstance(request, list) and request else ""


def _difference(before: Any, after: Any) -> str:
    from handlers.replay.comparing import differences

    found = differences(before, after)
    shown = "; ".join(found[:_SHOWN])
    return f"{shown}; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else shown
