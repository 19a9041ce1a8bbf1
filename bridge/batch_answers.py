"""A batch that runs, and what its members get of its reply: their answer, and their share of what it has used.

Owns nothing: `batching` has the batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import batch_shares
from bridge.batch_members import Member
from bridge.errors import BridgeError
from bridge.native import decode_meta, settle
from handlers import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.batch_group import Group
    from bridge.call import Call
    from handlers.contract import ReplyMeta
    from pool.calls import Call as Job
    from pool.frames import Reply


class Batch:
    """Members that run together. `left` are those that still want their answer."""

    __slots__ = ("answers", "group", "job", "left", "members", "sent_at", "shares", "worker_ns")

    def __init__(self, group: Group, members: Sequence[Member], sent_at: float) -> None:
        self.group = group
        self.members = members
        self.left = set(members)
        self.sent_at = sent_at
        self.job: Job | None = None
        self.worker_ns = 0
        self.shares: dict[Member, tuple[int, ReplyMeta | None]] = {}
        """The time in nanoseconds and the use of models that each member is charged."""


def deliver(batch: Batch, reply: Reply) -> None:
    """Give each member its answer, and its share of what the batch has used."""
    meta = decode_meta(reply.meta)
    answers = batches.unpack_answers(reply.body) if reply.ok else []
    if len(answers) != len(batch.members):
        answers = [batches.Answer(False, 1.0, reply.meta, b"")] * len(batch.members)
    weights = [answer.weight for answer in answers]
    times = batch_shares.split(reply.worker_ns, weights)
    metas = batch_shares.split_meta(meta, weights) if meta.usage or meta.model_s else ()
    batch.worker_ns = reply.worker_ns
    for index, (member, answer) in enumerate(zip(batch.members, answers, strict=True)):
        batch.shares[member] = times[index], metas[index] if metas else None
        if not member.future.done():
            member.future.set_result((batch, answer))


def settle_member(call: Call, batch: Batch, answer: batches.Answer) -> bytes:
    """Take what became of a member into its call's record. Raises its failure."""
    assert isinstance(call.job, Member)
    call.worker_ns, share = batch.shares[call.job]
    call.batch_size, call.batch_ns = len(batch.members), batch.worker_ns
    failure: BridgeError | None = None
    try:
        settle(call, answer.ok, answer.meta)
    except BridgeError as error:
        failure = error
    if share is not None:
        call.meta = share
    if failure is not None:
        raise failure
    return answer.body
