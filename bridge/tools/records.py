"""What a client says about the tools that it hosts, checked and as records. Pure."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import BridgeError, Code, bad_field
from bridge.v1.tool_pb2 import HostedTool, ToolErrorPolicy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from bridge.call import Call
    from bridge.settings.tool_tables import ToolHostsConfig
    from handlers.tools_wire import ToolValue

RESERVED = frozenset(("finish", "submit"))
"""Tools that every agent has."""
MAX_DEPTH = 32
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


class OpenCall(msgspec.Struct, eq=False):
    """A call of a hosted tool that has no answer yet."""

    id: int
    tool: str
    arguments: str
    of: Call
    deadline: float
    """On the loop's clock."""
    future: asyncio.Future[ToolValue]
    sent: bool = False
    """Whether the host that is connected now has it."""
    resent: bool = False
    """Whether a host had it before."""


class Tool(msgspec.Struct, eq=False):
    """A hosted tool, with the calls of it that run at its host and those that wait."""

    name: str
    description: str
    schema: str
    abort: bool
    timeout_s: float | None
    most: int
    idempotent: bool
    running: int = 0
    waiting: deque[OpenCall] = msgspec.field(default_factory=deque)

    def message(self) -> HostedTool:
        """Return it as its host has declared it."""
        policy = ToolErrorPolicy.TOOL_ERROR_POLICY_ABORT if self.abort else ToolErrorPolicy.TOOL_ERROR_POLICY_OBSERVE
        return HostedTool(
            name=self.name,
            description=self.description,
            arguments_schema=self.schema,
            on_error=policy,
            timeout_ms=0 if self.timeout_s is None else int(self.timeout_s * 1000),
            max_concurrent=self.most,
            idempotent=self.idempotent,
        )


def read_tools(declared: Sequence[HostedTool], limits: ToolHostsConfig) -> dict[str, Tool]:
    """Return the tools by name. Raises SCHEMA_MISMATCH at the field that is wrong."""
    if len(declared) > limits.max_tools:
        raise bad_field(
            "register.tools", f"{len(declared)} tools, more than tool_hosts.max_tools ({limits.max_tools}) allows"
        )
    tools: dict[str, Tool] = {}
    for index, one in enumerate(declared):
        at = f"register.tools[{index}]"
        if not _NAME.match(one.name):
            expected = "expected 1 to 64 letters, digits, '_' and '-', not a digit or '-' first"
            raise bad_field(f"{at}.name", f"{expected}; got {one.name[:80]!r}")
        if one.name in RESERVED:
            raise bad_field(f"{at}.name", f"'{one.name}' is a tool that every agent has; choose another name")
        if one.name in tools:
            raise bad_field(f"{at}.name", f"'{one.name}' stands twice")
        if (size := len(one.description) + len(one.arguments_schema)) > limits.max_schema_bytes:
            limit = f"tool_hosts.max_schema_bytes ({limits.max_schema_bytes})"
            raise bad_field(at, f"description and schema have {size} characters, more than {limit} allows")
        tools[one.name] = Tool(
            name=one.name,
            description=one.description,
            schema=checked_schema(one.arguments_schema, f"{at}.arguments_schema"),
            abort=one.on_error == ToolErrorPolicy.TOOL_ERROR_POLICY_ABORT,
            timeout_s=one.timeout_ms / 1000 if one.timeout_ms else None,
            most=one.max_concurrent or limits.max_calls,
            idempotent=one.idempotent,
        )
    return tools


def checked_schema(text: str, path: str) -> str:
    """Return a schema of arguments as it came. Raises SCHEMA_MISMATCH where programs could not use it."""
    if not text.strip():
        return '{"type": "object", "properties": {}}'
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_field(path, f"expected JSON: {error}") from None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise bad_field(path, "expected the JSON Schema of an object, as arguments go by name")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(one, dict) for one in properties.values()):
        raise bad_field(path, "expected an object of schemas under 'properties'")
    if taken := sorted({"self", "instance"} & properties.keys()):
        raise bad_field(path, f"an argument can not be named '{taken[0]}'")
    _walk(schema, path, 0)
    return text


def _walk(part: Any, path: str, depth: int) -> None:
    """Refuse what would be fetched from elsewhere, or goes too deep."""
    if depth > MAX_DEPTH:
        raise bad_field(path, f"the schema goes more than {MAX_DEPTH} levels deep")
    if isinstance(part, dict):
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(there := part.get(key), str) and not there.startswith("#"):
                raise bad_field(path, f"{key} must point into the schema itself ('#/...'), got {there[:80]!r}")
        for value in part.values():
            _walk(value, path, depth + 1)
    elif isinstance(part, list):
        for value in part:
            _walk(value, path, depth + 1)


def failed(tool: str, message: str, **facts: str) -> BridgeError:
    """Return the failure of a call that its host has reported."""
    return BridgeError(Code.UNKNOWN, "TOOL_FAILED", message, metadata={"tool": tool, **facts})


def gone(tool: str, why: str) -> BridgeError:
    """Return the failure of a call whose host has gone."""
    message = f"the host of the tool '{tool}' has gone: {why}"
    return BridgeError(Code.UNAVAILABLE, "TOOL_HOST_GONE", message, metadata={"tool": tool})
