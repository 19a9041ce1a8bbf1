"""The built-in test model as an engine for DSPy: `dspy.LM("bridge/test", engine=..., async_engine=...)`.

Translates DSPy's canonical requests into the messages that `handlers.models.test_model` reads, and its answers back,
whole or as a stream. Owns no state; needs no key and no network.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from dspy import lm15

from handlers.models import test_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class TestEngine:
    """The test model behind DSPy's synchronous engine interface."""

    __test__ = False  # else pytest takes the class for a test
    supports_function_calling = True
    supports_response_schema = True
    supported_params = frozenset({"max_tokens", "response_format", "stream", "temperature", "tool_choice", "tools"})

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer a request."""
        found = _answer(request)
        calls = [lm15.ToolCallPart(id=call.id, name=call.name, input=json.loads(call.input)) for call in _calls(found)]
        parts = calls or [lm15.TextPart(text=found.text)]
        return lm15.Response(
            id=_new_id(),
            model=test_model.NAME,
            message=lm15.Message(role="assistant", parts=tuple(parts)),
            finish_reason=_finish_reason(found),
            usage=_usage(found),
        )

    def stream(self, request: lm15.Request) -> Iterator[Any]:
        """Answer a request in pieces."""
        found = _answer(request)
        yield lm15.StreamStartEvent(id=_new_id(), model=test_model.NAME)
        for call in _calls(found):
            yield lm15.StreamDeltaEvent(delta=call)
        for piece in test_model.chunks(found.text):
            yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text=piece))
        yield lm15.StreamEndEvent(finish_reason=_finish_reason(found), usage=_usage(found))

    def close(self) -> None:
        """Do nothing: there is no connection."""


class AsyncTestEngine:
    """The test model behind DSPy's asynchronous engine interface."""

    __test__ = False
    supports_function_calling = TestEngine.supports_function_calling
    supports_response_schema = TestEngine.supports_response_schema
    supported_params = TestEngine.supported_params

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer a request."""
        return TestEngine().complete(request)

    async def stream(self, request: lm15.Request) -> AsyncIterator[Any]:
        """Answer a request in pieces."""
        for event in TestEngine().stream(request):
            yield event

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


def _answer(request: lm15.Request) -> test_model.TestAnswer:
    config = request.config
    return test_model.answer(
        list(_messages(request)),
        response_format=_response_format(config.response_format),
        tools=[_tool(tool) for tool in request.tools if isinstance(tool, lm15.FunctionTool)],
        tool_choice=_tool_choice(config.tool_choice),
        max_tokens=config.max_tokens,
    )


def _messages(request: lm15.Request) -> Iterator[dict[str, Any]]:
    if request.system:
        text = request.system if isinstance(request.system, str) else _text(request.system)
        yield {"role": "system", "content": text}
    for message in request.messages:
        calls = [part for part in message.parts if isinstance(part, lm15.ToolCallPart)]
        results = [part for part in message.parts if isinstance(part, lm15.ToolResultPart)]
        for result in results:
            yield {"role": "tool", "tool_call_id": result.id, "content": _text(result.content)}
        if not results:
            wire = {"role": message.role, "content": _text(message.parts)}
            yield {**wire, "tool_calls": [{"id": call.id} for call in calls]} if calls else wire


def _text(parts: Any) -> str:
    return "\n".join(part.text for part in parts if isinstance(part, lm15.TextPart))


def _response_format(canonical: Any) -> dict[str, Any] | None:
    if not canonical or canonical.get("type") != "json_schema":
        return canonical or None
    inner = {"name": canonical.get("name", "answer"), "schema": canonical["schema"]}
    return {"type": "json_schema", "json_schema": inner}


def _tool(tool: lm15.FunctionTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _tool_choice(choice: lm15.ToolChoice | None) -> Any:
    if choice is None:
        return None
    if len(choice.allowed) == 1:
        return {"type": "function", "function": {"name": choice.allowed[0]}}
    return choice.mode


def _calls(found: test_model.TestAnswer) -> list[lm15.ToolCallDelta]:
    return [
        lm15.ToolCallDelta(
            id=call["id"], name=call["function"]["name"], input=call["function"]["arguments"], part_index=index
        )
        for index, call in enumerate(found.tool_calls)
    ]


def _finish_reason(found: test_model.TestAnswer) -> str:
    return "tool_call" if found.tool_calls else found.finish_reason


def _usage(found: test_model.TestAnswer) -> lm15.Usage:
    return lm15.Usage(input_tokens=found.input_tokens, output_tokens=found.output_tokens)


def _new_id() -> str:
    return f"test-{uuid.uuid4().hex}"
