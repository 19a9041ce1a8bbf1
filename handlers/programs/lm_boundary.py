"""Language models of programs at the boundary of their call: what they are asked and answer can be written down.

Owns no state. Costs a look at a context variable where nobody does so.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import dspy
from dspy.clients.call_result import attributes
from dspy.clients.legacy_outputs import plain

from handlers.boundary import BOUNDARY, Shape
from handlers.loop_calls import current_loop_calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_OUTPUTS = Shape(plain, attributes)
_MARK = "bridge_boundary"


def _request(lm: Any, prompt: Any, messages: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    settings = {**lm.kwargs, **kwargs}
    sent = {name: value for name, value in settings.items() if not name.startswith("api_") and value is not None}
    asked = {"prompt": prompt} if messages is None else {"messages": messages}
    return {"model": lm.model, **asked, "settings": sent}


def passing(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let the calls of a model, as code that is not async makes them, go by the boundary of their call."""

    @functools.wraps(call)
    def through(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        boundary = BOUNDARY.get()
        if boundary is None or current_loop_calls() is not None:  # it goes over the loop, by `acall`
            return call(self, prompt, messages=messages, **kwargs)
        request = _request(self, prompt, messages, kwargs)
        return boundary.through("lm", request, lambda: call(self, prompt, messages=messages, **kwargs), _OUTPUTS)

    setattr(through, _MARK, True)
    return through


def passing_async(acall: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Let the calls of a model, as async code makes them, go by the boundary of their call."""

    @functools.wraps(acall)
    async def through(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        boundary = BOUNDARY.get()
        if boundary is None:
            return await acall(self, prompt, messages=messages, **kwargs)
        request = _request(self, prompt, messages, kwargs)
        return await boundary.athrough(
            "lm", request, lambda: acall(self, prompt, messages=messages, **kwargs), _OUTPUTS
        )

    setattr(through, _MARK, True)
    return through


def watch_every_model() -> None:
    """Let models that the app has made itself go by the boundary too, for the rest of this process."""
    base = dspy.BaseLM
    if not hasattr(base.__call__, _MARK):
        base.__call__ = _own(base.__call__)
        base.acall = passing_async(base.acall)


def _own(call: Callable[..., Any]) -> Callable[..., Any]:
    """Do as `passing`, for a model that no loop is asked for: in a thread it is called right there."""

    @functools.wraps(call)
    def through(self: Any, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        boundary = BOUNDARY.get()
        if boundary is None:
            return call(self, prompt, messages=messages, **kwargs)
        request = _request(self, prompt, messages, kwargs)
        return boundary.through("lm", request, lambda: call(self, prompt, messages=messages, **kwargs), _OUTPUTS)

    setattr(through, _MARK, True)
    return through
