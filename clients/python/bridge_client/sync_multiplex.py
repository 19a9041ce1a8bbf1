"""The blocking client's multiplexed stream. Owns the gRPC call and the thread that reads its answers."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import grpc

from bridge_client import invoke
from bridge_client.errors import BridgeError, UnexpectedReply
from bridge_client.failures import to_error
from bridge_client.multiplexing import PATH, Outstanding, Settled
from bridge_client.wire import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from bridge_client.sync_wire import SyncWire
    from bridge_client.wire import Operation


class MultiplexFuture(Future[Any]):
    """The result of a call to come. `cancel` ends the call on the server as well, also while it runs."""

    def __init__(self, drop: Callable[[], None]) -> None:
        super().__init__()
        self._drop = drop

    def cancel(self) -> bool:
        """Cancel the call; return False where it has ended already."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()
        self._drop()
        return True


class Multiplexed:
    """Makes many calls over one stream: several times as fast as one call at a time, for small calls.

    Made by `Client.multiplex`. Calls are sent together where several wait to be sent. Safe to share between threads.
    """

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire
        self._calls: Outstanding[MultiplexFuture] = Outstanding(wire.address)
        self._changed = threading.Condition()
        self._closing = False
        self._over: BridgeError | None = None
        options = replace(wire.options, timeout=None, on_receipt=None)
        self._envelope = seal(wire.address, PATH, options)
        open_stream = wire.channel.stream_stream(PATH)
        self._call = open_stream(self._messages(), metadata=self._envelope.metadata)
        self._thread = threading.Thread(target=self._receive, name="bridge-multiplex", daemon=True)
        self._thread.start()

    def call(self, function: str, /, **arguments: Any) -> MultiplexFuture:
        """Begin a call with keyword arguments; its future has the result, or raises a `BridgeError`."""
        return self._begin(invoke.call(function, arguments))

    def call_raw(self, function: str, data: bytes, /) -> MultiplexFuture:
        """Begin a call of a function of bytes to bytes."""
        return self._begin(invoke.call_raw(function, data))

    def _begin(self, operation: Operation[Any]) -> MultiplexFuture:
        future = MultiplexFuture(lambda: self._drop(call.id))
        with self._changed:
            if self._closing:
                msg = "this multiplexed stream is closed; open a new one"
                raise RuntimeError(msg)
            if self._over is not None:
                raise self._over
            call = self._calls.add(operation, future, self._wire.options)
            self._changed.notify_all()
        return future

    def _drop(self, call_id: int) -> None:
        with self._changed:
            self._calls.cancel(call_id)
            self._changed.notify_all()

    def _messages(self) -> Iterator[bytes]:
        """What is to be sent, for gRPC's thread; ends once all has been answered after `close`."""
        while True:
            with self._changed:
                while (message := self._calls.message()) is None:
                    if self._over is not None or (self._closing and not self._calls):
                        return
                    self._changed.wait()
            yield message

    def _receive(self) -> None:
        error: BridgeError = UnexpectedReply("the server has ended the stream and left calls without an answer")
        try:
            for data in self._call:
                with self._changed:
                    settled = list(self._calls.answered(data))
                    self._changed.notify_all()
                for one in settled:
                    _settle(one)
        except grpc.RpcError as failed:
            error = to_error(failed, self._envelope.facts)
        except BridgeError as unreadable:
            error = unreadable
            self._call.cancel()
        self._end(error)

    def _end(self, error: BridgeError) -> None:
        with self._changed:
            self._over = error
            left = self._calls.fail()
            self._changed.notify_all()
        for call in left:
            _settle(Settled(call=call, error=error))

    def close(self) -> None:
        """Wait for the answers of all open calls, then end the stream."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def abort(self) -> None:
        """End the stream at once; its open calls are cancelled."""
        with self._changed:
            self._closing = True
        self._call.cancel()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _settle(settled: Settled[MultiplexFuture]) -> None:
    future = settled.call.future
    try:
        if future.cancelled() or not future.set_running_or_notify_cancel():
            return
    except InvalidStateError:
        return  # cancelled at this moment
    if settled.error is not None:
        future.set_exception(settled.error)
    else:
        future.set_result(settled.value)
