"""Calls that running calls make of other functions, by `handlers.nested` in workers and in native functions.

A nested call is a call like any other, with the identity, the deadline and the budget of its caller. Where its function
belongs to the pool of its caller, or of a call further up that waits for it, that one's worker runs it: every worker of
the pool could be waiting. So its caller asks not once but step by step, and may be told to run something meanwhile.
Owns the conversations that are open; `inside` has what they add up to.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.call import EMPTY_META, Call, new_call
from bridge.errors import BridgeError, Code, request_too_large
from bridge.inside import Inside
from bridge.interceptors.errors import guard_nested
from bridge.native import settle, whole_meta
from bridge.pooled import note_now
from bridge.receipts import receipts
from handlers.contract import ReplyMeta
from handlers.nested import BEGIN, DONE, DROP, MESSAGES, NEXT, RAN, RUN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from bridge.asks import Later
    from bridge.dispatch import Dispatcher
    from bridge.telemetry import Telemetry

DEPTH = 8
"""How deep calls may be nested: a call that a client has made has depth 0."""
AHEAD = 2
"""Batches of a stream's messages that may wait for the caller to ask for them."""
STREAM_CALL = "InvokeService/StreamCall"
_begin_request = msgspec.msgpack.Decoder(tuple[int, int, bool, bytes]).decode
_number = msgspec.msgpack.Decoder(int).decode
_messages = msgspec.msgpack.Decoder(list[bytes]).decode
_encode = msgspec.msgpack.Encoder().encode


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """What became of a call that a caller's worker has run, in the conversation of a number.

    `token` is the front's own number of the call. `body` is None where it stays there.
    """

    number: int
    token: int
    ok: bool
    meta: bytes
    worker_ns: int
    size: int
    body: bytes | None


_ran_request = msgspec.msgpack.Decoder(Ran).decode


def inside_of(call: Call) -> Inside:
    """Return a call's inside, made where it has none."""
    if call.inside is None:
        call.inside = Inside()
        if call.meta is EMPTY_META:
            call.meta = ReplyMeta()
    return call.inside


class Nested:
    """One nested call and the conversation about it. `caller` has made it, the worker of `outer` asks about it."""

    def __init__(self, calls: NestedCalls, outer: Call, caller: Call, call: Call, number: int) -> None:
        self.caller = caller
        self.call = call
        self.kept_bytes: int | None = None
        """The size of its response, where that stays in the worker that has asked."""
        self.depth: int = 1 if caller.nested is None else caller.nested.depth + 1
        self._calls = calls
        self._outer = outer
        self._number = number
        self._steps: asyncio.Queue[tuple[Any, ...] | BridgeError] = asyncio.Queue()
        self._room = asyncio.Semaphore(AHEAD)
        call.nested = self
        self._insides = inside_of(outer), inside_of(caller)
        self._insides[0].running[number] = self
        self._insides[1].open.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def step(self) -> bytes:
        """Return what the worker that asks is to do next. Raises the failure of the call."""
        try:
            found = await self._steps.get()
        except asyncio.CancelledError:
            self.abandon()
            raise
        if isinstance(found, BridgeError) or found[0] == DONE:
            self._insides[0].running.pop(self._number, None)
        if isinstance(found, BridgeError):
            raise found
        if found[0] == MESSAGES:
            self._room.release()
        return _encode(found)

    async def _run(self) -> None:
        run = self._stream() if self.call.method == STREAM_CALL else self._unary()
        try:
            found = await guard_nested(run, self.call, self)
        finally:
            self._insides[1].open.discard(self)
        self._steps.put_nowait(found if isinstance(found, BridgeError) else (DONE, found))

    async def _unary(self) -> bytes | None:
        body = await self._calls.dispatcher.run(self.call)
        return self._kept(body)

    async def _stream(self) -> bytes | None:
        async with aclosing(self._calls.dispatcher.stream(self.call)) as batches:
            async for messages in batches:
                await self._room.acquire()
                self._steps.put_nowait((MESSAGES, messages))
        return self._kept(None)

    def _kept(self, body: bytes | None) -> bytes | None:
        if self.kept_bytes is None:
            return body
        self.call.bytes_out = self.kept_bytes
        return None

    def finished(self, call: Call, code: int, failure: BridgeError | None = None) -> None:
        """Count the call, for the server and for its caller, unless it has been."""
        if call.ended_at:
            return
        self._calls.telemetry.finished(call, code, failure)
        reason = "" if failure is None else failure.reason
        self._insides[1].add(call, receipts.receipt(call), code, reason)

    def abandon(self) -> None:
        """End it: nobody waits for it any more. It counts as cancelled from this moment on."""
        self._insides[0].running.pop(self._number, None)
        self._insides[1].open.discard(self)
        note_now(self.call)
        self.finished(self.call, Code.CANCELLED)
        self._task.cancel()

    def host(self, pool: str) -> Nested | None:
        """Return the conversation with a worker of this pool that waits for this call, the nearest; None for none."""
        nested: Nested | None = self
        while nested is not None:
            if nested.caller.route == receipts.POOLED and nested.caller.pool == pool:
                return nested
            nested = nested.caller.nested
        return None

    async def run_here(self, call: Call) -> Ran:
        """Let the worker of this conversation run a call: this one, or one that this one waits for."""
        inside, loop = self._insides[0], asyncio.get_running_loop()
        future: asyncio.Future[Ran] = loop.create_future()
        token = self._calls.token()
        inside.hosted[token] = call, future
        call.route = receipts.POOLED
        call.worker = _worker(self._outer)
        call.leased_at = time.perf_counter()
        mine = call is self.call
        call.reason += ", in its caller's worker" if mine else ", in a worker that waits for it"
        meta = _encode(whole_meta(call, token))
        request = None if mine else call.request
        left_s = max(0.0, call.deadline - loop.time())
        streams = call.method == STREAM_CALL
        self._steps.put_nowait((RUN, token, call.function, meta, request, left_s, streams))
        try:
            async with asyncio.timeout_at(call.deadline):
                return await future
        except TimeoutError:
            message = f"the deadline passed while a worker of pool '{call.pool}' ran it that waits for it"
            raise BridgeError(Code.DEADLINE_EXCEEDED, "IN_WORKER", message, metadata={"pool": call.pool}) from None
        finally:
            inside.hosted.pop(token, None)


def _worker(call: Call) -> str:
    """Return the worker that runs a call."""
    worker = getattr(call.job, "worker", None)
    return call.worker if worker is None else str(worker.id)


class HostedRunner:
    """Runs nested calls in the worker of a call that waits for them.

    `choose` writes into the call of a created program which version it runs.
    """

    def __init__(self, choose: Callable[[Call], None]) -> None:
        self._choose = choose

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises a BridgeError where the function failed."""
        return (await self._ran(call)).body or b""

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call. One that another worker waits for runs to its end before its first message."""
        if (body := (await self._ran(call)).body) is not None:
            yield _messages(body)

    def cancel(self, _call: Call) -> bool:
        """Return False: it ends with the call that its worker runs."""
        return False

    def turn_away(self, _call: Call) -> None:
        """Do nothing: it does not wait."""

    async def _ran(self, call: Call) -> Ran:
        assert call.nested is not None
        host = call.nested.host(call.pool)
        assert host is not None
        self._choose(call)
        ran = await host.run_here(call)
        call.worker_ns = ran.worker_ns
        if ran.body is None:
            call.nested.kept_bytes = ran.size
        settle(call, ran.ok, ran.meta)
        return ran


class NestedCalls:
    """Answers what running calls ask about calls of other functions."""

    def __init__(self, dispatcher: Dispatcher, telemetry: Telemetry, largest: int) -> None:
        self.dispatcher = dispatcher
        self.telemetry = telemetry
        self._largest = largest
        self._tokens = itertools.count(1)

    def asks(self) -> dict[str, Later]:
        """Return the answers by name."""
        return {BEGIN: self._begin, RAN: self._ran, NEXT: self._next, DROP: self._drop}

    def renew(self, largest: int) -> None:
        """Take over the limit of a request's bytes."""
        self._largest = largest

    def token(self) -> int:
        """Return a number that no other hosted call has."""
        return next(self._tokens)

    async def _begin(self, outer: Call, body: bytes) -> bytes:
        number, within, streaming, request = _begin_request(body)
        inside = inside_of(outer)
        if inside.job is not outer.job:  # a second attempt: what the first one waits for is of no use
            inside.close()
            inside.job = outer.job
        caller = inside.hosted[within][0] if within in inside.hosted else outer
        if outer.ended_at or caller.ended_at:
            raise BridgeError(Code.CANCELLED, "CALLER_ENDED", "the call that asks has ended")
        if len(request) > self._largest:
            raise request_too_large(len(request), self._largest)
        _check_depth(caller)
        made = inside_of(caller).made = inside_of(caller).made + 1
        identity = msgspec.structs.replace(
            caller.identity, request_id=f"{caller.identity.request_id}/{made}", timeout_ms=None, bare=False
        )
        method = STREAM_CALL if streaming else "InvokeService/Call"
        call = new_call(method, identity, request, caller.deadline)
        return await Nested(self, outer, caller, call, number).step()

    async def _ran(self, outer: Call, body: bytes) -> bytes:
        ran = _ran_request(body)
        inside = inside_of(outer)
        found = inside.hosted.get(ran.token)
        if found is not None and not found[1].done():
            found[1].set_result(ran)
        return await self._go_on(inside, ran.number)

    async def _next(self, outer: Call, body: bytes) -> bytes:
        return await self._go_on(inside_of(outer), _number(body))

    async def _go_on(self, inside: Inside, number: int) -> bytes:
        nested = inside.running.get(number)
        if nested is None:
            raise BridgeError(Code.CANCELLED, "CALLER_ENDED", "the nested call has been given up")
        return await nested.step()

    async def _drop(self, outer: Call, body: bytes) -> bytes:
        nested = inside_of(outer).running.get(_number(body))
        if nested is not None:
            nested.abandon()
        return b""


def _check_depth(caller: Call) -> None:
    """Raise NESTED_TOO_DEEP where a call may make no other."""
    if caller.nested is None or caller.nested.depth < DEPTH:
        return
    names, up = [caller.function], caller
    while up.nested is not None:
        up = up.nested.caller
        names.append(up.function)
    message = f"calls may be nested {DEPTH} deep, and these are already: {' -> '.join(reversed(names))}"
    raise BridgeError(Code.FAILED_PRECONDITION, "NESTED_TOO_DEEP", message, metadata={"depth": str(DEPTH)})
