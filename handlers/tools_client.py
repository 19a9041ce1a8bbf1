"""Tools for running code, whatever they are: hosted by a client, a function of the server, a tool of an MCP server.

The first are asked of the front, the others are nested calls. Each way comes for code that is async and for code that
is not. Owns no state.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from handlers.errors import HandlerError
from handlers.hosting import Host
from handlers.loop_calls import current_loop_calls
from handlers.tools_wire import CALL, DROP, LIST, ToolOrder, ToolSpec, ToolsWanted, encode, read_specs, read_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.context import CallContext

PREFIX = "bridge.tools."
"""The functions of an MCP server are `bridge.tools.NAME.list` and `bridge.tools.NAME.call`."""


async def alist(context: CallContext, wanted: ToolsWanted) -> list[ToolSpec]:
    """Return the tools that are meant: for async code. Raises TOOL_NOT_FOUND and the like."""
    specs = read_specs(await context.aask(LIST, encode(wanted)))
    servers = dict.fromkeys(spec.target for spec in specs if spec.kind == "mcp")
    offered = {server: await context.acall(f"{PREFIX}{server}.list") for server in servers}
    return _named_apart(_expanded(specs, offered))


def list_now(context: CallContext, wanted: ToolsWanted) -> list[ToolSpec]:
    """Return the tools that are meant: for code that is not async."""
    specs = read_specs(context.ask(LIST, encode(wanted)))
    servers = dict.fromkeys(spec.target for spec in specs if spec.kind == "mcp")
    offered = {server: context.call(f"{PREFIX}{server}.list") for server in servers}
    return _named_apart(_expanded(specs, offered))


async def acall(context: CallContext, spec: ToolSpec, arguments: dict[str, Any]) -> Any:
    """Call a tool and return its value: for async code. Raises HandlerError; a cancel reaches the tool."""
    if spec.kind == "function":
        return await context.acall(spec.target, **arguments)
    if spec.kind == "mcp":
        return await context.acall(f"{PREFIX}{spec.target}.call", tool=spec.remote, arguments=arguments)
    number = _number(context, spec)
    ended = False
    try:
        body = await context.aask(CALL, _order(number, spec, arguments))
        ended = True
    except HandlerError:
        ended = True
        raise
    finally:
        if not ended:
            with suppress(HandlerError, RuntimeError):  # where the call itself has ended, the front knows
                await context.aask(DROP, encode(number))
    return _value(body)


def call_now(context: CallContext, spec: ToolSpec, arguments: dict[str, Any]) -> Any:
    """Call a tool and return its value: for code that is not async."""
    if (calls := current_loop_calls()) is not None:
        return calls.run(lambda: acall(context, spec, arguments))
    if spec.kind == "function":
        return context.call(spec.target, **arguments)
    if spec.kind == "mcp":
        return context.call(f"{PREFIX}{spec.target}.call", tool=spec.remote, arguments=arguments)
    return _value(context.ask(CALL, _order(_number(context, spec), spec, arguments)))


def _number(context: CallContext, spec: ToolSpec) -> int:
    if isinstance(context.asker, Host):
        return context.asker.number()
    message = f"this call runs without a server around it, so it can not call the tool '{spec.name}'"
    raise HandlerError(message, code="FAILED_PRECONDITION", reason="NO_SERVER")


def _order(number: int, spec: ToolSpec, arguments: dict[str, Any]) -> bytes:
    text = json.dumps(arguments, ensure_ascii=False, default=str)
    return encode(ToolOrder(number, spec.target, spec.name, text))


def _value(body: bytes) -> Any:
    found = read_value(body)
    return found.value if found.is_text else json.loads(found.value)


def _expanded(specs: Iterable[ToolSpec], offered: dict[str, list[dict[str, Any]]]) -> list[ToolSpec]:
    """Put the tools of MCP servers in the place of what stands for them."""
    found: list[ToolSpec] = []
    for spec in specs:
        if spec.kind != "mcp":
            found.append(spec)
            continue
        tools = [tool for tool in offered[spec.target] if spec.name in ("", tool["name"])]
        if not tools:
            message = f"the MCP server '{spec.target}' has no tool '{spec.name}' that programs may use"
            raise HandlerError(message, code="NOT_FOUND", reason="TOOL_NOT_FOUND", metadata={"tool": spec.name})
        found += [
            ToolSpec(
                "mcp", _plain(one["name"]), one["description"], one["schema"], one["abort"], spec.target, one["name"]
            )
            for one in tools
        ]
    return found


def _named_apart(specs: list[ToolSpec]) -> list[ToolSpec]:
    """Return the tools each once. Raises SCHEMA_MISMATCH where two have one name."""
    by_name: dict[str, ToolSpec] = {}
    for spec in specs:
        if by_name.setdefault(spec.name, spec) != spec:
            message = f"two of the tools are named '{spec.name}': {by_name[spec.name].target} and {spec.target}"
            raise HandlerError(message, code="INVALID_ARGUMENT", reason="SCHEMA_MISMATCH")
    return list(by_name.values())


def _plain(name: str) -> str:
    return "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "_" for one in name)[:64]
