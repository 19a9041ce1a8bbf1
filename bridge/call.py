"""The record of one call on its way through the front. Each stage fills in its part; nobody else keeps any of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from handlers.contract import FunctionSpec, ReplyMeta

if TYPE_CHECKING:
    from bridge.sessions import Session

EMPTY_META = ReplyMeta()


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who calls and how, as the request's metadata says it. Empty strings where it says nothing."""

    request_id: str
    session_id: str = ""
    tenant: str = ""
    traceparent: str = ""
    timeout_ms: int | None = None


class Call:
    """One call. Times are seconds of `time.perf_counter()`; the deadline is on the loop's clock."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "deadline",
        "function",
        "identity",
        "leased_at",
        "memory_change",
        "meta",
        "method",
        "pool",
        "reason",
        "request",
        "route",
        "session",
        "spec",
        "started_at",
        "worker",
        "worker_ns",
    )

    def __init__(self, method: str, identity: Identity, request: bytes, deadline: float) -> None:
        self.method = method
        self.identity = identity
        self.request = request
        self.deadline = deadline
        self.started_at = time.perf_counter()
        self.function = ""
        self.spec: FunctionSpec | None = None
        self.route = 0
        self.reason = ""
        self.pool = ""
        self.worker = ""
        self.session: Session | None = None
        self.leased_at: float | None = None
        self.worker_ns = 0
        self.memory_change: int | None = None
        self.meta = EMPTY_META
        self.bytes_in = len(request)
        self.bytes_out = 0
