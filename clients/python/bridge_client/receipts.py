"""What a call cost, as plain immutable records, free of protobuf. Units are in the names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RouteName = Literal["native", "pooled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """Use of one language model."""

    model: str
    """The model as its provider knows it; ``bridge/test`` is the built-in test model."""
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float | None
    """US dollars for the calls whose price is known; None where there are none."""
    cached_calls: int = 0
    """Of the calls, those whose answer, or a part of whose prompt, came out of a cache."""
    unpriced_calls: int = 0
    """Of the calls, those whose price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """Which model answered a request, and why, where it was not plainly the one that was asked for."""

    model: str
    """By its name in the server's configuration."""
    cause: str
    """``fallback``; ``cache``: it was kept; ``shared``: another call asked the same at the time."""
    passed: tuple[str, ...]
    """Models that were to answer before it, each as ``NAME: REASON`` of its failure."""
    age_ms: int
    """Since the answer was made, where it was not made for this call."""
    origin_request_id: str
    """The request for which it was made, where that was another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """The calls of one tool."""

    tool: str
    """By the name that the model knows."""
    calls: int
    failed: int
    us: int
    """Microseconds that they took, summed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a call of a route."""

    alternative: str
    """The alternative or the fallback that was asked."""
    kind: str
    """Why it was made: ``first``, ``retry``, ``hedge`` or ``fallback``."""
    failure: str
    """The reason of its failure; empty where it went well, ``CANCELLED`` where another was first."""
    us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedCall:
    """One call that a function has made."""

    function: str
    code: int
    """The gRPC status code it ended with; 0 for OK."""
    reason: str
    """The reason of its failure; empty where it went well."""
    worker: str
    total_us: int
    worker_us: int
    tokens: int
    cost_usd: float | None
    calls: int
    """How many calls it has made in turn, at all depths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedCalls:
    """All calls that a call has made of other functions, and those that these made in turn, added up.

    Times of calls that ran side by side add up to more than their caller took.
    """

    calls: int
    failed: int
    total_us: int
    queue_us: int
    worker_us: int
    model_us: int
    bytes_in: int
    bytes_out: int
    usage: tuple[ModelUsage, ...]
    listed: tuple[NestedCall, ...]
    """Those that the call has made itself, in the order in which they ended; as many as there was room for."""
    unlisted: int
    """How many more it has made itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """How much of a budget is spent, by all calls that share it, and what is left: None for what has no limit.

    Less than nothing is left where a model used more than was reserved for it.
    """

    usd_spent: float | None
    usd_left: float | None
    tokens_spent: int | None
    tokens_left: int | None
    calls_spent: int | None
    calls_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Where a call's time, memory, tokens and money went, and why it was routed where it was."""

    request_id: str
    function: str
    route: RouteName
    """``native``: in the front process; ``pooled``: in a worker process."""
    reason: str
    pool: str
    worker: str
    session_epoch: int
    """How often the call's session has been moved to another worker."""
    queue_us: int
    worker_us: int
    model_us: int
    total_us: int
    bytes_in: int
    bytes_out: int
    memory_change_bytes: int | None
    usage: tuple[ModelUsage, ...]
    """Per language model; that of nested calls not included."""
    batch_size: int = 0
    """Calls that ran together with this one as one batch, itself included; 0 where it ran by itself."""
    batch_us: int = 0
    """The worker's time for all of them, of which `worker_us` is this call's share."""
    nested: NestedCalls | None = None
    """What the calls took that this one has made of other functions; None where it has made none."""
    budget: BudgetState | None = None
    """What is left of the call's budget; None where it has none."""
    answers: tuple[ModelAnswer, ...] = ()
    """Answers of language models that did not plainly come from the model that was asked for."""
    program_version: int = 0
    """The version of a created program that ran; 0 for everything else."""
    attempts: int = 0
    """Attempts that were made at the call, where the function has a route; 0 where it has none."""
    alternative: str = ""
    """The alternative of the route that answered, or that was asked last."""
    hedged: bool = False
    """Whether a second attempt ran beside the first."""
    fallback: bool = False
    """Whether a fallback of the route was asked."""
    tried: tuple[Attempt, ...] = ()
    """The attempts, in the order in which they began; the first eight of them."""
    tools: tuple[ToolUse, ...] = ()
    """The tools that agents have called, each once; as many as there was room for."""
    tool_calls: int = 0
    """Calls of tools, those of tools that are not listed included."""
    tool_us: int = 0
    """Microseconds of these calls, summed; `worker_us` includes them."""
    key_name: str = ""
    """The name of the API key that the call came with, where the server has keys."""

    @property
    def transfer_us(self) -> int:
        """Microseconds in neither the queue nor the worker: the front's own work, and the way there and back."""
        return max(0, self.total_us - self.queue_us - self.worker_us)

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers, nested calls included."""
        return sum(use.input_tokens + use.output_tokens for use in self._all_usage)

    @property
    def cost_usd(self) -> float | None:
        """US dollars, nested calls included, as far as prices are known; None where none is."""
        known = [use.cost_usd for use in self._all_usage if use.cost_usd is not None]
        return sum(known) if known else None

    @property
    def _all_usage(self) -> tuple[ModelUsage, ...]:
        return self.usage if self.nested is None else (*self.usage, *self.nested.usage)
