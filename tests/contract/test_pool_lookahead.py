"""Calls that are lined up behind the running one: as if they had waited in the queue, in every kind of pool."""

from __future__ import annotations

import asyncio
import os

import pytest

from pool.errors import DeadlineExceeded, QueueFull, Stopped, WorkerLost
from pool.frames import STREAM_WINDOW

pytestmark = pytest.mark.parametrize("flavour", ["fake", "blocking"], indirect=True)


def in_s(seconds):
    return asyncio.get_running_loop().time() + seconds


async def reply_of(pool, submitted):
    """The reply of a call; a caller that is cancelled cancels it."""
    try:
        return await submitted.future
    finally:
        pool.release(submitted)


def occupy(pool):
    """A call that keeps the only worker busy until it is released."""
    return pool.submit("sleep", b"", b"60", in_s(60))


def order_of(submitted):
    """A list that gets the numbers of calls as they end."""
    ended = []
    for number, one in enumerate(submitted):
        one.future.add_done_callback(lambda _future, number=number: ended.append(number))
    return ended


async def test_calls_of_one_worker_come_back_in_order_whether_lined_up_or_queued(make):
    pool = await make()
    submitted = [pool.submit("echo", b"", b"%d" % number, in_s(20)) for number in range(40)]
    ended = order_of(submitted)
    replies = [await reply_of(pool, one) for one in submitted]
    assert [reply.body for reply in replies] == [b"%d" % number for number in range(40)]
    assert ended == sorted(ended)
    assert pool.snapshot().waiting == 0


async def test_a_lined_up_call_that_is_cancelled_lets_the_others_keep_their_order(make):
    pool = await make()
    running = occupy(pool)
    launched = []
    submitted = [
        pool.submit("echo", b"", b"", in_s(20), on_launch=lambda _worker, number=number: launched.append(number))
        for number in range(12)
    ]
    assert pool.snapshot().waiting == 12
    pool.release(submitted[3])
    assert submitted[3].future.cancelled()
    assert pool.snapshot().waiting == 11
    pool.release(running)
    for number, one in enumerate(submitted):
        if number != 3:
            assert (await reply_of(pool, one)).ok
    assert launched == [number for number in range(12) if number != 3]


async def test_a_lined_up_call_whose_deadline_passes_has_waited_in_the_queue(make):
    pool = await make()
    running = occupy(pool)
    launched = []
    late = pool.submit("echo", b"", b"", in_s(0.05), on_launch=launched.append)
    behind = pool.submit("echo", b"", b"behind", in_s(20))
    with pytest.raises(DeadlineExceeded) as failed:
        await reply_of(pool, late)
    assert failed.value.where == "IN_QUEUE"
    pool.release(running)
    assert (await reply_of(pool, behind)).body == b"behind"
    assert launched == []


async def test_calls_that_are_not_short_begin_in_order_whichever_worker_they_were_lined_up_at(make):
    pool = await make(size=2)
    launched = []
    submitted = [
        pool.submit("sleep", b"", b"0.03", in_s(20), on_launch=lambda _worker, number=number: launched.append(number))
        for number in range(16)
    ]
    for one in submitted:
        assert (await reply_of(pool, one)).ok
    late = [abs(place - number) for place, number in enumerate(launched)]
    assert max(late) <= 1, f"two that end at once may change places, no more: {launched}"


async def test_the_queue_limit_counts_calls_that_are_lined_up(make):
    pool = await make(queue_limit=3)
    running = occupy(pool)
    waiting = [pool.submit("echo", b"", b"", in_s(20)) for _ in range(3)]
    with pytest.raises(QueueFull):
        pool.submit("echo", b"", b"", in_s(20))
    pool.release(waiting[0])
    waiting[0] = pool.submit("echo", b"", b"", in_s(20))
    pool.release(running)
    assert [(await reply_of(pool, one)).ok for one in waiting] == [True] * 3


async def test_streams_can_be_lined_up(make):
    """Also behind a stream that waits for room: its worker has read the others' frames by then."""
    pool = await make()
    first, second = (
        pool.submit("count", b"", b"40 %d" % (STREAM_WINDOW // 8), in_s(60), stream=True) for _ in range(2)
    )
    third = pool.submit("echo", b"", b"third", in_s(20))
    for started in (first, second):
        found = []
        while chunks := await started.buffer.take():
            found += map(int, chunks)
        assert found == list(range(40))
        assert (await reply_of(pool, started)).ok
    assert (await reply_of(pool, third)).body == b"third"


async def test_a_death_costs_the_running_call_and_none_that_is_lined_up(make, flavour):
    pool = await make()
    (victim,) = pool.snapshot().workers
    running = occupy(pool)
    behind = [pool.submit("echo", b"", b"%d" % number, in_s(20)) for number in range(12)]
    if flavour == "fake":
        pool.kill(victim.id)
    else:
        os.kill(victim.pid, 9)
    assert [(await reply_of(pool, one)).body for one in behind] == [b"%d" % number for number in range(12)]
    with pytest.raises(WorkerLost):
        await reply_of(pool, running)


async def test_drain_waits_for_a_line_that_moves(make):
    pool = await make()
    submitted = [pool.submit("echo", b"", b"", in_s(20)) for _ in range(6)]
    assert await pool.drain(20) is True
    assert [(await reply_of(pool, one)).ok for one in submitted] == [True] * 6


async def test_drain_refuses_a_line_behind_a_slow_call(make):
    """Its callers can go elsewhere; the slow call has all the time that the drain has."""
    pool = await make()
    running = occupy(pool)
    lined = [pool.submit("echo", b"", b"", in_s(20)) for _ in range(3)]
    draining = asyncio.ensure_future(pool.drain(20))
    for one in lined:
        with pytest.raises(Stopped):
            await reply_of(pool, one)
    assert not running.future.done()
    pool.release(running)
    assert await draining is True


async def test_stop_ends_calls_that_are_lined_up_as_stopped(make):
    pool = await make()
    running = occupy(pool)
    lined = [pool.submit("echo", b"", b"", in_s(20)) for _ in range(3)]
    await pool.stop()
    for one in (running, *lined):
        with pytest.raises(Stopped):
            await reply_of(pool, one)
