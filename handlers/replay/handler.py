"""A handler whose calls are recorded, and saved where they fail or are drawn by lot.

Owns the lot. Everything else is the handler's inside.
"""

from __future__ import annotations

import random
import time
from contextlib import aclosing, closing
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.boundary import BOUNDARY
from handlers.errors import HandlerError
from handlers.programs.artefacts.sources import lock
from handlers.replay import record, requests, seeds
from handlers.replay.record import Outcome, Program, SavedCall
from handlers.replay.recording import Recording
from handlers.replay.saving import (
    MOST_A_SECOND,
    exchanges_of,
    hidden_values,
    models_of,
    save,
    scanner,
    scrubbed,
    tell,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator

    from handlers.context import CallContext
    from handlers.contract import EntryOptions, FunctionSpec, Handler
    from handlers.programs.definitions import ProgramDefinition
    from handlers.replay.recording import Noted
    from handlers.secret_scan import Scanner

_END: Any = object()
TYPED, TYPED_STREAM = "Typed/Call", "Typed/StreamCall"
"""Calls of typed methods, which hold an ordinary call. As `handlers.typed.calls` has them, which is heavy."""


def recorded(handler: Handler, options: EntryOptions) -> Handler:
    """Return a handler that records its calls, where they are of a kind that can be run again; else the handler."""
    spec = handler.spec
    if options.replay is None or spec.batch is not None:
        return handler
    if spec.kind == "builtin" and not spec.name.startswith("bridge.models."):
        return handler
    return RecordedHandler(handler, options)


async def open_recorded(
    build: Callable[[ProgramDefinition], Awaitable[Handler]], definition: ProgramDefinition, options: EntryOptions
) -> Handler:
    """Build a created program and return what records its calls, with what was asked to build it."""
    assert options.replay is not None
    opening = Recording(options.replay.max_bytes)
    with _Inside(opening):
        handler = await build(definition)
    return RecordedHandler(handler, options, msgspec.to_builtins(definition), tuple(opening.noted))


class RecordedHandler:
    """Records the calls of a handler."""

    def __init__(
        self, handler: Handler, options: EntryOptions, definition: Any = None, opening: tuple[Noted, ...] = ()
    ) -> None:
        self._inner = handler
        self._options = options
        self.definition = definition
        """Of a created program."""
        self.opening = opening
        """What was asked when the created program was opened, once for all its calls."""
        self._second = self._saved = self._passed_over = 0
        self._lot = random.Random()  # noqa: S311  # its own, so that the app's random numbers stay what they are

    @property
    def spec(self) -> FunctionSpec:
        """What the catalogue says."""
        return self._inner.spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a unary call."""
        if method == TYPED:
            from handlers.typed.calls import typed_call

            return typed_call(self.call, request, context)
        if method not in requests.METHODS:
            return self._inner.call(method, request, context)
        one = _Call(self, self._options, method, request, context)
        if self.spec.is_async:
            return self._awaited(one)
        with one, one.inside():
            response = self._inner.call(method, request, context)
            if isinstance(response, bytes):
                one.messages.append(response)
                return response
        return self._finished(one, response)

    async def _awaited(self, one: _Call) -> bytes:
        with one, one.inside():
            response = self._inner.call(one.method, one.request, one.context)
            if not isinstance(response, bytes):
                response = await response
            one.messages.append(response)
            return response

    @staticmethod
    async def _finished(one: _Call, response: Awaitable[bytes]) -> bytes:
        with one, one.inside():
            found = await response
            one.messages.append(found)
            return found

    def stream(self, method: str, request: bytes, context: CallContext) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Answer a streaming call."""
        if method == TYPED_STREAM:
            from handlers.typed.calls import typed_stream

            return typed_stream(self.stream, request, context)
        if method not in requests.METHODS:
            return self._inner.stream(method, request, context)
        one = _Call(self, self._options, method, request, context)
        with one.inside():
            items: Any = self._inner.stream(method, request, context)
        return _later(one, items) if hasattr(items, "__anext__") else _now(one, items)

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions of Python and of libraries, which stay the same while a process runs."""
        return lock()

    @cached_property
    def scanner(self) -> Scanner:
        """What knows the secrets of this process."""
        return scanner(self._options)

    def has_room(self) -> bool:
        """Whether this second's saved calls are not too many yet; counts this one."""
        second = int(time.monotonic())
        if second != self._second:
            if self._passed_over:
                what = f"{self._passed_over} more calls of {self.spec.name} were not saved"
                tell(f"{what}: at most {MOST_A_SECOND} a second")
            self._second, self._saved, self._passed_over = second, 0, 0
        self._saved += 1
        self._passed_over += self._saved > MOST_A_SECOND
        return self._saved <= MOST_A_SECOND

    def drawn(self) -> bool:
        """Whether a call that went well is saved."""
        assert self._options.replay is not None
        return bool(self._options.replay.sample) and self._lot.random() < self._options.replay.sample


def _now(one: _Call, items: Any) -> Generator[bytes, None, None]:
    with one, closing(items):
        while True:
            with one.inside():
                item = next(items, _END)
            if item is _END:
                return
            one.messages.append(item)
            yield item


async def _later(one: _Call, items: Any) -> AsyncGenerator[bytes, None]:
    with one:
        async with aclosing(items):
            while True:
                with one.inside():
                    item = await anext(items, _END)
                if item is _END:
                    return
                one.messages.append(item)
                yield item


class _Call:
    """One call: a context manager that saves it at its end, if it is to be."""

    def __init__(
        self, handler: RecordedHandler, options: EntryOptions, method: str, request: bytes, context: CallContext
    ) -> None:
        assert options.replay is not None
        self._handler = handler
        self._options = options
        self._replay = options.replay
        self.method = method
        self.request = request
        self.context = context
        self.messages: list[bytes] = []
        self._recording = Recording(options.replay.max_bytes)
        self._seeds = seeds.take()
        self._started = time.monotonic()

    def inside(self) -> _Inside:
        """Return a block in which what is asked is recorded."""
        return _Inside(self._recording)

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is None:
            if self.messages and self._handler.drawn():
                self._save("sampled", None)
        elif self._replay.failed and isinstance(error, Exception) and not getattr(error, "ends_call", False):
            self._save("failed", error)

    def _save(self, why: str, error: Exception | None) -> None:
        if not self._recording.complete:
            tell(f"call {self.context.meta.request_id} of {self._handler.spec.name} is not saved: replay.max_bytes")
            return
        if not self._handler.has_room():
            return
        try:
            request = requests.request_to_plain(self.method, self.request)
            value, items = (None, None) if error else requests.result_to_plain(self.method, self.messages)
        except (HandlerError, ValueError):  # what can not be read can not be run again
            return
        scrub = self._handler.scanner
        asked = [[one.request, one.reply, one.items] for one in self._noted]
        scrub = scrub.knowing(hidden_values([request, value, items, *asked], scrub.names))
        outcome = Outcome(value=scrubbed(value, scrub), items=items and scrubbed(items, scrub))
        if error is not None:
            from handlers.entry import user_exception

            failure = error.to_record() if isinstance(error, HandlerError) else user_exception(error)
            plain = scrub.of_texts().scrubbed(msgspec.to_builtins(failure))
            outcome = Outcome(error=msgspec.convert(plain, type(failure)))
        call = SavedCall(
            format=record.FORMAT,
            format_version=record.VERSION,
            saved_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            why=why,
            request_id=self.context.meta.request_id,
            method=self.method,
            program=self._program(scrub),
            request=scrubbed(request, scrub),
            exchanges=exchanges_of(self._noted, scrub),
            outcome=outcome,
            seeds=seeds.in_words(self._seeds),
            environment=self._handler.versions,
            models=scrub.of_texts().scrubbed(models_of(self._options)),
            seconds=round(time.monotonic() - self._started, 3),
        )
        save(call, self._replay)

    @property
    def _noted(self) -> list[Noted]:
        return [*self._handler.opening, *self._recording.noted]

    def _program(self, scrub: Scanner) -> Program:
        from handlers.replay.origin import program_of

        found = program_of(self._handler.spec, self._options, self._handler.definition)
        plain = scrub.of_texts().scrubbed(msgspec.to_builtins(found))
        for part in (plain.get("definition"), *(plain.get("state") or {}).values()):
            if part and part.get("demos"):
                part["demos"] = scrub.scrubbed(part["demos"])
        return msgspec.convert(plain, Program)


class _Inside:
    """Lets what runs in the block be recorded."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        self._token = BOUNDARY.set(self._recording)

    def __exit__(self, *_: object) -> None:
        BOUNDARY.reset(self._token)
