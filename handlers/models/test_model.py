"""The built-in test model, named "bridge/test" wherever it appears.

It is no language model: it answers any prompt at once, always the same way, with values of the types that were asked
for, so that everything runs with no key and no network. Pure and without state; it needs only the standard library.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from handlers.models import dspy_prompts, json_values, test_agent

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "bridge/test"

FinishReason = Literal["stop", "length", "tool_calls"]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_CHUNK = re.compile(r"\S{1,8}\s*|\s+")
_THINKING = ("reasoning", "rationale", "next_thought", "thought")
_QUOTE_LENGTH = 80
_IMAGE_TOKENS = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class TestAnswer:
    """What the test model answers: a text, or calls of tools (as OpenAI-style dicts)."""

    __test__: ClassVar[bool] = False  # else pytest takes the class for a test

    text: str
    input_tokens: int
    output_tokens: int
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    model: str = NAME


def answer(
    messages: list[dict[str, Any]],
    *,
    response_format: dict[str, Any] | None = None,
    tools: list[dict[str, Any]] | None = None,
    tool_choice: Any = None,
    max_tokens: int | None = None,
) -> TestAnswer:
    """Answer OpenAI-style messages.

    Prompts of DSPy's adapters get every asked field; a tool that was offered is called, once per conversation unless
    `tool_choice` forces it; a response format gets JSON that fits it; anything else gets a text that says what this
    is. A text longer than `max_tokens` is cut, and finish_reason says so.
    """
    prompt_tokens = sum(count_tokens(text_of(message.get("content"))) for message in messages)
    prompt_tokens += _IMAGE_TOKENS * sum(1 for _ in _images(messages))
    calls = _tool_calls(messages, tools or [], tool_choice)
    if calls:
        written = sum(count_tokens(call["function"]["arguments"]) + 1 for call in calls)
        return TestAnswer(
            text="", tool_calls=calls, input_tokens=prompt_tokens, output_tokens=written, finish_reason="tool_calls"
        )
    text = _text(messages, response_format)
    short = _cut(text, max_tokens)
    return TestAnswer(
        text=short,
        input_tokens=prompt_tokens,
        output_tokens=count_tokens(short),
        finish_reason="stop" if short == text else "length",
    )


def chunks(text: str) -> Iterator[str]:
    """Cut an answer as a stream of it is cut: pieces of at most eight letters that join to the whole."""
    return (match[0] for match in _CHUNK.finditer(text))


def count_tokens(text: str) -> int:
    """Count words and punctuation marks: the test model's idea of tokens."""
    return sum(1 for _ in _TOKEN.finditer(text))


def text_of(content: Any) -> str:
    """Return the text of a message's content, which is a string, a list of parts or None."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or [] if isinstance(part, dict))


def _text(messages: list[dict[str, Any]], response_format: dict[str, Any] | None) -> str:
    system = "\n".join(text_of(m.get("content")) for m in messages if m.get("role") in {"system", "developer"})
    user = _last_user(messages)
    asked = dspy_prompts.read(system, user)
    if asked is not None:
        return dspy_prompts.write(asked, _field_values(asked, system, user))
    kind = (response_format or {}).get("type")
    if response_format and kind == "json_schema":
        schema = response_format.get("json_schema", {}).get("schema", {})
        return json.dumps(json_values.from_schema(schema, user), ensure_ascii=False)
    everything = "\n".join(text_of(message.get("content")) for message in messages)
    shown = _schema_in(everything) if kind == "json_object" or "json_schema" in everything else None
    if shown is not None:
        return json.dumps(json_values.from_schema(shown, user), ensure_ascii=False)
    if kind == "json_object":
        return json.dumps({"model": NAME, "quote": _quote(user)}, ensure_ascii=False)
    seen = "".join(f" With it came {one}." for one in _images(messages))
    return f'This is {NAME}, the built-in test model; no language model was asked. You wrote: "{user}"{seen}'


def _field_values(asked: dspy_prompts.Asked, system: str, user: str) -> dict[str, Any]:
    question = user[: user.rfind("Respond with ")]
    values = {}
    observed = test_agent.observed(question)
    for one in asked.fields:
        text = f"{NAME} answers {one.name} for: {_quote(question)}"
        if observed:
            text = f"{NAME} has observed: {observed}"
        if one.name in _THINKING:
            text = f"{NAME} does not think; it fills each field with a value of the right type."
        values[one.name] = dspy_prompts.sample(one, question, text)
    if "next_tool_name" in values:
        values.update(test_agent.step(system, question))
    return values


def _tool_calls(messages: list[dict[str, Any]], tools: list[dict[str, Any]], choice: Any) -> list[dict[str, Any]]:
    functions = {tool["function"]["name"]: tool["function"] for tool in tools if "function" in tool}
    name = _chosen_tool(messages, list(functions), choice)
    if name is None:
        return []
    user = _last_user(messages)
    arguments = json_values.from_schema(functions[name].get("parameters") or {"type": "object"}, user)
    call = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    number = sum(len(message.get("tool_calls") or []) for message in messages) + 1
    return [{"id": f"call_test_{number}", "type": "function", "function": call}]


def _chosen_tool(messages: list[dict[str, Any]], names: list[str], choice: Any) -> str | None:
    if not names or choice == "none":
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or choice).get("name")
        return wanted if wanted in names else names[0]
    answered = messages[-1].get("role") == "tool"
    last = next((name for name in test_agent.LAST_STEPS if name in names), None)
    if answered:
        return last or (names[0] if choice == "required" else None)
    return next((name for name in names if name != last), last)


def _images(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what each image is: its address, or the kind and size of its bytes."""
    for message in messages:
        for part in message.get("content") or []:
            if isinstance(part, dict) and part.get("type") == "image_url":
                head, _, packed = str(part["image_url"]["url"]).partition(";base64,")
                size = len(packed) * 3 // 4 - packed[-2:].count("=")
                yield f"{size} bytes of {head.removeprefix('data:')}" if packed else head


def _schema_in(text: str) -> dict[str, Any] | None:
    """Return the first JSON Schema of an object that the text shows."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            shown, _ = decoder.raw_decode(text, match.start())
        except ValueError:
            continue
        if isinstance(shown, dict) and ("properties" in shown or "$ref" in shown):
            return shown
    return None


def _last_user(messages: list[dict[str, Any]]) -> str:
    users = (message for message in reversed(messages) if message.get("role") == "user")
    return next((text_of(message.get("content")) for message in users), "")


def _quote(text: str) -> str:
    """Return the text on one line, short and without signs that mean something to an adapter."""
    plain = re.sub(r"\[\[ ## \w+ ## \]\]|</?\w+>", " ", text)
    line = " ".join(re.sub(r"[<>\[\]{}`\"]", "", plain).split())
    return line if len(line) <= _QUOTE_LENGTH else line[: _QUOTE_LENGTH - 3] + "..."


def _cut(text: str, max_tokens: int | None) -> str:
    if max_tokens is None:
        return text
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number == max_tokens:
            return text[: match.start()].rstrip()
    return text
