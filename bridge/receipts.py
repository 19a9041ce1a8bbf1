"""Receipts: what a call cost and why it went where it went, written into the trailing metadata of every reply."""

from __future__ import annotations

import time

from bridge.call import Call
from bridge.v1.common_pb2 import ModelUsage, Receipt

NATIVE = 1
POOLED = 2
_ROUTES = {0: "none", NATIVE: "native", POOLED: "pooled"}

Trailers = tuple[tuple[str, str | bytes], ...]


def trailers(call: Call) -> Trailers:
    """Return the receipt of a finished call, with its route and worker in plain text beside it."""
    pairs: list[tuple[str, str | bytes]] = [
        ("bridge-receipt-bin", receipt(call).SerializeToString()),
        ("bridge-route", _ROUTES[call.route]),
    ]
    if call.worker:
        pairs.append(("bridge-worker", call.worker))
    if call.session is not None:
        pairs.append(("bridge-session-epoch", str(call.session.epoch)))
    return tuple(pairs)


def receipt(call: Call) -> Receipt:
    """Return the receipt of a finished call."""
    now = time.perf_counter()
    message = Receipt(
        request_id=call.identity.request_id,
        function=call.function,
        route=call.route,  # type: ignore[arg-type]
        reason=call.reason,
        pool=call.pool,
        worker=call.worker,
        queue_us=0 if call.leased_at is None else int((call.leased_at - call.started_at) * 1e6),
        worker_us=call.worker_ns // 1000,
        total_us=int((now - call.started_at) * 1e6),
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
    )
    if call.memory_change is not None:
        message.memory_change_bytes = call.memory_change
    if call.session is not None:
        message.session_epoch = call.session.epoch
    if call.meta.usage or call.meta.model_s:
        message.model_us = int(call.meta.model_s * 1e6)
        message.usage.extend(
            ModelUsage(
                model=use.model,
                calls=use.calls,
                input_tokens=use.input_tokens,
                output_tokens=use.output_tokens,
                cached_tokens=use.cached_tokens,
                cost_usd=use.cost_usd,
            )
            for use in call.meta.usage
        )
    return message
