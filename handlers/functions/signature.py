"""A Python signature -> schemas of arguments and result, and how the function is run.

Owns no state; knows nothing of payloads and calls.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

from handlers.loading import LoadFailed
from handlers.schema import ArgumentsSchema, Field, ResultSchema
from handlers.schemas.wire_types import UnsupportedType

if TYPE_CHECKING:
    from collections.abc import Callable

_SYNC_STREAMS = (collections.abc.Iterator, collections.abc.Generator)
_ASYNC_STREAMS = (collections.abc.AsyncIterator, collections.abc.AsyncGenerator)
_LISTS = (list, collections.abc.Sequence)
_ITEMS = (*_SYNC_STREAMS, *_ASYNC_STREAMS, collections.abc.Iterable, collections.abc.AsyncIterable)
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "*{}: expected named parameters; take a list instead",
    inspect.Parameter.VAR_KEYWORD: "**{}: expected named parameters; take a dict instead",
    inspect.Parameter.POSITIONAL_ONLY: "{}: expected a parameter that can be given by name; remove the '/'",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """All that can be known of a function before it is called."""

    arguments: ArgumentsSchema
    result: ResultSchema
    """Of what it returns, or of one item of what it streams."""
    streaming: bool
    is_async: bool
    returns_awaitable: bool
    """An `async def` without yield: its coroutine is awaited first, even where it gives an asynchronous iterator."""
    raw_parameter: str | None
    """The parameter that raw bytes go to: the only one of type bytes, where all others have defaults."""
    raw_is_plain: bool
    """Whether raw bytes need no validation."""


def inspect_signature(function: Callable[..., Any], name: str, *, batched: bool = False) -> Signature:
    """Return the schemas of a function, or of one entry of its lists where it is `batched`.

    Raises LoadFailed, naming the function, where it can not be served.
    """
    try:
        parameters = inspect.signature(function).parameters
        hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except NameError as error:
        raise _refused(name, f"an annotation names {error.name!r}, which its module does not have") from error
    except (TypeError, ValueError) as error:
        raise _refused(name, str(error)) from error
    if batched:
        if not parameters:
            raise _refused(name, "it is batched, so it must take at least one list")
        hints = {key: _entry(name, key, hint) for key, hint in hints.items()}
    fields = {key: _field(name, parameter, hints) for key, parameter in parameters.items()}
    if batched:
        fields = {key: _entry_field(name, key, field, key in hints) for key, field in fields.items()}
    streaming, is_async, awaitable = _shape(function, hints.get("return"))
    result = _item(hints.get("return", Any)) if streaming else hints.get("return", Any)
    raw, plain = _raw_parameter(fields)
    try:
        return Signature(
            arguments=ArgumentsSchema.of_fields(name, fields),
            result=ResultSchema.of_annotation(result),
            streaming=streaming,
            is_async=is_async,
            returns_awaitable=awaitable,
            raw_parameter=raw,
            raw_is_plain=plain,
        )
    except UnsupportedType as error:
        raise _refused(name, str(error)) from error


def _entry(name: str, key: str, hint: Any) -> Any:
    """Return the type of one entry of a list that a batched function takes or returns."""
    what = "its result" if key == "return" else key
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) not in _LISTS or len(arguments) != 1:
        shown = getattr(hint, "__name__", None) if not arguments else None
        raise _refused(name, f"it is batched, so {what} must be a list such as list[str], not {shown or hint}")
    if key != "return" or typing.get_origin(arguments[0]) not in (typing.Union, types.UnionType):
        return arguments[0]
    kept = [one for one in typing.get_args(arguments[0]) if not (isinstance(one, type) and issubclass(one, Exception))]
    return typing.Union[tuple(kept)] if kept else Any  # noqa: UP007


def _entry_field(name: str, key: str, field: Field, annotated: bool) -> Field:
    """Return one entry of a parameter; callers may leave out what may be None."""
    if not annotated:
        raise _refused(name, f"it is batched, so {key} must be annotated as a list, such as {key}: list[str]")
    if field.default is not ...:
        raise _refused(name, f"it is batched, so {key} can have no default; let its entries be None instead")
    optional = type(None) in typing.get_args(field.annotation)
    return Field(annotation=field.annotation, default=None if optional else ...)


def _field(name: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> Field:
    if parameter.kind in _REFUSED:
        raise _refused(name, _REFUSED[parameter.kind].format(parameter.name))
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    annotation = hints.get(parameter.name, Any)
    if default is None and annotation is not Any:
        annotation = annotation | None if isinstance(annotation, type) else typing.Optional[annotation]  # noqa: UP045
    return Field(annotation=annotation, default=default)


def _shape(function: Callable[..., Any], returned: Any) -> tuple[bool, bool, bool]:
    """Return (streaming, asynchronous, returns an awaitable)."""
    if inspect.isasyncgenfunction(function):
        return True, True, False
    origin = typing.get_origin(returned) or returned
    awaitable = inspect.iscoroutinefunction(function)
    streams_async = origin in _ASYNC_STREAMS
    streaming = inspect.isgeneratorfunction(function) or origin in _SYNC_STREAMS or streams_async
    return streaming, awaitable or streams_async, awaitable


def _item(returned: Any) -> Any:
    """Return the annotation of one item of a stream; Any where the annotation does not say."""
    arguments = typing.get_args(returned)
    return arguments[0] if typing.get_origin(returned) in _ITEMS and arguments else Any


def _raw_parameter(fields: dict[str, Field]) -> tuple[str | None, bool]:
    def bare(annotation: Any) -> Any:
        return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation

    names = [name for name, field in fields.items() if bare(field.annotation) is bytes]
    required = [name for name, field in fields.items() if field.default is ...]
    if len(names) != 1 or any(name != names[0] for name in required):
        return None, False
    return names[0], fields[names[0]].annotation is bytes


def _refused(name: str, detail: str) -> LoadFailed:
    hint = "A leading underscore in its name keeps a function from being served."
    return LoadFailed(f"The function {name!r} can not be served: {detail}. {hint}")
