"""What running calls ask about tools: which are meant by the names of a run, and calls of those that clients host.

Functions of the server and MCP servers are called as nested calls; here they are only looked up. Owns the calls of
hosted tools that workers may drop, by their numbers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code
from handlers.errors import Unknown
from handlers.tools_wire import (
    CALL,
    DROP,
    LIST,
    ToolSpec,
    encode,
    read_number,
    read_order,
    read_wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bridge.asks import Later
    from bridge.call import Call
    from bridge.tools.hosts import ToolHosts
    from bridge.tools.registration import Registration
    from handlers.contract import FunctionSpec
    from handlers.tools_wire import ToolValue

FUNCTION, MCP = "function:", "mcp:"
MAX_TOOLS = 128
"""Tools of one run."""


class ToolAsks:
    """Answers what calls ask about tools. `find` finds functions, `servers` has the names of MCP servers."""

    def __init__(
        self, hosts: ToolHosts, find: Callable[[str], FunctionSpec], servers: Callable[[], Collection[str]]
    ) -> None:
        self._hosts = hosts
        self._find = find
        self._servers = servers
        self._running: dict[tuple[int, int], asyncio.Task[ToolValue]] = {}
        """By the call that asks, which lives as long, and its own number."""

    def answers(self) -> dict[str, Later]:
        """Return the answers by name."""
        return {LIST: self._list, CALL: self._call, DROP: self._drop}

    async def _list(self, call: Call, body: bytes) -> bytes:
        wanted = read_wanted(body)
        named = [self._hosts.get(key, call.identity.tenant) for key in wanted.registrations]
        if not wanted.tools:
            return encode([_hosted(one, name) for one in named for name in one.tools])
        if len(wanted.tools) > MAX_TOOLS:
            message = f"the run names {len(wanted.tools)} tools, more than the {MAX_TOOLS} that a run may have"
            raise BridgeError(Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH", message)
        return encode([self._spec(name, call, named) for name in wanted.tools])

    def _spec(self, name: str, call: Call, named: list[Registration]) -> ToolSpec:
        if name.startswith(MCP):
            return self._of_server(name)
        if name.startswith(FUNCTION):
            return _of_function(self._find(name.removeprefix(FUNCTION)))
        if (found := self._hosts.find(name, call.identity, named)) is not None:
            return _hosted(found, name)
        try:
            return _of_function(self._find(name))
        except Unknown as error:
            similar = self._hosts.similar(name, call.identity, named) or error.metadata.get("did_you_mean", "")
            hint = f"; did you mean '{similar}'?" if similar else ""
            message = (
                f"no client hosts a tool '{name[:100]}' that this run may see, and no function has this name{hint}"
            )
            raise _not_found(name, message, similar) from None

    def _of_server(self, name: str) -> ToolSpec:
        server, _, tool = name.removeprefix(MCP).partition("/")
        if server not in self._servers():
            known = ", ".join(sorted(self._servers())) or "none"
            message = f"no MCP server '{server[:100]}' is configured ([tools.NAME]); there is {known}"
            raise _not_found(name, message, "")
        return ToolSpec("mcp", tool, "", "", target=server)

    async def _call(self, call: Call, body: bytes) -> bytes:
        order = read_order(body)
        try:
            registration = self._hosts.get(order.registration, call.identity.tenant)
        except BridgeError:
            message = f"the host of the tool '{order.tool}' has gone"
            raise BridgeError(Code.UNAVAILABLE, "TOOL_HOST_GONE", message, metadata={"tool": order.tool}) from None
        task, key = asyncio.current_task(), (id(call), order.number)
        assert task is not None
        inner = self._running[key] = asyncio.ensure_future(registration.call(order.tool, order.arguments, call))
        try:
            return encode(await inner)
        except asyncio.CancelledError:
            if inner.cancelled() and not task.cancelling():  # it was dropped
                raise BridgeError(Code.CANCELLED, "CALLER_ENDED", "the call of the tool was given up") from None
            inner.cancel()
            raise
        finally:
            self._running.pop(key, None)

    async def _drop(self, call: Call, body: bytes) -> bytes:
        if (task := self._running.get((id(call), read_number(body)))) is not None:
            task.cancel()
        return b""


def _hosted(registration: Registration, name: str) -> ToolSpec:
    tool = registration.tools[name]
    return ToolSpec("hosted", name, tool.description, tool.schema, tool.abort, registration.id)


def _of_function(spec: FunctionSpec) -> ToolSpec:
    if spec.streaming:
        message = f"'{spec.name}' sends a stream; a tool gives one result"
        raise BridgeError(Code.INVALID_ARGUMENT, "FUNCTION_STREAMS", message)
    name = "".join(character if character.isalnum() or character in "_-" else "_" for character in spec.name)[:64]
    return ToolSpec("function", name, spec.doc, spec.arguments_schema, target=spec.name)


def _not_found(name: str, message: str, similar: str) -> BridgeError:
    metadata = {"tool": name[:100]} | ({"did_you_mean": similar} if similar else {})
    return BridgeError(Code.NOT_FOUND, "TOOL_NOT_FOUND", message, metadata=metadata)
