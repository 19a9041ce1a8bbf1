"""Runs operations on a blocking gRPC channel. Owns the channel, if it made it, and the open streams' calls."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import grpc

from bridge_client.errors import BridgeError
from bridge_client.failures import to_error
from bridge_client.retries import Repetition
from bridge_client.wire import Envelope, Operation, UnknownEvent, hand_out_receipt, one, only, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from bridge_client.options import CallOptions, ChannelOptions

ResultT = TypeVar("ResultT")


def open_channel(address: str, credentials: Any, options: ChannelOptions) -> Any:
    """A blocking channel; it connects at the first call."""
    if credentials is None:
        return grpc.insecure_channel(address, options=options.arguments())
    return grpc.secure_channel(address, credentials, options=options.arguments())


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWire:
    """A channel and the options of the calls made through it. Safe to share between threads."""

    address: str
    channel: Any
    options: CallOptions
    unary_calls: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What gRPC makes for a path, shared by all views: to make it is a quarter of what this client adds to a call."""

    def with_options(self, options: CallOptions) -> SyncWire:
        """The same channel with other options."""
        return replace(self, options=options)

    def _unary_call(self, path: str) -> Any:
        if (made := self.unary_calls.get(path)) is None:
            made = self.unary_calls[path] = self.channel.unary_unary(path).with_call
        return made

    def unary(self, operation: Operation[ResultT]) -> ResultT:
        """Make a call and wait for its result. Raises `BridgeError`."""
        if self.options.retries:
            return self._repeat(lambda wire: wire.once(operation))
        return self.once(operation)

    def _repeat(self, attempt: Callable[[SyncWire], ResultT]) -> ResultT:
        repetition = Repetition(self.options)
        while True:
            try:
                return attempt(self.with_options(repetition.next_options()))
            except BridgeError as error:
                if (pause := repetition.pause_after(error)) is None:
                    raise
            time.sleep(pause)

    def once(self, operation: Operation[ResultT]) -> ResultT:
        """Make a call that is not repeated."""
        envelope = seal(self.address, operation.path, self.options)
        try:
            reply, call = self._start(self._unary_call(operation.path), operation, envelope)
        except grpc.RpcError as error:
            hand_out_receipt(error.trailing_metadata(), self.options)
            raise to_error(error, envelope.facts) from None
        hand_out_receipt(call.trailing_metadata(), self.options)
        return operation.read(reply)

    def only(self, operation: Operation[Iterator[ResultT]]) -> ResultT:
        """Make a streaming call and wait for its one result. Raises `BridgeError`."""

        def attempt(wire: SyncWire) -> ResultT:
            with wire.stream_several(operation) as results:
                return only(list(results))

        return self._repeat(attempt) if self.options.retries else attempt(self)

    def stream(self, operation: Operation[ResultT]) -> Stream[ResultT]:
        """Start a call whose results come one by one."""
        return self._stream(operation, one)

    def stream_several(self, operation: Operation[Iterator[ResultT]]) -> Stream[ResultT]:
        """Start a call whose results come one by one or several to a reply."""
        return self._stream(operation, iter)

    def _stream(self, operation: Operation[Any], results: Callable[[Any], Iterator[Any]]) -> Stream[Any]:
        envelope = seal(self.address, operation.path, self.options)
        call = self._start(self.channel.unary_stream(operation.path), operation, envelope)
        return Stream(call=call, operation=operation, results=results, envelope=envelope, options=self.options)

    def _start(self, start: Callable[..., Any], operation: Operation[Any], envelope: Envelope) -> Any:
        request = operation.request.SerializeToString()
        try:
            return start(request, timeout=envelope.deadline_s, metadata=envelope.metadata)
        except ValueError as error:
            if "closed channel" not in str(error):
                raise
            msg = f"this client of {self.address} is closed; make a new one with connect({self.address!r})"
            raise RuntimeError(msg) from None


class Stream(Generic[ResultT]):
    """The results of a streaming call, one by one. Leaving it early cancels the call.

    It is left by `close()`, by the end of its `with` block, or when nothing refers to it any more, as after a `break`
    out of ``for item in client.stream(...)``.
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
        self._operation = operation
        self._envelope = envelope
        self._options = options
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ResultT:
        while not self._is_closed():
            try:
                for result in self._pending:
                    return result
                self._pending = self._results(self._operation.read(next(self._call)))
            except UnknownEvent:
                continue
            except StopIteration:
                self._settle()
            except grpc.RpcError as error:
                if self._is_closed():  # closed by another thread
                    break
                self._settle()
                raise to_error(error, self._envelope.facts) from None
            except BaseException:  # a reply that can not be read, Ctrl-C: the stream can not go on
                self.close()
                raise
        raise StopIteration

    def _is_closed(self) -> bool:
        return self._closed

    def _settle(self) -> None:
        self._closed = True
        hand_out_receipt(self._call.trailing_metadata(), self._options)

    def close(self) -> None:
        """Cancel the call, if it still runs. No more results come."""
        if not self._closed:
            self._closed = True
            self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
