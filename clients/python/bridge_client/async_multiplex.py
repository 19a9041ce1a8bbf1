"""The asyncio client's multiplexed stream. Owns the gRPC call and the two tasks that write and read it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from bridge_client import invoke
from bridge_client.errors import BridgeError, UnexpectedReply
from bridge_client.failures import to_error
from bridge_client.multiplexing import PATH, Outstanding
from bridge_client.wire import seal

if TYPE_CHECKING:
    from types import TracebackType

    from bridge_client.async_wire import AsyncWire
    from bridge_client.wire import Operation


class AsyncMultiplexed:
    """Makes many calls over one stream: several times as fast as one call at a time, for small calls.

    Made by `AsyncClient.multiplex`. Calls are sent together where several wait to be sent. Belongs to one event loop.
    """

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire
        self._calls: Outstanding[asyncio.Future[Any]] = Outstanding(wire.address)
        self._changed = asyncio.Event()
        self._closing = False
        self._over: BridgeError | None = None
        self._call: Any = None
        self._tasks: list[asyncio.Task[None]] = []

    def call(self, function: str, /, **arguments: Any) -> asyncio.Future[Any]:
        """Begin a call with keyword arguments; its future has the result, or raises a `BridgeError`."""
        return self._begin(invoke.call(function, arguments))

    def call_raw(self, function: str, data: bytes, /) -> asyncio.Future[Any]:
        """Begin a call of a function of bytes to bytes."""
        return self._begin(invoke.call_raw(function, data))

    def _begin(self, operation: Operation[Any]) -> asyncio.Future[Any]:
        if self._closing:
            msg = "this multiplexed stream is closed; open a new one"
            raise RuntimeError(msg)
        if self._over is not None:
            raise self._over
        if self._call is None:
            self._start()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = self._calls.add(operation, future, self._wire.options)
        future.add_done_callback(partial(self._done, call.id))
        self._changed.set()
        return future

    def _start(self) -> None:
        options = replace(self._wire.options, timeout=None, on_receipt=None)
        self._envelope = seal(self._wire.address, PATH, options)
        self._call = self._wire.channel.get().stream_stream(PATH)(metadata=self._envelope.metadata)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._send()), loop.create_task(self._receive())]

    def _done(self, call_id: int, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._calls.cancel(call_id)
            self._changed.set()

    async def _send(self) -> None:
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                while (message := self._calls.message()) is not None:
                    await self._call.write(message)
                if self._closing and not self._calls:
                    await self._call.done_writing()
                    return
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # who receives hears why

    async def _receive(self) -> None:
        error: BridgeError = UnexpectedReply("the server has ended the stream and left calls without an answer")
        try:
            async for data in self._call:
                for settled in self._calls.answered(data):
                    future = settled.call.future
                    if future.done():
                        continue
                    if settled.error is not None:
                        future.set_exception(settled.error)
                    else:
                        future.set_result(settled.value)
                self._changed.set()
        except grpc.aio.AioRpcError as failed:
            error = to_error(failed, self._envelope.facts)
        except BridgeError as unreadable:
            error = unreadable
            self._call.cancel()
        finally:
            self._end(error)

    def _end(self, error: BridgeError) -> None:
        self._over = error
        for call in self._calls.fail():
            if not call.future.done():
                call.future.set_exception(error)
                call.future.exception()  # whoever has it may have left: asyncio must not complain
        self._changed.set()

    async def close(self) -> None:
        """Wait for the answers of all open calls, then end the stream."""
        self._closing = True
        self._changed.set()
        if self._tasks:
            await self._tasks[1]
            self._tasks[0].cancel()

    async def abort(self) -> None:
        """End the stream at once; its open calls are cancelled."""
        self._closing = True
        if self._call is not None:
            self._call.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()
