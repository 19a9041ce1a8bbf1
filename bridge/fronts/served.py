"""The requests that one front brings, in the main process: each runs through the handler that would serve it there.

Owns the tasks of those requests and the windows of their streams. Handlers know nothing of fronts: they get bytes,
metadata and the time left, as from the transport itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.errors import Code
from bridge.fronts import wire
from bridge.fronts.stream import Stream
from bridge.server import Answer, Conversation, Streaming, Unary

if TYPE_CHECKING:
    from bridge.fronts.link import Link
    from bridge.server import Metadata

_BROKEN = Answer(None, (), Code.UNKNOWN, "the handler of the request broke")
"""Handlers answer with values, whatever happens: this is for a bug in one. Of a cancelled request nobody waits."""


class Handlers:
    """The handlers of a server, found by the number of their path."""

    def __init__(
        self, unary: Mapping[str, Unary], streaming: Mapping[str, Streaming], conversations: Mapping[str, Conversation]
    ) -> None:
        self.unary = tuple(unary)
        self.streaming = tuple(streaming)
        self.conversations = tuple(conversations)
        numbers = wire.numbered(self.unary, self.streaming, self.conversations)
        self.by_number: dict[int, Unary] = {numbers[path]: handler for path, handler in unary.items()}
        self.streaming_by_number = {numbers[path]: handler for path, handler in streaming.items()}
        self.conversation_by_number = {numbers[path]: handler for path, handler in conversations.items()}


class Served:
    """What one front has brought and is not answered yet."""

    def __init__(self, handlers: Handlers, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self._handlers = handlers
        self._link = link
        self._loop = loop
        self._open: dict[int, asyncio.Task[None]] = {}
        self._streams: dict[int, Stream] = {}
        self.count = 0
        """Requests that it has brought so far."""

    def __len__(self) -> int:
        return len(self._open)

    def frame(self, kind: int, request: int, number: int, meta: bytes, body: bytes, deadline: float) -> None:
        """Take a frame about a request."""
        if kind == wire.OPEN:
            self._begin(request, number, meta, body, deadline)
        elif kind == wire.CANCEL:
            self._cancel(request)
        elif (stream := self._streams.get(request)) is not None:
            if kind == wire.CREDIT:
                stream.credit(number)
            elif kind == wire.MESSAGE:
                stream.came(body)
            elif kind == wire.END:
                stream.end()

    def _begin(self, request: int, number: int, meta: bytes, body: bytes, deadline: float) -> None:
        self.count += 1
        metadata = wire.metadata(meta)
        remaining_s = None if deadline == wire.NO_DEADLINE else max(0.0, deadline - time.monotonic())
        if (unary := self._handlers.by_number.get(number)) is not None:
            task = self._loop.create_task(self._unary(request, unary, body, metadata, remaining_s))
        else:
            self._streams[request] = Stream(self._link, request, self._loop)
            task = self._loop.create_task(self._stream(request, number, body, metadata, remaining_s))
        self._open[request] = task

    async def _unary(
        self, request: int, handler: Unary, body: bytes, metadata: Metadata, remaining_s: float | None
    ) -> None:
        answer = _BROKEN
        try:
            answer = await handler(body, metadata, remaining_s)
        finally:
            self._ended(request, answer)

    async def _stream(
        self, request: int, number: int, body: bytes, metadata: Metadata, remaining_s: float | None
    ) -> None:
        answer = _BROKEN
        stream = self._streams[request]
        try:
            if (streaming := self._handlers.streaming_by_number.get(number)) is not None:
                answer = await streaming(body, metadata, remaining_s, stream.write)
            else:
                conversation = self._handlers.conversation_by_number[number]
                answer = await conversation(metadata, remaining_s, stream.read, stream.write)
        finally:
            self._ended(request, answer)

    def _ended(self, request: int, answer: Answer) -> None:
        """Answer, unless nobody waits for it."""
        if self._open.pop(request, None) is None:
            return
        self._streams.pop(request, None)
        meta = wire.encode((answer.message, answer.trailers))
        self._link.send(wire.ANSWER, request, answer.code, meta, answer.body or b"")

    def _cancel(self, request: int) -> None:
        """Nobody waits for a request any more. Its task may not have begun: it is forgotten here and not there."""
        self._link.drop(request)
        self._link.forget(request)
        self._streams.pop(request, None)
        if (task := self._open.pop(request, None)) is not None:
            task.cancel()

    def lost(self) -> None:
        """The front has gone: end all that it had."""
        tasks, self._open = list(self._open.values()), {}
        self._streams.clear()
        for task in tasks:
            task.cancel()
