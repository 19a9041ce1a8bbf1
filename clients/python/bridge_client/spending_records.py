"""The configured language models and how they stand, and what was spent on them. Plain records."""

from __future__ import annotations

from dataclasses import dataclass

from bridge_client.receipts import BudgetState


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A configured model. Counts are since the server's start, or since it was configured anew."""

    name: str
    model: str
    """As LiteLLM names it, such as ``openai/gpt-4o-mini``."""
    fallbacks: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    running: int
    waiting: int
    requests_last_minute: int
    tokens_last_minute: int
    cooling_s: float
    """For how long it is passed over, as it has failed and others stand in for it; 0 where it is asked."""
    requests: int
    refused: int
    """Requests that its limits have refused."""
    cache_ttl_s: float
    """How long its answers are kept; 0 where they are not."""
    cache_entries: int
    cache_bytes: int
    cache_hits: int
    cache_shared: int
    """Requests that got the answer to the same question of another request at the same time."""
    cache_misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the calls of one function by one tenant have used of one model."""

    tenant: str
    function: str
    model: str
    requests: int
    cached_requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    """Of the requests whose price is known."""
    unpriced_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingBudget:
    """One holder's share of a budget of the server's configuration. `calls` of its state are requests to models."""

    name: str
    holder: str
    """The tenant, session, key reference or model; empty where all share it."""
    ends_at_s: float
    """When the present period ends, in seconds since 1970."""
    state: BudgetState


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent on language models since the server's start, the dearest first. A tenant sees its own alone."""

    costs: tuple[Cost, ...]
    budgets: tuple[StandingBudget, ...]
