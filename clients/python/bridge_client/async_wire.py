"""Runs operations on an asyncio gRPC channel. Owns the channel, which it makes at the first call, inside the loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import grpc
import grpc.aio

from bridge_client.errors import BridgeError
from bridge_client.failures import to_error
from bridge_client.retries import Repetition
from bridge_client.wire import Envelope, Operation, UnknownEvent, hand_out_receipt, one, only, seal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from bridge_client.options import CallOptions, ChannelOptions

ResultT = TypeVar("ResultT")


class AsyncChannel:
    """A channel that is made at its first use, because grpcio binds it to the running loop."""

    def __init__(self, address: str, credentials: Any, options: ChannelOptions) -> None:
        self._address = address
        self._credentials = credentials
        self._options = options
        self._channel: Any = None
        self._unary_calls: dict[str, Any] = {}
        self._closed = False

    def get(self) -> Any:
        """The channel. Raises RuntimeError after `close`."""
        if self._closed:
            msg = f"this client of {self._address} is closed; make a new one with connect_async({self._address!r})"
            raise RuntimeError(msg)
        if self._channel is None:
            arguments = self._options.arguments()
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._address, options=arguments)
            else:
                self._channel = grpc.aio.secure_channel(self._address, self._credentials, options=arguments)
        return self._channel

    def unary_call(self, path: str) -> Any:
        """What gRPC makes for a path, kept for the next call. Raises RuntimeError after `close`."""
        if (made := self._unary_calls.get(path)) is None or self._closed:
            made = self._unary_calls[path] = self.get().unary_unary(path)
        return made

    async def close(self) -> None:
        """Close it and cancel its calls."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncWire:
    """A channel and the options of the calls made through it. Belongs to one event loop."""

    address: str
    channel: AsyncChannel
    options: CallOptions

    def with_options(self, options: CallOptions) -> AsyncWire:
        """The same channel with other options."""
        return replace(self, options=options)

    async def unary(self, operation: Operation[ResultT]) -> ResultT:
        """Make a call and wait for its result. Raises `BridgeError`. Cancelling the task cancels the call."""
        if self.options.retries:
            return await self._repeat(lambda wire: wire.once(operation))
        return await self.once(operation)

    async def _repeat(self, attempt: Callable[[AsyncWire], Awaitable[ResultT]]) -> ResultT:
        repetition = Repetition(self.options)
        while True:
            try:
                return await attempt(self.with_options(repetition.next_options()))
            except BridgeError as error:
                if (pause := repetition.pause_after(error)) is None:
                    raise
            await asyncio.sleep(pause)

    async def once(self, operation: Operation[ResultT]) -> ResultT:
        """Make a call that is not repeated."""
        envelope = seal(self.address, operation.path, self.options)
        call = self.channel.unary_call(operation.path)(
            operation.request.SerializeToString(), timeout=envelope.deadline_s, metadata=envelope.metadata
        )
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            hand_out_receipt(error.trailing_metadata(), self.options)
            raise to_error(error, envelope.facts) from None
        hand_out_receipt(await call.trailing_metadata(), self.options)
        return operation.read(reply)

    async def only(self, operation: Operation[Iterator[ResultT]]) -> ResultT:
        """Make a streaming call and wait for its one result. Raises `BridgeError`."""

        async def attempt(wire: AsyncWire) -> ResultT:
            async with wire.stream_several(operation) as results:
                return only([result async for result in results])

        return await (self._repeat(attempt) if self.options.retries else attempt(self))

    def stream(self, operation: Operation[ResultT]) -> AsyncStream[ResultT]:
        """Start a call whose results come one by one."""
        return self._stream(operation, one)

    def stream_several(self, operation: Operation[Iterator[ResultT]]) -> AsyncStream[ResultT]:
        """Start a call whose results come one by one or several to a reply."""
        return self._stream(operation, iter)

    def _stream(self, operation: Operation[Any], results: Callable[[Any], Iterator[Any]]) -> AsyncStream[Any]:
        envelope = seal(self.address, operation.path, self.options)
        call = self.channel.get().unary_stream(operation.path)(
            operation.request.SerializeToString(), timeout=envelope.deadline_s, metadata=envelope.metadata
        )
        return AsyncStream(call=call, operation=operation, results=results, envelope=envelope, options=self.options)


class AsyncStream(Generic[ResultT]):
    """The results of a streaming call, one by one. Leaving it early cancels the call.

    It is left by `aclose()`, by the end of its `async with` block, by cancelling the task that waits for it, or when
    nothing refers to it any more, as after a `break` out of ``async for item in client.stream(...)``.
    """

    def __init__(
        self,
        *,
        call: Any,
        operation: Operation[Any],
        results: Callable[[Any], Iterator[ResultT]],
        envelope: Envelope,
        options: CallOptions,
    ) -> None:
        self._call = call
        self._results = results
        self._pending: Iterator[ResultT] = iter(())
        self._replies = aiter(call)  # not read(), which gives nothing more once the status is known
        self._operation = operation
        self._envelope = envelope
        self._options = options
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ResultT:
        while not self._is_closed():
            try:
                for result in self._pending:
                    return result
                self._pending = self._results(self._operation.read(await anext(self._replies)))
            except UnknownEvent:
                continue
            except StopAsyncIteration:
                await self._settle()
            except grpc.aio.AioRpcError as error:
                self._closed = True
                hand_out_receipt(error.trailing_metadata(), self._options)
                raise to_error(error, self._envelope.facts) from None
            except asyncio.CancelledError:
                if self._is_closed():  # closed by another task, not cancelled itself
                    break
                self._close()
                raise
            except BaseException:  # a reply that can not be read: the stream can not go on
                self._close()
                raise
        raise StopAsyncIteration

    def _is_closed(self) -> bool:
        return self._closed

    async def _settle(self) -> None:
        self._closed = True
        hand_out_receipt(await self._call.trailing_metadata(), self._options)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._call.cancel()

    async def aclose(self) -> None:
        """Cancel the call, if it still runs. No more results come."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __del__(self) -> None:
        self._close()
