"""ModelService's RPCs that the front answers itself: the configured models, how they stand, and what was spent."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from bridge.v1 import model_pb2

if TYPE_CHECKING:
    from bridge.gateway.gateway import Gateway, Model
    from bridge.gateway.standing_budgets import Account
    from bridge.receipts.costs import Costs, Spender
    from handlers.contract import UsageRecord

COSTS = 1000
"""Sums, and budgets, in one answer."""


class ModelServicer:
    """Answers from the gateway and the sums of one front."""

    def __init__(self, gateway: Gateway, costs: Costs) -> None:
        self._gateway = gateway
        self._costs = costs

    def list_costs(self, request: model_pb2.ListCostsRequest, tenant: str) -> model_pb2.ListCostsResponse:
        """Answer ListCosts: a tenant sees its own."""
        costs = [_cost(*row) for row in islice(self._costs.rows(tenant, request.function), COSTS)]
        budgets = [_budget(*row) for row in islice(self._gateway.budgets.accounts(tenant), COSTS)]
        return model_pb2.ListCostsResponse(costs=costs, budgets=budgets)

    def list_models(self, _request: model_pb2.ListModelsRequest) -> model_pb2.ListModelsResponse:
        """Answer ListModels."""
        models = [_model(model, self._gateway) for _, model in sorted(self._gateway.models.items())]
        return model_pb2.ListModelsResponse(models=models)


def _cost(spender: Spender, use: UsageRecord) -> model_pb2.Cost:
    return model_pb2.Cost(
        tenant=spender.tenant,
        function=spender.function,
        model=spender.model,
        requests=use.calls,
        cached_requests=use.cached_calls,
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
        cost_usd=use.cost_usd or 0.0,
        unpriced_requests=use.unpriced_calls,
    )


def _budget(name: str, holder: str, account: Account) -> model_pb2.BudgetInfo:
    return model_pb2.BudgetInfo(name=name, holder=holder, ends_at_s=account.ends_at, state=account.budget.state())


def _model(model: Model, gateway: Gateway) -> model_pb2.ModelInfo:
    config, limiter, cache = model.config, model.limiter, model.cache
    assert config is not None
    info = model_pb2.ModelInfo(
        name=model.name,
        model=config.model,
        fallbacks=config.fallbacks,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        max_concurrent=config.max_concurrent,
        cooling_s=gateway.cooling_s(model),
        requests=model.requests,
    )
    if limiter is not None:
        requests, tokens = limiter.last_minute()
        info.running, info.waiting, info.refused = limiter.window.running, limiter.waiting, limiter.refused
        info.requests_last_minute, info.tokens_last_minute = requests, tokens
    if cache is not None:
        info.cache_ttl_s, info.cache_entries, info.cache_bytes = cache.ttl_s, len(cache), cache.bytes
        info.cache_hits, info.cache_shared, info.cache_misses = cache.hits, cache.shared, cache.misses
    return info
