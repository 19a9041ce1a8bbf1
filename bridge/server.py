"""The transport: grpcio behind a small interface. Nothing else imports grpc's server classes.

A handler gets the request's bytes and metadata and returns an `Answer`: a value, never an exception. So that another
transport can replace this one, handlers know nothing of grpc.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

# grpcio's newer listener moves every event through one thread more; without it a call takes a sixth less processor time
# (docs/performance.md). Read when grpc makes its first object, so it is set before that.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
# Else whoever knocks without TLS, or with a bad certificate, writes a line of the C core's own into the log each time.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc

from bridge.accepting import make_server
from bridge.doors.credentials import ServedIdentity
from bridge.doors.failures import AddressInUse, ListenFailed
from bridge.doors.identity import TlsIdentity
from bridge.doors.socket_file import claimed

Metadata = tuple[tuple[str, str | bytes], ...]
Write = Callable[[bytes], Awaitable[None]]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The end of a request: the response, or a status that is not OK. `body` is None for an error or a stream."""

    body: bytes | None
    trailers: Metadata = ()
    code: int = 0
    message: str = ""


Unary = Callable[[bytes, Metadata, float | None], Awaitable[Answer]]
"""Answers one request with one response: (request, metadata, seconds left of the client's deadline)."""

Streaming = Callable[[bytes, Metadata, float | None, Write], Awaitable[Answer]]
"""Answers one request by writing responses, then ending."""

Read = Callable[[], Awaitable[bytes | None]]
"""Returns the client's next message; None once it has sent its last."""

Conversation = Callable[[Metadata, float | None, Read, Write], Awaitable[Answer]]
"""Reads requests and writes responses in any order, then ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Limits of the transport. Bytes and seconds."""

    address: str
    """HOST:PORT; empty for no port."""
    unix: str = ""
    """The path of a unix socket to listen on as well, for the server's own user and root."""
    max_message_bytes: int
    tls: TlsIdentity | None = None
    """Given: the port takes TLS alone."""
    keepalive_time_s: float = 30.0
    keepalive_timeout_s: float = 10.0
    shared: bool = False
    """Whether other processes listen on the same port; who may is for the caller to see to."""


Refuse = Callable[[str, Metadata], Answer | None]
"""Says by a request's path and metadata why it goes no further, or None where it does."""

UNKNOWN = "*"
"""In place of a path: the conversation that answers for all methods that there are not."""
LAST_WORDS_S = 1.0
"""How long the end of a stream may wait for a client that does not read; the client gets it when it reads on."""
RECEIVE_FACTOR = 2
"""The transport takes in requests up to so many times `max_message_bytes`, so that the bridge can say what is wrong
with them; beyond that the transport refuses them, in its own words."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MOST = (1 << 31) - 1


class _UnaryCall:
    """One unary request: what grpcio takes for its method's handler, and for that handler's behaviour.

    grpcio decodes a request's metadata to find its handler, and again where a behaviour asks for it. Made for one
    request, the handler keeps what was decoded.
    """

    __slots__ = ("_handler", "_metadata")

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None

    def __init__(self, handler: Unary, metadata: Metadata) -> None:
        self._handler = handler
        self._metadata = metadata

    @property
    def unary_unary(self) -> _UnaryCall:
        """The behaviour."""
        return self

    def __await__(self) -> Generator[None, None, None]:
        """Tell grpcio that the behaviour is asynchronous, and do nothing else.

        It asks `inspect` at every request: an awaitable answers the first question, a coroutine function the sixth.
        """
        raise TypeError("call it with a request and its context")

    async def __call__(self, request: bytes, context: Any) -> bytes | None:
        answer = await self._handler(request, self._metadata, context.time_remaining())
        if answer.code:
            await context.abort(_CODES[answer.code], answer.message, answer.trailers)
        context.set_trailing_metadata(answer.trailers)
        return answer.body


def _streaming(handler: Streaming) -> grpc.RpcMethodHandler:
    async def behave(request: bytes, context: Any) -> None:
        answer = await handler(request, context.invocation_metadata() or (), context.time_remaining(), context.write)
        if answer.code:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await context.abort(_CODES[answer.code], answer.message, answer.trailers)
            return
        context.set_trailing_metadata(answer.trailers)

    return grpc.unary_stream_rpc_method_handler(behave)


def _conversation(handler: Conversation) -> grpc.RpcMethodHandler:
    async def behave(_requests: Any, context: Any) -> None:
        async def read() -> bytes | None:
            message = await context.read()
            return None if message is grpc.aio.EOF else message

        metadata = context.invocation_metadata() or ()
        answer = await handler(metadata, context.time_remaining(), read, context.write)
        if answer.code:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await context.abort(_CODES[answer.code], answer.message, answer.trailers)
            return
        context.set_trailing_metadata(answer.trailers)

    return grpc.stream_stream_rpc_method_handler(behave)


class GrpcServer:
    """Serves handlers by their full method names, `/package.Service/Method`."""

    def __init__(
        self,
        options: ServerOptions,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
        conversations: Mapping[str, Conversation],
        refuse: Refuse | None = None,
    ) -> None:
        """Make it; what `refuse` says no to is answered before its message is taken in."""
        self._options = options
        others = {path: _streaming(handler) for path, handler in streaming.items()}
        others |= {path: _conversation(handler) for path, handler in conversations.items()}
        unknown = others.pop(UNKNOWN, None)
        self._unary, self._others = dict(unary), others
        handlers = _Handlers(self._unary, others, unknown)
        if refuse is not None:
            handlers = _GuardedHandlers(handlers, refuse)
        self._server = make_server(_channel_arguments(options), handlers, unary, others)
        self._identity = None if options.tls is None else ServedIdentity(options.tls)

    def change(self, unary: Mapping[str, Unary], streaming: Mapping[str, Streaming]) -> None:
        """Serve these handlers too, from now on."""
        self._unary.update(unary)
        self._others.update((path, _streaming(handler)) for path, handler in streaming.items())

    async def start(self) -> str:
        """Bind and serve; return the address with its real port. Raises ListenFailed."""
        address = self._bind() if self._options.address else ""
        if self._options.unix:
            try:
                with claimed(self._options.unix):
                    self._server.add_insecure_port(f"unix:{self._options.unix}")
            except RuntimeError as error:
                raise ListenFailed(f"can not listen on {self._options.unix}: {error}") from error
        await self._server.start()
        return address or f"unix:{self._options.unix}"

    def _bind(self) -> str:
        host, _, _ = self._options.address.rpartition(":")
        try:
            if self._identity is None:
                port = self._server.add_insecure_port(self._options.address)
            else:
                port = self._server.add_secure_port(self._options.address, self._identity.credentials)
        except RuntimeError as error:
            raise AddressInUse(f"can not listen on {self._options.address}") from error
        return f"{host}:{port}"

    def renew_tls(self, identity: TlsIdentity) -> None:
        """Show this identity from the next TLS handshake on."""
        if self._identity is not None:
            self._identity.renew(identity)

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let running ones end within `grace_s`, then cancel them."""
        await self._server.stop(grace_s)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds a handler by the method's path: one look-up for all services."""

    def __init__(
        self,
        unary: Mapping[str, Unary],
        others: Mapping[str, grpc.RpcMethodHandler],
        unknown: grpc.RpcMethodHandler | None,
    ) -> None:
        self._unary = unary
        self._others = others
        self._unknown = unknown

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | _UnaryCall | None:
        """Return the handler; for an unknown method what answers for all of them, or None."""
        unary = self._unary.get(handler_call_details.method)
        if unary is not None:
            return _UnaryCall(unary, handler_call_details.invocation_metadata or ())
        return self._others.get(handler_call_details.method, self._unknown)


class _GuardedHandlers(_Handlers):
    """The same, but for requests that are refused by their metadata alone: those are not read."""

    def __init__(self, handlers: _Handlers, refuse: Refuse) -> None:
        super().__init__(handlers._unary, handlers._others, handlers._unknown)
        self._refuse = refuse

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | _UnaryCall | None:
        """Return the handler, or what answers with the refusal."""
        answer = self._refuse(handler_call_details.method, handler_call_details.invocation_metadata or ())
        return super().service(handler_call_details) if answer is None else _conversation(partial(_answer, answer))


async def _answer(
    answer: Answer, _metadata: Metadata, _remaining_s: float | None, _read: Read, _write: Write
) -> Answer:
    return answer


def _channel_arguments(options: ServerOptions) -> list[tuple[str, int]]:
    size = options.max_message_bytes
    silent_ms, answer_ms = int(1000 * options.keepalive_time_s), int(1000 * options.keepalive_timeout_s)
    return [
        ("grpc.max_receive_message_length", min(RECEIVE_FACTOR * size, _MOST)),
        ("grpc.max_send_message_length", min(size, _MOST)),
        ("grpc.so_reuseport", int(options.shared)),  # else a second server silently shares the port
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.keepalive_time_ms", silent_ms),
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),  # without it a frozen client is never noticed
        ("grpc.max_concurrent_streams", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
