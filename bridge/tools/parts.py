"""The front's parts that tools are made of, put together: hosts, their streams, what calls ask. `app` wires it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.servicers.local import local_of_caller
from bridge.tools.asks import ToolAsks
from bridge.tools.hosts import ToolHosts
from bridge.tools.stream import tool_conversations
from bridge.v1 import tool_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.asks import Later
    from bridge.config import Config
    from bridge.server import Conversation, Unary
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders
    from handlers.contract import FunctionSpec

LIST_TOOLS = "ToolService/ListTools"


class ToolParts:
    """All that belongs to tools, in the front. They are the same whichever front process a host comes through."""

    def __init__(self, config: Config, telemetry: Telemetry) -> None:
        self._config = config
        self._telemetry = telemetry
        self._hosts = ToolHosts(config.tool_hosts)

    def answers(self, find: Callable[[str], FunctionSpec]) -> dict[str, Later]:
        """Return the answers to what calls ask, by name; `find` finds functions."""
        return ToolAsks(self._hosts, find, lambda: self._config.tools).answers()

    def unary(self) -> dict[str, Unary]:
        """Return the handlers by path."""
        answer = local_of_caller(LIST_TOOLS, tool_pb2.ListToolsRequest, self._hosts.list_tools, self._telemetry)
        return {f"/bridge.v1.{LIST_TOOLS}": answer}

    def conversations(self, readers: SlowReaders) -> dict[str, Conversation]:
        """Return the handlers of streams of both sides by path."""
        return tool_conversations(self._hosts, readers, self._telemetry, lambda: self._config.server.max_message_bytes)

    def renew(self, config: Config) -> None:
        """Take over settings that a reload has changed."""
        self._config = config
        self._hosts.renew(config.tool_hosts)

    def drain(self) -> None:
        """Take no new hosts. Calls that run go on calling tools."""
        self._hosts.drain()

    def close(self) -> None:
        """End all streams: no call is left."""
        self._hosts.close()
