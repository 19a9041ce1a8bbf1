"""The tools of created programs, which name them.

Agents get theirs anew for each run (`handlers.programs.tools`), since it depends on the caller which tools there are.
Programs that write code run it in a sandbox that no call leaves. Owns nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from handlers.errors import HandlerError
from handlers.programs.definitions import CODE_KINDS
from handlers.programs.tools import AGENTS, SERVER_TOOLS

if TYPE_CHECKING:
    from handlers.programs.definitions import ProgramDefinition


def without_tools(definition: ProgramDefinition) -> ProgramDefinition:
    """Return a definition to build a module of, which `give_tools` follows. Raises TOOL_UNSUPPORTED."""
    if definition.tools and definition.kind in CODE_KINDS:
        message = f"a {definition.kind} program runs code in a sandbox, which no call of a tool leaves; use react"
        raise HandlerError(message, code="FAILED_PRECONDITION", reason="TOOL_UNSUPPORTED")
    return msgspec.structs.replace(definition, tools=())


def give_tools(module: Any, definition: ProgramDefinition) -> None:
    """Let the agents of a program have the tools that its definition names, in every run."""
    for _, agent in module.named_sub_modules():
        if isinstance(agent, AGENTS):
            setattr(agent, SERVER_TOOLS, definition.tools)
