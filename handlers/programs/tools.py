"""Tools of the server in DSPy programs: as `dspy.Tool`, and given to the agents of a program for a run.

A tool's failure is told to the model as a text without a traceback, or ends the run, as the tool was declared. Tools
find their call by the context that runs them, so that a program that was equipped once serves other runs too. Owns
what the current run names.
"""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dspy
import pydantic

from handlers import tool_arguments, tools_client
from handlers.context import current
from handlers.errors import BadInput, HandlerError
from handlers.programs.media import without_marks
from handlers.programs.usage import ToolFailure
from handlers.tools_wire import ToolsWanted

if TYPE_CHECKING:
    from handlers.tools_wire import ToolSpec

AGENTS = (dspy.ReAct, dspy.ReActV2)
SERVER_TOOLS = "server_tools"
"""The attribute of an agent that names the tools of the server which it always has."""
TAKES_TOOLS = "takes_tools"
"""The attribute by which a program without an agent of DSPy's says that it asks for the run's tools itself."""
_ENDS_RUN = frozenset(("BUDGET_EXCEEDED", "BUDGET_NEEDS_ASYNC", "CALLER_ENDED", "NESTED_TOO_DEEP", "SHUTTING_DOWN"))
"""Failures that no model can mend."""
_CHARACTERS = 2000
_WANTED: ContextVar[ToolsWanted | None] = ContextVar("bridge_run_tools", default=None)


def is_agent(module: Any) -> bool:
    """Return whether a module can be given tools for a run. CodeAct, a ReAct to Python, copies its tools' source."""
    return isinstance(module, AGENTS) and not isinstance(module, dspy.CodeAct)


class AbortRun(BaseException):
    """Ends a run with a tool's failure. No Exception: agents turn those into observations."""

    def __init__(self, error: HandlerError) -> None:
        super().__init__(str(error))
        self.error = error


class ServedTool(dspy.Tool):  # type: ignore[misc]  # dspy has no types
    """A tool with a JSON Schema of its own, which is shown to the model as it is."""

    def __init__(self, spec: ToolSpec) -> None:
        schema = json.loads(spec.schema)
        arguments = tool_arguments.shown(schema)
        super().__init__(
            func=_function(spec, schema), name=spec.name, desc=spec.description, args=arguments, arg_types={}
        )
        self._parameters = {"type": "object", **{key: part for key, part in schema.items() if key != "title"}}

    _parameters: dict[str, Any] = pydantic.PrivateAttr(default_factory=dict)

    def format_as_litellm_function_call(self) -> dict[str, Any]:
        """Return it as a function that a model may call by itself."""
        function = {"name": self.name, "description": self.desc, "parameters": self._parameters}
        return {"type": "function", "function": function}

    def _validate_and_parse_args(self, **arguments: Any) -> dict[str, Any]:
        """Leave the arguments to the function, which says in a text what is wrong with them."""
        return arguments


def _function(spec: ToolSpec, schema: dict[str, Any]) -> Any:
    def run(**arguments: Any) -> Any:
        if wrong := tool_arguments.problems(schema, arguments):
            return ToolFailure(f"The arguments do not fit: {'; '.join(wrong)[:_CHARACTERS]}")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return _run_now(spec, arguments)
        return _run(spec, arguments)

    return run


async def _run(spec: ToolSpec, arguments: dict[str, Any]) -> Any:
    try:
        return without_marks(await tools_client.acall(current(), spec, arguments))
    except HandlerError as error:
        return _told(spec, error)


def _run_now(spec: ToolSpec, arguments: dict[str, Any]) -> Any:
    try:
        return without_marks(tools_client.call_now(current(), spec, arguments))
    except HandlerError as error:
        return _told(spec, error)


def _told(spec: ToolSpec, error: HandlerError) -> ToolFailure:
    """Return what the model is told of a failure. Raises AbortRun where it is to end the run."""
    if spec.abort or error.reason in _ENDS_RUN:
        raise AbortRun(error)
    return ToolFailure(f"The tool failed ({error.reason}): {without_marks(str(error)[:_CHARACTERS])}")


def tools(*names: str) -> list[Any]:
    """Return tools of the server for a running program: those named, or without names those that the run names.

    For `forward`; in `aforward` await `atools`. Raises `HandlerError` TOOL_NOT_FOUND.
    """
    return [ServedTool(spec) for spec in tools_client.list_now(current(), _wanted(names))] if _any(names) else []


async def atools(*names: str) -> list[Any]:
    """Do as `tools` in async code."""
    return [ServedTool(spec) for spec in await tools_client.alist(current(), _wanted(names))] if _any(names) else []


def _any(names: tuple[str, ...]) -> bool:
    return bool(names) or _WANTED.get() is not None


def _wanted(names: tuple[str, ...]) -> ToolsWanted:
    wanted = _WANTED.get() or ToolsWanted()
    return ToolsWanted(names, wanted.registrations) if names else wanted


class Equipment:
    """One program with tools for its agents. Owns the copies that have them, the last few; not the program."""

    KEPT = 16

    def __init__(self, program: Any) -> None:
        self._copies: dict[tuple[Any, ...], Any] = {}
        found = [module for _, module in program.named_sub_modules() if is_agent(module)]
        self._always = [tuple(getattr(agent, SERVER_TOOLS, ())) for agent in found]
        self._takes = bool(found) or bool(getattr(program, TAKES_TOOLS, False))
        self.is_needed = any(self._always)
        """Whether each run needs it, even one that names no tools."""

    async def given_to(self, program: Any, wanted: ToolsWanted | None) -> Any:
        """Return the program with the tools that a run names. Raises PROGRAM_TAKES_NO_TOOLS where it can use none."""
        if wanted is not None and not self._takes:
            message = "the run names tools, and the program has no agent that could call them"
            raise HandlerError(message, code="INVALID_ARGUMENT", reason="PROGRAM_TAKES_NO_TOOLS")
        context = current()
        named = () if wanted is None or not self._always else tuple(await tools_client.alist(context, wanted))
        registrations = () if wanted is None else wanted.registrations
        kits: list[tuple[ToolSpec, ...]] = []
        for names in self._always:
            own = await tools_client.alist(context, ToolsWanted(names, registrations)) if names else []
            kits.append(tuple(dict.fromkeys((*own, *named))))
        if not any(kits):
            return program
        key = tuple(kits)
        if (copy := self._copies.pop(key, None)) is None:
            copy = equipped(program, kits)
        self._copies[key] = copy  # the newest last
        if len(self._copies) > self.KEPT:
            del self._copies[next(iter(self._copies))]
        return copy


class Tooling:
    """The equipment of the programs of one handler."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Any, Equipment] = WeakKeyDictionary()

    async def equip(self, program: Any, wanted: ToolsWanted | None) -> Any:
        """Return the program to run, with the tools that it always has and those that the run names."""
        _WANTED.set(wanted)
        if (equipment := self._of.get(program)) is None:
            equipment = self._of[program] = Equipment(program)
        if wanted is None and not equipment.is_needed:
            return program
        return await equipment.given_to(program, wanted)


def equipped(program: Any, kits: list[tuple[ToolSpec, ...]]) -> Any:
    """Return a copy of a program whose agents, in their order, have these tools beside their own."""
    copy = program.deepcopy()
    originals = [module for _, module in program.named_sub_modules() if is_agent(module)]
    agents = [module for _, module in copy.named_sub_modules() if is_agent(module)]
    for original, agent, kit in zip(originals, agents, kits, strict=True):
        if agent is original:
            raise HandlerError("the program can not be copied, so its agents can not be given tools for a run")
        _give(agent, dict(original.tools), [ServedTool(spec) for spec in kit])
    return copy


def _give(agent: Any, own: dict[str, Any], more: list[ServedTool]) -> None:
    """Give an agent tools: to call them, and to be told of them."""
    cls = dspy.ReAct if isinstance(agent, dspy.ReAct) else dspy.ReActV2
    last = "finish" if cls is dspy.ReAct else "submit"
    mine = [tool for name, tool in own.items() if name != last]
    if taken := sorted({tool.name for tool in more} & own.keys()):
        raise BadInput(f"The program has a tool '{taken[0]}' of its own; give yours another name.")
    as_made = cls(agent.signature, tools=mine, max_iters=agent.max_iters).react.signature
    fresh = cls(agent.signature, tools=[*mine, *more], max_iters=agent.max_iters)
    agent.tools = fresh.tools
    signature, told = fresh.react.signature, agent.react.signature.instructions
    if told != as_made.instructions:  # an optimiser has written them
        lines = "\n".join(f"({number}) {tool}" for number, tool in enumerate(more, start=len(mine) + 2))
        signature = signature.with_instructions(f"{told}\nThese are tools as well:\n{lines}")
    agent.react.signature = signature
