"""What is written down of the attempts at a call: for its receipt, and for the attempts' own calls.

An attempt is a `Call` of its own, made from the caller's; what it found out goes back into that. Records and pure
functions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from bridge.call import Call
from handlers.contract import ReplyMeta, UsageRecord
from handlers.usage import add_up

if TYPE_CHECKING:
    from bridge.call import Identity
    from bridge.routing.routes import Alternative
    from handlers.contract import FunctionSpec

REASON_CHARACTERS = 500


class Tried(msgspec.Struct):
    """One attempt. `kind` is first, retry, hedge or fallback; `failure` a reason, empty where it went well."""

    alternative: str
    kind: str
    failure: str = ""
    seconds: float = 0.0


class Attempted(msgspec.Struct):
    """The attempts at one call; `alternative` is who answered, or the last that was asked."""

    route: str
    alternative: str = ""
    tried: list[Tried] = []
    hedged: bool = False
    fallback: bool = False

    @property
    def failed(self) -> tuple[str, ...]:
        """Alternatives that have failed."""
        return tuple(one.alternative for one in self.tried if one.failure)


def attempt_at(call: Call, alternative: Alternative, spec: FunctionSpec, deadline: float) -> Call:
    """Return the record of an attempt at a call."""
    request = call.request if not alternative.model else with_model(call.request, alternative.model)
    return Call(
        call.method,
        call.identity,
        request,
        min(call.deadline, deadline),
        call.bytes_in,
        time.perf_counter(),
        function=spec.name,
        spec=spec,
        session=call.session,
        nested=call.nested,
    )


def copy_of(call: Call, alternative: Alternative, spec: FunctionSpec, identity: Identity, deadline: float) -> Call:
    """Return the record of a copy of a call, which belongs to no session."""
    copy = attempt_at(call, alternative, spec, deadline)
    copy.deadline = deadline
    copy.identity = identity
    copy.session = copy.nested = None
    return copy


def with_model(request: bytes, model: str) -> bytes:
    """Return a request of ModelService for another model.

    The model is field 1 of all of them; of a field that comes several times, protobuf takes the last.
    """
    name = model.encode()
    return b"%b\n%b%b" % (request, bytes((len(name),)), name)  # a configured name has less than 128 bytes


def take_over(call: Call, attempt: Call) -> None:
    """Write into a call what the attempt has found out that ended it."""
    call.route = attempt.route
    call.pool = attempt.pool
    call.worker = attempt.worker
    call.leased_at = attempt.leased_at
    if attempt.leased_at is not None and attempt.worker_ns:
        # So that the receipt's time in the queue is that of this attempt, without those before it.
        call.leased_at = call.started_at + attempt.leased_at - attempt.started_at
    call.worker_ns = attempt.worker_ns
    call.memory_change = attempt.memory_change
    call.batch_size = attempt.batch_size
    call.batch_ns = attempt.batch_ns
    call.version = attempt.version
    call.retried |= attempt.retried


def total_usage(metas: list[ReplyMeta]) -> ReplyMeta:
    """Return what several attempts have used, by model."""
    by_model: dict[str, UsageRecord] = {}
    add_up(by_model, (use for meta in metas for use in meta.usage))
    # A new object also where nothing was used: the receipt of a call that has one is written in full.
    return ReplyMeta(usage=tuple(by_model.values()), model_s=sum(meta.model_s for meta in metas))


def cost_usd(meta: ReplyMeta) -> float | None:
    """Return what a call has cost: nothing where it used no model, None where a price is not known."""
    costs = [use.cost_usd for use in meta.usage]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def reason(why: str, attempted: Attempted, last: str) -> str:
    """Return in words how a call came to its answer. `why` is of the first choice, `last` of where the last one ran."""
    if not attempted.tried:
        return "no alternative could be asked"
    words = [f"{attempted.tried[0].alternative}: {why}"]
    for before, one in zip(attempted.tried, attempted.tried[1:], strict=False):
        if one.kind == "hedge":
            words.append(f"hedged with {one.alternative} after {before.alternative} took long")
        else:
            verb = "fell back to" if one.kind == "fallback" else "tried again with"
            words.append(f"{verb} {one.alternative} after {before.failure or 'a failure'}")
    if attempted.hedged and attempted.alternative:
        words.append(f"{attempted.alternative} answered first")
    if last:
        words.append(last)
    return "; ".join(words)[:REASON_CHARACTERS]
