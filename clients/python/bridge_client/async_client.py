"""The asyncio client, method for method the blocking one.

Owns its channel; the views that it makes share it and never close it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

from bridge_client import explaining, invoke, pool_operations, session_operations
from bridge_client.async_hosting import AsyncToolHost
from bridge_client.async_multiplex import AsyncMultiplexed
from bridge_client.async_wire import AsyncChannel, AsyncStream, AsyncWire
from bridge_client.errors import BridgeError, NotFound
from bridge_client.hosting import Hosting
from bridge_client.models import AsyncModels
from bridge_client.operating import AsyncOperator
from bridge_client.options import DEFAULT_TIMEOUT_S, CallOptions, ChannelOptions
from bridge_client.programs import AsyncPrograms
from bridge_client.texts import AsyncEmbeddingModels, AsyncMetrics
from bridge_client.variables import AsyncVariables
from bridge_client.ways_in import encrypted, read_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from types import TracebackType

    import grpc

    from bridge_client.explaining import Explanation
    from bridge_client.hosted_tools import HostedTool, Visibility
    from bridge_client.options import Budget, MetadataValue, OnReceipt, Priority, SessionMode
    from bridge_client.pool_records import Pool
    from bridge_client.records import FunctionInfo, HealthStatus, ToolInfo
    from bridge_client.session_records import SessionInfo
    from bridge_client.ways_in import Tls


def connect_async(
    address: str,
    *,
    key: str | None = None,
    tls: Tls | None = None,
    session_id: str | None = None,
    timeout: float | None = DEFAULT_TIMEOUT_S,
    metadata: Mapping[str, MetadataValue] | None = None,
    on_receipt: OnReceipt | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    channel: ChannelOptions | None = None,
) -> AsyncClient:
    """An asyncio client of the bridge at `address`, such as ``127.0.0.1:50051``. It connects at the first call.

    A program of the same machine may use its unix socket: ``unix:/run/bridge/bridge.sock``. `key` is an API key, or
    ``env:NAME`` or ``file:PATH`` where it is to be found. Without `tls` (or `credentials`, gRPC's own) the connection
    is plain text. `timeout` is in seconds and holds for each call, None for no limit. Everything but the address and
    the key can be changed for some calls by `AsyncClient.with_options`.
    """
    options = CallOptions(
        timeout=timeout, session_id=session_id, key=read_key(key), metadata=dict(metadata or {}), on_receipt=on_receipt
    )
    opened = AsyncChannel(address, *encrypted(address, tls, credentials, channel or ChannelOptions()))
    return AsyncClient(AsyncWire(address=address, channel=opened, options=options))


class AsyncClient:
    """Calls a bridge and awaits its answers. Made by `connect_async`; belongs to one event loop.

    Every call raises a subclass of `BridgeError` when it fails.
    """

    def __init__(self, wire: AsyncWire, *, owns_channel: bool = True) -> None:
        self._wire = wire
        self._owns_channel = owns_channel

    @property
    def address(self) -> str:
        """Where the bridge is."""
        return self._wire.address

    @property
    def session_id(self) -> str | None:
        """The session that calls belong to."""
        return self._wire.options.session_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    def with_options(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        request_id: str | EllipsisType | None = ...,
        idempotency_key: str | EllipsisType | None = ...,
        idempotent: bool | EllipsisType = ...,
        retries: int | EllipsisType = ...,
        session_id: str | EllipsisType | None = ...,
        session_mode: SessionMode | EllipsisType | None = ...,
        priority: Priority | EllipsisType | None = ...,
        traceparent: str | EllipsisType | None = ...,
        metadata: Mapping[str, MetadataValue] | EllipsisType = ...,
        on_receipt: OnReceipt | EllipsisType | None = ...,
        budget: Budget | EllipsisType | None = ...,
        chunk_bytes: int | EllipsisType | None = ...,
    ) -> AsyncClient:
        """A view of this client whose calls differ in what is given; it shares the connection.

        `metadata` is added to what is there. `on_receipt` is called with the `Receipt` of each call, failed ones
        included; for a stream after its last item. With `budget` each call, and all that it calls on the server, may
        spend so much together, else it fails with `BudgetExceeded`. With `chunk_bytes` results of `call` and `stream`
        that are larger come in parts and are put together here: they may be larger than a message, 100 MB and more.
        With `retries` a failed call that may run twice (`idempotent`, or one with an `idempotency_key`) is tried again
        where the server says when to, all attempts within `timeout`; one that reached no server is so in any case.
        """
        options = self._wire.options.changed(
            timeout=timeout,
            request_id=request_id,
            idempotency_key=idempotency_key,
            idempotent=idempotent,
            retries=retries,
            session_id=session_id,
            session_mode=session_mode,
            priority=priority,
            traceparent=traceparent,
            metadata=metadata,
            on_receipt=on_receipt,
            budget=budget,
            chunk_bytes=chunk_bytes,
        )
        return AsyncClient(self._wire.with_options(options), owns_channel=False)

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function with keyword arguments and return its result."""
        if (size := self._wire.options.chunk_bytes) is not None:
            return await self._wire.only(invoke.stream(function, arguments, size))
        return await self._wire.unary(invoke.call(function, arguments))

    async def call_raw(self, function: str, data: bytes, /) -> bytes:
        """Call a function of bytes to bytes; nothing is encoded on the way."""
        return await self._wire.unary(invoke.call_raw(function, data))

    def stream(self, function: str, /, **arguments: Any) -> AsyncStream[Any]:
        """Call a function whose results come one by one. Leaving the iterator early cancels the call."""
        return self._wire.stream_several(invoke.stream(function, arguments, self._wire.options.chunk_bytes))

    def multiplex(self) -> AsyncMultiplexed:
        """Open a stream for many small calls; the end of an `async with` block waits for all their answers.

        Several times as fast as calls by themselves. Each call has the timeout, session and receipt of this client.
        """
        return AsyncMultiplexed(self._wire)

    def host_tools(
        self,
        tools: Sequence[HostedTool | Callable[..., Any]],
        *,
        visibility: Visibility = "run",
        threads: int = 16,
    ) -> AsyncToolHost:
        """Let agents on the server call functions of this process, for as long as an `async with` block is open.

        A run names them: ``client.programs.using(tools=host).run(...)``. With `visibility` "session" or "tenant" all
        runs of this client's session or tenant may, by the tools' names. At most `threads` functions run at a time
        that are not async; those that are can be hosted in asyncio alone, and are cancelled with their call.
        """
        return AsyncToolHost(self._wire, Hosting(tools, visibility), threads)

    async def functions(self, prefix: str = "") -> tuple[FunctionInfo, ...]:
        """What can be called, in the order of names, without schemas."""
        page = await self._wire.unary(invoke.list_functions(prefix, ""))
        found = [*page.items]
        while page.next_token:
            page = await self._wire.unary(invoke.list_functions(prefix, page.next_token))
            found += page.items
        return tuple(found)

    async def tools(self, registration: str = "") -> tuple[ToolInfo, ...]:
        """The tools that clients host and this one may name, or those of one registration, in the order of names."""
        return await self._wire.unary(invoke.list_tools(registration))

    async def describe(self, function: str) -> FunctionInfo:
        """One function with its schemas and an example."""
        return await self._wire.unary(invoke.describe_function(function))

    async def explain(self, function: str, /, **arguments: Any) -> Explanation:
        """Where such a call would go and why, with every alternative and the figures behind it; nothing runs."""
        return await self._wire.unary(explaining.explain(function, arguments))

    @property
    def programs(self) -> AsyncPrograms:
        """The DSPy programs."""
        return AsyncPrograms(self._wire)

    @property
    def models(self) -> AsyncModels:
        """The language models."""
        return AsyncModels(self._wire)

    @property
    def embeddings(self) -> AsyncEmbeddingModels:
        """The embedding models."""
        return AsyncEmbeddingModels(self._wire)

    @property
    def metrics(self) -> AsyncMetrics:
        """The evaluation metrics."""
        return AsyncMetrics(self._wire)

    @property
    def variables(self) -> AsyncVariables:
        """The variables of this view's session. Raises ValueError where it has none."""
        return AsyncVariables(self._wire)

    @property
    def operator(self) -> AsyncOperator:
        """Orders to the running server: scale and drain pools, cancel calls, open breakers."""
        return AsyncOperator(self._wire)

    async def pools(self) -> tuple[Pool, ...]:
        """All pools of worker processes."""
        return await self._wire.unary(pool_operations.list_pools())

    async def pool(self, name: str) -> Pool:
        """One pool."""
        return await self._wire.unary(pool_operations.get_pool(name))

    async def health(self, service: str = "") -> HealthStatus:
        """The health of the whole server, of a service such as ``bridge.v1.ModelService`` or of ``pool/NAME``."""
        return await self._wire.unary(invoke.check_health(service))

    @asynccontextmanager
    async def session(
        self,
        id: str | None = None,  # noqa: A002
        ttl: float | None = None,
        *,
        mode: SessionMode = "hint",
        ordered: bool = False,
    ) -> AsyncIterator[AsyncClient]:
        """Open a session, give a view whose calls belong to it, and close it at the end.

        Its calls go to one worker of each pool while that lives. It ends by itself after `ttl` seconds without a call.
        With the mode ``strict`` calls are refused when the worker is lost (`SessionLost`, `SessionMoved`); with
        ``hint`` they go on elsewhere. With `ordered` they run one after another.
        """
        opened = await self.open_session(id, ttl, mode=mode, ordered=ordered)
        try:
            yield self.with_options(session_id=opened.id)
        except BaseException:
            with suppress(BridgeError):  # what went wrong inside matters more; the session ends by its ttl
                await self.close_session(opened.id)
            raise
        with suppress(NotFound):  # it may have ended by its ttl
            await self.close_session(opened.id)

    async def open_session(
        self,
        id: str | None = None,  # noqa: A002
        ttl: float | None = None,
        *,
        mode: SessionMode = "hint",
        ordered: bool = False,
    ) -> SessionInfo:
        """Open a session without an `async with` block; its calls are made with ``with_options(session_id=...)``."""
        return await self._wire.unary(session_operations.open_session(id, ttl, mode, ordered=ordered))

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """The open sessions of this client's tenant, or all where it names none, in the order of their opening."""
        page = await self._wire.unary(session_operations.list_sessions(""))
        found = [*page.items]
        while page.next_token:
            page = await self._wire.unary(session_operations.list_sessions(page.next_token))
            found += page.items
        return tuple(found)

    async def get_session(self, id: str) -> SessionInfo:  # noqa: A002
        """A session as the server sees it."""
        return await self._wire.unary(session_operations.get_session(id))

    async def close_session(self, id: str) -> None:  # noqa: A002
        """End a session."""
        await self._wire.unary(session_operations.close_session(id))

    async def close(self) -> None:
        """Close the connection and cancel its calls. A view leaves the connection to the client it was made from."""
        if self._owns_channel:
            await self._wire.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
