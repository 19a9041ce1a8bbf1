"""The functions of MCP servers: `bridge.tools.NAME.list` and `bridge.tools.NAME.call`, for agents to call.

Only the configuration says which servers there are. Owns their connections in this process, made at the first call.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.errors import ExtraMissing
from handlers.functions.discovery import handler_of
from handlers.functions.handler import FunctionHandler
from handlers.functions.signature import inspect_signature
from handlers.tools_client import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.contract import EntryOptions, Handler, ToolServerOptions
    from handlers.tool_servers.connection import Connection


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Return the handlers of the family `tools`."""
    return [handler for name, server in options.tool_servers.items() for handler in _handlers(name, server)]


def _handlers(name: str, options: ToolServerOptions) -> list[Handler]:
    server = Server(name, options)
    return [_handler(server.list, f"{PREFIX}{name}.list"), _handler(server.call, f"{PREFIX}{name}.call")]


def _handler(function: Callable[..., Any], name: str) -> Handler:
    spec = msgspec.structs.replace(handler_of(function, name=name).spec, kind="builtin")
    return FunctionHandler(function, spec, inspect_signature(function, name))


class Server:
    """One configured server."""

    def __init__(self, name: str, options: ToolServerOptions) -> None:
        self._name = name
        self._options = options
        self._connection: Connection | None = None

    async def list(self) -> list[dict[str, Any]]:
        """Return the tools of an MCP server that programs may use."""
        return await self._connected().tools()

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool of an MCP server."""
        return await self._connected().call(tool, arguments)

    def _connected(self) -> Connection:
        if self._connection is None:
            if find_spec("mcp") is None:
                raise ExtraMissing.of(f"The MCP server '{self._name}'", "mcp")
            from handlers.tool_servers.connection import Connection

            self._connection = Connection(self._name, self._options)
        return self._connection
