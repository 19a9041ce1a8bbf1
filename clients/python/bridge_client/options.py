"""How to connect and how to call: two frozen records, checked when they are made. Owns no state, does no IO."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from bridge_client.records import Receipt

if TYPE_CHECKING:
    from typing import Self

OnReceipt = Callable[[Receipt], None]
MetadataValue = str | bytes
SessionMode = Literal["hint", "strict"]
Priority = Literal["low", "normal", "high"]

_METADATA_KEY = re.compile(r"[a-z0-9_.-]+")

DEFAULT_TIMEOUT_S = 60.0
LEAST_CHUNK_BYTES = 4096
MOST_USD, MOST = 1e9, 10**15
"""What servers take as a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelOptions:
    """How the connection behaves."""

    max_message_bytes: int = 256 * 1024 * 1024
    """Largest request and reply. The server has its own limit."""
    keepalive_time_s: float = 30.0
    """Ask a connection that is silent while calls run for a sign of life after this long.

    A bridge takes one such question in 10 s. Other gRPC servers, such as a proxy between, may break a connection that
    asks more often than every 300 s, and with it the calls that run.
    """
    keepalive_timeout_s: float = 10.0
    """Give the connection up when there is none, or sent data is not acknowledged, within this long."""
    extra: tuple[tuple[str, Any], ...] = ()
    """Further gRPC channel arguments, such as ``("grpc.primary_user_agent", "my-app")``; the last one wins."""

    def arguments(self) -> list[tuple[str, Any]]:
        """GRPC's channel arguments. GRPC itself repeats only what no server has seen, and follows no policy of DNS."""
        return [
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", int(self.keepalive_time_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout_s * 1000)),
            ("grpc.service_config_disable_resolution", 1),
            *self.extra,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a call, and all that it calls on the server, may spend together; None sets no limit."""

    usd: float | None = None
    """US dollars for language models."""
    tokens: int | None = None
    """Tokens of language models, prompts and answers together."""
    calls: int | None = None
    """Calls of functions, this one included."""

    def __post_init__(self) -> None:
        if self.usd is not None and not (math.isfinite(self.usd) and 0 <= self.usd < MOST_USD):
            msg = f"expected a budget of 0 to {MOST_USD:g} US dollars, or None for no limit, got {self.usd!r}"
            raise ValueError(msg)
        for name, value in (("tokens", self.tokens), ("calls", self.calls)):
            if value is not None and not (type(value) is int and 0 <= value < MOST):
                msg = f"expected a budget's {name} to be a whole number from 0, or None for no limit, got {value!r}"
                raise ValueError(msg)

    def metadata(self) -> list[tuple[str, MetadataValue]]:
        """What goes with a call."""
        found: list[tuple[str, MetadataValue]] = []
        if self.usd is not None:
            found.append(("x-budget-usd", f"{self.usd:.12f}"))
        if self.tokens is not None:
            found.append(("x-budget-tokens", str(self.tokens)))
        if self.calls is not None:
            found.append(("x-budget-calls", str(self.calls)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What goes with every call of one client view."""

    timeout: float | None = DEFAULT_TIMEOUT_S
    """Seconds for the whole call, a stream's last item included; None for no limit."""
    request_id: str | None = None
    """Identifies the call in logs; None makes a new one per call."""
    idempotency_key: str | None = None
    idempotent: bool = False
    """Says that calls may run twice, as an `idempotency_key` does."""
    retries: int = 0
    """How often a failed call is tried again, within its timeout, where it may run twice and the server says when to;
    a call that never reached a server always may. Streams and multiplexed calls are not repeated."""
    session_id: str | None = None
    session_mode: SessionMode | None = None
    """How firmly a session is bound that the call opens: ``hint`` or ``strict``; None for the server's default."""
    priority: Priority | None = None
    """Who goes first among calls that wait for a worker: ``high``, ``normal`` or ``low``."""
    traceparent: str | None = None
    """The W3C trace context that calls belong to; functions on the server get it."""
    key: str | None = field(default=None, repr=False)
    metadata: Mapping[str, MetadataValue] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    on_receipt: OnReceipt | None = None
    budget: Budget | None = None
    """What a call and all that it calls may spend together; a multiplexed stream has one for all of its calls."""
    chunk_bytes: int | None = None
    """Results that are larger than this come in parts of this size, at least 4096 bytes, and are put together here;
    they may be larger than a message. None takes every result whole."""

    def __post_init__(self) -> None:
        if self.chunk_bytes is not None and self.chunk_bytes < LEAST_CHUNK_BYTES:
            least = LEAST_CHUNK_BYTES
            msg = f"expected chunk_bytes of at least {least}, or None for whole results, got {self.chunk_bytes}"
            raise ValueError(msg)
        if type(self.retries) is not int or self.retries < 0:
            msg = f"expected retries to be a whole number from 0, got {self.retries!r}"
            raise ValueError(msg)
        if self.timeout is not None and not (math.isfinite(self.timeout) and self.timeout > 0):
            msg = f"expected a timeout of more than 0 seconds, or None for no limit, got {self.timeout!r}"
            raise ValueError(msg)
        for name, known in (("session_mode", ("hint", "strict")), ("priority", ("low", "normal", "high"))):
            if getattr(self, name) not in {None, *known}:
                msg = f"expected {name} to be one of {', '.join(known)}, or None, got {getattr(self, name)!r}"
                raise ValueError(msg)
        for name in ("request_id", "idempotency_key", "session_id", "traceparent", "key"):
            _check_text(name, getattr(self, name), secret=name == "key")
        for key, value in self.metadata.items():
            _check_metadata(key, value)

    @property
    def may_run_twice(self) -> bool:
        """Whether the caller has said that repeating a call does no harm."""
        return self.idempotent or self.idempotency_key is not None

    def changed(
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
    ) -> Self:
        """A copy with what is given changed. Metadata is added to what is there."""
        given: dict[str, Any] = {
            "timeout": timeout,
            "request_id": request_id,
            "idempotency_key": idempotency_key,
            "idempotent": idempotent,
            "retries": retries,
            "session_id": session_id,
            "session_mode": session_mode,
            "priority": priority,
            "traceparent": traceparent,
            "metadata": metadata if isinstance(metadata, EllipsisType) else {**self.metadata, **metadata},
            "on_receipt": on_receipt,
            "budget": budget,
            "chunk_bytes": chunk_bytes,
        }
        return replace(self, **{name: value for name, value in given.items() if value is not ...})


def _check_text(name: str, value: str | None, *, secret: bool) -> None:
    if value is not None and not (value.isascii() and value.isprintable() and value.strip() == value and value):
        shown = "something else" if secret else repr(value)
        msg = f"expected {name} to be printable ASCII text without blanks at its ends, got {shown}"
        raise ValueError(msg)


def _check_metadata(key: str, value: MetadataValue) -> None:
    if not _METADATA_KEY.fullmatch(key):
        msg = f"expected a metadata key of lower-case letters, digits, '-', '_' and '.', got {key!r}"
        raise ValueError(msg)
    binary = key.endswith("-bin")
    if binary != isinstance(value, bytes) or not isinstance(value, str | bytes):
        wanted = "bytes, because it ends in '-bin'" if binary else "text"
        msg = f"expected metadata {key!r} to be {wanted}, got {type(value).__name__}"
        raise TypeError(msg)
    if isinstance(value, str):
        _check_text(f"metadata {key!r}", value or "-", secret=True)
