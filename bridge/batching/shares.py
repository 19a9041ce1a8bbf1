"""What one call of a batch is charged: its part of the batch's time and of the models' use. Pure.

Parts of integers add up to the whole, so that receipts add up to the counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec

from handlers.contract import ReplyMeta, UsageRecord


def split(total: int, weights: Sequence[float]) -> list[int]:
    """Return a whole number in parts by weights, which add up to it. Weights that are not positive count as 0."""
    fair = [weight if isfinite(weight) and weight > 0 else 0.0 for weight in weights]
    whole = sum(fair)
    if not whole or not isfinite(whole):
        fair, whole = [1.0] * len(weights), float(len(weights))
    parts, passed, given = [], 0.0, 0
    for weight in fair:
        passed += weight
        upto = round(total * (passed / whole))
        parts.append(upto - given)
        given = upto
    if parts:
        parts[-1] += total - given
    return parts


def split_meta(meta: ReplyMeta, weights: Sequence[float]) -> list[ReplyMeta]:
    """Return what is known of a batch, in one part for each member."""
    count = len(weights)
    uses = [split_usage(use, weights) for use in meta.usage]
    whole = split(10**9, weights)
    return [
        ReplyMeta(tuple(use[index] for use in uses), meta.model_s * whole[index] / 1e9, meta.error)
        for index in range(count)
    ]


def split_usage(use: UsageRecord, weights: Sequence[float]) -> list[UsageRecord]:
    """Return the use of one model in parts by weights."""
    names = ("calls", "input_tokens", "output_tokens", "cached_tokens", "cached_calls", "unpriced_calls")
    columns = {name: split(getattr(use, name), weights) for name in names}
    shares = split(10**9, weights)
    return [
        msgspec.structs.replace(
            use,
            **{name: column[index] for name, column in columns.items()},
            cost_usd=None if use.cost_usd is None else use.cost_usd * share / 1e9,
        )
        for index, share in enumerate(shares)
    ]
