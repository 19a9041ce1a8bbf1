"""Programs that clients have created, in the worker: asked of the front when they are first met, built, and kept.

Owns the built programs of this process, the least recently used of which go when there are too many. A version never
changes, so what is built stays right; a new version is another program. Imports dspy when the first program is built.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.contract import FunctionSpec
from handlers.errors import Unknown
from handlers.programs import definitions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from handlers.context import CallContext
    from handlers.contract import EntryOptions, Handler
    from handlers.programs.created_build import Builder

ASK = "program.definition"
"""What the front is asked: the number of a definition. It answers with the definition as JSON."""
KEPT = 256
"""Built programs, at most."""

_encode = msgspec.msgpack.Encoder().encode


class CreatedPrograms:
    """Answers calls of every created program. Safe for many calls at once on one event loop."""

    def __init__(self, options: EntryOptions, kept: int = KEPT) -> None:
        self._options = options
        self._kept = kept
        self._built: OrderedDict[int, Handler] = OrderedDict()
        """By the front's number of the definition."""
        self._opening: dict[int, asyncio.Lock] = {}
        self._builder: Builder | None = None

    @property
    def spec(self) -> FunctionSpec:
        """Nothing that a catalogue would show: the front knows each program by itself."""
        return FunctionSpec(name="created", kind="program", is_async=True)

    def preload(self) -> None:
        """Import the library, where there are programs already."""
        if self._options.created is not None and self._options.created.preload:
            self._library()

    def call(self, method: str, request: bytes, context: CallContext) -> Awaitable[bytes]:
        """Answer a unary call."""
        return self._call(method, request, context)

    async def _call(self, method: str, request: bytes, context: CallContext) -> bytes:
        handler: Any = await self._program(context)
        response: bytes = await handler.call(method, request, context)
        return response

    async def stream(self, method: str, request: bytes, context: CallContext) -> AsyncGenerator[bytes, None]:
        """Answer a streaming call."""
        handler = await self._program(context)
        items: Any = handler.stream(method, request, context)
        async with aclosing(items):
            async for item in items:
                yield item

    async def _program(self, context: CallContext) -> Handler:
        """Return the program that a call means. Raises Unknown, or what keeps it from being built."""
        number = context.meta.definition
        if not number:
            raise Unknown("This pool has no such function.")
        if (found := self._built.get(number)) is not None:
            self._built.move_to_end(number)
            return found
        lock = self._opening.setdefault(number, asyncio.Lock())
        try:
            async with lock:
                if (found := self._built.get(number)) is None:
                    found = await self._open(number, context)
                    self._keep(number, found)
        finally:
            if not lock.locked():
                self._opening.pop(number, None)
        return found

    async def _open(self, number: int, context: CallContext) -> Handler:
        definition = definitions.from_json(await context.aask(ASK, _encode(number)))
        # The first import of the library takes seconds: other calls go on meanwhile.
        if (builder := self._builder) is None:
            builder = await asyncio.to_thread(self._library)
        if self._options.replay is not None:
            from handlers.replay.handler import open_recorded

            return await open_recorded(builder.open, definition, self._options)
        return await builder.open(definition)

    def _keep(self, number: int, handler: Handler) -> None:
        self._built[number] = handler
        while len(self._built) > self._kept:
            self._built.popitem(last=False)

    def _library(self) -> Builder:
        from handlers.programs.created_build import Builder

        if (builder := self._builder) is None:
            builder = self._builder = Builder(self._options)
        return builder
