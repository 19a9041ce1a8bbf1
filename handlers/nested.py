"""Calls of other functions by a running call: `from bridge import invoke`, or `current().call(...)`.

The front runs them by the same way as any call. Where the function belongs to the pool of the caller, or of one that
waits for it, the front says so, and it runs in that one's worker, which would else wait for itself. So a call is a
conversation: what the worker is told to run, it runs, and tells, until the front has the result. The conversation is a
generator without IO, which a synchronous and an asynchronous driver turn. Owns no state.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from handlers.errors import HandlerError
from handlers.hosting import Host
from handlers.loop_calls import current_loop_calls

if TYPE_CHECKING:
    from handlers.context import CallContext

BEGIN, RAN, NEXT, DROP = "call.begin", "call.ran", "call.next", "call.drop"
"""What is asked: begin a call; here is what you told me to run; go on; I want it no more."""
DONE, RUN, MESSAGES = 0, 1, 2
"""The answers: the end, with a response or None; run this; messages of a stream, and there may be more."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class CallFailed(HandlerError):
    """A nested call has failed: `code`, `reason`, `metadata` and the text are those of its failure.

    Left uncaught it is the failure of the calling function as well. `function` is what was called.
    """

    function = ""

    @classmethod
    def of(cls, error: HandlerError, function: str) -> CallFailed:
        """Return the failure of a call of `function`."""
        failed = cls(
            str(error),
            code=error.code,
            reason=error.reason,
            violations=error.violations,
            metadata={**error.metadata, "nested_function": function},
            retry_after_s=error.retry_after_s,
        )
        failed.function = function
        return failed


class _Ask(NamedTuple):
    """To be asked of the front."""

    name: str
    body: bytes


class _Run(NamedTuple):
    """To be run here. Where it is not `mine`, another worker waits for its result."""

    function: str
    meta: bytes
    request: bytes
    timeout_s: float | None
    streaming: bool
    mine: bool


class _Messages(NamedTuple):
    """Messages of a stream."""

    messages: list[bytes]


class _Ran(NamedTuple):
    """What became of a run. `body` has the response; of a stream that is not mine all messages, as MessagePack."""

    ok: bool
    meta: bytes
    body: bytes
    worker_ns: int
    size: int


_Conversation = Generator[_Ask | _Run | _Messages, Any, bytes | None]


def call(context: CallContext, function: str, arguments: dict[str, Any]) -> Any:
    """Call a function and return its result: for code that is not async. Raises CallFailed."""
    if (calls := current_loop_calls()) is not None:
        return calls.run(lambda: acall(context, function, arguments))
    with closing(_drive(context, function, arguments, streaming=False)) as messages:
        return _result(next(messages))


async def acall(context: CallContext, function: str, arguments: dict[str, Any]) -> Any:
    """Call a function and return its result: for async code. Raises CallFailed."""
    async with aclosing(_adrive(context, function, arguments, streaming=False)) as messages:
        return _result(await anext(messages))


def stream(context: CallContext, function: str, arguments: dict[str, Any]) -> Iterator[Any]:
    """Call a function whose results come one by one: for code that is not async. Raises CallFailed."""
    if (calls := current_loop_calls()) is not None:
        yield from calls.run(lambda: _collected(context, function, arguments))
        return
    with closing(_drive(context, function, arguments, streaming=True)) as messages:
        yield from map(_item, messages)


async def astream(context: CallContext, function: str, arguments: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """Call a function whose results come one by one: for async code. Raises CallFailed."""
    async with aclosing(_adrive(context, function, arguments, streaming=True)) as messages:
        async for message in messages:
            yield _item(message)


async def _collected(context: CallContext, function: str, arguments: dict[str, Any]) -> list[Any]:
    async with aclosing(astream(context, function, arguments)) as items:
        return [item async for item in items]


def _host(context: CallContext, function: str) -> Host:
    host = context.asker
    if isinstance(host, Host):
        return host
    message = f"this call runs without a server around it, so it can not call '{function}'"
    raise HandlerError(message, code="FAILED_PRECONDITION", reason="NO_SERVER")


def _converse(number: int, within: int, request: bytes, streaming: bool) -> _Conversation:
    """Turn what the front says into what is to be done, to the end of the call; return what is left of its result."""
    left: bytes | None = None
    step = yield _Ask(BEGIN, _encode((number, within, streaming, request)))
    while step[0] != DONE:
        if step[0] == MESSAGES:
            yield _Messages(step[1])
            step = yield _Ask(NEXT, _encode(number))
            continue
        _, token, function, meta, theirs, timeout_s, streams = step
        mine = theirs is None
        ran = yield _Run(function, meta, request if mine else theirs, timeout_s, streams, mine)
        if mine and not streams:
            left = ran.body
        body = None if mine else ran.body
        step = yield _Ask(RAN, _encode((number, token, ran.ok, ran.meta, ran.worker_ns, ran.size, body)))
    return left if step[1] is None else step[1]


def _drive(
    context: CallContext, function: str, arguments: dict[str, Any], *, streaming: bool
) -> Generator[bytes, None, None]:
    """Hold a conversation, waiting for each answer. Yields the messages of the response."""
    host = _host(context, function)
    number = host.number()
    conversation = _converse(number, context.meta.within, _request(function, arguments, streaming=streaming), streaming)
    answer: Any = None
    ended = False
    try:
        while not ended:
            try:
                wanted = conversation.send(answer)
            except StopIteration as end:
                ended = True
                if end.value is not None:
                    yield end.value
                return
            if isinstance(wanted, _Ask):
                answer = _decode(_asked(context, function, wanted))
            elif isinstance(wanted, _Run):
                answer = yield from _run(host, wanted)
            else:
                yield from wanted.messages
                answer = None
    except GeneratorExit:  # its reader wants no more of the stream
        if not ended:
            with suppress(HandlerError, RuntimeError):
                context.ask(DROP, _encode(number))
        raise


async def _adrive(
    context: CallContext, function: str, arguments: dict[str, Any], *, streaming: bool
) -> AsyncGenerator[bytes, None]:
    """Hold a conversation, awaiting each answer. Yields the messages of the response."""
    host = _host(context, function)
    number = host.number()
    conversation = _converse(number, context.meta.within, _request(function, arguments, streaming=streaming), streaming)
    answer: Any = None
    ended = False
    try:
        while not ended:
            try:
                wanted = conversation.send(answer)
            except StopIteration as end:
                ended = True
                if end.value is not None:
                    yield end.value
                return
            if isinstance(wanted, _Ask):
                answer = _decode(await _aasked(context, function, wanted))
            elif isinstance(wanted, _Messages):
                for message in wanted.messages:
                    yield message
                answer = None
            else:
                async for found in _arun(host, wanted):
                    if isinstance(found, _Ran):
                        answer = found
                    else:
                        yield found
    except CallFailed:
        ended = True
        raise
    finally:
        if not ended:
            await _drop(context, number)


async def _drop(context: CallContext, number: int) -> None:
    """Tell the front that nobody here waits for a call any more; where the caller itself has ended, it knows."""
    with suppress(HandlerError, RuntimeError):
        await context.aask(DROP, _encode(number))


def _asked(context: CallContext, function: str, ask: _Ask) -> bytes:
    try:
        return context.ask(ask.name, ask.body)
    except HandlerError as error:
        raise CallFailed.of(error, function) from None


async def _aasked(context: CallContext, function: str, ask: _Ask) -> bytes:
    try:
        return await context.aask(ask.name, ask.body)
    except HandlerError as error:
        raise CallFailed.of(error, function) from None


def _run(host: Host, run: _Run) -> Generator[bytes, None, _Ran]:
    """Run what the front says; yields the messages of a stream that is mine."""
    started = time.perf_counter_ns()
    if not run.streaming:
        ok, meta, body = host.run(run.function, run.meta, run.request, run.timeout_s)
        return _Ran(ok, meta, body, time.perf_counter_ns() - started, len(body))
    kept: list[bytes] = []
    size, ok, meta = 0, False, b""
    with closing(host.stream(run.function, run.meta, run.request, run.timeout_s)) as items:
        for item in items:
            if isinstance(item, tuple):
                ok, meta, _ = item
                break
            size += len(item)
            if run.mine:
                yield item
            else:
                kept.append(item)
    return _Ran(ok, meta, _encode(kept), time.perf_counter_ns() - started, size)


async def _arun(host: Host, run: _Run) -> AsyncGenerator[bytes | _Ran, None]:
    """Run what the front says; yields the messages of a stream that is mine, and at last what became of it."""
    started = time.perf_counter_ns()
    if not run.streaming:
        ok, meta, body = await host.arun(run.function, run.meta, run.request, run.timeout_s)
        yield _Ran(ok, meta, body, time.perf_counter_ns() - started, len(body))
        return
    kept: list[bytes] = []
    size, ok, meta = 0, False, b""
    async with aclosing(host.astream(run.function, run.meta, run.request, run.timeout_s)) as items:
        async for item in items:
            if isinstance(item, tuple):
                ok, meta, _ = item
                break
            size += len(item)
            if run.mine:
                yield item
            else:
                kept.append(item)
    yield _Ran(ok, meta, _encode(kept), time.perf_counter_ns() - started, size)


def _request(function: str, arguments: dict[str, Any], *, streaming: bool) -> bytes:
    from bridge.v1 import invoke_pb2
    from handlers import codec

    envelope = invoke_pb2.StreamCallRequest if streaming else invoke_pb2.CallRequest
    payload = codec.encode_value(arguments, "msgpack")
    return envelope(function=function, arguments=payload).SerializeToString()


def _result(message: bytes) -> Any:
    from bridge.v1 import invoke_pb2
    from handlers import codec

    return codec.decode_value(invoke_pb2.CallResponse.FromString(message).result)


def _item(message: bytes) -> Any:
    from bridge.v1 import invoke_pb2
    from handlers import codec

    return codec.decode_value(invoke_pb2.StreamCallResponse.FromString(message).item)
