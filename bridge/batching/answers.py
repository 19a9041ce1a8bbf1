"""A batch that runs, and what its members get of its reply: their answer, and their share of what it has used.

Owns nothing: `batching` has the batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bridge.batching import shares as batch_shares
from bridge.call import Call
from bridge.inside import split_inside
from bridge.native import decode_meta, settle
from handlers import batches
from handlers.contract import ReplyMeta
from pool.errors import WorkerProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.batching.group import Group
    from bridge.batching.members import Member
    from pool.calls import Call as Job
    from pool.frames import Reply


class Batch:
    """Members that run together. `left` are those that still want their answer."""

    __slots__ = ("group", "job", "left", "members", "sent_at")

    def __init__(self, group: Group, members: Sequence[Member], sent_at: float) -> None:
        self.group = group
        self.members = members
        self.left = set(members)
        self.sent_at = sent_at
        self.job: Job | None = None


class Outcome(NamedTuple):
    """What one member gets: its answer, and its share of what the batch has used. Times in nanoseconds."""

    answer: batches.Answer
    size: int
    batch_ns: int
    share_ns: int
    meta: ReplyMeta | None


def deliver(batch: Batch, reply: Reply) -> None:
    """Give each member its answer, and its share of what the batch has used."""
    count = len(batch.members)
    try:
        meta = decode_meta(reply.meta)
        answers = batches.unpack_answers(reply.body) if reply.ok else []
    except (ValueError, msgspec.MsgspecError) as error:
        worker = "" if batch.job is None or batch.job.worker is None else batch.job.worker.id
        for member in batch.members:
            member.fail(WorkerProtocol(member.call.pool, worker, f"the reply of a batch: {error}"))
        return
    if len(answers) != count:
        answers = [batches.Answer(False, 1.0, reply.meta, b"")] * count
    weights = [answer.weight for answer in answers]
    times = batch_shares.split(reply.worker_ns, weights)
    metas = batch_shares.split_meta(meta, weights) if meta.usage or meta.model_s else [None] * count
    for member, answer, time_ns, share in zip(batch.members, answers, times, metas, strict=True):
        if not member.future.done():
            member.future.set_result(Outcome(answer, count, reply.worker_ns, time_ns, share))


def share_nested(batch: Batch, job: Job) -> None:
    """End the calls that a batch has made and that go on; let those that still wait for their answers share them all.

    In equal parts: what a member's part of them was can not be told.
    """
    stand_in = job.context
    if not isinstance(stand_in, Call):
        return
    stand_in.job = None  # they know each other
    if stand_in.inside is None:
        return
    stand_in.inside.close()
    waiting = [member.call for member in batch.members if not member.future.done()]
    for call, inside in zip(waiting, split_inside(stand_in.inside, len(waiting)), strict=True):
        call.inside = inside
        call.meta = ReplyMeta()


def settle_member(call: Call, outcome: Outcome) -> bytes:
    """Take what became of a member into its call's record. Raises its failure."""
    call.worker_ns, call.batch_size, call.batch_ns = outcome.share_ns, outcome.size, outcome.batch_ns
    try:
        settle(call, outcome.answer.ok, outcome.answer.meta)
    finally:
        if outcome.meta is not None:
            call.meta = outcome.meta
    return outcome.answer.body
