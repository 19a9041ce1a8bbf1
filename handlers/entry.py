"""The entry that a worker opens: every function of its pool behind one pair of calls, failures as values.

Owns the handlers of this process. The pool loads `open_entry` by its name and knows nothing else of this package; the
front opens one too, for native functions. This is the boundary where any exception of user code becomes a value.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from importlib import import_module

import msgspec

from handlers.context import CallContext
from handlers.contract import CallMeta, Catalogue, EntryOptions, ErrorRecord, FunctionSpec, Handler, ReplyMeta
from handlers.errors import HandlerError, Unknown
from handlers.loading import LoadFailed, load_module

Result = tuple[bool, bytes, bytes]

FAMILIES = {
    "core": "handlers.core",
    "models": "handlers.models.service",
    "embeddings": "handlers.embeddings.service",
    "metrics": "handlers.metrics.service",
}
"""Built-in families by the name that `EntryOptions.builtins` uses; each module has `open_handlers(options)`."""

MESSAGE_CHARACTERS = 2000
"""The longest text of an exception that is passed on: trailers have little room."""

_decode_meta = msgspec.msgpack.Decoder(CallMeta).decode
_encode = msgspec.msgpack.Encoder().encode
_NO_META = b""


def open_entry(options: bytes) -> Entry:
    """Open an entry from `EntryOptions` as JSON. Raises LoadFailed."""
    return Entry(msgspec.json.decode(options, type=EntryOptions))


class Entry:
    """Answers calls by function name. Safe to use from several threads once it is open."""

    def __init__(self, options: EntryOptions) -> None:
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handlers: dict[str, Handler] = {}
        for family in options.builtins:
            self._add(import_module(FAMILIES[family]).open_handlers(options))
        for module in options.modules:
            self._add(_load(module, options))

    def _add(self, handlers: list[Handler]) -> None:
        for handler in handlers:
            if self._options.native_only and handler.spec.placement != "native":
                continue
            other = self._handlers.get(handler.spec.name)
            if other is not None:
                raise LoadFailed(_clash(handler.spec, other.spec))
            self._handlers[handler.spec.name] = handler

    def warm_up(self) -> None:
        """Let every handler that has something to load do so."""
        for handler in self._handlers.values():
            if (warm_up := getattr(handler, "warm_up", None)) is not None:
                warm_up()

    def specs(self) -> tuple[FunctionSpec, ...]:
        """Return what is served."""
        return tuple(handler.spec for handler in self._handlers.values())

    def catalogue(self) -> bytes:
        """Return what is served, as `Catalogue` in JSON."""
        return msgspec.json.encode(Catalogue(functions=self.specs()))

    def is_async(self, function: str) -> bool:
        """Return whether a function runs on the event loop; an unknown one may: its error is made either way."""
        handler = self._handlers.get(function)
        return handler is None or handler.spec.is_async

    def call(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call to its end; an async function runs on this thread's own loop."""
        context = CallContext(_decode_meta(meta), timeout_s)
        token = context.enter()
        try:
            handler = self._find(function)
            response = handler.call(context.meta.method, body, context)
            if not isinstance(response, bytes):
                response = self._own_loop().run_until_complete(_awaited(response))
            return True, _reply_meta(context), response
        except BaseException as error:
            return False, self._failure(error, context), b""
        finally:
            context.leave(token)

    def stream(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Iterator[bytes | Result]:
        """Run a streaming call: its messages, then its result."""
        context = CallContext(_decode_meta(meta), timeout_s)
        token = context.enter()
        try:
            handler = self._find(function)
            items = handler.stream(context.meta.method, body, context)
            if isinstance(items, AsyncIterator):
                items = _drive(self._own_loop(), items)
            for item in items:  # noqa: UP028 - the close of this generator must reach `items` before the failure below
                yield item
            yield True, _reply_meta(context), b""
        except GeneratorExit:
            raise
        except BaseException as error:
            yield False, self._failure(error, context), b""
        finally:
            with contextlib.suppress(ValueError):  # a generator closed from another context can not reset its token
                context.leave(token)

    async def acall(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call on the running loop. Its cancellation passes through."""
        context = CallContext(_decode_meta(meta), timeout_s)
        context.enter()
        try:
            handler = self._find(function)
            response = handler.call(context.meta.method, body, context)
            if not isinstance(response, bytes):
                response = await response
            return True, _reply_meta(context), response
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return False, self._failure(error, context), b""

    async def astream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> AsyncGenerator[bytes | Result, None]:
        """Run a streaming call on the running loop: its messages, then its result."""
        context = CallContext(_decode_meta(meta), timeout_s)
        context.enter()
        try:
            handler = self._find(function)
            items = handler.stream(context.meta.method, body, context)
            if isinstance(items, AsyncIterator):
                async for item in items:
                    yield item
            else:
                for item in items:
                    yield item
            yield True, _reply_meta(context), b""
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            yield False, self._failure(error, context), b""

    def _find(self, function: str) -> Handler:
        try:
            return self._handlers[function]
        except KeyError:
            raise Unknown(f"pool '{self._options.pool}' has no function '{function}'") from None

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def _failure(self, error: BaseException, context: CallContext) -> bytes:
        record = error.to_record() if isinstance(error, HandlerError) else user_exception(error)
        if self._options.expose_tracebacks:
            record = msgspec.structs.replace(record, traceback=_traceback(error))
        if not isinstance(error, HandlerError):
            print(_traceback(error), file=sys.stderr, flush=True)
        return _encode(ReplyMeta(usage=context.usage, model_s=context.model_s, error=record))


def user_exception(error: BaseException) -> ErrorRecord:
    """Return an exception of user code as a value. An exception whose text can not be had is named by its type."""
    try:
        text = str(error)
    except Exception:
        text = "(its text could not be had: __str__ raised)"
    name = type(error).__qualname__
    message = f"{name}: {text[:MESSAGE_CHARACTERS]}" if text else name
    return ErrorRecord(code="UNKNOWN", reason="USER_EXCEPTION", message=message, type=name)


def _reply_meta(context: CallContext) -> bytes:
    if not context.usage and not context.model_s:
        return _NO_META
    return _encode(ReplyMeta(usage=context.usage, model_s=context.model_s))


def _traceback(error: BaseException) -> str:
    """Return the traceback as text, without the bridge's own frames above the user's code."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:
        return f"{type(error).__qualname__} (its traceback could not be formatted)"


async def _awaited(awaitable: object) -> bytes:
    return await awaitable  # type: ignore[misc,no-any-return]


def _drive(loop: asyncio.AbstractEventLoop, items: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Iterate an async iterator from outside a loop."""
    while True:
        try:
            yield loop.run_until_complete(_awaited(anext(items)))
        except StopAsyncIteration:
            return


def _load(module_name: str, options: EntryOptions) -> list[Handler]:
    """Load a user's module and find what it serves; DSPy is looked at only where the module imported it."""
    from handlers.functions.discovery import discover_functions

    module = load_module(module_name)
    found = list(discover_functions(module, module_name))
    if "dspy" in sys.modules:
        from handlers.programs.discovery import discover_programs

        found += discover_programs(module, module_name, options)
    return found


def _clash(spec: FunctionSpec, other: FunctionSpec) -> str:
    return (
        f"two functions are named '{spec.name}': one from {spec.module or 'the bridge'}, one from "
        f"{other.module or 'the bridge'}; rename one, or give it another name with @function(name=...)"
    )
