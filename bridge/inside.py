"""What a call has done inside: the calls of other functions that it has made, summed and listed for its receipt.

Owned by the record of the call, made when the first of them begins. It knows those that are open, so that they end with
it, and what of the server's answers its worker has to run itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.batching.shares import split, split_usage
from bridge.v1.common_pb2 import NestedCall
from handlers.usage import add_up

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from bridge.call import Call
    from bridge.gateway.gateway import Lease
    from bridge.nested import Nested, Ran
    from bridge.receipts.spending import Spending
    from bridge.v1.common_pb2 import ModelAnswer, Receipt
    from handlers.contract import UsageRecord

LISTED = 32
"""Nested calls of one call that are listed at most; a trailer has room for fewer."""
NAME_CHARACTERS = 64
SUMMED = ("total_us", "queue_us", "worker_us", "model_us", "bytes_in", "bytes_out")


class Sums:
    """What nested calls took together, those that they made in turn included. Times in microseconds."""

    __slots__ = ("bytes_in", "bytes_out", "calls", "failed", "model_us", "queue_us", "total_us", "usage", "worker_us")

    def __init__(self) -> None:
        self.calls = self.failed = 0
        self.total_us = self.queue_us = self.worker_us = self.model_us = self.bytes_in = self.bytes_out = 0
        self.usage: dict[str, UsageRecord] = {}

    def add_call(self, receipt: Receipt, usage: Iterable[UsageRecord], *, failed: bool) -> None:
        """Add one call, by its own receipt."""
        self.calls += 1
        self.failed += failed
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(receipt, name))
        add_up(self.usage, usage)

    def add(self, other: Sums) -> None:
        """Add what a nested call has made in turn."""
        for name in ("calls", "failed", *SUMMED):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        add_up(self.usage, other.usage.values())


class Inside:
    """One call's inside. `sums` and `listed` are of the nested calls that have ended.

    `made` counts those that it has begun itself, `direct` those of them that have ended.
    """

    __slots__ = (
        "answers",
        "direct",
        "hosted",
        "job",
        "leases",
        "listed",
        "made",
        "open",
        "running",
        "spending",
        "sums",
    )

    def __init__(self) -> None:
        self.sums = Sums()
        self.listed: list[NestedCall] = []
        self.made = self.direct = 0
        self.open: set[Nested] = set()
        """Those that this call has made and that go on."""
        self.job: object = None
        """What ran this call when its worker last asked for one: a second attempt has numbers of its own."""
        self.running: dict[int, Nested] = {}
        """All those that this call's worker holds a conversation about, by its numbers."""
        self.spending: Spending | None = None
        """What it takes of its budget, where it has one."""
        self.hosted: dict[int, tuple[Call, asyncio.Future[Ran]]] = {}
        """Calls that this call's worker runs in its stead, by the front's numbers."""
        self.leases: set[Lease] = set()
        """Its requests to language models that are under way."""
        self.answers: list[ModelAnswer] = []
        """Answers that did not plainly come from the model that was asked for."""

    def close(self) -> None:
        """End what is open: the call has ended, and nobody waits for it."""
        for nested in tuple(self.open):
            nested.abandon()
        for lease in tuple(self.leases):
            lease.abandon()

    def take(self, other: Inside) -> None:
        """Take in what another one has, which has been closed."""
        self.made += other.made
        self.direct += other.direct
        self.sums.add(other.sums)
        self.listed += other.listed[: LISTED - len(self.listed)]
        self.answers += other.answers
        if other.spending is not None and self.spending is not None:
            self.spending.take(other.spending)

    def add(self, call: Call, receipt: Receipt, code: int, reason: str) -> None:
        """Take in a nested call that has ended."""
        self.direct += 1
        self.sums.add_call(receipt, call.meta.usage, failed=code != 0)
        deeper = 0
        if call.inside is not None:
            deeper = call.inside.sums.calls
            self.sums.add(call.inside.sums)
        if len(self.listed) < LISTED:
            self.listed.append(_listed(receipt, call.meta.usage, code, reason, deeper))


def adopt(call: Call, attempt: Call) -> None:
    """Let a call have what an attempt at it has done inside. The attempt can do no more."""
    inside, attempt.inside = attempt.inside, None
    attempt.ended_at = attempt.ended_at or time.perf_counter()
    if inside is not None:
        inside.close()
        if call.inside is None:
            call.inside = Inside()
        call.inside.take(inside)


def split_inside(inside: Inside, count: int) -> list[Inside]:
    """Return the sums of an inside in so many parts, which add up to it. Its list stays behind."""
    parts = [Inside() for _ in range(count)]
    for name in ("calls", "failed", *SUMMED):
        for part, share in zip(parts, split(getattr(inside.sums, name), [1.0] * count), strict=True):
            setattr(part.sums, name, share)
    for part, share in zip(parts, split(inside.direct, [1.0] * count), strict=True):
        part.direct = share
    for use in inside.sums.usage.values():
        for part, record in zip(parts, split_usage(use, [1.0] * count), strict=True):
            part.sums.usage[use.model] = record
    return parts


def _listed(receipt: Receipt, usage: Iterable[UsageRecord], code: int, reason: str, deeper: int) -> NestedCall:
    costs = [use.cost_usd for use in usage if use.cost_usd is not None]
    return NestedCall(
        function=receipt.function[:NAME_CHARACTERS],
        code=code,
        reason=reason[:NAME_CHARACTERS],
        worker=receipt.worker,
        total_us=receipt.total_us,
        worker_us=receipt.worker_us,
        tokens=sum(use.input_tokens + use.output_tokens for use in usage),
        cost_usd=sum(costs) if costs else None,
        calls=deeper,
    )
