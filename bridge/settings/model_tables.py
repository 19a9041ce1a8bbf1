"""The settings of models: `[models.NAME]`, `[embeddings.NAME]`, and the standing budgets, `[budgets.NAME]`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bridge.settings.fields import MIB, Flag, Int, Name, Seconds, Secret, Section, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Price = Annotated[float, Field(strict=True, ge=0, le=1e6)]


class ModelConfig(Section):
    """A named language model. The one named `default` is used where a call or program names none."""

    model: str = Field(
        min_length=1,
        description="LiteLLM's name, such as `openai/gpt-4o-mini`, or `bridge/test` for the built-in test model.",
    )
    api_key: Secret | None = Field(
        None, repr=False, description="The provider's key, as a reference: `env:NAME` or `file:PATH`."
    )
    api_base: str | None = Field(None, description="The URL of an OpenAI-compatible server.")
    timeout_s: Seconds = Field(60.0, description="How long one request may take.")
    max_retries: Int = Field(1, ge=0, le=20, description="How often a failed request is repeated.")
    temperature: Annotated[float, Field(strict=True, ge=0, le=2)] | None = Field(
        None, description="The temperature where a call names none."
    )
    max_tokens: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None, description="The longest answer, in tokens, where a call names no limit."
    )
    input_price: Price | None = Field(
        None, description="US dollars for a million tokens of prompts; without it LiteLLM's table says, if it knows."
    )
    output_price: Price | None = Field(None, description="US dollars for a million tokens of answers.")
    image_price: Price | None = Field(
        None, description="US dollars for an image that it makes; without it tokens count, or LiteLLM's table."
    )
    requests_per_minute: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = Field(
        None, description="Requests that may go out in any minute, of all workers together."
    )
    tokens_per_minute: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        None,
        description="Tokens, of prompts and answers, that may be used in any minute; what a request will use is "
        "reserved.",
    )
    max_concurrent: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = Field(
        None, description="Requests that may be under way at a time."
    )
    max_wait_s: Annotated[float, Field(strict=True, ge=0, le=3600)] = Field(
        30.0,
        description="How long a request may wait for these limits, and before it is repeated (a provider's "
        "`Retry-After`). What would take longer fails, or goes to a fallback.",
    )
    fallbacks: tuple[Name, ...] = Field(
        (), description="Models that are asked, one after the other, where this one can not answer."
    )
    cooldown_s: Annotated[float, Field(strict=True, ge=0, le=86400)] = Field(
        30.0, description="For how long it is passed over after it has failed, where others stand in for it."
    )
    cache_ttl_s: Seconds | None = Field(
        None,
        description="How long its answers are kept, to answer the same question of the same tenant; none keeps none.",
    )
    cache_bytes: Size = Field(64 * MIB, description="What its kept answers may take.")

    @model_validator(mode="after")
    def _check_prices(self) -> ModelConfig:
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("expected input_price and output_price together, got one of them")
        return self

    @field_validator("api_base")
    @classmethod
    def _check_base(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^\s/]", url):
            raise ValueError("expected a URL such as 'http://127.0.0.1:11434/v1'")
        return url


class BudgetConfig(Section):
    """A standing budget: what may be spent on language models in a period. `spending.file` keeps it over restarts."""

    per: Literal["tenant", "session", "key", "model", "server"] = Field(
        "tenant",
        description="Who has one: each tenant, each session, each API key of the configuration, each model, or all "
        "together.",
    )
    only: tuple[str, ...] = Field((), description="Only these tenants, sessions, key references or models; none: all.")
    models: tuple[Name, ...] = Field((), description="Only requests to these models; none: all.")
    period: Literal["minute", "hour", "day", "week", "month"] = Field(
        "day", description="For how long it lasts, by the calendar in UTC; weeks begin on Monday."
    )
    usd: Annotated[float, Field(strict=True, ge=0, le=1e9)] | None = Field(None, description="US dollars.")
    tokens: Annotated[int, Field(strict=True, ge=0)] | None = Field(
        None, description="Tokens, of prompts and answers together."
    )
    requests: Annotated[int, Field(strict=True, ge=0)] | None = Field(None, description="Requests to models.")

    @model_validator(mode="after")
    def _check(self) -> BudgetConfig:
        if self.usd is None and self.tokens is None and self.requests is None:
            raise ValueError("expected usd, tokens or requests, got none of them: it would limit nothing")
        if self.per == "server" and self.only:
            raise ValueError("a budget of the whole server has one holder; leave out 'only'")
        return self


class SpendingConfig(Section):
    """What standing budgets have spent."""

    file: str | None = Field(
        None,
        min_length=1,
        description="Where it is kept, written within a second; of one server alone. None keeps it in memory, and "
        "every budget is fresh when the server starts.",
    )


def model_mistakes(
    models: Mapping[str, ModelConfig], budgets: Mapping[str, BudgetConfig]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what names models that are not configured, or falls back to itself: the key, and the problem."""
    known = ", ".join(sorted(models)) or "none"
    for name, model in models.items():
        for other in model.fallbacks:
            if other not in models:
                yield ("models", name, "fallbacks"), f"there is no model '{other}'; configured models: {known}"
            elif other == name:
                yield ("models", name, "fallbacks"), "a model can not stand in for itself"
        if len(set(model.fallbacks)) < len(model.fallbacks):
            yield ("models", name, "fallbacks"), "a model is named twice"
    for name, budget in budgets.items():
        for other in budget.models:
            if other not in models:
                yield ("budgets", name, "models"), f"there is no model '{other}'; configured models: {known}"


class EmbeddingConfig(Section):
    """A named embedding model. The one named `default` is used where a call names none."""

    model: str = Field(
        min_length=1,
        description="A directory, a sentence-transformers name, or `package:NAME` for a Python package with a model.",
    )
    device: str = Field("cpu", min_length=1, description="The torch device, such as `cpu` or `cuda:0`.")
    batch_size: Int = Field(32, ge=1, le=65536, description="Texts in one run of the model, at most.")
    token_budget: Int = Field(
        512,
        ge=0,
        description="Tokens in one run of the model, padding included, at most (a longer text runs alone); texts of "
        "like length run together. 0: `batch_size` texts at a time, in the order in which they come.",
    )
    max_calls: Int = Field(64, ge=1, le=4096, description="Calls that are embedded together; 1: each by itself.")
    max_wait_ms: Annotated[float, Field(strict=True, ge=0, le=10_000)] = Field(
        5.0, description="How long a call may wait for others while a worker is idle; one that comes alone never waits."
    )
    allow_download: Flag = Field(False, description="Whether a model that is not on this machine may be downloaded.")
