"""Receipts: what a call cost and why it went where it went, written into the trailing metadata of every reply."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge import receipt_wire
from bridge.call import EMPTY_META, Call
from bridge.v1.common_pb2 import ModelUsage, Receipt
from handlers.contract import UsageRecord

NATIVE = 1
POOLED = 2
_ROUTES = {0: "none", NATIVE: "native", POOLED: "pooled"}

RECEIPT_BYTES = 1300
"""Trailers have 8 KiB in all, of which a failure's status takes most."""
MODEL_CHARACTERS = 64
ATTEMPTS = 8
ATTEMPTS_BYTES = 300
"""A receipt lists no more attempts beyond either of these,"""
ALTERNATIVE_CHARACTERS = 48
"""each with so much of its name."""
OTHER_MODELS = "(other models)"

if TYPE_CHECKING:
    from bridge.attempts_record import Attempted

Trailers = tuple[tuple[str, str | bytes], ...]


Shared = tuple[str, int, str, str, str]
"""Function, route, reason, pool and worker: what the receipts of many calls have in common."""


def compact(call: Call) -> tuple[Shared | None, bytes]:
    """Return the receipt of a call of a multiplexed stream: what it shares with others, and the rest.

    The rest of an ordinary call has no request id, which its client knows.
    """
    if call.session is not None or call.meta is not EMPTY_META or not call.worker_ns:
        return None, receipt(call).SerializeToString()
    leased_at, started_at = call.leased_at, call.started_at
    data = receipt_wire.numbers(
        0 if leased_at is None else int((leased_at - started_at) * 1e6),
        call.worker_ns // 1000,
        int((time.perf_counter() - started_at) * 1e6),
        call.bytes_in,
        call.bytes_out,
    )
    if call.memory_change is not None:
        data += receipt_wire.memory_change(call.memory_change)
    elif call.batch_size:
        data += receipt_wire.batch(call.batch_size, call.batch_ns // 1000)
    return (call.function, call.route, call.reason, call.pool, call.worker), data


def trailers(call: Call) -> Trailers:
    """Return the receipt of a finished call, with its route and worker in plain text beside it."""
    if call.session is None and call.meta is EMPTY_META and call.worker_ns:
        return _ordinary(call)
    pairs: list[tuple[str, str | bytes]] = [
        ("bridge-receipt-bin", receipt(call).SerializeToString()),
        ("bridge-route", _ROUTES[call.route]),
    ]
    if call.worker:
        pairs.append(("bridge-worker", call.worker))
    if call.session is not None:
        pairs.append(("bridge-session-epoch", str(call.session.epoch)))
    return tuple(pairs)


def _ordinary(call: Call) -> Trailers:
    """Return the trailers of a call that ran to its end without a session or a language model: the most calls."""
    now = time.perf_counter()
    leased_at = call.leased_at
    data = receipt_wire.write(
        call.identity.request_id.encode(),
        (call.function, call.route, call.reason, call.pool, call.worker),
        0 if leased_at is None else int((leased_at - call.started_at) * 1e6),
        call.worker_ns // 1000,
        int((now - call.started_at) * 1e6),
        call.bytes_in,
        call.bytes_out,
    )
    if call.memory_change is not None:
        data += receipt_wire.memory_change(call.memory_change)
    elif call.batch_size:
        data += receipt_wire.batch(call.batch_size, call.batch_ns // 1000)
    if call.worker:
        return (("bridge-receipt-bin", data), ("bridge-route", _ROUTES[call.route]), ("bridge-worker", call.worker))
    return (("bridge-receipt-bin", data), ("bridge-route", _ROUTES[call.route]))


def receipt(call: Call) -> Receipt:
    """Return the receipt of a finished call."""
    now = time.perf_counter()
    message = Receipt(request_id=call.identity.request_id, function=call.function, reason=call.reason)
    message.total_us = int((now - call.started_at) * 1e6)
    message.bytes_in = call.bytes_in
    message.bytes_out = call.bytes_out
    message.worker_us = call.worker_ns // 1000
    if call.route:
        message.route = call.route  # type: ignore[assignment]
    if call.pool:
        _add_pool(message, call, now)
    if call.session is not None:
        message.session_epoch = call.session.epoch
    if call.meta is not EMPTY_META:
        message.model_us = int(call.meta.model_s * 1e6)
        if call.attempts is not None:
            _add_attempts(message, call.attempts)
        _add_usage(message, call.meta.usage)
    return message


def _add_attempts(message: Receipt, attempted: Attempted) -> None:
    """Add what only a call has whose function has a route."""
    message.attempts = len(attempted.tried)
    message.alternative = attempted.alternative
    message.hedged = attempted.hedged
    message.fallback = attempted.fallback
    most = message.ByteSize() + ATTEMPTS_BYTES
    for one in attempted.tried[:ATTEMPTS]:
        if message.ByteSize() > most:
            return
        message.tried.add(
            alternative=one.alternative[:ALTERNATIVE_CHARACTERS],
            kind=one.kind,
            failure=one.failure,
            us=int(one.seconds * 1e6),
        )


def _add_pool(message: Receipt, call: Call, now: float) -> None:
    """Add what only a pooled call has."""
    message.pool = call.pool
    if call.leased_at is not None:
        message.worker = call.worker
        message.queue_us = int((call.leased_at - call.started_at) * 1e6)
        if not call.worker_ns:
            message.worker_us = int((now - call.leased_at) * 1e6)  # a worker that was lost has told no time
    elif call.route == POOLED:
        message.queue_us = int((now - call.started_at) * 1e6)
    if call.memory_change is not None:
        message.memory_change_bytes = call.memory_change
    if call.batch_size:
        message.batch_size, message.batch_us = call.batch_size, call.batch_ns // 1000


def _add_usage(message: Receipt, usage: tuple[UsageRecord, ...]) -> None:
    """Add one entry per model, as many as a trailer has room for; the rest counts together as OTHER_MODELS."""
    for index, use in enumerate(usage):
        message.usage.append(_entry(use.model[:MODEL_CHARACTERS], (use,)))
        if message.ByteSize() > RECEIPT_BYTES - 2 * MODEL_CHARACTERS:
            if rest := usage[index + 1 :]:
                message.usage.append(_entry(OTHER_MODELS, rest))
            return


def _entry(model: str, uses: tuple[UsageRecord, ...]) -> ModelUsage:
    costs = [use.cost_usd for use in uses if use.cost_usd is not None]
    return ModelUsage(
        model=model,
        calls=sum(use.calls for use in uses),
        input_tokens=sum(use.input_tokens for use in uses),
        output_tokens=sum(use.output_tokens for use in uses),
        cached_tokens=sum(use.cached_tokens for use in uses),
        cost_usd=sum(costs) if costs else None,
    )
