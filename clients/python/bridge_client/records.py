"""What calls return: plain immutable records, free of protobuf.

Units are in the names. Fields that a newer server adds are not seen here until the client knows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from bridge_client.receipts import BudgetState, ModelAnswer, ModelUsage, NestedCall, NestedCalls, Receipt, RouteName

__all__ = ["BudgetState", "ModelAnswer", "ModelUsage", "NestedCall", "NestedCalls", "Receipt", "RouteName"]

ValueT = TypeVar("ValueT")

HealthStatus = Literal["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAlternative:
    """One way to answer the calls of a route."""

    label: str
    """Its name in receipts and figures."""
    function: str
    """Empty where the alternatives are models."""
    pool: str
    model: str
    """Empty where the alternatives are functions."""
    weight: float
    """Its share of the calls, by comparison with the others."""
    shadow: float
    """The share of calls of which it gets a copy, whose answer is compared and thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInfo:
    """How the calls of a name are answered: by the best of several alternatives."""

    name: str
    choose: str
    """By what: ``weights``, ``latency``, ``cost`` or ``success``."""
    alternatives: tuple[RouteAlternative, ...]
    fallback: tuple[str, ...]
    """What is asked, one after the other, when the alternatives have failed."""
    attempts: int
    """At a call, the first included."""
    hedged: bool
    """Whether a second attempt may run beside the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """One function of the server's catalogue. `functions()` leaves schemas and example empty; `describe()` has them."""

    name: str
    kind: str
    """``function``, ``program`` or ``builtin``."""
    doc: str
    pool: str
    placement: str
    """``native``, ``pooled`` or ``auto``."""
    streaming: bool
    idempotent: bool
    arguments_schema: Mapping[str, Any]
    """JSON Schema of the arguments."""
    result_schema: Mapping[str, Any]
    """JSON Schema of the result, or of one item of the stream."""
    example: Mapping[str, Any]
    """Arguments that fit, to start from: ``client.call(info.name, **info.example)``."""
    route: RouteInfo | None = None
    """How its calls are answered, where it has a route."""
    model_routes: tuple[RouteInfo, ...] = ()
    """Where its calls name a language model: how those are answered whose model has a route."""
    pure: bool = False
    """Whether it is declared to depend on its arguments alone and to change nothing."""
    thread_safe: bool = False
    module: str = ""
    """The module of the app that it came from, such as ``pricing`` for ``shop/pricing.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """A tool that a client hosts."""

    name: str
    description: str
    arguments_schema: Mapping[str, Any]
    on_error: str
    """``observe``: the model is told of a failure; ``abort``: the run ends with it."""
    timeout_ms: int
    """How long a call may take; 0 for as long as the run may."""
    max_concurrent: int
    """Calls that may run at a time; 0 for as many as the registration may have."""
    idempotent: bool
    registration: str
    connected: bool
    """Whether its host is connected."""
    open_calls: int
    """Calls that are open, those that wait included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramInfo:
    """One DSPy program. `list()` leaves schemas and example empty; `describe()` has them.

    `version` is the one of a created program that serves; 0 for a program of the app.
    """

    name: str
    doc: str
    signature: str
    module: str
    pool: str
    inputs_schema: Mapping[str, Any]
    outputs_schema: Mapping[str, Any]
    example: Mapping[str, Any]
    version: int = 0


class Outputs(Mapping[str, Any]):
    """A program's outputs: ``outputs["queue"]`` and ``outputs.queue`` are the same.

    A field with the name of a mapping's method (``items``, ``keys``, ``values``, ``get``) is reached by item only.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_fields":  # asked for by copy and pickle, before there are fields
            raise AttributeError(name)
        try:
            return self._fields[name]
        except KeyError:
            msg = f"expected one of the outputs {sorted(self._fields)}, got {name!r}"
            raise AttributeError(msg) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Outputs({', '.join(f'{name}={value!r}' for name, value in self._fields.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish that a tool be called; the caller calls it."""

    id: str
    name: str
    arguments: str
    """JSON text. The model wrote it: it may not fit the tool's schema, or not be JSON at all."""

    def parsed(self) -> Any:
        """The arguments as an object. Raises ValueError where the model did not write JSON."""
        return json.loads(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that a model is shown: an address, which the provider gets as it is, or bytes."""

    url: str = ""
    data: bytes = b""
    media_type: str = ""
    """Such as ``image/png``; empty to leave it to the bytes."""
    detail: Literal["auto", "low", "high"] = "auto"
    """How closely the model is to look; ``high`` only with bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Sequence[str | Image] = ""
    """A text, or texts and images in their order."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may ask for."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A model's whole answer; the last event of a stream."""

    text: str
    finish_reason: str
    """``stop``, ``length``, ``tool_calls``, ``content_filter`` or ``unspecified``."""
    model: str
    usage: ModelUsage
    tool_calls: tuple[ToolCall, ...]

    def message(self) -> Message:
        """The answer as a turn, to go on with the conversation."""
        return Message(role="assistant", content=self.text, tool_calls=self.tool_calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """Text that a model has added to its answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A part of a tool call that a model is still writing; parts with the same index join to one call."""

    index: int
    id: str
    """On the first part of a call, as `name`."""
    name: str
    arguments: str
    """JSON text that is added."""


GenerationEvent = TextDelta | ToolCallDelta | Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction(Generic[ValueT]):
    """An answer that fits its schema."""

    value: ValueT
    model: str
    usage: ModelUsage
    attempts: int
    """How many times the model was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """One vector per text, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    model: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarities:
    """Scores of texts against texts."""

    rows: tuple[tuple[float, ...], ...]
    """With ``pairwise`` one row with a score per pair; else a row per left text with a score per right text."""
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """One metric."""

    name: str
    doc: str
    parameters_schema: Mapping[str, Any]
    placement: str
    pool: str
    available: bool
    missing_extra: str
    """The extra to install on the server where the metric is not available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A score and the parts that it is made from."""

    value: float
    details: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The score of one prediction."""

    value: float
    details: Mapping[str, float]
    parameters: Mapping[str, Any]
    """The parameters that were used, defaults included."""
    signature: str
    """The library's signature string, which makes the score reproducible; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScore:
    """The scores of many predictions."""

    scores: tuple[MetricValue, ...]
    aggregate: MetricValue
    """All examples together: the corpus score where the metric defines one, else the mean."""
    parameters: Mapping[str, Any]
    signature: str
