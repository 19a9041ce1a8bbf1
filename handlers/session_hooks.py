"""The functions that are told of the end of sessions, and the internal function by which the front tells them.

Each worker whose modules have such functions serves `bridge.session.end`; it stands in no catalogue, so only the front
can call it. Owns the list of a process's hooks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.contract import FunctionSpec
from handlers.errors import HandlerError
from handlers.sessions import HOOK_MARK

if TYPE_CHECKING:
    import types

    from handlers.context import CallContext

NAME = "bridge.session.end"
_request = msgspec.msgpack.Decoder(tuple[str, str]).decode


def find_hooks(module: types.ModuleType) -> list[Callable[..., Any]]:
    """Return a module's functions that are declared with `@on_session_end`, in their order."""
    found = (value for value in vars(module).values() if is_hook(value))
    return list(dict.fromkeys(found))


def is_hook(value: Any) -> bool:
    """Return whether a value of a module is such a function."""
    return inspect.isroutine(value) and getattr(value, HOOK_MARK, False) is True


class SessionEnd:
    """The handler of `bridge.session.end`: tells every hook, also where one before it failed."""

    def __init__(self, hooks: list[Callable[..., Any]]) -> None:
        self._hooks = hooks
        is_async = any(map(inspect.iscoroutinefunction, hooks))
        self.spec = FunctionSpec(name=NAME, kind="builtin", is_async=is_async)

    def call(self, _method: str, request: bytes, _context: CallContext) -> bytes | Awaitable[bytes]:
        """Tell of the end of a session: the request is its id and the reason. Raises what the hooks raise."""
        told = _request(request)
        if self.spec.is_async:
            return self._tell_later(told)
        with ExitStack() as stack:
            for hook in reversed(self._hooks):
                stack.callback(hook, *told)
        return b""

    async def _tell_later(self, told: tuple[str, str]) -> bytes:
        async with AsyncExitStack() as stack:
            for hook in reversed(self._hooks):
                if inspect.iscoroutinefunction(hook):
                    stack.push_async_callback(hook, *told)
                else:
                    stack.push_async_callback(asyncio.to_thread, hook, *told)
        return b""

    def stream(self, _method: str, _request: bytes, _context: CallContext) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Refuse: it has one answer."""
        raise HandlerError(f"{NAME} does not stream", code="UNIMPLEMENTED", reason="UNKNOWN_METHOD")
