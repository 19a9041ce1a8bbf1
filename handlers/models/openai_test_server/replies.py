"""Bodies of OpenAI's HTTP API: completions, chunks of a stream, embeddings, images, errors.

Pure. The answers come from the built-in test model; a behaviour or a script bends them. Nothing here knows sockets.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.models import test_model, test_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.models.openai_test_server.behaviour import Behaviour, Scripted

_CREATED = 1767225600  # 2026-01-01, so that replies are the same every time
_DIMENSIONS = 64
_PROSE = "I would rather talk about the weather."
_REFUSAL = "I can not help with that."
_REASONING = "The test model does not think, it only shows where a thought would be."
_ERROR_TYPES = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_ERROR_TEXTS = {
    "context_length_exceeded": "This model's maximum context length is 8192 tokens. However, your messages resulted in"
    " 9000 tokens. Please reduce the length of the messages.",
    "content_policy_violation": "Your request was rejected as a result of our safety system.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a chat completion, before it is cast into one body or a stream."""

    id: str
    model: str
    message: dict[str, Any]
    finish_reason: str
    choices: int
    usage: dict[str, Any] | None


def chat(number: int, request: dict[str, Any], behaviour: Behaviour, scripted: Scripted | None) -> Reply:
    """Answer a chat completion request; `number` tells it from the others."""
    answer = test_model.answer(
        request["messages"],
        response_format=request.get("response_format"),
        tools=request.get("tools"),
        tool_choice=request.get("tool_choice"),
        max_tokens=request.get("max_completion_tokens") or request.get("max_tokens"),
    )
    text, calls, reason = answer.text, answer.tool_calls, str(answer.finish_reason)
    if scripted is not None and (scripted.text is not None or scripted.tool_calls):
        text, calls = scripted.text or "", scripted.tool_calls
        reason = "tool_calls" if calls else "stop"
    message, reason = _message(text, calls, reason, behaviour)
    count = int(request.get("n") or 1)
    written = count * test_model.count_tokens(_written(message))
    return Reply(
        id=f"chatcmpl-test-{number}",
        model=str(request.get("model", "")),
        message=message,
        finish_reason=reason,
        choices=count,
        usage=_usage(answer.input_tokens, written) if behaviour.usage else None,
    )


def body(reply: Reply) -> dict[str, Any]:
    """Return the reply as one body."""
    choice = {"message": reply.message, "finish_reason": reply.finish_reason, "logprobs": None}
    whole: dict[str, Any] = {
        **_head(reply, "chat.completion"),
        "choices": [{"index": index, **choice} for index in range(reply.choices)],
    }
    return {**whole, "usage": reply.usage} if reply.usage else whole


def chunks(reply: Reply, *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """Return the reply as the chunks of a stream. The usage, where it was asked for, is the last."""
    head = _head(reply, "chat.completion.chunk")
    for index in range(reply.choices):
        for delta in _deltas(reply.message):
            yield {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
        yield {**head, "choices": [{"index": index, "delta": {}, "finish_reason": reply.finish_reason}]}
    if include_usage and reply.usage:
        yield {**head, "choices": [], "usage": reply.usage}


def error(status: int, *, code: str | None = None, message: str | None = None) -> dict[str, Any]:
    """Return the body of a failure."""
    kind, usual = _ERROR_TYPES.get(status, ("server_error", None))
    text = message or _ERROR_TEXTS.get(code or "") or f"The test server fails with status {status}, as it was told to."
    return {"error": {"message": text, "type": kind, "param": None, "code": code or usual}}


def models() -> dict[str, Any]:
    """Return the list of models."""
    one = {"id": "test", "object": "model", "created": _CREATED, "owned_by": test_model.NAME}
    return {"object": "list", "data": [one]}


def embeddings(request: dict[str, Any]) -> dict[str, Any]:
    """Return one deterministic vector of length 1 per input."""
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    vectors = [_vector(str(text), int(request.get("dimensions") or _DIMENSIONS)) for text in inputs]
    packed = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(test_model.count_tokens(str(text)) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request.get("model", ""), "data": data, "usage": usage}


def images(number: int, request: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Return pictures: bytes, or addresses where those are asked for. They are not at the addresses."""
    prompt, count = str(request["prompt"]), int(request.get("n") or 1)
    data = []
    for index in range(count):
        if request.get("response_format") == "url":
            place = {"url": f"https://images.example/{number}/{index}.png"}
        else:
            drawn = test_pictures.draw(prompt, str(request.get("size") or ""), index)
            place = {"b64_json": base64.b64encode(drawn).decode()}
        data.append({**place, "revised_prompt": f"A test picture of: {prompt}"})
    read, written = test_model.count_tokens(prompt), test_pictures.TOKENS * count
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    details = {"input_tokens_details": {"text_tokens": read, "image_tokens": 0}}
    whole: dict[str, Any] = {"created": _CREATED, "data": data}
    return {**whole, "usage": {**usage, **details}} if behaviour.usage else whole


def _message(text: str, calls: list[dict[str, Any]], reason: str, behaviour: Behaviour) -> tuple[dict[str, Any], str]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    match behaviour.content:
        case "prose":
            message, reason = {"role": "assistant", "content": _PROSE}, "stop"
        case "empty":
            message, reason = {"role": "assistant", "content": ""}, "stop"
        case "refusal":
            message, reason = {"role": "assistant", "content": None, "refusal": _REFUSAL}, "stop"
        case "filtered":
            message, reason = {"role": "assistant", "content": None}, "content_filter"
        case "truncated":
            message, reason = _halve(message), "length"
        case "answer":
            pass
    if behaviour.reasoning:
        message["reasoning_content"] = _REASONING
    return message, reason


def _written(message: dict[str, Any]) -> str:
    arguments = [call["function"]["arguments"] for call in message.get("tool_calls", [])]
    return " ".join([message.get("content") or message.get("refusal") or "", *arguments])


def _halve(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if content:
        return {**message, "content": content[: len(content) // 2]}
    calls = [
        {**call, "function": {**call["function"], "arguments": call["function"]["arguments"][:-1]}}
        for call in message.get("tool_calls", [])
    ]
    return {**message, "tool_calls": calls}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in test_model.chunks(message.get("reasoning_content") or ""):
        yield {"reasoning_content": piece}
    for piece in test_model.chunks(message.get("content") or ""):
        yield {"content": piece}
    if message.get("refusal"):
        yield {"refusal": message["refusal"]}
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        start = {"index": index, "id": call["id"], "type": "function"}
        yield {"tool_calls": [{**start, "function": {"name": function["name"], "arguments": ""}}]}
        for piece in test_model.chunks(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": _CREATED, "model": reply.model}


def _usage(prompt: int, written: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _vector(text: str, dimensions: int) -> list[float]:
    numbers: list[float] = []
    block = 0
    while len(numbers) < dimensions:
        digest = hashlib.sha256(f"{block}|{text}".encode("utf-8", "replace")).digest()
        numbers += [byte / 127.5 - 1 for byte in digest]
        block += 1
    numbers = numbers[:dimensions]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
