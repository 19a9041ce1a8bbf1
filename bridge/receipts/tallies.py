"""What all calls took, summed by function and by language model: the counters that receipts add up to.

Owns the sums. Times are kept as receipts tell them, of which each is cut to whole microseconds.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from bridge.call import EMPTY_META
from bridge.receipts.costs import Costs
from handlers.usage import add_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.call import Call
    from handlers.contract import UsageRecord

POOLED = 2
"""`receipts.POOLED`."""


class Tally:
    """What the calls of one function took. Times in seconds, but for the worker's in nanoseconds.

    `codes` counts the calls by their status, `nested` those of them that another call has made.
    """

    __slots__ = ("bytes_in", "bytes_out", "codes", "model_s", "nested", "queue_s", "total_s", "worker_ns")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.bytes_in = self.bytes_out = self.worker_ns = self.nested = 0
        self.queue_s = self.total_s = self.model_s = 0.0

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.codes.values())

    def add(self, other: Tally) -> None:
        """Take in the calls of another function."""
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        for name in ("bytes_in", "bytes_out", "worker_ns", "nested", "queue_s", "total_s", "model_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Tallies:
    """The sums by function (or RPC, where none was found), and by model."""

    def __init__(self) -> None:
        self.functions: dict[str, Tally] = {}
        self.models: dict[str, UsageRecord] = {}
        self.costs = Costs()

    @property
    def calls(self) -> Counter[tuple[str, int]]:
        """How many calls there were, by function and status."""
        return Counter({(name, code): n for name, tally in self.functions.items() for code, n in tally.codes.items()})

    def _of(self, call: Call) -> Tally:
        name = call.method if call.spec is None else call.spec.name
        tally = self.functions.get(name)
        if tally is None:
            tally = self.functions[name] = Tally()
        return tally

    def add(self, call: Call, code: int) -> None:
        """Take in a call that has ended now."""
        tally = self._of(call)
        codes = tally.codes
        codes[code] = codes.get(code, 0) + 1
        call.ended_at = now = time.perf_counter()
        started_at, leased_at = call.started_at, call.leased_at
        tally.total_s += now - started_at
        tally.bytes_in += call.bytes_in
        tally.bytes_out += call.bytes_out
        if call.worker_ns:
            tally.worker_ns += call.worker_ns
            if leased_at is not None:
                tally.queue_s += leased_at - started_at
        elif leased_at is not None:  # a worker that was lost has told no time
            tally.queue_s += leased_at - started_at
            tally.worker_ns += int((now - leased_at) * 1e9)
        elif call.route == POOLED:
            tally.queue_s += now - started_at
        if call.meta is not EMPTY_META or call.nested is not None:
            tally.model_s += call.meta.model_s
            tally.nested += call.nested is not None
            add_up(self.models, call.meta.usage)
            self.costs.add(call)

    def add_packed(self, calls: Sequence[Call]) -> None:
        """Take in calls of one function that were pooled, began together and have ended well now: `add` of each."""
        tally = self._of(calls[0])
        tally.codes[0] = tally.codes.get(0, 0) + len(calls)
        now, leased_at = time.perf_counter(), calls[0].leased_at or 0.0
        bytes_in = bytes_out = worker_ns = 0
        started_s = 0.0
        for call in calls:
            call.ended_at = now
            started_s += call.started_at
            bytes_in += call.bytes_in
            bytes_out += call.bytes_out
            worker_ns += call.worker_ns
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        tally.worker_ns += worker_ns
        tally.total_s += len(calls) * now - started_s
        tally.queue_s += len(calls) * leased_at - started_s
