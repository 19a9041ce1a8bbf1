"""The blocking client. Owns its channel; the views that it makes share it and never close it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

from bridge_client import explaining, invoke, pool_operations, session_operations
from bridge_client.errors import BridgeError, NotFound
from bridge_client.hosting import Hosting
from bridge_client.models import Models
from bridge_client.operating import Operator
from bridge_client.options import DEFAULT_TIMEOUT_S, CallOptions, ChannelOptions
from bridge_client.programs import Programs
from bridge_client.sync_hosting import ToolHost
from bridge_client.sync_multiplex import Multiplexed
from bridge_client.sync_wire import Stream, SyncWire, open_channel
from bridge_client.texts import EmbeddingModels, Metrics
from bridge_client.variables import Variables
from bridge_client.ways_in import encrypted, read_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    import grpc

    from bridge_client.explaining import Explanation
    from bridge_client.hosted_tools import HostedTool, Visibility
    from bridge_client.options import Budget, MetadataValue, OnReceipt, Priority, SessionMode
    from bridge_client.pool_records import Pool
    from bridge_client.records import FunctionInfo, HealthStatus, ToolInfo
    from bridge_client.session_records import SessionInfo
    from bridge_client.ways_in import Tls


def connect(
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
) -> Client:
    """A client of the bridge at `address`, such as ``127.0.0.1:50051``. It connects at the first call.

    A program of the same machine may use its unix socket: ``unix:/run/bridge/bridge.sock``. `key` is an API key, or
    ``env:NAME`` or ``file:PATH`` where it is to be found. Without `tls` (or `credentials`, gRPC's own) the connection
    is plain text. `timeout` is in seconds and holds for each call, None for no limit. Everything but the address and
    the key can be changed for some calls by `Client.with_options`.
    """
    options = CallOptions(
        timeout=timeout, session_id=session_id, key=read_key(key), metadata=dict(metadata or {}), on_receipt=on_receipt
    )
    opened = open_channel(address, *encrypted(address, tls, credentials, channel or ChannelOptions()))
    return Client(SyncWire(address=address, channel=opened, options=options))


class Client:
    """Calls a bridge and waits for its answers. Made by `connect`; safe to share between threads.

    Every call raises a subclass of `BridgeError` when it fails.
    """

    def __init__(self, wire: SyncWire, *, owns_channel: bool = True) -> None:
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
    ) -> Client:
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
        return Client(self._wire.with_options(options), owns_channel=False)

    def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function with keyword arguments and return its result."""
        if (size := self._wire.options.chunk_bytes) is not None:
            return self._wire.only(invoke.stream(function, arguments, size))
        return self._wire.unary(invoke.call(function, arguments))

    def call_raw(self, function: str, data: bytes, /) -> bytes:
        """Call a function of bytes to bytes; nothing is encoded on the way."""
        return self._wire.unary(invoke.call_raw(function, data))

    def stream(self, function: str, /, **arguments: Any) -> Stream[Any]:
        """Call a function whose results come one by one. Leaving the iterator early cancels the call."""
        return self._wire.stream_several(invoke.stream(function, arguments, self._wire.options.chunk_bytes))

    def multiplex(self) -> Multiplexed:
        """Open a stream for many small calls; the end of a `with` block waits for all their answers.

        Several times as fast as calls by themselves. Each call has the timeout, session and receipt of this client.
        """
        return Multiplexed(self._wire)

    def host_tools(
        self,
        tools: Sequence[HostedTool | Callable[..., Any]],
        *,
        visibility: Visibility = "run",
        threads: int = 16,
    ) -> ToolHost:
        """Let agents on the server call functions of this process, for as long as a `with` block is open.

        A run names them: ``client.programs.using(tools=host).run(...)``. With `visibility` "session" or "tenant" all
        runs of this client's session or tenant may, by the tools' names. At most `threads` functions run at a time
        that are not async; those that are can be hosted in asyncio alone, and are cancelled with their call.
        """
        return ToolHost(self._wire, Hosting(tools, visibility), threads)

    def functions(self, prefix: str = "") -> tuple[FunctionInfo, ...]:
        """What can be called, in the order of names, without schemas."""
        page = self._wire.unary(invoke.list_functions(prefix, ""))
        found = [*page.items]
        while page.next_token:
            page = self._wire.unary(invoke.list_functions(prefix, page.next_token))
            found += page.items
        return tuple(found)

    def tools(self, registration: str = "") -> tuple[ToolInfo, ...]:
        """The tools that clients host and this one may name, or those of one registration, in the order of names."""
        return self._wire.unary(invoke.list_tools(registration))

    def describe(self, function: str) -> FunctionInfo:
        """One function with its schemas and an example."""
        return self._wire.unary(invoke.describe_function(function))

    def explain(self, function: str, /, **arguments: Any) -> Explanation:
        """Where such a call would go and why, with every alternative and the figures behind it; nothing runs."""
        return self._wire.unary(explaining.explain(function, arguments))

    @property
    def programs(self) -> Programs:
        """The DSPy programs."""
        return Programs(self._wire)

    @property
    def models(self) -> Models:
        """The language models."""
        return Models(self._wire)

    @property
    def embeddings(self) -> EmbeddingModels:
        """The embedding models."""
        return EmbeddingModels(self._wire)

    @property
    def metrics(self) -> Metrics:
        """The evaluation metrics."""
        return Metrics(self._wire)

    @property
    def variables(self) -> Variables:
        """The variables of this view's session. Raises ValueError where it has none."""
        return Variables(self._wire)

    @property
    def operator(self) -> Operator:
        """Orders to the running server: scale and drain pools, cancel calls, open breakers."""
        return Operator(self._wire)

    def pools(self) -> tuple[Pool, ...]:
        """All pools of worker processes."""
        return self._wire.unary(pool_operations.list_pools())

    def pool(self, name: str) -> Pool:
        """One pool."""
        return self._wire.unary(pool_operations.get_pool(name))

    def health(self, service: str = "") -> HealthStatus:
        """The health of the whole server, of a service such as ``bridge.v1.ModelService`` or of ``pool/NAME``."""
        return self._wire.unary(invoke.check_health(service))

    @contextmanager
    def session(
        self,
        id: str | None = None,  # noqa: A002
        ttl: float | None = None,
        *,
        mode: SessionMode = "hint",
        ordered: bool = False,
    ) -> Iterator[Client]:
        """Open a session, give a view whose calls belong to it, and close it at the end.

        Its calls go to one worker of each pool while that lives. It ends by itself after `ttl` seconds without a call.
        With the mode ``strict`` calls are refused when the worker is lost (`SessionLost`, `SessionMoved`); with
        ``hint`` they go on elsewhere. With `ordered` they run one after another.
        """
        opened = self.open_session(id, ttl, mode=mode, ordered=ordered)
        try:
            yield self.with_options(session_id=opened.id)
        except BaseException:
            with suppress(BridgeError):  # what went wrong inside matters more; the session ends by its ttl
                self.close_session(opened.id)
            raise
        with suppress(NotFound):  # it may have ended by its ttl
            self.close_session(opened.id)

    def open_session(
        self,
        id: str | None = None,  # noqa: A002
        ttl: float | None = None,
        *,
        mode: SessionMode = "hint",
        ordered: bool = False,
    ) -> SessionInfo:
        """Open a session without a `with` block; its calls are made with ``with_options(session_id=...)``."""
        return self._wire.unary(session_operations.open_session(id, ttl, mode, ordered=ordered))

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The open sessions of this client's tenant, or all where it names none, in the order of their opening."""
        page = self._wire.unary(session_operations.list_sessions(""))
        found = [*page.items]
        while page.next_token:
            page = self._wire.unary(session_operations.list_sessions(page.next_token))
            found += page.items
        return tuple(found)

    def get_session(self, id: str) -> SessionInfo:  # noqa: A002
        """A session as the server sees it."""
        return self._wire.unary(session_operations.get_session(id))

    def close_session(self, id: str) -> None:  # noqa: A002
        """End a session."""
        self._wire.unary(session_operations.close_session(id))

    def close(self) -> None:
        """Close the connection and cancel its calls. A view leaves the connection to the client it was made from."""
        if self._owns_channel:
            self._wire.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
