"""grpcio's asyncio server, which accepts calls many at a time.

grpcio waits for one new call, and then takes several turns of the event loop until it asks for the next; at full load
that is the most of what a call costs it. Here each method has several requests for calls open, and a call that comes is
begun at once. What a call goes through then is grpcio's own code.

It is built on names of grpcio that are not public, so it is used with the versions that it was tested with; with others
the server is grpcio's own. Owns the calls that are accepted, until they end. Knows nothing of what the methods do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc
from grpc.aio import _server

TESTED = "1.85."
"""The versions of grpcio whose inner parts are as this module expects them."""
OPEN_UNARY = 8
"""Requests for calls that each unary method has open: calls that come together are begun in one turn of the loop."""
OPEN_OTHERS = 2
_log = logging.getLogger("bridge.server")


def make_server(
    arguments: Sequence[tuple[str, int]], handlers: grpc.GenericRpcHandler, unary: Iterable[str], others: Iterable[str]
) -> Any:
    """Return a `grpc.aio` server for the running loop.

    `handlers` finds the handler of a call; `unary` and `others` are the full names of the methods that it has.
    """
    if grpc.__version__.startswith(TESTED):
        requests = dict.fromkeys(unary, OPEN_UNARY) | dict.fromkeys(others, OPEN_OTHERS)
        return _Server(arguments, handlers, requests)
    _log.warning(
        "grpcio %s is not what this server was tested with (%s*): it accepts calls one at a time, and small calls are "
        "slower; install one of those versions, or a newer bridge",
        grpc.__version__,
        TESTED,
    )
    server = grpc.aio.server(options=arguments)
    server.add_generic_rpc_handlers((handlers,))
    return server


class _Server(_server.Server):  # type: ignore[misc]
    """grpcio's server around one that accepts many calls at a time."""

    def __init__(
        self, arguments: Sequence[tuple[str, int]], handlers: grpc.GenericRpcHandler, open_requests: dict[str, int]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        options = _server._augment_channel_arguments(tuple(arguments), None)
        self._server = _Accepting(self._loop, None, (handlers,), (), options, None)
        self._server.open(handlers, open_requests)


class _Accepting(cygrpc.AioServer):  # type: ignore[misc]
    """Has several requests for calls open for each of its methods.

    The methods are registered by name, which lets the core tell their calls apart. Calls of other methods are left to
    the loop of the base class, which sees the registered ones as futures that are never done.
    """

    def open(self, handlers: grpc.GenericRpcHandler, requests: dict[str, int]) -> None:
        """Take the methods, before the server starts, and how many requests each has open."""
        self._handlers = handlers
        self._requests = requests
        self._own_loop = asyncio.get_running_loop()
        self._accepting: set[asyncio.Task[None]] = set()
        self._calls: set[_Steps] = set()
        self.add_registered_method_handlers(dict.fromkeys(requests))

    def resolve_handler(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call; grpcio asks once for each."""
        return self._handlers.service(details)

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """Answer the base class, which asks once for each method when it starts to serve."""
        if method is None:
            own: asyncio.Future[Any] = super()._make_request_call_future(None)
            return own
        path = method.decode()
        for _ in range(self._requests[path]):
            task = self._own_loop.create_task(self._accept(method, path))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)
            task.add_done_callback(self._serving_task_crash_handler)
        return self._own_loop.create_future()

    async def _accept(self, method: bytes, path: str) -> None:
        loop, calls = self._own_loop, self._calls
        while True:
            try:
                state = await self._request_registered_call(method)
            except cygrpc._RequestCallError:
                if self.is_running():
                    continue
                return  # it shuts down
            handling = cygrpc._handle_rpc(path, self, (), state, loop, False)
            call = _Steps(cygrpc._schedule_rpc_coro(handling, state, loop, path), calls)
            calls.add(call)
            loop.call_soon(call)  # what it raises is a matter of that call: it must not end the accepting


class _Steps:
    """Runs a coroutine that awaits futures only: what a task does, for less.

    The coroutine watches for the end of a call; the call itself runs in a task of its own.
    """

    __slots__ = ("_all", "_send")

    def __init__(self, coroutine: Coroutine[asyncio.Future[Any], None, None], everyone: set[_Steps]) -> None:
        self._send = coroutine.send
        self._all = everyone

    def __call__(self, _done: asyncio.Future[Any] | None = None) -> None:
        """Go on to the next future. What the coroutine raises reaches the loop's handler of exceptions."""
        try:
            future = self._send(None)
        except StopIteration:
            self._all.discard(self)
            return
        except BaseException:
            self._all.discard(self)
            raise
        future._asyncio_future_blocking = False  # else the loop takes it for one that nobody awaits
        future.add_done_callback(self)
