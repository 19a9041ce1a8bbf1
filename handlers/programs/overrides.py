"""What one call changes of a program: its model, adapter, temperature and the length of its answers.

Reads and checks the wishes of a request, and turns them into DSPy settings and arguments that hold for that call alone.
Owns no state: the wishes travel in DSPy's own context, which follows the call into its tasks and threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy

from bridge.v1 import program_pb2
from handlers.errors import BadInput, HandlerError
from handlers.tools_wire import ToolsWanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from dspy import BaseLM

KEY = "bridge_overrides"
"""The DSPy setting that carries the arguments of this call's model requests."""
_NO_CACHE = "bridge_no_cache"
"""The DSPy setting that says that no kept answer will do."""
MAX_TEMPERATURE = 2.0

_ADAPTERS: dict[int, Callable[[BaseLM | None], Any]] = {
    program_pb2.PROMPT_ADAPTER_CHAT: lambda _: dspy.ChatAdapter(),
    program_pb2.PROMPT_ADAPTER_JSON: lambda _: dspy.JSONAdapter(),
    program_pb2.PROMPT_ADAPTER_XML: lambda _: dspy.XMLAdapter(),
    program_pb2.PROMPT_ADAPTER_TWO_STEP: lambda lm: dspy.TwoStepAdapter(lm),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The wishes of one request; nothing where it has none."""

    model: str = ""
    adapter: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    cache: bool = True
    """Whether kept answers will do."""
    version: int = 0
    """The version of a created program that the request names; 0 where it names none."""
    all_events: bool = False
    """Of a stream: whether it sends every kind of event."""
    resumable: bool = False
    """Of a stream: whether the front keeps its events for a while."""
    tools: ToolsWanted | None = None
    """The tools that it names for the program's agents."""

    @property
    def arguments(self) -> dict[str, Any]:
        """What every request to a model gets, whatever the program says."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in given.items() if value is not None}

    def settings(self, program: Any, lm: Any) -> dict[str, Any]:
        """Return the DSPy settings that the call needs beside its model, which is `lm`."""
        found: dict[str, Any] = {}
        if self.adapter:
            models = (lm, *(predictor.lm for predictor in program.predictors()))
            found["adapter"] = _ADAPTERS[self.adapter](next((one for one in models if one is not None), None))
        if arguments := self.arguments:
            found[KEY] = arguments
        if not self.cache:
            found[_NO_CACHE] = True
        return found

    def applied(self, program: Any, lm: Any, served: type) -> tuple[Any, Any]:
        """Return program and model with the wishes in those models that are not of the class `served`.

        Models of the configuration read the wishes themselves. Those that the app made know nothing of them: the call
        gets copies, and a copy of the program where it holds such models.
        """
        if not self.arguments:
            return program, lm
        if lm is not None and not isinstance(lm, served):
            lm = lm.copy(**named_for(lm, self.arguments))
        if all(isinstance(predictor.lm or lm, served) for predictor in program.predictors()):
            return program, lm
        copy = program.deepcopy()
        for old, new in zip(program.predictors(), copy.predictors(), strict=True):
            if new is old:  # DSPy copies what it can and shares the rest
                raise HandlerError(
                    f"temperature and max_tokens can not be set for one call: {type(program).__name__} holds a "
                    "predictor that can not be copied; let the program use a model of the configuration",
                    code="FAILED_PRECONDITION",
                    reason="OVERRIDE_UNSUPPORTED",
                )
            if old.lm is not None:
                new.lm = old.lm if isinstance(old.lm, served) else old.lm.copy(**named_for(old.lm, self.arguments))
            new.config = {**old.config, **self.arguments}
        return copy, lm


NONE = Overrides()


def with_overrides(lm: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request to a model with what the call that runs here puts in their place."""
    wanted = dspy.settings.get(KEY)
    return {**arguments, **named_for(lm, wanted)} if wanted else arguments


def kept_will_do() -> bool:
    """Return whether the call that runs here takes answers that were kept, and lets its own be kept."""
    return not dspy.settings.get(_NO_CACHE)


def named_for(lm: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments under the names that a model has for them: DSPy has two for the length of an answer."""
    if "max_tokens" not in arguments or "max_completion_tokens" not in lm.kwargs:
        return arguments
    rest = {name: value for name, value in arguments.items() if name != "max_tokens"}
    return {**rest, "max_completion_tokens": arguments["max_tokens"]}


def of_request(request: program_pb2.RunRequest | program_pb2.StreamRunRequest) -> Overrides:
    """Return the wishes of a request. Raises BadInput with one violation per mistake."""
    temperature = request.temperature if request.HasField("temperature") else None
    max_tokens = request.max_tokens if request.HasField("max_tokens") else None
    mistakes = []
    if request.adapter and request.adapter not in _ADAPTERS:
        known = ", ".join(program_pb2.PromptAdapter.Name(number) for number in _ADAPTERS)
        mistakes.append(("adapter", f"expected one of {known}, got {request.adapter}"))
    if temperature is not None and not (math.isfinite(temperature) and 0 <= temperature <= MAX_TEMPERATURE):
        mistakes.append(("temperature", f"expected a number from 0 to {MAX_TEMPERATURE:g}, got {temperature:g}"))
    if max_tokens is not None and max_tokens < 1:
        mistakes.append(("max_tokens", f"expected 1 or more, got {max_tokens}"))
    if mistakes:
        text = "; ".join(f"{path}: {what}" for path, what in mistakes)
        raise BadInput(text, violations=tuple(mistakes))
    return Overrides(
        model=request.model,
        adapter=request.adapter,
        temperature=temperature,
        max_tokens=max_tokens,
        cache=not request.HasField("cache") or request.cache,
        version=request.version,
        all_events=isinstance(request, program_pb2.StreamRunRequest) and request.all_events,
        resumable=isinstance(request, program_pb2.StreamRunRequest) and request.resumable,
        tools=_tools(request),
    )


def _tools(request: program_pb2.RunRequest | program_pb2.StreamRunRequest) -> ToolsWanted | None:
    if not request.tools and not request.tool_registrations:
        return None
    return ToolsWanted(tuple(request.tools), tuple(request.tool_registrations))
