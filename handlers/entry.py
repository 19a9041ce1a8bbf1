"""The entry that a worker opens: every function of its pool behind one pair of calls, failures as values.

Owns the handlers of this process. The pool loads `open_entry` by its name and knows nothing else of this package; the
front opens one too, for native functions. This is the boundary where any exception of user code becomes a value.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import msgspec

from handlers import families, session_hooks
from handlers.context import CallContext
from handlers.contract import Asker, CallMeta, Catalogue, EntryOptions, ErrorRecord, FunctionSpec, Handler, ReplyMeta
from handlers.errors import HandlerError, Unknown, too_large
from handlers.hosting import Host
from handlers.loading import LoadFailed
from handlers.own_loop import Interrupted, OwnLoop
from handlers.user_modules import clash, load_user_module
from handlers.values.parts import stream_in_parts

Result = tuple[bool, bytes, bytes]
T = TypeVar("T")

NAME_CHARACTERS = 200
MESSAGE_CHARACTERS = 2000
"""The longest text of an exception that is passed on: trailers have little room."""

_decode_meta = msgspec.msgpack.Decoder(CallMeta).decode
_encode = msgspec.msgpack.Encoder().encode
_NO_META = b""
_HERE = str(Path(__file__).resolve().parent) + os.sep


def open_entry(options: bytes) -> Entry:
    """Open an entry from `EntryOptions` as JSON. Raises LoadFailed."""
    return Entry(msgspec.json.decode(options, type=EntryOptions))


class Entry:
    """Answers calls by function name. Safe to use from several threads once it is open."""

    def __init__(self, options: EntryOptions) -> None:
        self._options = options
        self._max_bytes = options.max_message_bytes
        self._own: OwnLoop | None = None
        self._asker: Asker | None = None
        self._handlers: dict[str, Handler] = {}
        for family in options.builtins:
            self._add(families.open_family(family, options))
        hooks: list[Callable[..., Any]] = []
        for module in options.modules:
            self._add(load_user_module(module, options, hooks))
        self._internal: dict[str, Handler] = {}
        """What the front alone calls: it stands in no catalogue."""
        if hooks and not options.native_only:
            self._internal[session_hooks.NAME] = session_hooks.SessionEnd(hooks)
        self._created = families.open_created(options)
        """Answers for every name that has no handler, where this pool runs created programs."""

    def _add(self, handlers: list[Handler]) -> None:
        for handler in handlers:
            if self._options.native_only and handler.spec.placement == "pooled":
                continue
            other = self._handlers.get(handler.spec.name)
            if other is not None:
                raise LoadFailed(clash(handler.spec, other.spec))
            self._handlers[handler.spec.name] = families.recorded(handler, self._options)

    def preload(self) -> None:
        """Let every handler import what it would import later, without loading or starting anything."""
        for handler in (*self._handlers.values(), self._created):
            if (preload := getattr(handler, "preload", None)) is not None:
                preload()

    def bind(self, asker: Asker) -> None:
        """Take note of whom running calls ask what only the front knows."""
        self._asker = Host(asker, self)

    def warm_up(self) -> None:
        """Let every handler that has something to load do so."""
        for handler in self._handlers.values():
            if (warm_up := getattr(handler, "warm_up", None)) is not None:
                warm_up()

    def specs(self) -> tuple[FunctionSpec, ...]:
        """Return what is served."""
        return tuple(handler.spec for handler in self._handlers.values())

    def handler(self, function: str) -> Handler:
        """Return what answers for a function. Raises Unknown."""
        return self._find(function)

    def catalogue(self) -> bytes:
        """Return what is served, as `Catalogue` in JSON."""
        return msgspec.json.encode(Catalogue(functions=self.specs(), session_hooks=bool(self._internal)))

    def is_async(self, function: str) -> bool:
        """Return whether a function runs on the event loop; an unknown one may: its error is made either way."""
        handler = self._handlers.get(function) or self._internal.get(function)
        return handler is None or handler.spec.is_async

    def interrupt(self, frame: FrameType | None) -> bool:
        """Cancel the async function that runs on this thread's own loop; False where the caller is to raise instead.

        For a signal handler; `frame` is the one that it came into.
        """
        return self._own is not None and self._own.interrupt(frame)

    def call(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call to its end; an async function runs on this thread's own loop. A cancel passes through."""
        context = CallContext(_decode_meta(meta), timeout_s, self._asker)
        token = context.enter()
        try:
            handler = self._handlers.get(function) or self._find(function)
            response = handler.call(context.meta.method, body, context)
            if not isinstance(response, bytes):
                response = self._own_loop().run(response)
            if len(response) > self._max_bytes:
                raise too_large(len(response), self._max_bytes)
            return True, _reply_meta(context) if context.used else _NO_META, response
        except BaseException as error:
            return self._failed(error, context)
        finally:
            context.leave(token)

    def stream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> Generator[bytes | Result, None, None]:
        """Run a streaming call: its messages, then its result. Closing it early closes the handler's iterator."""
        context = CallContext(_decode_meta(meta), timeout_s, self._asker)
        token = context.enter()
        items: Iterator[bytes] = iter(())
        try:
            handler = self._find(function)
            found = stream_in_parts(handler, body, context, self._max_bytes)
            items = self._own_loop().iterate(found) if isinstance(found, AsyncIterator) else found
            for item in items:
                if len(item) > self._max_bytes:
                    raise too_large(len(item), self._max_bytes)
                try:
                    yield item
                except GeneratorExit:
                    _close(items)
                    return
            result: Result = True, _reply_meta(context), b""
        except BaseException as error:
            _close(items)
            result = self._failed(error, context)
        finally:
            with contextlib.suppress(ValueError):  # a generator closed from another context can not reset its token
                context.leave(token)
        yield result

    async def acall(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call on the running loop. Its cancellation passes through."""
        context = CallContext(_decode_meta(meta), timeout_s, self._asker)
        context.enter()
        try:
            handler = self._find(function)
            response = handler.call(context.meta.method, body, context)
            if not isinstance(response, bytes):
                response = await response
            if len(response) > self._max_bytes:
                raise too_large(len(response), self._max_bytes)
            return True, _reply_meta(context), response
        except BaseException as error:
            if _is_cancelled(error):
                raise
            return self._failed(error, context)

    async def astream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> AsyncGenerator[bytes | Result, None]:
        """Run a streaming call on the running loop: its messages, then its result. Close it to close the handler's."""
        context = CallContext(_decode_meta(meta), timeout_s, self._asker)
        context.enter()
        try:
            handler = self._find(function)
            found = stream_in_parts(handler, body, context, self._max_bytes)
            items = found if isinstance(found, AsyncIterator) else _in_turn(found)
            async for item in items:
                if len(item) > self._max_bytes:
                    raise too_large(len(item), self._max_bytes)
                try:
                    yield item
                except GeneratorExit:
                    await _aclose(items)
                    return
            result: Result = True, _reply_meta(context), b""
        except BaseException as error:
            if _is_cancelled(error):
                raise
            result = self._failed(error, context)
        yield result

    def _find(self, function: str) -> Handler:
        try:
            return self._handlers[function]
        except KeyError:
            if (other := self._internal.get(function) or self._created) is not None:
                return other
            raise Unknown(f"pool '{self._options.pool}' has no function '{function}'") from None

    def _own_loop(self) -> OwnLoop:
        if self._own is None:
            self._own = OwnLoop()
        return self._own

    def _failed(self, error: BaseException, context: CallContext) -> Result:
        """Return a failure as a result. Raises `error` where it is the pool's cancel of this call."""
        if getattr(error, "ends_call", False):
            raise error
        if isinstance(error, Interrupted):
            return False, _NO_META, b""  # nobody reads it
        return False, self._failure(error, context), b""

    def _failure(self, error: BaseException, context: CallContext) -> bytes:
        record = error.to_record() if isinstance(error, HandlerError) else user_exception(error)
        if self._options.expose_tracebacks:
            record = msgspec.structs.replace(record, traceback=_traceback(error))
        if not isinstance(error, HandlerError):
            _log(error, context.meta.request_id)
        return _encode(ReplyMeta(context.usage, context.model_s, record, context.own_s, context.tools))


def attempt(work: Callable[[], T]) -> T | BaseException:
    """Return what `work` returns or raises: what one call of a batch brings upon itself must not harm the others."""
    try:
        return work()
    except BaseException as error:
        if getattr(error, "ends_call", False) or isinstance(error, Interrupted):
            raise
        return error


async def attempt_async(work: Awaitable[T]) -> T | BaseException:
    """Do as `attempt` with what is awaited."""
    try:
        return await work
    except BaseException as error:
        if getattr(error, "ends_call", False) or _is_cancelled(error):
            raise
        return error


def record_of(error: BaseException, request_id: str) -> ErrorRecord:
    """Return the failure of one call of a batch as a value; what user code raised is logged."""
    if isinstance(error, HandlerError):
        return error.to_record()
    if error.__traceback__ is not None:
        _log(error, request_id)
    return user_exception(error)


def user_exception(error: BaseException) -> ErrorRecord:
    """Return an exception of user code as a value. An exception whose text can not be had is named by its type."""
    try:
        text = f"{error}"
    except BaseException as other:
        if getattr(other, "ends_call", False):
            raise
        text = "(its text could not be had: __str__ raised)"
    name = plain_text(type(error).__qualname__[:NAME_CHARACTERS])
    message = f"{name}: {plain_text(text[:MESSAGE_CHARACTERS])}" if text else name
    return ErrorRecord(code="UNKNOWN", reason="USER_EXCEPTION", message=message, type=name)


def plain_text(text: str) -> str:
    """Return a text that UTF-8 can carry: lone surrogates, which Python strings may hold, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _reply_meta(context: CallContext) -> bytes:
    if not context.usage and not context.model_s and not context.own_s and not context.tools:
        return _NO_META
    used = context.usage, context.model_s
    return _encode(ReplyMeta(*used, own_s=context.own_s, tools=context.tools))


def _traceback(error: BaseException) -> str:
    """Return the traceback as text, without the bridge's own frames above the user's code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_HERE):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
        return plain_text(text.rstrip())
    except BaseException as other:
        if getattr(other, "ends_call", False):
            raise
        return f"{type(error).__qualname__} (its traceback could not be formatted)"


def _is_cancelled(error: BaseException) -> bool:
    """Tell the cancel of the running task from a CancelledError that user code brought upon itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _close(items: Iterator[bytes]) -> None:
    """Close a handler's iterator that nobody reads on; what its cleanup raises is only logged."""
    try:
        if (close := getattr(items, "close", None)) is not None:
            close()
    except BaseException as error:
        if getattr(error, "ends_call", False):
            raise
        _log(error)


async def _aclose(items: AsyncIterator[bytes]) -> None:
    """Close a handler's async iterator that nobody reads on; what its cleanup raises is only logged."""
    try:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()
    except BaseException as error:
        if _is_cancelled(error):
            raise
        _log(error)


async def _in_turn(items: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Iterate a synchronous iterator on the loop."""
    try:
        for item in items:
            yield item
    finally:
        _close(items)


def _log(error: BaseException, request_id: str = "") -> None:
    """Write a traceback to stderr, as the log of this worker, where there is one."""
    start = f"Request {request_id}: " if request_id else ""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"{start}{_traceback(error)}", file=sys.stderr, flush=True)
