"""The settings of routes and of circuit breakers: `[routes.NAME]` and `[breakers]`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bridge.settings.fields import Flag, Int, Name, Seconds, Section
from handlers import names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Reason = Literal[
    "PROVIDER_ERROR",
    "BREAKER_OPEN",
    "POOL_UNAVAILABLE",
    "QUEUE_FULL",
    "DEADLINE_UNREACHABLE",
    "IN_QUEUE",
    "IN_WORKER",
    "WORKER_CRASHED",
    "WORKER_MEMORY_LIMIT",
    "WORKER_PROTOCOL",
    "INPUT_QUARANTINED",
    "SHUTTING_DOWN",
    "USER_EXCEPTION",
    "RESULT_INVALID",
    "OUTPUT_INVALID",
    "PROGRAM_OUTPUT_INVALID",
    "MODEL_NOT_CONFIGURED",
    "MODEL_UNAVAILABLE",
    "EXTRA_MISSING",
]
"""Failures after which another attempt can be asked for."""
RETRIED: tuple[Reason, ...] = (
    "PROVIDER_ERROR",
    "BREAKER_OPEN",
    "POOL_UNAVAILABLE",
    "QUEUE_FULL",
    "IN_QUEUE",
    "IN_WORKER",
    "WORKER_CRASHED",
    "WORKER_PROTOCOL",
)
FALLS_BACK: tuple[Reason, ...] = (
    "PROVIDER_ERROR",
    "BREAKER_OPEN",
    "POOL_UNAVAILABLE",
    "QUEUE_FULL",
    "DEADLINE_UNREACHABLE",
    "IN_QUEUE",
    "IN_WORKER",
    "WORKER_CRASHED",
    "WORKER_MEMORY_LIMIT",
    "WORKER_PROTOCOL",
    "MODEL_UNAVAILABLE",
    "EXTRA_MISSING",
)


def _check_function(name: str) -> str:
    names.check(name)
    return name


FunctionName = Annotated[str, AfterValidator(_check_function)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(strict=True, gt=0, le=3_600_000, allow_inf_nan=False)]


class BreakerConfig(Section):
    """A circuit breaker: when it opens by itself, and how it closes again."""

    enabled: Flag = Field(True, description="Whether it opens by itself.")
    failure_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = Field(
        0.5, description="It opens when this share of the calls in the window has failed,"
    )
    min_calls: Int = Field(20, ge=1, description="but not before there were so many.")
    window_s: Seconds = Field(30.0, description="How long calls count.")
    open_s: Seconds = Field(5.0, description="How long it stays open; each failed trial doubles that,")
    max_open_s: Seconds = Field(60.0, description="up to so long.")
    trials: Int = Field(1, ge=1, le=1000, description="Calls on trial at a time, once it has been open for so long.")
    close_after: Int = Field(2, ge=1, le=1000, description="Trials in a row that must go well until it closes.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.open_s > self.max_open_s:
            raise ValueError(f"open_s is {self.open_s:g}, more than max_open_s ({self.max_open_s:g})")
        return self


class BreakersConfig(Section):
    """Circuit breakers: what keeps failing is not asked for a while. Functions without a route have none."""

    providers: BreakerConfig = Field(
        BreakerConfig(), description="The breaker of each provider of language models. A table, as `routes` is."
    )
    routes: BreakerConfig = Field(BreakerConfig(), description="The breaker of each alternative of each route.")


class AlternativeConfig(Section):
    """One way to answer the calls of a route: a function, the same one in another pool, or a language model."""

    function: FunctionName | None = Field(None, description="The function; without it, the route's own.")
    pool: Name | None = Field(None, description="The pool that runs it, which must load it; without it, its own.")
    model: Name | None = Field(None, description="The language model, `[models.NAME]`, instead of a function.")
    weight: Annotated[float, Field(strict=True, ge=0, le=1e6)] | None = Field(
        None, description="Its share of the calls, by comparison with the others: 1; 0 where it has `shadow`."
    )
    shadow: Share = Field(
        0.0, description="The share of calls of which it gets a copy. Nobody waits for the answer; it is compared."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.model is not None and (self.function is not None or self.pool is not None):
            raise ValueError("an alternative is a function or a model, not both")
        return self


class RetryConfig(Section):
    """How calls are tried again."""

    attempts: Int = Field(3, ge=2, le=10, description="Attempts at a call, the first included.")
    budget: Annotated[float, Field(strict=True, ge=0, le=10, allow_inf_nan=False)] = Field(
        0.2,
        description="Retries are at most this share of the calls of the last ten seconds, so that they can not "
        "multiply an outage; three are always allowed.",
    )
    backoff_ms: Milliseconds = Field(
        50.0, description="The pause before the second attempt is a random part of this, and doubles with each attempt."
    )
    max_backoff_ms: Milliseconds = Field(2000.0, description="The longest pause of all.")
    on: tuple[Reason, ...] = Field(RETRIED, description="The failures after which a call is tried again.")


class HedgeConfig(Section):
    """When a second attempt starts beside the first; the answer that comes first counts, the other is cancelled."""

    after_quantile: Annotated[float, Field(strict=True, ge=0.5, le=0.9999)] = Field(
        0.95, description="It starts when the call has taken longer than this part of those before it."
    )
    max_fraction: Share = Field(
        0.05, description="At most this share of the calls of the last ten seconds is hedged; one always may."
    )
    min_ms: Annotated[float, Field(strict=True, ge=0, le=3_600_000)] = Field(1.0, description="It never starts sooner.")


class RouteConfig(Section):
    """A name that callers use, answered by the best of several alternatives."""

    alternatives: tuple[AlternativeConfig, ...] = Field(
        (), description="What may answer; without any, the function of this name alone."
    )
    choose: Literal["weights", "latency", "cost", "success"] = Field(
        "weights", description="By what one is chosen: its weight, or the least latency or cost or the most success."
    )
    max_p95_ms: Milliseconds | None = Field(
        None, description="An alternative slower than this is not chosen while another is within all bounds."
    )
    max_cost_usd: Annotated[float, Field(strict=True, ge=0)] | None = Field(
        None, description="The same for the mean price of a call."
    )
    min_success: Share | None = Field(None, description="The same for the share of calls that go well.")
    sticky: Literal["session", "request", "tenant", "none"] = Field(
        "session", description="With `weights`: calls of one session, request id or tenant go to one alternative."
    )
    explore: Share = Field(
        0.05, description="Otherwise: the share of calls that another than the best gets, to know how good it is now."
    )
    timeout_ms: Milliseconds | None = Field(
        None, description="How long one attempt may take; without it, until the call's deadline."
    )
    idempotent: Flag = Field(
        False, description="Says that repeating a call does no harm, also where the functions do not declare it."
    )
    retry: RetryConfig | None = Field(None, description="How calls are tried again; without it, they are not.")
    hedge: HedgeConfig | None = Field(None, description="When a second attempt starts; without it, none does.")
    fallback: tuple[str, ...] = Field(
        (), description="Functions, or models, to be tried one after the other when the alternatives have failed."
    )
    fallback_on: tuple[Reason, ...] = Field(FALLS_BACK, description="The failures after which they are tried.")
    breaker: BreakerConfig | None = Field(
        None, description="The breaker of its alternatives; without it, that of `[breakers]`."
    )

    @field_validator("fallback")
    @classmethod
    def _check_fallback(cls, fallback: tuple[str, ...]) -> tuple[str, ...]:
        for name in fallback:
            names.check(name)
        if len(set(fallback)) < len(fallback):
            raise ValueError("a name stands twice")
        return fallback

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.of_models and any(one.model is None for one in self.alternatives):
            raise ValueError("the alternatives of a route are all functions, or all models")
        if self.alternatives and not any(weight_of(one) for one in self.alternatives):
            raise ValueError("no alternative has a weight above 0, so none could answer")
        labels = [(one.function, one.pool, one.model) for one in self.alternatives]
        if len(set(labels)) < len(labels):
            raise ValueError("two alternatives are the same")
        return self

    @property
    def of_models(self) -> bool:
        """Whether it chooses among language models."""
        return any(one.model is not None for one in self.alternatives)


def weight_of(alternative: AlternativeConfig) -> float:
    """Return an alternative's weight."""
    if alternative.weight is None:
        return 0.0 if alternative.shadow else 1.0
    return alternative.weight


def route_mistakes(
    routes: Mapping[str, RouteConfig], models: Collection[str], pools: Collection[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what routes name that is not configured: the key, and the problem."""
    for name, route in routes.items():
        for index, one in enumerate(route.alternatives):
            key = ("routes", name, "alternatives", str(index))
            if one.model is not None and one.model not in models:
                yield (*key, "model"), _unknown("model", one.model, models)
            if one.pool is not None and one.pool not in pools:
                yield (*key, "pool"), _unknown("pool", one.pool, pools)
        for index, fallback in enumerate(route.fallback if route.of_models else ()):
            if fallback not in models:
                yield ("routes", name, "fallback", str(index)), _unknown("model", fallback, models)


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(known) or 'none'}"
    return f"there is no {what} '{name}'; {hint}"
