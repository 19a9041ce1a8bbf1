"""Functions as the tools of an agent on the server: what it is told of them, and how they are called. Does no IO.

A function's parameters become a JSON Schema by msgspec, which also turns the arguments that come into values of the
annotated types.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
import time
import typing
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from bridge_client.v1 import tool_pb2

OnError = Literal["observe", "abort"]
Visibility = Literal["run", "session", "tenant"]
_POLICIES = {"observe": tool_pb2.TOOL_ERROR_POLICY_OBSERVE, "abort": tool_pb2.TOOL_ERROR_POLICY_ABORT}
VISIBILITIES = {
    "run": tool_pb2.TOOL_VISIBILITY_RUN,
    "session": tool_pb2.TOOL_VISIBILITY_SESSION,
    "tenant": tool_pb2.TOOL_VISIBILITY_TENANT,
}
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedCall:
    """A call of a tool that runs here; `current_tool_call` returns it."""

    id: int
    tool: str
    arguments: str
    """As JSON."""
    deadline: float
    """On the clock of `time.monotonic`."""
    traceparent: str = ""
    request_id: str = ""
    """That of the run."""
    session_id: str = ""
    resent: bool = False
    """Whether it was sent before, over a stream that has broken."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits for the call any more; an async function is cancelled as well."""

    def remaining(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self.deadline - time.monotonic())


_CURRENT: ContextVar[HostedCall] = ContextVar("bridge_client_tool_call")


def current_tool_call() -> HostedCall:
    """The call of a tool that runs here. Raises LookupError outside of one."""
    return _CURRENT.get()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedTool:
    """A function for an agent on the server to call. What is left out is taken from the function itself."""

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    schema: dict[str, Any] | None = None
    """JSON Schema of the arguments, an object; the arguments then come as plain JSON values."""
    on_error: OnError = "observe"
    """Whether a failure is told to the model, or ends the run."""
    timeout: float | None = None
    """Seconds that a call may take, its wait for its turn included."""
    max_concurrent: int = 0
    """Calls that may run at a time; 0 for as many as come."""
    idempotent: bool = False
    """Whether a call may run twice, so that it is sent again where a stream has broken."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or getattr(self.function, "__name__", "")

    def message(self) -> tool_pb2.HostedTool:
        """What the server is told. Raises TypeError for a function whose parameters have no schema."""
        schema = self.schema if self.schema is not None else schema_of(self.function)
        return tool_pb2.HostedTool(
            name=self.called,
            description=self.description or inspect.getdoc(self.function) or "",
            arguments_schema=msgspec.json.encode(schema).decode(),
            on_error=_POLICIES[self.on_error],
            timeout_ms=0 if self.timeout is None else max(1, round(self.timeout * 1000)),
            max_concurrent=self.max_concurrent,
            idempotent=self.idempotent,
        )

    def run(self, call: HostedCall) -> Any:
        """Call the function; an async one returns a coroutine. For the context that it is to run in."""
        _CURRENT.set(call)
        arguments = msgspec.json.decode(call.arguments)
        if self.schema is None:
            record = msgspec.convert(arguments, _record(self.function))
            arguments = {name: getattr(record, name) for name in record.__struct_fields__}
        return self.function(**arguments)

    @property
    def is_async(self) -> bool:
        """Whether it is to be awaited."""
        return asyncio.iscoroutinefunction(self.function)


def as_tool(given: HostedTool | Callable[..., Any]) -> HostedTool:
    """A tool as it is, or of a function."""
    return given if isinstance(given, HostedTool) else HostedTool(function=given)


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The JSON Schema of a function's parameters. Raises TypeError where they have none."""
    record = _record(function)
    (reference,), definitions = msgspec.json.schema_components([record])
    own: dict[str, Any] = definitions.pop(reference["$ref"].rpartition("/")[2].replace("~1", "/"))
    own.pop("title", None)
    if definitions:
        own["$defs"] = definitions
        own = msgspec.json.decode(msgspec.json.encode(own).replace(b"#/components/schemas/", b"#/$defs/"))
    return own


def _record(function: Callable[..., Any]) -> type[msgspec.Struct]:
    """The function's parameters as a record."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in _PLAIN:
            msg = f"a tool takes parameters by name; '{name}' of {function!r} is of another kind"
            raise TypeError(msg)
        kind = hints.get(name, Any)
        fields.append((name, kind) if parameter.default is parameter.empty else (name, kind, _Default(parameter)()))
    return msgspec.defstruct(getattr(function, "__name__", "Arguments"), fields, kw_only=True)


class _Default:
    """A default as msgspec takes it: one that can change is made anew for each call."""

    def __init__(self, parameter: inspect.Parameter) -> None:
        self._value = parameter.default

    def __call__(self) -> Any:
        if isinstance(self._value, list | dict | set | bytearray):
            return msgspec.field(default_factory=lambda: copy.copy(self._value))
        return self._value
