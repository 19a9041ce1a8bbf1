"""`bridge model ...`: the language models of a running server, and what was spent on them. Owns nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.cli.connection import ANSWER_TIMEOUT_S, Connection
from bridge.cli.failures import ExitCode
from bridge.cli.messages import plain
from bridge.cli.output import Output, duration, table
from bridge.v1 import model_pb2

if TYPE_CHECKING:
    from bridge.v1.common_pb2 import BudgetState


def run_list(address: str, output: Output) -> int:
    """Show the models. Raises Failure."""
    with Connection(address) as connection:
        request = model_pb2.ListModelsRequest()
        seen = connection.ask("ModelService/ListModels", request, model_pb2.ListModelsResponse)
    if output.machine:
        output.json({"models": [plain(one) for one in seen.models]})
    elif seen.models:
        columns = ("NAME", "MODEL", "STATE", "REQUESTS", "LIMITS", "KEPT ANSWERS", "FALLBACKS")
        output.show(table(columns, [_model_row(one) for one in seen.models]))
    else:
        output.note("no language model is configured")
    return ExitCode.OK


def run_costs(function: str, tenant: str, address: str, output: Output) -> int:
    """Show what was spent. Raises Failure."""
    metadata = (("x-tenant", tenant),) if tenant else ()
    with Connection(address) as connection:
        request = model_pb2.ListCostsRequest(function=function)
        reply = model_pb2.ListCostsResponse
        seen, _ = connection.call("ModelService/ListCosts", request, reply, ANSWER_TIMEOUT_S, metadata)
    if output.machine:
        output.json({"costs": [plain(one) for one in seen.costs], "budgets": [plain(one) for one in seen.budgets]})
        return ExitCode.OK
    if seen.costs:
        columns = ("TENANT", "FUNCTION", "MODEL", "REQUESTS", "CACHED", "INPUT", "OUTPUT", "US DOLLARS", "UNPRICED")
        output.show(table(columns, [_cost_row(one) for one in seen.costs]))
    else:
        output.note("no call has used a language model yet")
    if seen.budgets:
        of_budgets = ("BUDGET", "WHOSE", "SPENT", "LEFT", "ENDS IN")
        output.show(table(of_budgets, [_budget_row(one) for one in seen.budgets]))
    return ExitCode.OK


def _model_row(one: model_pb2.ModelInfo) -> tuple[str, ...]:
    state = f"passed over for {duration(one.cooling_s)}" if one.cooling_s else "asked"
    limits = []
    if one.HasField("requests_per_minute"):
        limits.append(f"{one.requests_last_minute} of {one.requests_per_minute} a minute")
    if one.HasField("tokens_per_minute"):
        limits.append(f"{one.tokens_last_minute} of {one.tokens_per_minute} tokens a minute")
    if one.HasField("max_concurrent"):
        limits.append(f"{one.running} of {one.max_concurrent} at a time")
    if one.waiting:
        limits.append(f"{one.waiting} waiting")
    kept = ""
    if one.cache_ttl_s:
        asked = one.cache_hits + one.cache_shared + one.cache_misses
        kept = f"{one.cache_entries}, {one.cache_hits + one.cache_shared} of {asked} requests"
    refused = f", {one.refused} refused" if one.refused else ""
    requests = f"{one.requests}{refused}"
    return (one.name, one.model, state, requests, "; ".join(limits), kept, ", ".join(one.fallbacks))


def _cost_row(one: model_pb2.Cost) -> tuple[str, ...]:
    counts = (one.requests, one.cached_requests, one.input_tokens, one.output_tokens)
    return (
        one.tenant,
        one.function,
        one.model,
        *map(str, counts),
        f"{one.cost_usd:.6f}",
        str(one.unpriced_requests),
    )


def _budget_row(one: model_pb2.BudgetInfo) -> tuple[str, ...]:
    spent, left = _amounts(one.state, "spent"), _amounts(one.state, "left")
    return (one.name, one.holder, spent, left, duration(max(0.0, one.ends_at_s - time.time())))


def _amounts(state: BudgetState, which: str) -> str:
    words = {"usd": "US dollars", "tokens": "tokens", "calls": "requests"}
    known = [(word, f"{name}_{which}") for name, word in words.items() if state.HasField(f"{name}_{which}")]
    return ", ".join(f"{getattr(state, field):g} {word}" for word, field in known)
