"""The RPCs whose requests go to a function as they are: all of `resolve.FORWARDED`, in two shapes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge import receipts
from bridge.call import Call
from bridge.deadline import timeout_s
from bridge.interceptors.errors import refusal
from bridge.interceptors.identity import identify
from bridge.resolve import FORWARDED
from bridge.server import Answer, Metadata, Streaming, Unary, Write

if TYPE_CHECKING:
    from bridge.config import ServerConfig
    from bridge.dispatch import Dispatcher
    from bridge.telemetry import Telemetry

PACKAGE = "/bridge.v1."


class Forwarder:
    """Makes a call of a request, dispatches it, and answers."""

    def __init__(self, dispatcher: Dispatcher, telemetry: Telemetry, config: ServerConfig) -> None:
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._default_s = config.default_timeout_s
        self._longest_s = config.max_timeout_s
        self._loop = asyncio.get_running_loop()

    def handlers(self) -> tuple[dict[str, Unary], dict[str, Streaming]]:
        """Return the handlers of all forwarded RPCs by path."""
        unary = {PACKAGE + name: self._unary(name) for name, rule in FORWARDED.items() if not rule.streaming}
        streaming = {PACKAGE + name: self._streaming(name) for name, rule in FORWARDED.items() if rule.streaming}
        return unary, streaming

    def _begin(self, method: str, request: bytes, metadata: Metadata, remaining_s: float | None) -> Call:
        identity = identify(metadata)
        timeout = timeout_s(remaining_s, identity.timeout_ms, self._default_s, self._longest_s)
        return Call(method, identity, request, self._loop.time() + timeout)

    def _unary(self, method: str) -> Unary:
        async def answer(request: bytes, metadata: Metadata, remaining_s: float | None) -> Answer:
            call = None
            try:
                call = self._begin(method, request, metadata, remaining_s)
                body = await self._dispatcher.run(call)
            except BaseException as error:  # noqa: BLE001 - handed whole to the one boundary
                return refusal(error, call, _request_id(call), self._telemetry)
            self._telemetry.finished(call, 0)
            return Answer(body, receipts.trailers(call))

        return answer

    def _streaming(self, method: str) -> Streaming:
        async def answer(request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Answer:
            call = None
            try:
                call = self._begin(method, request, metadata, remaining_s)
                async with aclosing(self._dispatcher.stream(call)) as batches:
                    async for messages in batches:
                        for message in messages:
                            await write(message)
            except BaseException as error:  # noqa: BLE001 - handed whole to the one boundary
                return refusal(error, call, _request_id(call), self._telemetry)
            self._telemetry.finished(call, 0)
            return Answer(None, receipts.trailers(call))

        return answer


def _request_id(call: Call | None) -> str:
    return "" if call is None else call.identity.request_id
