"""Requests of ModelService as conversations of `handlers.models.chat`, and answers back as responses.

Pure. Everything that a request can have wrong is said at once, one violation per field. Knows no provider.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from bridge.v1 import common_pb2, model_pb2
from handlers.contract import UsageRecord
from handlers.errors import BadInput, HandlerError
from handlers.models import images, pictures
from handlers.models.chat import ChatAnswer, ChatRequest, Extracted, Grown, Streamed, Way
from handlers.models.images import ImageAnswer, ImageRequest

_ROLES = {
    model_pb2.ROLE_UNSPECIFIED: "user",
    model_pb2.ROLE_SYSTEM: "system",
    model_pb2.ROLE_USER: "user",
    model_pb2.ROLE_ASSISTANT: "assistant",
    model_pb2.ROLE_TOOL: "tool",
}
_FINISH = {
    "stop": model_pb2.FINISH_REASON_STOP,
    "length": model_pb2.FINISH_REASON_LENGTH,
    "tool_calls": model_pb2.FINISH_REASON_TOOL_CALLS,
    "function_call": model_pb2.FINISH_REASON_TOOL_CALLS,
    "content_filter": model_pb2.FINISH_REASON_CONTENT_FILTER,
}
_TOOL_MODES = {
    model_pb2.TOOL_MODE_AUTO: "auto",
    model_pb2.TOOL_MODE_NONE: "none",
    model_pb2.TOOL_MODE_REQUIRED: "required",
}
_DETAILS = {model_pb2.IMAGE_DETAIL_LOW: "low", model_pb2.IMAGE_DETAIL_HIGH: "high"}
_DELIVERIES: dict[int, Literal["", "data", "url"]] = {
    model_pb2.IMAGE_DELIVERY_UNSPECIFIED: "",
    model_pb2.IMAGE_DELIVERY_DATA: "data",
    model_pb2.IMAGE_DELIVERY_URL: "url",
}
_WORD = re.compile(r"[\w:.-]{0,32}")
_RANGES = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "max_tokens": (1, 2**31 - 1)}
_CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""The names of gRPC's status codes, by number."""
MAX_RETRIES = 10
_USUAL_RETRIES = 2


def chat_request(request: Any, batch: Any = None) -> ChatRequest:
    """Read the conversation of any request of ModelService, or of a prompt of a batch. Raises BadInput."""
    wrong: list[tuple[str, str]] = []
    if not request.messages:
        wrong.append(("messages", "expected at least one message, got none"))
    messages = [_message(message, f"messages[{i}]", wrong) for i, message in enumerate(request.messages)]
    if (
        images := sum(part.HasField("image") for turn in request.messages for part in turn.parts)
    ) > pictures.MAX_IMAGES:
        wrong.append(("messages", f"expected at most {pictures.MAX_IMAGES} images, got {images}"))
    tools = [_tool(tool, f"tools[{i}]", wrong) for i, tool in enumerate(getattr(request, "tools", ()))]
    options = _options(request.options, wrong)
    if "tool_choice" in request.DESCRIPTOR.fields_by_name:
        options |= _tool_options(request, wrong)
    refuse(wrong)
    wish = request if batch is None else batch
    way = Way(cache=not wish.HasField("cache") or wish.cache)
    return ChatRequest(messages=messages, tools=tools, options=options, way=way)


def retries(request: Any) -> int:
    """Return how often to ask again. Raises BadInput."""
    if not request.HasField("max_retries"):
        return _USUAL_RETRIES
    if not 0 <= request.max_retries <= MAX_RETRIES:
        what = f"expected 0 to {MAX_RETRIES}, got {request.max_retries}"
        raise BadInput(f"The request is not valid: max_retries: {what}.", violations=(("max_retries", what),))
    return int(request.max_retries)


def generate_response(answer: ChatAnswer) -> model_pb2.GenerateResponse:
    """Return an answer as a message."""
    return model_pb2.GenerateResponse(
        text=answer.text,
        finish_reason=_FINISH.get(answer.finish_reason, model_pb2.FINISH_REASON_UNSPECIFIED),
        model=answer.model,
        usage=model_usage(answer.usage),
        tool_calls=[model_pb2.ToolCall(**call) for call in answer.tool_calls],
    )


def stream_generate_response(event: Streamed) -> model_pb2.StreamGenerateResponse:
    """Return an event of a stream as a message."""
    if isinstance(event, ChatAnswer):
        return model_pb2.StreamGenerateResponse(final=generate_response(event))
    if isinstance(event, str):
        return model_pb2.StreamGenerateResponse(text_delta=event)
    delta = model_pb2.ToolCallDelta(index=event.index, id=event.id, name=event.name, arguments_delta=event.arguments)
    return model_pb2.StreamGenerateResponse(tool_call_delta=delta)


def extract_response(found: Extracted) -> model_pb2.ExtractResponse:
    """Return an answer that fits its schema as a message."""
    return model_pb2.ExtractResponse(
        json=found.json_text, model=found.model, usage=model_usage(found.usage), attempts=found.attempts
    )


def stream_extract_response(event: Grown | Extracted) -> model_pb2.StreamExtractResponse:
    """Return an event of an extraction as a message."""
    if isinstance(event, Extracted):
        return model_pb2.StreamExtractResponse(final=extract_response(event))
    place: dict[str, Any] = {"number": event.number, "attempt": event.attempt, "json": event.json_text}
    if event.index is None:
        return model_pb2.StreamExtractResponse(partial=model_pb2.PartialAnswer(**place))
    return model_pb2.StreamExtractResponse(item=model_pb2.AnswerItem(**place, index=event.index))


def image_request(request: model_pb2.GenerateImagesRequest) -> ImageRequest:
    """Read what images are to show. Raises BadInput."""
    wrong: list[tuple[str, str]] = []
    if not request.prompt.strip():
        wrong.append(("prompt", "expected a text that says what the images show, got none"))
    if len(request.prompt) > images.MAX_PROMPT:
        wrong.append(("prompt", f"expected at most {images.MAX_PROMPT} characters, got {len(request.prompt)}"))
    if not 0 <= request.count <= images.MAX_IMAGES:
        wrong.append(("count", f"expected 0 to {images.MAX_IMAGES}, got {request.count}"))
    wrong += [
        (name, f"expected a word of at most 32 letters and digits, got {word[:40]!r}")
        for name, word in (("size", request.size), ("quality", request.quality))
        if not _WORD.fullmatch(word)
    ]
    if request.delivery not in _DELIVERIES:
        wrong.append(("delivery", f"expected an ImageDelivery, got {request.delivery}"))
    refuse(wrong)
    return ImageRequest(
        prompt=request.prompt,
        count=request.count or 1,
        size=request.size,
        quality=request.quality,
        delivery=_DELIVERIES[request.delivery],
    )


def images_response(answer: ImageAnswer) -> model_pb2.GenerateImagesResponse:
    """Return images as a message."""
    made = [
        model_pb2.GeneratedImage(
            **({"data": one.data} if one.data else {"url": one.url}),
            media_type=one.media_type,
            revised_prompt=one.revised_prompt,
        )
        for one in answer.images
    ]
    return model_pb2.GenerateImagesResponse(images=made, model=answer.model, usage=model_usage(answer.usage))


def refuse(wrong: list[tuple[str, str]]) -> None:
    """Raise BadInput with what is wrong, if anything is."""
    if wrong:
        listed = "; ".join(f"{path}: {what}" for path, what in wrong)
        raise BadInput(f"The request is not valid: {listed}.", violations=tuple(wrong))


def failure(error: HandlerError) -> model_pb2.Failure:
    """Return the failure of one part of a call as a message."""
    return model_pb2.Failure(
        code=_CODES.index(error.code),
        reason=error.reason,
        message=str(error),
        metadata=error.metadata,
        violations=[model_pb2.FieldViolation(field=path, description=what) for path, what in error.violations],
        retry_after_s=error.retry_after_s,
    )


def model_usage(usage: UsageRecord) -> common_pb2.ModelUsage:
    """Return a usage record as a message."""
    return common_pb2.ModelUsage(
        model=usage.model,
        calls=usage.calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        cost_usd=usage.cost_usd,
        cached_calls=usage.cached_calls,
        unpriced_calls=usage.unpriced_calls,
    )


def _message(message: model_pb2.Message, path: str, wrong: list[tuple[str, str]]) -> dict[str, Any]:
    role = _ROLES.get(message.role)
    if role is None:
        wrong.append((f"{path}.role", f"expected a Role, got {message.role}"))
    made: dict[str, Any] = {"role": role, "content": message.content}
    if message.parts:
        made["content"] = _content(message, role or "", path, wrong)
    if role == "tool":
        if not message.tool_call_id:
            wrong.append((f"{path}.tool_call_id", "a turn of a tool says which call it answers, got none"))
        made["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        if role != "assistant":
            wrong.append((f"{path}.tool_calls", f"only a turn of the model has tool calls, this one is of the {role}"))
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return made


def _content(message: model_pb2.Message, role: str, path: str, wrong: list[tuple[str, str]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"type": "text", "text": message.content}] if message.content else []
    for number, part in enumerate(message.parts):
        place = f"{path}.parts[{number}]"
        kind = part.WhichOneof("part")
        if kind == "text":
            made.append({"type": "text", "text": part.text})
        elif kind is None:
            wrong.append((place, "expected text or an image, got nothing"))
        elif role != "user":
            wrong.append((f"{place}.image", f"only a turn of the user has images, this one is of the {role}"))
        else:
            made.append(_image(part.image, f"{place}.image", wrong))
    return made


def _image(image: model_pb2.ImageInput, path: str, wrong: list[tuple[str, str]]) -> dict[str, Any]:
    detail = _DETAILS.get(image.detail)
    if image.WhichOneof("source") == "url":
        if problem := pictures.wrong_address(image.url):
            wrong.append((f"{path}.url", problem))
        if image.media_type:
            wrong.append((f"{path}.media_type", "expected none beside an address"))
        if detail == "high":  # LiteLLM would fetch it to count its tokens
            wrong.append((f"{path}.detail", "an address can not be looked at in high detail; send the bytes as data"))
        return pictures.as_part(image.url, detail)
    if problem := pictures.wrong_bytes(image.data, image.media_type):
        wrong.append((f"{path}.data", problem))
        return {}
    return pictures.as_part(pictures.data_url(image.data), detail)


def _tool(tool: model_pb2.Tool, path: str, wrong: list[tuple[str, str]]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if not tool.name:
        wrong.append((f"{path}.name", "expected a name, got none"))
    try:
        function["parameters"] = json.loads(tool.parameters_schema or '{"type": "object", "properties": {}}')
    except (ValueError, RecursionError) as error:
        wrong.append((f"{path}.parameters_schema", f"expected a JSON Schema, got text that is not JSON: {error}"))
    else:
        if not isinstance(function["parameters"], dict):
            wrong.append((f"{path}.parameters_schema", "expected a JSON object"))
    return {"type": "function", "function": function}


def _tool_options(request: Any, wrong: list[tuple[str, str]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    names = [tool.name for tool in request.tools]
    choice = request.tool_choice
    if choice.WhichOneof("choice") == "name":
        if choice.name not in names:
            wrong.append(
                ("tool_choice.name", f"expected one of the tools ({', '.join(names) or 'none'}), got {choice.name!r}")
            )
        made["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.mode:
        mode = _TOOL_MODES.get(choice.mode)
        if mode is None:
            wrong.append(("tool_choice.mode", f"expected a ToolMode, got {choice.mode}"))
        elif mode == "required" and not names:
            wrong.append(("tool_choice.mode", "a tool must be called, and there are none"))
        elif names:  # providers refuse a choice among no tools
            made["tool_choice"] = mode
    if names and request.HasField("parallel_tool_calls"):
        made["parallel_tool_calls"] = request.parallel_tool_calls
    return made


def _options(options: model_pb2.GenerationOptions, wrong: list[tuple[str, str]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in ("temperature", "top_p", "max_tokens", "seed"):
        if options.HasField(name):
            made[name] = getattr(options, name)
    for name, (low, high) in _RANGES.items():
        if name in made and not low <= made[name] <= high:
            wrong.append((f"options.{name}", f"expected {low:g} to {high:g}, got {made[name]:g}"))
    if options.stop:
        made["stop"] = list(options.stop)
    return made
