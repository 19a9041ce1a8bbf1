"""What a caller may write as a conversation, as tools and as a schema, turned into the bridge's messages. Pure.

Takes the records of this package and the dictionaries that the OpenAI API has made usual, so that code and data written
for one work with the other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from bridge_client.errors import UnexpectedReply
from bridge_client.records import Image, Message, Tool, ToolCall
from bridge_client.v1 import model_pb2

ValueT = TypeVar("ValueT")

Conversation = str | Sequence[Message | Mapping[str, Any]]
"""A text, which is one turn of the user, or turns, oldest first."""

_ROLES = {
    "system": model_pb2.ROLE_SYSTEM,
    "developer": model_pb2.ROLE_SYSTEM,
    "user": model_pb2.ROLE_USER,
    "assistant": model_pb2.ROLE_ASSISTANT,
    "tool": model_pb2.ROLE_TOOL,
}

_MODES = {
    "auto": model_pb2.TOOL_MODE_AUTO,
    "none": model_pb2.TOOL_MODE_NONE,
    "required": model_pb2.TOOL_MODE_REQUIRED,
}
_DETAILS = {
    "auto": model_pb2.IMAGE_DETAIL_UNSPECIFIED,
    "low": model_pb2.IMAGE_DETAIL_LOW,
    "high": model_pb2.IMAGE_DETAIL_HIGH,
}


def to_messages(conversation: Conversation) -> list[model_pb2.Message]:
    """The turns of a conversation. Raises TypeError or ValueError and says which turn is wrong."""
    if isinstance(conversation, str):
        return [model_pb2.Message(role=model_pb2.ROLE_USER, content=conversation)]
    return [_to_message(index, turn) for index, turn in enumerate(conversation)]


def _to_message(index: int, turn: Any) -> model_pb2.Message:
    role: Any
    content: Any
    if isinstance(turn, Message):
        role, content, calls, answers = turn.role, turn.content, turn.tool_calls, turn.tool_call_id
    elif isinstance(turn, Mapping):
        role, content = turn.get("role"), turn.get("content") or ""
        calls, answers = turn.get("tool_calls") or (), turn.get("tool_call_id") or ""
    else:
        msg = f"expected a Message or a dictionary at messages[{index}], got {type(turn).__name__}"
        raise TypeError(msg)
    if role not in _ROLES:
        msg = f"expected a role of {', '.join(_ROLES)} at messages[{index}], got {role!r}"
        raise ValueError(msg)
    parts: list[model_pb2.ContentPart] = []
    if not isinstance(content, str):
        if not isinstance(content, Sequence):
            msg = f"expected text, or texts and images, as content of messages[{index}], got {type(content).__name__}"
            raise TypeError(msg)
        place = f"messages[{index}].content"
        content, parts = "", [_to_part(f"{place}[{number}]", part) for number, part in enumerate(content)]
    return model_pb2.Message(
        role=_ROLES[role],
        content=content,
        tool_calls=[_to_tool_call(call) for call in calls],
        tool_call_id=answers,
        parts=parts,
    )


def _to_part(place: str, part: Any) -> model_pb2.ContentPart:
    """A part of a turn: a text, an `Image`, or a dictionary of the OpenAI API."""
    if isinstance(part, str):
        return model_pb2.ContentPart(text=part)
    if isinstance(part, Image):
        return model_pb2.ContentPart(image=_to_image(part))
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return model_pb2.ContentPart(text=part["text"])
    if kind == "image_url":
        inner = part["image_url"]
        head, packed, data = inner["url"].partition(";base64,")
        detail: Any = inner.get("detail") or "auto"
        if packed and head.startswith("data:"):
            made = Image(data=base64.b64decode(data), media_type=head.removeprefix("data:"), detail=detail)
        else:
            made = Image(url=inner["url"], detail=detail)
        return model_pb2.ContentPart(image=_to_image(made))
    msg = f"expected a text, an Image or a part of type text or image_url at {place}, got {kind or type(part).__name__}"
    raise TypeError(msg)


def _to_image(image: Image) -> model_pb2.ImageInput:
    detail = _DETAILS[image.detail]
    if image.url and not image.data:
        return model_pb2.ImageInput(url=image.url, media_type=image.media_type, detail=detail)
    return model_pb2.ImageInput(data=image.data, media_type=image.media_type, detail=detail)


def _to_tool_call(call: ToolCall | Mapping[str, Any]) -> model_pb2.ToolCall:
    if isinstance(call, ToolCall):
        return model_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)
    inner = call.get("function", call)
    return model_pb2.ToolCall(id=call.get("id", ""), name=inner["name"], arguments=inner.get("arguments", ""))


def to_tools(tools: Sequence[Tool | Mapping[str, Any]]) -> list[model_pb2.Tool]:
    """Tools from records or from dictionaries with ``name``, ``description`` and ``parameters``."""
    return [_to_tool(index, tool) for index, tool in enumerate(tools)]


def _to_tool(index: int, tool: Tool | Mapping[str, Any]) -> model_pb2.Tool:
    if isinstance(tool, Tool):
        name, description, parameters = tool.name, tool.description, tool.parameters
    else:
        inner = tool.get("function", tool)
        if not isinstance(inner, Mapping) or "name" not in inner:
            msg = f"expected a Tool or a dictionary with a name at tools[{index}], got {tool!r}"
            raise TypeError(msg)
        name, description, parameters = inner["name"], inner.get("description", ""), inner.get("parameters", {})
    return model_pb2.Tool(name=name, description=description, parameters_schema=json.dumps(dict(parameters)))


def to_choice(choice: str | None) -> model_pb2.ToolChoice | None:
    """Whether tools must be called: ``auto``, ``none``, ``required``, or the name of the one that must be."""
    if choice is None:
        return None
    mode = _MODES.get(choice)
    return model_pb2.ToolChoice(name=choice) if mode is None else model_pb2.ToolChoice(mode=mode)


def to_options(
    *,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int | None,
    stop: str | Sequence[str],
    seed: int | None,
) -> model_pb2.GenerationOptions:
    """Options of a generation; what is None stays unset."""
    return model_pb2.GenerationOptions(
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        stop=[stop] if isinstance(stop, str) else list(stop),
        seed=seed,
    )


def to_schema(wanted: type[ValueT] | Mapping[str, Any]) -> tuple[str, Callable[[str], Any]]:
    """The JSON Schema of what is wanted, as text, and how to read an answer that fits it.

    A dictionary is a JSON Schema itself and is answered by a dictionary. A pydantic model, dataclass, TypedDict,
    NamedTuple or msgspec Struct gives its own schema and is answered by an instance, a list of one of them by a list.
    Raises TypeError for others.
    """
    if isinstance(wanted, Mapping):
        return json.dumps(dict(wanted)), _checked(msgspec.json.decode)
    model: Any = wanted
    if hasattr(model, "model_json_schema"):  # pydantic, without importing it
        return json.dumps(model.model_json_schema()), _checked(model.model_validate_json)
    if get_origin(model) is list and hasattr(get_args(model)[0], "model_json_schema"):
        return _list_of_models(get_args(model)[0])
    try:
        schema = _one_level(msgspec.json.schema(model))
    except (TypeError, RuntimeError) as error:
        msg = f"expected a JSON Schema, a pydantic model, a dataclass or a TypedDict, got {wanted!r}: {error}"
        raise TypeError(msg) from error
    return json.dumps(schema), _checked(msgspec.json.Decoder(model).decode)


def to_item_reader(wanted: type[Any] | Mapping[str, Any]) -> Callable[[str], Any]:
    """How one item of an answer is read where a list is wanted: as ``Person`` for ``list[Person]``."""
    of_items = get_args(wanted)
    if get_origin(wanted) is not list or not of_items:
        return _checked(msgspec.json.decode)
    model: Any = of_items[0]
    if hasattr(model, "model_json_schema"):
        return _checked(model.model_validate_json)
    return _checked(msgspec.json.Decoder(model).decode)


def _list_of_models(model: Any) -> tuple[str, Callable[[str], Any]]:
    """The schema and the reader of a list of pydantic models."""
    inner = dict(model.model_json_schema())
    shared = {"$defs": inner.pop("$defs")} if "$defs" in inner else {}

    def read(text: str) -> Any:
        return [model.model_validate(one) for one in msgspec.json.decode(text)]

    return json.dumps({"type": "array", "items": inner, **shared}), _checked(read)


def _one_level(schema: dict[str, Any]) -> dict[str, Any]:
    """Msgspec's schema with the wanted object at the top, as the bridge asks for, and the others in ``$defs``."""
    definitions: dict[str, Any] = dict(schema.get("$defs", {}))
    reference = schema.get("$ref", "")
    name = reference.removeprefix("#/$defs/")
    if not reference or name not in definitions:
        return schema
    return {**definitions[name], "$defs": definitions}


def _checked(decode: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return decode(text)
        except (ValueError, msgspec.MsgspecError) as error:  # msgspec's is not always a ValueError
            msg = f"the answer fits the schema but not its Python type: {error}"
            raise UnexpectedReply(msg) from error

    return read
