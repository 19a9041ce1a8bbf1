"""What a running call knows about itself.

The entry makes one `CallContext` per call and sets it as current; user code reads it with `current()`. It owns the
usage records of its call. It follows asyncio tasks and `asyncio.to_thread` as context variables do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextvars import ContextVar, Token
from typing import Any

import msgspec

from handlers.boundary import BOUNDARY, PLAIN
from handlers.contract import Asker, CallMeta, ErrorRecord, ToolRecord, UsageRecord
from handlers.errors import HandlerError, of_record
from handlers.loop_calls import current_loop_calls
from handlers.usage import add_up

_CURRENT: ContextVar[CallContext] = ContextVar("bridge_call")
_RECORDING = threading.Lock()
"""One for all calls: to record is short and rare, and most calls never do."""


class CallContext:
    """One call: who asked, until when, and what it has used so far. Safe to record into from several threads."""

    __slots__ = ("_own_s", "_tools", "_usage", "asker", "deadline", "meta", "model_s", "used")

    def __init__(self, meta: CallMeta, timeout_s: float | None = None, asker: Asker | None = None) -> None:
        self.meta = meta
        self.asker = asker
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.model_s = 0.0
        self.used = False
        """Whether anything has been recorded."""
        self._usage: dict[str, UsageRecord] | None = None

    def remaining_s(self) -> float | None:
        """Return the seconds left until the deadline, never below 0; None where there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def record_usage(self, record: UsageRecord, model_s: float = 0.0) -> None:
        """Add the use of a model to this call's receipt. `model_s` is the time in seconds that the model took."""
        with _RECORDING:
            self.used = True
            self.model_s += model_s
            if self._usage is None:
                self._usage = {}
            add_up(self._usage, (record,))

    @property
    def own_s(self) -> float:
        """The seconds that the call has itself taken, where it was under way for longer; 0 where none were recorded."""
        return getattr(self, "_own_s", 0.0)

    def record_own(self, seconds: float) -> None:
        """Say that the call has itself taken less time than it was under way for."""
        self.used = True
        self._own_s = seconds

    @property
    def tools(self) -> tuple[ToolRecord, ...]:
        """The use of tools, one record per tool."""
        return getattr(self, "_tools", ())

    def record_tools(self, records: tuple[ToolRecord, ...]) -> None:
        """Say which tools the call has used."""
        self.used = True
        self._tools = records

    def ask(self, name: str, body: bytes) -> bytes:
        """Ask the front something and wait for the answer: for code that is not async. Raises HandlerError."""
        if (calls := current_loop_calls()) is not None:  # a synchronous program, in a thread of its own
            return calls.run(lambda: self.aask(name, body))
        if (boundary := BOUNDARY.get()) is not None:
            from handlers.replay.values import ASKED, packed

            asked = [name, packed(body)]
            return boundary.through("ask", asked, lambda: _answer(*self._front.ask(name, body)), ASKED)
        return _answer(*self._front.ask(name, body))

    async def aask(self, name: str, body: bytes) -> bytes:
        """Ask the front something and await the answer: for async code. Raises HandlerError."""
        if (boundary := BOUNDARY.get()) is not None:
            from handlers.replay.values import ASKED, packed

            return await boundary.athrough("ask", [name, packed(body)], lambda: self._aasked(name, body), ASKED)
        return await self._aasked(name, body)

    def tell(self, name: str, body: bytes) -> None:
        """Tell the front something, and wait for nothing; it is heard before the call's end. Raises AskRefused."""
        if (calls := current_loop_calls()) is not None:
            calls.run(lambda: self._atell(name, body))
        else:
            self._front.tell(name, body)

    async def _atell(self, name: str, body: bytes) -> None:
        self._front.tell(name, body)

    async def _aasked(self, name: str, body: bytes) -> bytes:
        return _answer(*await self._front.aask(name, body))

    def call(self, function: str, /, **arguments: Any) -> Any:
        """Call another function of the server, and wait for its result: for code that is not async.

        It has this call's deadline, session, tenant, trace and budget, and ends with it. Raises
        `handlers.nested.CallFailed`.
        """
        from handlers import nested

        if (boundary := BOUNDARY.get()) is not None:
            request = [function, arguments]
            return boundary.through("call", request, lambda: nested.call(self, function, arguments), PLAIN)
        return nested.call(self, function, arguments)

    async def acall(self, function: str, /, **arguments: Any) -> Any:
        """Do as `call` in async code. Several may be awaited together."""
        from handlers import nested

        if (boundary := BOUNDARY.get()) is not None:
            request = [function, arguments]
            return await boundary.athrough("call", request, lambda: nested.acall(self, function, arguments), PLAIN)
        return await nested.acall(self, function, arguments)

    def stream(self, function: str, /, **arguments: Any) -> Iterator[Any]:
        """Call another function of the server whose results come one by one. Otherwise as `call`."""
        from handlers import nested

        if (boundary := BOUNDARY.get()) is not None:
            request = [function, arguments]
            return boundary.items("stream", request, lambda: nested.stream(self, function, arguments), PLAIN)
        return nested.stream(self, function, arguments)

    def astream(self, function: str, /, **arguments: Any) -> AsyncGenerator[Any, None]:
        """Do as `stream` in async code; close it (`contextlib.aclosing`) where it is not read to its end."""
        from handlers import nested

        if (boundary := BOUNDARY.get()) is not None:
            request = [function, arguments]
            return boundary.aitems("stream", request, lambda: nested.astream(self, function, arguments), PLAIN)
        return nested.astream(self, function, arguments)

    @property
    def _front(self) -> Asker:
        if self.asker is None:
            message = "this call runs without a server around it, so there is nobody to ask"
            raise HandlerError(message, code="FAILED_PRECONDITION", reason="NO_SERVER")
        return self.asker

    @property
    def usage(self) -> tuple[UsageRecord, ...]:
        """The usage so far, one record per model."""
        return tuple(self._usage.values()) if self._usage else ()

    def enter(self) -> Token[CallContext]:
        """Make this the current call."""
        return _CURRENT.set(self)

    @staticmethod
    def leave(token: Token[CallContext]) -> None:
        """Undo `enter`."""
        _CURRENT.reset(token)


def current() -> CallContext:
    """Return the call that runs here. Raises LookupError outside a call."""
    return _CURRENT.get()


def _answer(ok: bool, body: bytes) -> bytes:
    if ok:
        return body
    raise of_record(msgspec.json.decode(body, type=ErrorRecord))


def invoke(function: str, /, **arguments: Any) -> Any:
    """Call another function of the server from a running call: `current().call`. Raises LookupError outside a call."""
    return _CURRENT.get().call(function, **arguments)


async def ainvoke(function: str, /, **arguments: Any) -> Any:
    """Do as `invoke` in async code."""
    return await _CURRENT.get().acall(function, **arguments)
