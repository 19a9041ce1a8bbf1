"""One suite over every kind of pool: the fake, and real ones with blocking, async and threaded workers.

What holds here may be relied on by whoever uses a pool, and by tests that use the fake in place of processes.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from pool.errors import DeadlineExceeded, PoolError, QueueFull, Stopped, WorkerLost
from pool.frames import STREAM_WINDOW
from pool.lifecycle import State


def in_s(seconds):
    return asyncio.get_running_loop().time() + seconds


async def call(pool, function, body=b"", meta=b"", timeout_s=20.0):
    return await reply_of(pool, pool.submit(function, meta, body, in_s(timeout_s)))


async def reply_of(pool, submitted):
    """The reply of a call; a caller that is cancelled cancels it."""
    try:
        return await submitted.future
    finally:
        pool.release(submitted)


def start_stream(pool, function, body, timeout_s=60.0):
    return pool.submit(function, b"", body, in_s(timeout_s), stream=True)


async def occupy(pool):
    """Take every slot of the pool with a call that sleeps; the tasks."""
    tasks = []
    while not pool.saturated:
        submitted = pool.submit("sleep", b"", b"60", in_s(60))
        tasks.append(asyncio.ensure_future(reply_of(pool, submitted)))
    await asyncio.sleep(0)
    return tasks


async def give_up(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# -- calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 20_000, 300_000, 5_000_000])
async def test_a_call_comes_back_with_its_bytes(pool, size):
    body = os.urandom(size)
    reply = await call(pool, "echo", body, b"meta")
    assert (reply.ok, reply.meta) == (True, b"meta")
    assert reply.body == body
    assert reply.worker_ns >= 0


async def test_a_failure_of_user_code_is_a_value(pool):
    reply = await call(pool, "fail")
    assert (reply.ok, reply.meta, reply.body) == (False, b"the reason", b"")
    assert (await call(pool, "echo", b"on")).body == b"on", "the worker has not suffered"


async def test_the_worker_knows_how_long_it_has(pool):
    reply = await call(pool, "timeout", timeout_s=20.0)
    assert 15 < float(reply.body) <= 20


async def test_calls_of_one_worker_are_not_mixed_up(make):
    pool = await make(size=2)
    bodies = [os.urandom(number % 50) + b"%d" % number for number in range(200)]
    replies = await asyncio.gather(*(call(pool, "echo", body) for body in bodies))
    assert [reply.body for reply in replies] == bodies


async def test_a_worker_runs_as_many_calls_as_it_says(make, flavour):
    """Two calls that wait for each other: on one worker where it takes several, else on two."""
    if flavour in ("fake", "async", "threads"):
        pool = await make(concurrency=2)
        replies = await asyncio.gather(call(pool, "meet"), call(pool, "meet"))
        assert [reply.ok for reply in replies] == [True, True]
    else:
        pool = await make(size=2)
        replies = await asyncio.gather(*(call(pool, "where") for _ in range(2)))
        assert len({reply.body for reply in replies}) == 2


# -- streams ------------------------------------------------------------------------------------------------------


async def test_ten_thousand_chunks_come_complete_and_in_order(pool):
    started = start_stream(pool, "count", b"10000 20")
    found = []
    while chunks := await started.buffer.take():
        found += chunks
    assert found == [str(number).encode().ljust(20) for number in range(10000)]
    reply = await started.future
    assert (reply.ok, reply.meta, reply.body) == (True, b"meta", b"end")


async def test_chunks_larger_than_the_window(pool):
    started = start_stream(pool, "count", b"5 %d" % (STREAM_WINDOW + 1))
    found = []
    while chunks := await started.buffer.take():
        found += [(int(chunk), len(chunk)) for chunk in chunks]
    assert found == [(number, STREAM_WINDOW + 1) for number in range(5)]


async def test_a_stream_that_fails_says_so_after_its_chunks(pool):
    started = start_stream(pool, "broken", b"")
    assert await started.buffer.take() == [b"one"]
    assert await started.buffer.take() == []
    reply = await started.future
    assert (reply.ok, reply.meta) == (False, b"the reason")


async def test_a_slow_reader_suspends_the_producer(make, tmp_path):
    """At every turn the producer is at most a window ahead, though it could be done long since."""
    pool = await make(size=2)
    note, size, count = tmp_path / "note", 10_000, 2000
    started = start_stream(pool, "note", f"{count} {size} {note}".encode())
    bound = (STREAM_WINDOW + STREAM_WINDOW // 4) // size + 2
    taken = 0
    while chunks := await started.buffer.take():
        taken += len(chunks)
        for _ in range(3):
            await call(pool, "echo")  # while the worker could produce
        assert int(note.read_text()) - taken <= bound
    assert taken == count


async def test_leaving_a_stream_early_closes_the_producer_and_frees_the_slot(pool, tmp_path):
    note = tmp_path / "note"
    started = start_stream(pool, "forever", str(note).encode())
    assert await started.buffer.take()
    pool.release(started)
    assert (await call(pool, "echo", b"next")).body == b"next"
    async with asyncio.timeout(10):
        await slots_back(pool)
    assert note.read_text() == "closed"


async def test_leaving_a_stream_whose_producer_waits_for_room(pool, tmp_path):
    started = start_stream(pool, "note", f"100000 50000 {tmp_path / 'note'}".encode())
    async with asyncio.timeout(10):
        while sum(map(len, started.buffer._chunks)) < STREAM_WINDOW * 0.9:
            await call(pool, "echo") if pool.options.concurrency > 1 else await asyncio.sleep(0)
    pool.release(started)
    async with asyncio.timeout(10):
        await slots_back(pool)
    assert pool.snapshot().restarts == 0, "the worker noticed by itself"


async def test_a_deadline_ends_a_stream(pool, tmp_path):
    started = start_stream(pool, "forever", str(tmp_path / "note").encode(), timeout_s=0.3)
    async with asyncio.timeout(5):
        while await started.buffer.take():
            pass
    with pytest.raises(DeadlineExceeded):
        await started.future
    assert (await call(pool, "echo", b"next")).body == b"next"


async def slots_back(pool):
    """Wait until nothing runs on any worker."""
    for worker in list(pool._supervisor.workers.values()):
        await worker.idle()


# -- deadlines and cancels ----------------------------------------------------------------------------------------


async def test_a_deadline_is_answered_on_time_and_the_slot_comes_back(pool):
    started = in_s(0)
    with pytest.raises(DeadlineExceeded) as late:
        await call(pool, "sleep", b"60", timeout_s=0.2)
    assert late.value.where == "IN_WORKER"
    assert 0.2 <= in_s(0) - started < 1.0
    async with asyncio.timeout(5):
        await slots_back(pool)
    assert (await call(pool, "echo", b"next")).body == b"next"
    assert pool.snapshot().restarts == 0


async def test_a_cancel_reaches_the_call_and_the_slot_comes_back(pool):
    tasks = await occupy(pool)
    await give_up(tasks)
    assert all(task.cancelled() for task in tasks)
    async with asyncio.timeout(5):
        await slots_back(pool)
    assert (await call(pool, "echo", b"next")).body == b"next"
    assert pool.snapshot().restarts == 0


async def test_a_cancel_right_after_the_start_is_not_lost(pool):
    """The worker reads call and cancel together; it must neither run the call nor owe its slot."""
    for _ in range(30):
        task = asyncio.ensure_future(call(pool, "sleep", b"60"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(5):
        await slots_back(pool)
    assert pool.snapshot().restarts == 0
    assert (await call(pool, "echo", b"next")).body == b"next"


async def test_a_cancelled_call_does_not_disturb_its_neighbours(make, flavour):
    pool = await make(concurrency=1 if flavour in ("blocking", "forked") else 4, size=2)
    tasks = await occupy(pool)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert (await call(pool, "echo", b"in its place")).body == b"in its place"
    assert not any(task.done() for task in tasks[1:])
    await give_up(tasks[1:])


# -- the queue ----------------------------------------------------------------------------------------------------


async def test_a_full_queue_refuses(make):
    pool = await make(queue_limit=2)
    running = await occupy(pool)
    waiting = [asyncio.ensure_future(call(pool, "echo")) for _ in range(2)]
    await asyncio.sleep(0)
    assert (pool.saturated, pool.snapshot().waiting) == (True, 2)
    with pytest.raises(QueueFull):
        await call(pool, "echo")
    await give_up(running)
    assert [(await one).ok for one in waiting] == [True, True]


async def test_a_deadline_in_the_queue(pool):
    running = await occupy(pool)
    with pytest.raises(DeadlineExceeded) as late:
        await call(pool, "echo", timeout_s=0.05)
    assert late.value.where == "IN_QUEUE"
    await give_up(running)


async def test_a_call_that_is_released_in_the_queue_makes_room(make):
    pool = await make(queue_limit=1)
    running = await occupy(pool)
    waiting = pool.submit("echo", b"", b"", in_s(60))
    assert pool.snapshot().waiting == 1
    pool.release(waiting)
    pool.release(waiting)
    assert waiting.future.cancelled()
    assert pool.snapshot().waiting == 0
    await give_up(running)
    async with asyncio.timeout(5):
        await slots_back(pool)
    assert (await call(pool, "echo", b"on")).body == b"on"


async def test_a_worker_can_be_preferred(make):
    pool = await make(size=2)
    for worker in pool.snapshot().workers:
        assert pool.has_worker(worker.id)
        launched = []
        submitted = pool.submit("echo", b"", b"", in_s(5), prefer=worker.id, on_launch=launched.append)
        assert (await reply_of(pool, submitted)).ok
        assert (submitted.worker.id, launched) == (worker.id, [worker.id])
    assert not pool.has_worker("contract-99")


# -- proof and snapshot -------------------------------------------------------------------------------------------


async def test_a_canary_is_a_proof(pool):
    assert pool.proof_age_s is None
    assert await pool.canary(10) is None
    assert pool.proof_age_s < 5
    assert pool.snapshot().calls == 0, "it is nobody's call"


async def test_canaries_go_round_the_workers(make):
    """However short they are: a worker that no call goes to must be proved as well."""
    pool = await make(size=3)
    before = {worker.id: worker.answered for worker in pool.snapshot().workers}
    for _ in range(6):
        assert await pool.canary(10) is None
    assert [worker.answered - before[worker.id] for worker in pool.snapshot().workers] == [2, 2, 2]


async def test_a_canary_that_fails_is_none(make):
    pool = await make()
    await pool.drain(1)
    assert isinstance(await pool.canary(1), PoolError)
    assert pool.proof_age_s is None


async def test_a_snapshot_shows_what_is(make):
    pool = await make(size=2)
    task = asyncio.ensure_future(call(pool, "sleep", b"60"))
    await asyncio.sleep(0)
    shot = pool.snapshot()
    assert (shot.name, shot.state, shot.cause, shot.restarts, shot.exits) == ("contract", "ready", "", 0, ())
    assert sorted(worker.running for worker in shot.workers) == [0, 1]
    assert [worker.id for worker in shot.workers] == ["contract-1", "contract-2"]
    assert {worker.state for worker in shot.workers} == {State.READY}
    assert all(worker.rss_bytes > 0 and worker.age_s >= 0 for worker in shot.workers)
    await give_up([task])


# -- ends ---------------------------------------------------------------------------------------------------------


async def test_a_worker_that_is_killed_fails_its_calls_and_is_replaced(pool, flavour):
    (victim,) = pool.snapshot().workers
    tasks = await occupy(pool)
    if flavour == "fake":
        pool.kill(victim.id)
    else:
        os.kill(victim.pid, 9)
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, WorkerLost)
        assert (result.worker, result.function, result.signal) == (victim.id, "sleep", "SIGKILL")
    assert (await call(pool, "echo", b"next")).body == b"next"
    shot = pool.snapshot()
    assert (shot.restarts, [report.worker for report, _ in shot.exits]) == (1, [victim.id])
    assert not pool.has_worker(victim.id)


async def test_drain_lets_running_calls_end_and_takes_no_more(pool):
    running = asyncio.ensure_future(call(pool, "sleep", b"0.3"))
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(pool.drain(20))
    await asyncio.sleep(0)
    with pytest.raises(Stopped):
        await call(pool, "echo")
    assert not draining.done()
    assert pool.snapshot().state == "draining"
    assert (await running).ok
    assert await draining is True


async def test_drain_fails_those_that_wait(make):
    pool = await make(lookahead=0)
    running = await occupy(pool)
    waiting = asyncio.ensure_future(call(pool, "echo"))
    await asyncio.sleep(0)
    draining = asyncio.ensure_future(pool.drain(20))
    with pytest.raises(Stopped):
        await waiting
    await give_up(running)
    assert await draining is True


async def test_drain_ends_when_its_time_is_up(pool):
    running = await occupy(pool)
    assert await pool.drain(0.1) is False
    await give_up(running)


async def test_stop_ends_running_calls_as_stopped(pool):
    running = await occupy(pool)
    await pool.stop()
    for result in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(result, Stopped)
    with pytest.raises(Stopped):
        pool.submit("echo", b"", b"", in_s(1))
    assert pool.snapshot().workers == ()


async def test_stop_twice_is_stop(pool):
    await pool.stop()
    await pool.stop()
    assert pool.snapshot().state == "draining"
