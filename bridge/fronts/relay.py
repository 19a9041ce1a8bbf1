"""The requests of a front's clients, sent to the main process and answered as it answers.

Owns the requests that wait for main. It parses none of them: which path, metadata, bytes, and when the client gives up
is all that goes over. Where main is gone, everything is refused, and health is told to be bad.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from bridge import status
from bridge.errors import BridgeError, Code
from bridge.fronts import wire
from bridge.fronts.stream import Stream
from bridge.interceptors.identity import request_id_of
from bridge.server import Answer

if TYPE_CHECKING:
    from bridge.fronts.link import Link
    from bridge.server import Conversation, Metadata, Read, Streaming, Unary, Write
    from bridge.upkeep.slow_readers import SlowReaders, Writing

GONE_MESSAGE = "the server has ended, or this front of it has lost it"


class _Streamed:
    """A request that is answered by a stream. `answer` is there once main has ended it."""

    __slots__ = ("answer", "stream", "writing")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.answer: Answer | None = None
        self.writing: Writing | None = None

    def ended(self, answer: Answer, now: float) -> None:
        """Take the end. From now on nobody but this front sees to a client that does not read."""
        self.answer = answer
        if self.writing is not None:
            self.writing.since = now
        self.stream.end()


class Relay:
    """What one front has in flight."""

    def __init__(self, link: Link, readers: SlowReaders, lost: Mapping[str, bytes]) -> None:
        self._link = link
        self._readers = readers
        self._lost_bodies = lost
        self._loop = asyncio.get_running_loop()
        self._unary: dict[int, asyncio.Future[Answer]] = {}
        self._streams: dict[int, _Streamed] = {}
        self._paths: dict[int, str] = {}
        self._numbers = count(1)
        self._gone = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._unary and not self._streams

    def wants(self, request: int) -> bool:
        """Return whether somebody waits for what comes about a request."""
        return request in self._unary or request in self._streams

    def handlers(self, setup: wire.Setup) -> tuple[dict[str, Unary], dict[str, Streaming], dict[str, Conversation]]:
        """Return the handlers by path."""
        numbers = wire.numbered(setup.unary, setup.streaming, setup.conversations)
        self._paths = {number: path for path, number in numbers.items()}
        unary: dict[str, Unary] = {path: partial(self._ask, numbers[path]) for path in setup.unary}
        streaming: dict[str, Streaming] = {path: partial(self._listen, numbers[path]) for path in setup.streaming}
        conversations: dict[str, Conversation] = {
            path: partial(self._converse, numbers[path]) for path in setup.conversations
        }
        return unary, streaming, conversations

    def frame(self, kind: int, request: int, number: int, meta: bytes, body: bytes, _deadline: float) -> None:
        """Take a frame about a request."""
        if kind == wire.ANSWER:
            message, trailers = wire.read_reply(meta)
            if (waiting := self._unary.get(request)) is not None:
                if not waiting.done():
                    waiting.set_result(Answer(body if number == 0 else None, trailers, number, message))
            elif (streamed := self._streams.get(request)) is not None:
                streamed.ended(Answer(None, trailers, number, message), self._loop.time())
        elif (streamed := self._streams.get(request)) is not None:
            if kind == wire.MESSAGE:
                streamed.stream.came(body)
            elif kind == wire.CREDIT:
                streamed.stream.credit(number)

    def _open(self, number: int, body: bytes, metadata: Metadata, remaining_s: float | None) -> int:
        request = next(self._numbers)
        deadline = wire.NO_DEADLINE if remaining_s is None else time.monotonic() + remaining_s
        self._link.send(wire.OPEN, request, number, wire.encode(metadata), body, deadline)
        return request

    def _cancel(self, request: int) -> None:
        self._link.forget(request)
        self._link.drop(request)
        self._link.send(wire.CANCEL, request)

    async def _ask(self, number: int, body: bytes, metadata: Metadata, remaining_s: float | None) -> Answer:
        """Answer a unary request."""
        if self._gone:
            return self._refusal(number, metadata)
        request = self._open(number, body, metadata, remaining_s)
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._unary[request] = waiting
        try:
            return await waiting
        except asyncio.CancelledError:
            self._cancel(request)
            raise
        except ConnectionResetError:
            return self._refusal(number, metadata)
        finally:
            del self._unary[request]

    async def _listen(
        self, number: int, body: bytes, metadata: Metadata, remaining_s: float | None, write: Write
    ) -> Answer:
        """Answer a request with a stream."""
        return await self._pass_on(number, body, metadata, remaining_s, None, write)

    async def _converse(
        self, number: int, metadata: Metadata, remaining_s: float | None, read: Read, write: Write
    ) -> Answer:
        """Answer a stream with a stream."""
        return await self._pass_on(number, b"", metadata, remaining_s, read, write)

    async def _pass_on(
        self, number: int, body: bytes, metadata: Metadata, remaining_s: float | None, read: Read | None, write: Write
    ) -> Answer:
        if self._gone:
            return await self._last_words(number, metadata, write)
        request = self._open(number, body, metadata, remaining_s)
        streamed = self._streams[request] = _Streamed(Stream(self._link, request, self._loop))
        feeding = None
        if read is not None:
            feeding = self._loop.create_task(self._feed(request, streamed, read))
            feeding.add_done_callback(partial(self._fed, request, streamed))
        try:
            await self._write_all(streamed, write)
        except BridgeError as error:  # the client does not read what main has already sent
            return _answer(error, metadata)
        finally:
            del self._streams[request]
            if feeding is not None:
                feeding.cancel()
            if streamed.answer is None:
                self._cancel(request)
        assert streamed.answer is not None
        return await self._last_words(number, metadata, write) if streamed.answer is _LOST else streamed.answer

    async def _write_all(self, streamed: _Streamed, write: Write) -> None:
        """Write what main sends. Raises BridgeError where the client does not read after main has ended."""
        now = self._loop.time
        with self._readers.stream(inf) as writing:
            streamed.writing = writing
            while (message := await streamed.stream.read()) is not None:
                if streamed.answer is not None:
                    writing.since = now()
                await write(message)
            writing.since = None

    async def _feed(self, request: int, streamed: _Streamed, read: Read) -> None:
        """Send what the client sends, as fast as main takes it."""
        stream = streamed.stream
        while True:
            await stream.wait_for_room()
            message = await read()
            if message is None:
                self._link.send(wire.END, request)
                return
            await stream.write(message)

    def _fed(self, request: int, streamed: _Streamed, feeding: asyncio.Task[None]) -> None:
        """The client has sent its last, or the transport can not say what it sends: that ends the request."""
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None and streamed.answer is None:
            self._cancel(request)
            streamed.ended(Answer(None, (), Code.UNKNOWN, f"the request could not be read: {error}"), self._loop.time())

    def lost(self) -> None:
        """Main has gone: refuse what waits and all that comes."""
        self._gone = True
        for waiting in self._unary.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError())
        for streamed in self._streams.values():
            if streamed.answer is None:
                streamed.ended(_LOST, self._loop.time())

    async def _last_words(self, number: int, metadata: Metadata, write: Write) -> Answer:
        """End a stream without main."""
        if (last := self._lost_bodies.get(self._paths[number])) is not None:
            await write(last)
        return _answer(_gone(), metadata)

    def _refusal(self, number: int, metadata: Metadata) -> Answer:
        """Answer a unary request without main."""
        last = self._lost_bodies.get(self._paths[number])
        return _answer(_gone(), metadata) if last is None else Answer(last)


_LOST = Answer(None, (), Code.UNAVAILABLE, GONE_MESSAGE)


def _gone() -> BridgeError:
    return BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", GONE_MESSAGE, retry_after_s=1.0)


def _answer(error: BridgeError, metadata: Metadata) -> Answer:
    details = ("grpc-status-details-bin", status.pack(error, request_id_of(metadata)))
    return Answer(None, (details,), int(error.code), status.message_of(error))
