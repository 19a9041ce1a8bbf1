"""The settings of language models and of embedding models: `[models.NAME]` and `[embeddings.NAME]`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from bridge.settings.fields import Flag, Int, Seconds, Secret, Section

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
