"""The tools that the blocking Python client hosts for the conformance suite, by the behaviour that a case asks for.

Owns what they have seen. Knows nothing of cases; the runner hosts them and tells of them.
"""

from __future__ import annotations

from typing import Any

import bridge_client
import python_shared as shared
from bridge_client import HostedTool, current_tool_call
from python_shared import Skip

WAIT_S = 30.0


class Hosted:
    """Tools that are hosted, and what they have seen."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.calls: list[bridge_client.HostedCall] = []
        self.host: Any = None

    def tool(self, spec: dict[str, Any]) -> HostedTool:
        """A tool with the behaviour that is asked for."""
        behaviour = getattr(self, f"_{spec['behaviour']}", None)
        if behaviour is None:
            raise Skip(f"the behaviour {spec['behaviour']} of tools")

        def called(**arguments: Any) -> Any:
            call = current_tool_call()
            self.calls.append(call)
            self.seen.append({"tool": call.tool, "arguments": arguments, **shared.tool_call_of(call)})
            return behaviour(arguments, call)

        return shared.hosted_tool(spec, called)

    @staticmethod
    def _echo(arguments: dict[str, Any], _call: Any) -> Any:
        return arguments

    @staticmethod
    def _add(arguments: dict[str, Any], _call: Any) -> Any:
        return arguments["a"] + arguments["b"]

    @staticmethod
    def _fail(_arguments: dict[str, Any], _call: Any) -> Any:
        raise ValueError("this tool fails")

    @staticmethod
    def _abort(_arguments: dict[str, Any], _call: Any) -> Any:
        raise ValueError("this tool aborts")

    @staticmethod
    def _wait(_arguments: dict[str, Any], call: Any) -> Any:
        call.cancelled.wait(WAIT_S)
        return "waited"

    def told(self) -> list[dict[str, Any]]:
        """T of the protocol, as of now."""
        pairs = zip(self.seen, self.calls, strict=False)
        return [{**seen, "cancelled": call.cancelled.is_set()} for seen, call in pairs]
