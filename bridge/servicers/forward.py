"""The RPCs whose requests go to a function as they are: all of `resolve.FORWARDED`, in two shapes."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge.call import Call
from bridge.deadline import timeout_s
from bridge.envelope import join_items, wants_items
from bridge.errors import request_too_large
from bridge.interceptors.errors import Begin, guard_streaming, guard_unary
from bridge.interceptors.identity import identify
from bridge.resolve import FORWARDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import ServerConfig
    from bridge.dispatch import Dispatcher
    from bridge.server import Metadata, Streaming, Unary, Write
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders

PACKAGE = "/bridge.v1."
STREAM_CALL = "InvokeService/StreamCall"


class Forwarder:
    """Makes a call of a request, dispatches it, and answers."""

    def __init__(
        self, dispatcher: Dispatcher, telemetry: Telemetry, config: ServerConfig, readers: SlowReaders
    ) -> None:
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._readers = readers
        self._loop = asyncio.get_running_loop()
        self.renew(config)

    def renew(self, config: ServerConfig) -> None:
        """Take over the limits of calls."""
        self._largest = config.max_message_bytes
        self._default_s = min(config.default_timeout_s, config.max_timeout_s)
        self._longest_s = config.max_timeout_s

    def handlers(self) -> tuple[dict[str, Unary], dict[str, Streaming]]:
        """Return the handlers of all forwarded RPCs by path."""
        begin, telemetry = self.begin, self._telemetry
        unary, streaming = {}, {}
        for name, rule in FORWARDED.items():
            if not rule.public:
                continue
            if rule.streaming:
                streaming[PACKAGE + name] = guard_streaming(name, begin, self._stream, telemetry)
            else:
                unary[PACKAGE + name] = guard_unary(name, begin, self._dispatcher.run, telemetry)
        return unary, streaming

    def unary(self, name: str, made: Callable[[bytes], bytes]) -> Unary:
        """Return the handler of an RPC whose requests `made` turns into requests of the RPC `name`."""
        return guard_unary(name, self._begin_made(made), self._dispatcher.run, self._telemetry)

    def streaming(self, name: str, made: Callable[[bytes], bytes]) -> Streaming:
        """Do as `unary` for an RPC that answers with a stream."""
        return guard_streaming(name, self._begin_made(made), self._stream, self._telemetry)

    def _begin_made(self, made: Callable[[bytes], bytes]) -> Begin:
        def begin(method: str, request: bytes, metadata: Metadata, remaining_s: float | None) -> Call:
            if len(request) > self._largest:
                raise request_too_large(len(request), self._largest)
            call = self.begin(method, b"", metadata, remaining_s)
            call.request, call.bytes_in = made(request), len(request)
            return call

        return begin

    def begin(self, method: str, request: bytes, metadata: Metadata, remaining_s: float | None) -> Call:
        """Make a call of a request. Raises BAD_METADATA, MESSAGE_TOO_LARGE."""
        identity, size, timeout = identify(metadata), len(request), self._default_s
        if size > self._largest:
            raise request_too_large(size, self._largest)
        if remaining_s is not None or identity.timeout_ms is not None:
            timeout = timeout_s(remaining_s, identity.timeout_ms, self._default_s, self._longest_s)
        return Call(method, identity, request, self._loop.time() + timeout, size, time.perf_counter())

    async def _stream(self, call: Call, write: Write) -> None:
        now = self._loop.time
        joined = call.method == STREAM_CALL and wants_items(call.request)
        with self._readers.stream(call.deadline) as writing:
            async with aclosing(self._dispatcher.stream(call)) as batches:
                async for messages in batches:
                    for message in join_items(messages) if joined else messages:
                        writing.since = now()
                        await write(message)
                    writing.since = None
