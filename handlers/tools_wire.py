"""What workers and the front say to each other about tools that clients host: the names of the asks, and their records.

Pure records that cross the process boundary, as MessagePack arrays.
"""

from __future__ import annotations

from typing import Literal

import msgspec

LIST, CALL, DROP = "tool.list", "tool.call", "tool.drop"
"""What is asked: which tools are meant; run one; nobody waits for that any more."""

Kind = Literal["hosted", "function", "mcp"]


class ToolsWanted(msgspec.Struct, frozen=True, array_like=True):
    """What a run names: tools, and registrations to look for them in first."""

    tools: tuple[str, ...] = ()
    registrations: tuple[str, ...] = ()


class ToolSpec(msgspec.Struct, frozen=True, array_like=True):
    """One tool as a program sees it."""

    kind: Kind
    name: str
    """As the model writes it."""
    description: str
    schema: str
    """JSON Schema of the arguments, as JSON text."""
    abort: bool = False
    """Whether its failure ends the run."""
    target: str = ""
    """The registration, the function, or the MCP server."""
    remote: str = ""
    """Its name at an MCP server."""


class ToolOrder(msgspec.Struct, frozen=True, array_like=True):
    """A call of a hosted tool. `number` is the worker's own, to drop it by."""

    number: int
    registration: str
    tool: str
    arguments: str


class ToolValue(msgspec.Struct, frozen=True, array_like=True):
    """What a tool returned: JSON text, or a plain text where `is_text`."""

    value: str
    is_text: bool = False


read_wanted = msgspec.msgpack.Decoder(ToolsWanted).decode
read_specs = msgspec.msgpack.Decoder(list[ToolSpec]).decode
read_order = msgspec.msgpack.Decoder(ToolOrder).decode
read_value = msgspec.msgpack.Decoder(ToolValue).decode
read_number = msgspec.msgpack.Decoder(int).decode
encode = msgspec.msgpack.Encoder().encode
