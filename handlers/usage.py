"""Records of the use of language models, added up. Pure.

Money is known only in part where a model without a known price was used: `unpriced_calls` says in how large a part.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

from handlers.contract import UsageRecord


def total(model: str, uses: Iterable[UsageRecord]) -> UsageRecord:
    """Return the sum of records under one name. Its cost is of those whose price is known, None where none is."""
    found = tuple(uses)
    costs = [use.cost_usd for use in found if use.cost_usd is not None]
    return UsageRecord(
        model=model,
        calls=sum(use.calls for use in found),
        input_tokens=sum(use.input_tokens for use in found),
        output_tokens=sum(use.output_tokens for use in found),
        cached_tokens=sum(use.cached_tokens for use in found),
        cost_usd=sum(costs) if costs else None,
        cached_calls=sum(use.cached_calls for use in found),
        unpriced_calls=sum(use.unpriced_calls for use in found),
    )


def add_up(by_model: MutableMapping[str, UsageRecord], uses: Iterable[UsageRecord]) -> None:
    """Add records to sums by model."""
    for use in uses:
        old = by_model.get(use.model)
        by_model[use.model] = use if old is None else total(use.model, (old, use))
