"""Native calls: functions that run in the front process itself, on an entry of its own.

Only what is declared native is in that entry, so the front imports no other user code. Owns the count of running calls;
the router sends work elsewhere when it is high.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from bridge import status
from bridge.asks import NativeAsker
from bridge.call import EMPTY_META
from bridge.errors import BridgeError, Code
from bridge.receipts import receipts
from handlers.contract import CallMeta, ErrorRecord, ReplyMeta

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from bridge.asks import Asks
    from bridge.call import Call
    from handlers.entry import Entry

_encode = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(ReplyMeta).decode
_NO_META = b""


class NativeRunner:
    """Runs calls on the front's own entry."""

    def __init__(self, entry: Entry, asks: Asks) -> None:
        self._asker = NativeAsker(asks)
        self.running = 0
        self.renew(entry)

    def renew(self, entry: Entry) -> None:
        """Run calls on another entry from now on; those that run end on the old one."""
        self._entry = entry
        entry.bind(self._asker)

    async def run(self, call: Call) -> bytes:
        """Run a unary call. A synchronous function runs in the event loop: it is small, that is why it is native."""
        self._begin(call)
        entry, started = self._entry, time.perf_counter_ns()
        try:
            meta = call_meta(call)
            if entry.is_async(call.function):
                loop = asyncio.get_running_loop()
                call.job = asyncio.current_task()
                async with asyncio.timeout(max(0.0, call.deadline - loop.time())):
                    ok, reply_meta, body = await entry.acall(call.function, meta, call.request, None)
            else:
                ok, reply_meta, body = entry.call(call.function, meta, call.request, None)
        except TimeoutError:
            raise _too_late() from None
        finally:
            self.running -= 1
            call.job = None
            call.worker_ns = time.perf_counter_ns() - started
        if reply_meta or not ok:
            settle(call, ok, reply_meta)
        return body

    def cancel(self, call: Call) -> bool:
        """End an asynchronous call with CANCELLED_BY_OPERATOR; a synchronous one has ended when this can be asked."""
        if not isinstance(call.job, asyncio.Task) or call.cancelled:
            return False
        call.cancelled = True
        return call.job.cancel()

    def turn_away(self, call: Call) -> None:
        """Do nothing: native calls never wait."""

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; each message by itself, so that others get their turn in between."""
        self._begin(call)
        loop = asyncio.get_running_loop()
        call.job = asyncio.current_task()
        started = time.perf_counter_ns()
        try:
            async with aclosing(self._entry.astream(call.function, call_meta(call), call.request, None)) as items:
                while (left_s := call.deadline - loop.time()) > 0:
                    async with asyncio.timeout(left_s):
                        item = await anext(items)
                    if isinstance(item, tuple):
                        settle(call, item[0], item[1])
                        return
                    yield [item]
                raise _too_late()
        except TimeoutError:
            raise _too_late() from None
        finally:
            self.running -= 1
            call.job = None
            call.worker_ns = time.perf_counter_ns() - started

    def _begin(self, call: Call) -> None:
        self.running += 1
        call.route = receipts.NATIVE
        self._asker.running(call)


def call_meta(call: Call) -> bytes:
    """Return what an entry is told about a call: a `CallMeta`."""
    identity = call.identity
    if identity.bare and not call.sound_at:
        return _encode((call.method, identity.request_id))
    return _encode(whole_meta(call))


def whole_meta(call: Call, within: int = 0) -> CallMeta:
    """Return what an entry is told about a call that is not bare."""
    identity, session = call.identity, call.session
    epoch, mode = (0, "") if session is None else (session.epoch, session.mode)
    who = (identity.request_id, identity.session_id, epoch, identity.tenant, identity.traceparent)
    of_models = 0 if identity.budget is None else identity.budget.of_models
    return CallMeta(call.method, *who, mode, of_models, within, call.version, call.definition, call.sound_at)


_ID = "\0id\0"
"""Stands for a request id: no metadata has it."""


@lru_cache(maxsize=256)
def _around_id(method: str, tenant: str, traceparent: str) -> tuple[bytes, bytes]:
    """Return what precedes and follows the request id in what an entry is told of a call without a session."""
    bare = not tenant and not traceparent
    meta = (method, _ID) if bare else CallMeta(method, _ID, tenant=tenant, traceparent=traceparent)
    head, tail = _encode(meta).split(_encode(_ID))
    return head, tail


def call_metas(calls: Iterable[Call]) -> list[bytes]:
    """Return what an entry is told about each of these calls, none of which has a session: `call_meta` in less time."""
    metas, trace, head, tail = [], None, b"", b""
    for call in calls:
        identity = call.identity
        if identity.traceparent != trace:
            trace = identity.traceparent
            head, tail = _around_id(call.method, identity.tenant, trace)
        request_id = identity.request_id.encode()
        size = len(request_id)
        if size < 32:
            metas.append(b"%b%c%b%b" % (head, 0xA0 | size, request_id, tail))
        else:
            metas.append(b"%b%b%b" % (head, _encode(identity.request_id), tail))
    return metas


def decode_meta(meta: bytes) -> ReplyMeta:
    """Return what an entry said about a finished call."""
    return EMPTY_META if meta == _NO_META else _decode_meta(meta)


def settle(call: Call, ok: bool, meta: bytes) -> None:
    """Take what an entry said about a finished call into its record. Raises the failure that it reported."""
    if meta != _NO_META:
        call.meta = _decode_meta(meta)
    if ok:
        return
    if call.meta.error is None:
        raise BridgeError(Code.INTERNAL, "INTERNAL", "the worker reported a failure without saying which")
    raise _failure(call, call.meta.error)


def _failure(call: Call, record: ErrorRecord) -> BridgeError:
    """Return the failure of a function.

    Where that is one of a call that it had made, the function itself has begun: nothing may tell its caller that it
    could be tried again, unless it may run twice.
    """
    failure = status.of_record(record)
    if "nested_function" in failure.metadata and (call.spec is None or not call.spec.idempotent):
        failure.retry_after_s = None
        if failure.code is Code.UNAVAILABLE:
            failure.code = Code.ABORTED
    return failure


def _too_late() -> BridgeError:
    return BridgeError(Code.DEADLINE_EXCEEDED, "IN_WORKER", "the deadline passed while a native function ran")
