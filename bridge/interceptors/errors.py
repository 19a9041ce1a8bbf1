"""The boundary where every failure becomes a status. The only place of the front that catches everything.

Each kind of RPC is guarded by one function here, which is its outermost coroutine. An exception that nobody expected is
logged in full and answered with fixed text: what broke inside is for the operator. Cancellation passes through.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bridge import status
from bridge.call import Call, Identity, new_call
from bridge.errors import BridgeError, Code
from bridge.interceptors.identity import identify, key_name_of, request_id_of
from bridge.receipts import receipts
from bridge.server import Answer
from bridge.telemetry import LOGGER

if TYPE_CHECKING:
    from bridge.server import Conversation, Metadata, Read, Streaming, Unary, Write
    from bridge.telemetry import Telemetry

T = TypeVar("T")
Begin = Callable[[str, bytes, "Metadata", float | None], Call]
"""Makes a call of (method, request, metadata, seconds left)."""


class Counter(Protocol):
    """Takes note of calls that have been answered: `bridge.telemetry`, or who counts for it."""

    def finished(self, call: Call, code: int, failure: BridgeError | None = None) -> None:
        """Take note of one."""
        ...


def guard_unary(method: str, begin: Begin, run: Callable[[Call], Awaitable[bytes]], telemetry: Telemetry) -> Unary:
    """Return the handler of a forwarded RPC that `run` answers with the bytes of one response."""

    async def answer(request: bytes, metadata: Metadata, remaining_s: float | None) -> Answer:
        call = None
        try:
            call = begin(method, request, metadata, remaining_s)
            body = await run(call)
        except BaseException as error:
            return _refusal(error, call or _stillborn(method, request, metadata), telemetry)
        telemetry.finished(call, 0)
        return Answer(body, receipts.trailers(call))

    return answer


def guard_streaming(
    method: str, begin: Begin, run: Callable[[Call, Write], Awaitable[None]], telemetry: Telemetry
) -> Streaming:
    """Return the handler of a forwarded RPC whose responses `run` writes."""

    async def answer(request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Answer:
        call = None
        try:
            call = begin(method, request, metadata, remaining_s)
            await run(call, write)
        except BaseException as error:
            return _refusal(error, call or _stillborn(method, request, metadata), telemetry)
        telemetry.finished(call, 0)
        return Answer(None, receipts.trailers(call))

    return answer


def guard_shown(
    method: str,
    show: Callable[[bytes, Metadata, float | None, Write], Awaitable[tuple[Call, BridgeError | None]]],
    telemetry: Telemetry,
) -> Streaming:
    """Return the handler of an RPC that shows a call which runs, and is counted, by itself.

    `show` returns that call and its failure; what it raises is a failure of the showing alone.
    """

    async def answer(request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Answer:
        try:
            call, failure = await show(request, metadata, remaining_s, write)
        except BaseException as error:
            return _refusal(error, _stillborn(method, request, metadata), telemetry)
        return Answer(None, receipts.trailers(call)) if failure is None else _answer_of(failure, call)

    return answer


def guard_conversation(
    method: str,
    begin: Begin,
    run: Callable[[Call, Read, Write], Awaitable[None]],
    telemetry: Telemetry,
) -> Conversation:
    """Return the handler of an RPC that reads and writes messages as it likes."""

    async def answer(metadata: Metadata, remaining_s: float | None, read: Read, write: Write) -> Answer:
        call = None
        try:
            call = begin(method, b"", metadata, remaining_s)
            await run(call, read, write)
        except BaseException as error:
            return _refusal(error, call or _stillborn(method, b"", metadata), telemetry)
        telemetry.finished(call, 0)
        return Answer(None, receipts.trailers(call))

    return answer


def guard_step(step: Callable[[], Any], call: Call, telemetry: Telemetry) -> tuple[Any, bytes]:
    """Do a step of a call of a multiplexed stream; return what it returned, or None and the status of its failure."""
    try:
        return step(), b""
    except BaseException as error:
        return None, refused(error, call, telemetry)


async def guard_call(run: Awaitable[bytes], call: Call, telemetry: Telemetry) -> tuple[bytes | None, bytes]:
    """Run a call of a multiplexed stream; return its response, or None and the status of its failure."""
    try:
        body = await run
    except BaseException as error:
        return None, refused(error, call, telemetry)
    if not call.ended_at:  # it may have been given up at this moment
        telemetry.finished(call, 0)
    return body, b""


async def guard_nested(run: Awaitable[T], call: Call, counter: Counter) -> T | BridgeError:
    """Run a call that another call has made; return what `run` does, or its failure."""
    try:
        found = await run
    except BaseException as error:
        return _failure(error, call, counter)
    counter.finished(call, 0)
    return found


def refuse(
    error: BridgeError, method: str, request: bytes, metadata: Metadata, telemetry: Telemetry, key_name: str
) -> Answer:
    """Return the answer to a request that was let go no further, counted; `key_name` is of its key, where known."""
    identity = Identity(request_id_of(metadata), key_name=key_name)
    return _refusal(error, new_call(method, identity, request, 0.0), telemetry)


def refused(error: BaseException, call: Call, telemetry: Telemetry) -> bytes:
    """Return the status of a failed call of a multiplexed stream, as bytes. Raises what is no answer."""
    _, status_bytes = _refusal(error, call, telemetry).trailers[0]
    assert isinstance(status_bytes, bytes)
    return status_bytes


def guard_local(method: str, run: Callable[[bytes], Awaitable[bytes]], telemetry: Telemetry) -> Unary:
    """Return the handler of an RPC that the front answers by itself."""

    async def answer(request: bytes, metadata: Metadata, _remaining_s: float | None) -> Answer:
        call = None
        try:
            call = new_call(method, identify(metadata), request, 0.0)
            body = await run(request)
        except BaseException as error:
            return _refusal(error, call or _stillborn(method, request, metadata), telemetry)
        call.bytes_out = len(body)
        telemetry.finished(call, 0)
        return Answer(body, receipts.trailers(call))

    return answer


def _refusal(error: BaseException, call: Call, telemetry: Telemetry) -> Answer:
    """Return the answer that `error` stands for, with what is known of the call. Raises what is no answer."""
    return _answer_of(_failure(error, call, telemetry), call)


def _answer_of(failure: BridgeError, call: Call) -> Answer:
    details = ("grpc-status-details-bin", status.pack(failure, call.identity.request_id))
    return Answer(None, (details, *receipts.trailers(call)), int(failure.code), status.message_of(failure))


def _failure(error: BaseException, call: Call, counter: Counter) -> BridgeError:
    """Return the failure that `error` stands for, counted. Raises what is no answer."""
    if call.cancelled and isinstance(error, asyncio.CancelledError):
        error = _ended_by_operator()
    if _is_cancellation(error):
        if not call.ended_at:
            counter.finished(call, Code.CANCELLED)
        raise error
    if not isinstance(error, Exception | asyncio.CancelledError):
        raise error
    request_id = call.identity.request_id
    failure = status.of_exception(error, idempotent=call.spec is not None and call.spec.idempotent)
    if failure.reason == "INTERNAL":
        LOGGER.log(logging.ERROR, "request %s failed inside the bridge", request_id, exc_info=error)
    if not call.ended_at:  # who gave it up has counted it
        counter.finished(call, failure.code, failure)
    return failure


def _ended_by_operator() -> BridgeError:
    """Return the failure of a native call whose task was cancelled for it; the task goes on, to answer."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
    return BridgeError(Code.CANCELLED, "CANCELLED_BY_OPERATOR", "an operator has cancelled the call")


def _is_cancellation(error: BaseException) -> bool:
    """Tell a cancel of this request from a CancelledError that something inside has raised by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _stillborn(method: str, request: bytes, metadata: Metadata) -> Call:
    """Return the record of a call whose metadata could not be used."""
    identity = Identity(request_id_of(metadata), key_name=key_name_of(metadata))
    return new_call(method, identity, request, 0.0)
