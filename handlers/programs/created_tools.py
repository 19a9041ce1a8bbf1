"""The tools of created programs, which name them.

Agents get theirs anew for each run (`handlers.programs.tools`), since it depends on the caller which tools there are.
Programs that write code get theirs when they are built: the code in the sandbox calls them by name, and they run
outside. Owns nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from handlers.programs.definitions import CODE_KINDS
from handlers.programs.tools import SERVER_TOOLS, atools, is_agent

if TYPE_CHECKING:
    from handlers.programs.definitions import ProgramDefinition


async def with_tools(definition: ProgramDefinition) -> tuple[ProgramDefinition, dict[str, Any]]:
    """Return a definition to build a module of, which `give_tools` follows, and the tools that it names then.

    Runs in a call. Raises TOOL_NOT_FOUND.
    """
    if definition.kind not in CODE_KINDS:
        return msgspec.structs.replace(definition, tools=()), {}
    tools = {tool.name: tool for name in definition.tools for tool in await atools(name)}
    return msgspec.structs.replace(definition, tools=tuple(tools)), tools


def give_tools(module: Any, definition: ProgramDefinition) -> None:
    """Let the agents of a program have the tools that its definition names, in every run."""
    for _, agent in module.named_sub_modules():
        if is_agent(agent):
            setattr(agent, SERVER_TOOLS, definition.tools)
