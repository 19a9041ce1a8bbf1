"""Reads DSPy signatures: their fields as typed fields, and their notation with types. Pure; imports dspy."""

from __future__ import annotations

import inspect
import types
from typing import Annotated, Any, get_args, get_origin

import dspy

from handlers.schema import Field

TEXT_ATTRIBUTES: dict[type, str] = {dspy.Reasoning: "content", dspy.Code: "code"}
"""DSPy's types that are nothing but a text, and where it is."""


def input_fields(signature: Any) -> dict[str, Field]:
    """Return a signature's inputs."""
    return {
        name: Field(
            annotation=_annotation(info),
            default=... if info.is_required() else info.get_default(call_default_factory=True),
            description=description(name, info),
        )
        for name, info in signature.input_fields.items()
    }


def field_types(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the types of a signature's inputs or outputs, with constraints and descriptions."""
    found = {}
    for name, info in fields.items():
        text = description(name, info)
        found[name] = Annotated[_annotation(info), Described(text)] if text else _annotation(info)
    return found


class Described(str):
    """The description of a field, as metadata of its type."""

    __slots__ = ()


def description(name: str, info: Any) -> str:
    """Return what the author wrote about a field; DSPy's placeholder counts as nothing."""
    text = str((info.json_schema_extra or {}).get("desc") or "")
    return "" if text == f"${{{name}}}" else text


def notation(inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
    """Write a signature in DSPy's notation, such as `ticket: str -> urgency: int`; `...` is an open object."""
    return f"{_side(inputs)} -> {_side(outputs)}"


def _side(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {shown(annotation)}" for name, annotation in fields.items()) or "..."


def shown(annotation: Any) -> str:
    """Write a type in DSPy's notation."""
    if get_origin(annotation) is Annotated:
        return shown(get_args(annotation)[0])
    if annotation is types.NoneType:
        return "None"
    if isinstance(annotation, types.UnionType):
        return " | ".join(shown(one) for one in get_args(annotation))
    if inspect.isclass(annotation) and get_origin(annotation) is None:
        return annotation.__qualname__
    origin, arguments = get_origin(annotation), get_args(annotation)
    if inspect.isclass(origin) and arguments and not repr(annotation).startswith("typing."):
        return f"{origin.__name__}[{', '.join('...' if one is ... else shown(one) for one in arguments)}]"
    return inspect.formatannotation(annotation)


def _annotation(info: Any) -> Any:
    if inspect.isclass(info.annotation) and any(issubclass(info.annotation, text) for text in TEXT_ATTRIBUTES):
        return str
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
