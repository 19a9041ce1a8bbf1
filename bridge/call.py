"""The record of one call on its way through the front. Each stage fills in its part; nobody else keeps any of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.sessions.record import Mode, Session
from handlers.contract import FunctionSpec, ReplyMeta

if TYPE_CHECKING:
    import asyncio

    from bridge.attempts.record import Attempted
    from bridge.attempts.work import Attempts
    from bridge.batching.members import Member
    from bridge.inside import Inside
    from bridge.nested import Nested
    from bridge.receipts.budgets import Budget
    from pool.calls import Call as Job

EMPTY_META = ReplyMeta()


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who calls and how, as the request's metadata says it. Empty strings where it says nothing.

    `priority` is 1, 0 or -1: high, normal, low.
    """

    request_id: str
    session_id: str = ""
    tenant: str = ""
    traceparent: str = ""
    timeout_ms: int | None = None
    priority: int = 0
    session_mode: Mode | None = None
    session_ordered: bool | None = None
    budget: Budget | None = None
    bare: bool = False
    """Whether it has neither session, tenant, trace nor budget, and no caller on this server: the usual call."""
    key_name: str = ""
    """Of the API key that it came with."""


class Call(msgspec.Struct, eq=False):
    """One call, mutable. Times are seconds of `time.perf_counter()`; the deadline is on the loop's clock."""

    method: str
    identity: Identity
    request: bytes
    deadline: float
    bytes_in: int
    started_at: float
    function: str = ""
    spec: FunctionSpec | None = None
    route: int = 0
    reason: str = ""
    pool: str = ""
    worker: str = ""
    session: Session | None = None
    in_line: bool = False
    """Whether it holds the turn of its ordered session."""
    job: Job | Member | Attempts | asyncio.Task[Any] | None = None
    """What runs it: its pool's call, its place in a batch, its attempts, or the task of a native function."""
    cancelled: bool = False
    """Whether an operator has ended it, where it is native."""
    retried: bool = False
    """Whether its worker died in it, and it was tried once more."""
    leased_at: float | None = None
    worker_ns: int = 0
    memory_change: int | None = None
    meta: ReplyMeta = EMPTY_META
    bytes_out: int = 0
    batch_size: int = 0
    """Calls that ran together with it, itself included; 0 where it ran by itself."""
    batch_ns: int = 0
    """The worker's time for all of them, of which `worker_ns` is this call's share."""
    ended_at: float = 0.0
    """When it was counted; 0 before."""
    nested: Nested | None = None
    """How it was begun, where another call has made it."""
    inside: Inside | None = None
    """What it has done inside, where it has called other functions. Its `meta` is not EMPTY_META then."""
    attempts: Attempted | None = None
    """What was tried, where its function has a route."""
    version: int = 0
    """Of a created program, the version that runs."""
    definition: int = 0
    """The number of that version's definition; see `CallMeta`."""
    sound_at: float = 0.0
    """Of a program, when all providers of models were found sound; see `CallMeta`."""


def new_call(method: str, identity: Identity, request: bytes, deadline: float) -> Call:
    """Return the record of a call that has just arrived."""
    return Call(method, identity, request, deadline, len(request), time.perf_counter())
