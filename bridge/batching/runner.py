"""Batched calls: gathered by function, sent to a pool as one call, and answered each by itself.

Owns the calls that wait for each other and the batches that run. A batch is one call of its pool, one lease; when to
send it is decided by `group`, who is in it by `members`. A call that runs by itself goes the way of any
pooled call. A member that is cancelled or out of time leaves at once; its batch goes on for the others, and is
cancelled when nobody is left.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bridge.batching.answers import Batch, deliver, settle_member, share_nested
from bridge.batching.counters import BatchCounters
from bridge.batching.group import Group
from bridge.batching.members import Member, gives_way
from bridge.call import Call, Identity, new_call
from bridge.envelope import first_name
from bridge.native import call_meta
from bridge.pooled import may_retry, note
from bridge.receipts import receipts
from bridge.resolve import FORWARDED
from handlers import batches
from handlers.contract import BatchRule, CallMeta
from pool.deadlines import Deadlines
from pool.errors import (
    CancelledByOperator,
    DeadlineExceeded,
    PoolError,
    QueueFull,
    Stopped,
    WorkerLost,
    WorkerMemoryLimit,
    WorkerProtocol,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from bridge.pooled import PooledRunner
    from pool.calls import Call as Job
    from pool.pool import Pool

_encode = msgspec.msgpack.Encoder().encode
DEFAULT_NAME = "default"
"""What an empty name in a request stands for."""


class BatchedRunner:
    """Runs calls of functions that have a `BatchRule`. `reply_bytes` is the largest message that a worker may send."""

    def __init__(self, pools: Mapping[str, Pool], pooled: PooledRunner, reply_bytes: int) -> None:
        self.counters = BatchCounters()
        self._pools = pools
        self._pooled = pooled
        self._reply_bytes = reply_bytes
        self._loop = asyncio.get_running_loop()
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._timers: dict[Group, asyncio.TimerHandle] = {}
        self._where: dict[Group, str] = {}
        """The pool of each group."""
        self._deadlines: Deadlines[Member] = Deadlines(self._loop, self._expire)

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises as `PooledRunner.run` does."""
        assert call.spec is not None
        rule, name = _rule_of(call, call.spec.batch)
        if call.session is not None or rule.max_items < 2 or call.bytes_in > rule.max_bytes:
            return await self._pooled.run(call)
        group = self._group(call, rule, name)
        if self._loop.time() < group.apart_until:
            return await self._pooled.run(call)
        if group.is_quiet(self._loop.time(), self._slots(group)):
            self.counters.alone(call.function)
            group.began()
            return await self._alone(call, group)
        return await self._together(call, group)

    def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call: by itself."""
        return self._pooled.stream(call)

    def cancel(self, call: Call) -> bool:
        """End a call that waits or runs with others, with CANCELLED_BY_OPERATOR; False where it has ended."""
        member = call.job
        if not isinstance(member, Member) or member.future.done():
            return False
        member.fail(CancelledByOperator(call.pool))
        self._leave(member)
        return True

    def turn_away(self, call: Call) -> None:
        """End a call with SHUTTING_DOWN where it waits for others, or its batch waits in the queue."""
        member = call.job
        if not isinstance(member, Member):
            self._pooled.turn_away(call)
        elif member.batch is None or (member.batch.job is not None and member.batch.job.queued):
            member.fail(Stopped(call.pool))
            self._leave(member)

    def close(self) -> None:
        """Watch nothing any more: no call is left."""
        self._deadlines.close()
        for timer in self._timers.values():
            timer.cancel()

    def _group(self, call: Call, rule: BatchRule, name: str) -> Group:
        key = (call.pool, call.function, name)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(rule)
        elif group.waiters.rule is not rule:
            group.renew(rule)
        self._where[group] = call.pool
        return group

    def _slots(self, group: Group) -> int:
        """Return how many batches of a group may run now."""
        pool = self._pools.get(self._where[group])
        if pool is None:
            return 1
        each = min(pool.options.concurrency, group.waiters.rule.concurrency)
        return max(1, pool.ready_workers) * each

    async def _alone(self, call: Call, group: Group) -> bytes:
        """Run a call that the group counts as a batch of one."""
        started = self._loop.time()
        try:
            return await self._pooled.run(call)
        finally:
            now = self._loop.time()
            group.ended(1, now - started, now)
            self._turn(group)

    async def _together(self, call: Call, group: Group) -> bytes:
        """Run a call with others, or alone where no others come."""
        self._make_room(call, group)
        member = call.job = Member(call, group, self._loop.create_future(), self._loop.time())
        call.route = receipts.POOLED
        member.bucket = self._deadlines.add(member, call.deadline)
        group.arrived(member)
        self.counters.waiting[call.function] += 1
        self._turn(group)
        try:
            found = await member.future
        except (WorkerLost, WorkerProtocol, WorkerMemoryLimit) as error:
            pool = self._pools.get(call.pool)
            if pool is None or not may_retry(call, pool, 0.0):
                raise
            found = None
            call.retried = True
            call.reason += f"; retried alone after {error.worker} died with a batch"
        except asyncio.CancelledError:
            if member.alone:
                group.ended(0, 0.0, self._loop.time())
                self._turn(group)
            raise
        finally:
            member.bucket.discard(member)
            self._leave(member)
            call.job = None  # they know each other
        if found is not None:
            return settle_member(call, found)
        if call.retried:
            return await self._pooled.run(call)
        return await self._alone(call, group)

    def _turn(self, group: Group) -> None:
        """Send what is due, and come back when more may be."""
        if (timer := self._timers.pop(group, None)) is not None:
            timer.cancel()
        while members := group.due(self._loop.time(), self._slots(group)):
            self._send(group, members)
        if group.wake_at is not None:
            self._timers[group] = self._loop.call_at(group.wake_at, self._turn, group)

    def _send(self, group: Group, taken: list[Member]) -> None:
        now = self._loop.time()
        function = taken[0].call.function
        self.counters.waiting[function] -= len(taken)
        members = [member for member in taken if not member.future.done()]  # a cancelled one may not know it yet
        self.counters.left[function] += len(taken) - len(members)
        if not members:
            return
        group.began()
        self.counters.went(function, len(members), tuple(now - member.arrived_at for member in members))
        if len(members) == 1:
            members[0].alone = True
            members[0].future.set_result(None)
            return
        batch = Batch(group, members, now)
        try:
            job = batch.job = self._submit(members)
        except PoolError as error:
            for member in members:
                member.fail(error)
            group.ended(0, 0.0, now)
            return
        for member in members:
            member.batch = batch
        job.future.add_done_callback(lambda _: self._done(batch))

    def _submit(self, members: list[Member]) -> Job:
        calls = [member.call for member in members]
        first = calls[0]
        pool = self._pools.get(first.pool)
        if pool is None:
            raise Stopped(first.pool)
        tenant = first.identity.tenant if len({call.identity.tenant for call in calls}) == 1 else ""
        deadline = max(call.deadline for call in calls)
        stand_in = new_call(batches.METHOD, Identity(first.identity.request_id, tenant=tenant), b"", deadline)
        stand_in.function, stand_in.pool, stand_in.route = first.function, first.pool, receipts.POOLED
        return pool.submit(
            first.function,
            _encode(CallMeta(batches.METHOD, first.identity.request_id, tenant=tenant)),
            batches.pack([(call_meta(call), call.request) for call in calls], self._reply_bytes),
            deadline,
            priority=max(call.identity.priority for call in calls),
            tenant=tenant,
            context=stand_in,
        )

    def _done(self, batch: Batch) -> None:
        """Give the members of a batch that has ended what became of them."""
        job = batch.job
        assert job is not None
        now = self._loop.time()
        pool = self._pools.get(batch.members[0].call.pool)
        if pool is not None:
            pool.release(job)
        share_nested(batch, job)
        batch.group.ended(len(batch.left), now - batch.sent_at, now)
        if not job.future.cancelled():
            if (error := job.future.exception()) is not None:
                if isinstance(error, WorkerLost | WorkerMemoryLimit):
                    batch.group.broke(now)
                for member in batch.members:
                    member.fail(error)
            else:
                reply = job.future.result()
                if pool is not None:
                    pool.served(reply.worker_ns / 1e9, job.function)
                deliver(batch, reply)
        self._turn(batch.group)

    def _leave(self, member: Member) -> None:
        """Let a member go; a batch that nobody waits for any more is cancelled."""
        if member.waits:
            member.group.left(member)
            self.counters.waiting[member.call.function] -= 1
            self.counters.left[member.call.function] += 1
            self._turn(member.group)
        batch = member.batch
        if batch is None:
            return
        member.batch = None
        batch.left.discard(member)
        assert batch.job is not None
        note(member.call, batch.job)
        if batch.job.future.done():
            return
        self.counters.left[member.call.function] += 1
        pool = self._pools.get(member.call.pool)
        if not batch.left and pool is not None:
            pool.release(batch.job)

    def _expire(self, member: Member) -> None:
        """End a member whose deadline has passed; its batch goes on."""
        job = None if member.batch is None else member.batch.job
        where = "IN_WORKER" if job is not None and job.launched_at else "IN_QUEUE"
        member.fail(DeadlineExceeded(member.call.pool, where))
        self._leave(member)

    def _make_room(self, call: Call, group: Group) -> None:
        """Let a call wait within the limits of its pool's queue. Raises QueueFull, here or for who gives way."""
        pool = self._pools.get(call.pool)
        if pool is None:
            return
        pool.check_input(call.function, call.request)
        groups = [one for one, name in self._where.items() if name == call.pool]
        count, size = sum(one.waiters.count for one in groups), sum(one.waiters.size for one in groups)
        options = pool.options
        if count < options.queue_limit and size + call.bytes_in <= options.queue_bytes:
            return
        error = partial(
            QueueFull,
            call.pool,
            options.queue_limit,
            group.drain_s(self._slots(group)),
            waiting=count,
            queued_bytes=size,
            limit_bytes=options.queue_bytes,
            size=call.bytes_in,
            exceeded="calls" if count >= options.queue_limit else "bytes",
        )
        victim = gives_way(call, [one.waiters for one in groups])
        if victim is None or size - victim.size + call.bytes_in > options.queue_bytes:
            raise error()
        victim.fail(error(displaced=True))
        self._leave(victim)


def _rule_of(call: Call, rule: BatchRule | None) -> tuple[BatchRule, str]:
    """Return the rule of a call, and the name that it shares with those that it may run with."""
    assert rule is not None
    if not rule.by_name:
        return rule, ""
    row = FORWARDED[call.method]
    if not row.function or row.message is None:
        return rule, ""
    name = first_name(call.request, row.message, row.field) or DEFAULT_NAME
    found = rule.by_name.get(name)
    return (rule, "") if found is None else (found, name)
