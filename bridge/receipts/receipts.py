"""Receipts: what a call cost and why it went where it went, written into the trailing metadata of every reply."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.call import EMPTY_META, Call
from bridge.inside import SUMMED, Inside
from bridge.receipts import wire as receipt_wire
from bridge.v1.common_pb2 import ModelUsage, Receipt
from handlers.contract import ToolRecord, UsageRecord
from handlers.usage import total

NATIVE = 1
POOLED = 2
_ROUTES = {0: "none", NATIVE: "native", POOLED: "pooled"}
_ROUTE_PAIRS = {route: ("bridge-route", name) for route, name in _ROUTES.items()}

RECEIPT_BYTES = 1300
"""Trailers have 8 KiB in all, of which a failure's status takes most."""
MODEL_CHARACTERS = 64
ATTEMPTS = 8
ATTEMPTS_BYTES = 300
"""A receipt lists no more attempts beyond either of these,"""
ALTERNATIVE_CHARACTERS = 48
"""each with so much of its name."""
ANSWERS = 8
ANSWERS_BYTES = 400
"""A receipt tells of no more answers of language models beyond either of these."""
TOOLS_BYTES = 300
"""A receipt lists no more tools beyond this."""
OTHER_MODELS = "(other models)"

if TYPE_CHECKING:
    from bridge.attempts.record import Attempted

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
        int(((call.ended_at or time.perf_counter()) - started_at) * 1e6),
        call.bytes_in,
        call.bytes_out,
    )
    if call.memory_change is not None:
        data += receipt_wire.memory_change(call.memory_change)
    elif call.batch_size:
        data += receipt_wire.batch(call.batch_size, call.batch_ns // 1000)
    if call.identity.key_name:
        data += receipt_wire.key_name(call.identity.key_name)
    return (call.function, call.route, call.reason, call.pool, call.worker), data


def trailers(call: Call) -> Trailers:
    """Return the receipt of a finished call, with its route and worker in plain text beside it."""
    if call.meta is EMPTY_META and call.worker_ns:
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
    """Return the trailers of a call that ran to its end without a language model: the most calls."""
    now = call.ended_at or time.perf_counter()
    leased_at, started_at, worker = call.leased_at, call.started_at, call.worker
    data = receipt_wire.write(
        call.identity.request_id.encode(),
        (call.function, call.route, call.reason, call.pool, worker),
        0 if leased_at is None else int((leased_at - started_at) * 1e6),
        call.worker_ns // 1000,
        int((now - started_at) * 1e6),
        call.bytes_in,
        call.bytes_out,
    )
    if call.memory_change is not None:
        data += receipt_wire.memory_change(call.memory_change)
    elif call.batch_size:
        data += receipt_wire.batch(call.batch_size, call.batch_ns // 1000)
    if call.identity.key_name:
        data += receipt_wire.key_name(call.identity.key_name)
    session, route = call.session, _ROUTE_PAIRS[call.route]
    if session is None:
        if worker:
            return (("bridge-receipt-bin", data), route, ("bridge-worker", worker))
        return (("bridge-receipt-bin", data), route)
    epoch = session.epoch
    of_session = (("bridge-session-epoch", str(epoch)),)
    of_worker = (("bridge-worker", worker),) if worker else ()
    return (("bridge-receipt-bin", data + receipt_wire.session_epoch(epoch)), route, *of_worker, *of_session)


def receipt(call: Call) -> Receipt:
    """Return the receipt of a finished call."""
    now = call.ended_at or time.perf_counter()
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
        if call.meta.tools:
            _add_tools(message, call.meta.tools)
        if call.attempts is not None:
            _add_attempts(message, call.attempts)
        if call.inside is not None and call.inside.answers:
            _add_answers(message, call.inside)
        room = RECEIPT_BYTES if call.inside is None else RECEIPT_BYTES // 2
        message.usage.extend(_entries(call.meta.usage, room - message.ByteSize()))
    if call.identity.key_name:
        message.key_name = call.identity.key_name
    if call.version:
        message.program_version = call.version
    if call.inside is not None:
        if call.identity.budget is not None:
            message.budget.CopyFrom(call.identity.budget.state())
        if call.inside.direct:
            _add_nested(message, call.inside)
    return message


def _add_tools(message: Receipt, tools: tuple[ToolRecord, ...]) -> None:
    """Add the tools that agents have called."""
    message.tool_calls = sum(tool.calls for tool in tools)
    message.tool_us = int(sum(tool.seconds for tool in tools) * 1e6)
    most = message.ByteSize() + TOOLS_BYTES
    for tool in tools:
        if message.ByteSize() > most:
            return
        us = int(tool.seconds * 1e6)
        message.tools.add(tool=tool.tool[:MODEL_CHARACTERS], calls=tool.calls, failed=tool.failed, us=us)


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


def _add_answers(message: Receipt, inside: Inside) -> None:
    """Add where answers of language models came from, as many as have room."""
    most = message.ByteSize() + ANSWERS_BYTES
    for answer in inside.answers[:ANSWERS]:
        if message.ByteSize() + answer.ByteSize() > most:
            return
        message.answers.append(answer)


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


def _entries(usage: Iterable[UsageRecord], room: int) -> list[ModelUsage]:
    """Return one entry per model, as many as have room in so many bytes; the rest counts together as OTHER_MODELS."""
    found = tuple(usage)
    entries: list[ModelUsage] = []
    for index, use in enumerate(found):
        entries.append(_entry(use.model[:MODEL_CHARACTERS], (use,)))
        room -= entries[-1].ByteSize() + 2
        if room < 2 * MODEL_CHARACTERS:
            if rest := found[index + 1 :]:
                entries.append(_entry(OTHER_MODELS, rest))
            break
    return entries


def _entry(model: str, uses: tuple[UsageRecord, ...]) -> ModelUsage:
    use = total(model, uses)
    return ModelUsage(
        model=model,
        calls=use.calls,
        input_tokens=use.input_tokens,
        output_tokens=use.output_tokens,
        cached_tokens=use.cached_tokens,
        cost_usd=use.cost_usd,
        cached_calls=use.cached_calls,
        unpriced_calls=use.unpriced_calls,
    )


def _add_nested(message: Receipt, inside: Inside) -> None:
    """Add what nested calls took, and of their list what has room."""
    sums, nested = inside.sums, message.nested
    nested.calls, nested.failed = sums.calls, sums.failed
    for name in SUMMED:
        setattr(nested, name, getattr(sums, name))
    nested.usage.extend(_entries(sums.usage.values(), (RECEIPT_BYTES - message.ByteSize()) * 3 // 4))
    room = RECEIPT_BYTES - int(message.ByteSize()) - 16
    for entry in inside.listed:
        room -= entry.ByteSize() + 3
        if room < 0:
            break
        nested.listed.append(entry)
    nested.unlisted = inside.direct - len(nested.listed)
