"""The queue of a pool: who is granted a slot, in which order, and every way to lose one."""

import asyncio
import gc

import pytest

from pool.admission import Admission
from pool.errors import DeadlineExceeded, PoolUnavailable, QueueFull, Stopped
from pool.testing import ScriptedWorker


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


@pytest.fixture
async def queue(loop):
    return Admission("p", 3, loop)


@pytest.fixture
async def add(queue):
    def add(name, slots=1):
        worker = ScriptedWorker(name, "p", slots, queue.slot_free)
        queue.add(worker)
        return worker

    return add


async def settled(turns=5):
    """Let everything happen that is due."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def waiting(queue, *prefers, deadline=None):
    """Tasks that wait in the queue, in this order."""
    tasks = [asyncio.ensure_future(queue.acquire(deadline, prefer)) for prefer in prefers]
    await settled()
    return tasks


# -- granted at once ----------------------------------------------------------------------------------------------


async def test_without_a_worker_nothing_is_granted(queue):
    assert queue.try_acquire() is None
    assert not queue.has_room


async def test_a_worker_is_granted_as_often_as_it_has_slots(queue, add):
    worker = add("a", slots=2)
    leases = [queue.try_acquire(), queue.try_acquire()]
    assert [lease.worker for lease in leases] == [worker, worker]
    assert queue.try_acquire() is None
    leases[0].release()
    assert queue.has_room


async def test_calls_go_round_the_workers(queue, add):
    for name in "abc":
        add(name, slots=2)
    assert [queue.try_acquire().worker.id for _ in range(6)] == list("abcabc")


async def test_a_preferred_worker_is_the_only_one_while_it_is_there(queue, add):
    add("a")
    add("b")
    assert queue.try_acquire("b").worker.id == "b"
    assert queue.try_acquire("b") is None, "it is busy, and the caller wants no other"
    assert queue.try_acquire("gone").worker.id == "a", "it is no more: any will do"


async def test_a_lease_gives_its_slot_back_once(queue, add):
    worker = add("a")
    lease = queue.try_acquire()
    lease.release()
    lease.release()
    assert worker.free == 1


async def test_a_lease_is_for_one_call(queue, add):
    add("a")
    lease = queue.try_acquire()
    lease.start("f", b"", b"", None)
    with pytest.raises(AssertionError, match="for one call"):
        lease.start("f", b"", b"", None)


# -- in the queue -------------------------------------------------------------------------------------------------


async def test_first_come_first_served(queue, add):
    worker = add("a")
    lease = queue.try_acquire()
    first, second, third = await waiting(queue, None, None, None)
    assert queue.waiting == 3
    for waiter in (first, second, third):
        lease.release()
        lease = await asyncio.wait_for(waiter, 1)
        assert lease.worker is worker
    assert queue.waiting == 0


async def test_who_comes_later_never_overtakes_who_waits(queue, add):
    add("a")
    lease = queue.try_acquire()
    (waiter,) = await waiting(queue, None)
    lease.release()
    assert queue.try_acquire() is None, "the slot was handed over at once"
    await waiter


async def test_the_queue_has_a_limit_and_says_when_to_come_again(queue):
    waiters = await waiting(queue, None, None, None)
    with pytest.raises(QueueFull, match=r"3 calls waiting, which is its limit; raise pools\.p\.queue_limit") as full:
        await queue.acquire(None)
    assert 0.05 <= full.value.retry_after_s <= 30
    waiters[0].cancel()
    await settled()
    (again,) = await waiting(queue, None)
    assert not again.done(), "who left has made room"
    queue.stop()
    await asyncio.gather(*waiters, again, return_exceptions=True)


async def test_a_deadline_in_the_queue(queue, add, loop):
    worker = add("a")
    lease = queue.try_acquire()
    with pytest.raises(DeadlineExceeded) as late:
        await queue.acquire(loop.time() + 0.01)
    assert late.value.where == "IN_QUEUE"
    lease.release()
    assert queue.try_acquire().worker is worker, "nobody is owed this slot"


async def test_a_cancel_in_the_queue(queue, add):
    worker = add("a")
    lease = queue.try_acquire()
    first, second = await waiting(queue, None, None)
    first.cancel()
    lease.release()
    assert (await asyncio.wait_for(second, 1)).worker is worker
    assert first.cancelled()


async def test_a_cancel_in_the_moment_of_the_grant_passes_the_slot_on(queue, add):
    worker = add("a")
    lease = queue.try_acquire()
    first, second = await waiting(queue, None, None)
    lease.release()  # granted to the first, which has not run since
    first.cancel()
    assert (await asyncio.wait_for(second, 1)).worker is worker
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_cancel_in_the_moment_of_the_grant_with_nobody_behind(queue, add):
    worker = add("a")
    lease = queue.try_acquire()
    (only,) = await waiting(queue, None)
    lease.release()
    only.cancel()
    await asyncio.wait([only])
    assert worker.free == 1
    assert queue.has_room


async def test_a_cancel_in_the_moment_of_a_failure_leaves_no_complaint(queue, loop):
    complaints = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    (waiter,) = await waiting(queue, None)
    queue.stop()
    waiter.cancel()
    await asyncio.wait([waiter])
    del waiter
    gc.collect()
    await settled()
    assert complaints == []


async def test_a_deadline_and_a_grant_in_the_same_moment_lose_no_slot(queue, add, loop):
    worker = add("a")
    lease = queue.try_acquire()
    task = asyncio.ensure_future(queue.acquire(loop.time() - 1))
    await asyncio.sleep(0)
    lease.release()
    done, _ = await asyncio.wait([task])
    (task,) = done
    if task.exception() is None:
        task.result().release()
    await settled()
    assert worker.free == 1


# -- pinned waiters -----------------------------------------------------------------------------------------------


async def test_who_waits_for_one_worker_gets_that_one(queue, add):
    a, b = add("a"), add("b")
    lease_a, lease_b = queue.try_acquire("a"), queue.try_acquire("b")
    pinned, general = await waiting(queue, "b", None)
    lease_a.release()
    assert (await asyncio.wait_for(general, 1)).worker is a, "it overtakes who wants another worker"
    assert not pinned.done()
    lease_b.release()
    assert (await asyncio.wait_for(pinned, 1)).worker is b


async def test_pinned_and_general_waiters_share_one_order(queue, add):
    add("a")
    lease = queue.try_acquire()
    tasks = await waiting(queue, None, "a", None)
    order = []
    for task in tasks:
        task.add_done_callback(order.append)
    for task in tasks:
        lease.release()
        lease = await asyncio.wait_for(task, 1)
    assert order == tasks


async def test_who_waited_for_a_worker_that_left_keeps_the_place_in_the_line(queue, add):
    a, b = add("a"), add("b")
    lease_a, lease_b = queue.try_acquire("a"), queue.try_acquire("b")
    first, second, third = await waiting(queue, None, "b", None)
    queue.remove(b)
    for task in (first, second, third):
        lease_a.release()
        lease_a = await asyncio.wait_for(task, 1)
        assert lease_a.worker is a
    lease_b.release()
    assert queue.try_acquire() is None, "a worker that was removed is given to nobody"


async def test_who_waited_for_a_worker_that_left_takes_a_free_one_at_once(queue, add):
    a, b = add("a"), add("b")
    assert queue.try_acquire("b").worker is b
    (pinned,) = await waiting(queue, "b")
    queue.remove(b)
    assert (await asyncio.wait_for(pinned, 1)).worker is a


async def test_a_pinned_waiter_that_left_is_skipped(queue, add):
    b = add("b")
    lease = queue.try_acquire("b")
    first, second = await waiting(queue, "b", "b")
    first.cancel()
    lease.release()
    assert (await asyncio.wait_for(second, 1)).worker is b


# -- refusal ------------------------------------------------------------------------------------------------------


def unavailable():
    return PoolUnavailable("p", "exited with code 1", 10.0)


async def test_refusal_fails_who_waits_and_who_comes(queue, add):
    b = add("b")
    queue.try_acquire()
    waiters = await waiting(queue, None, "b", None)
    queue.remove(b)
    queue.refuse(unavailable)
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(result) for result in results] == [PoolUnavailable] * 3
    assert len(set(map(id, results))) == 3, "one exception object raised in several places mixes their tracebacks"
    with pytest.raises(PoolUnavailable, match="exited with code 1"):
        queue.try_acquire()
    with pytest.raises(PoolUnavailable):
        await queue.acquire(None)


async def test_refusal_ends_with_the_next_worker(queue, add):
    queue.refuse(unavailable)
    worker = add("a")
    assert queue.try_acquire().worker is worker


async def test_refusals_do_not_pile_up_tracebacks(queue):
    queue.refuse(unavailable)
    depths = []
    for _ in range(3):
        with pytest.raises(PoolUnavailable) as refused:
            queue.try_acquire()
        depths.append(len(refused.traceback))
    assert len(set(depths)) == 1


async def test_a_pool_that_stopped_stays_stopped_when_a_replacement_is_ready(queue, add):
    queue.stop()
    add("late")
    with pytest.raises(Stopped, match="shutting down"):
        queue.try_acquire()
    queue.refuse(unavailable)
    with pytest.raises(Stopped):
        queue.try_acquire()


async def test_the_estimate_follows_the_service_time(queue, add):
    add("a")
    queue.try_acquire()
    for _ in range(200):
        queue.observe(2.0)
    waiters = await waiting(queue, None, None, None)
    with pytest.raises(QueueFull) as full:
        await queue.acquire(None)
    assert full.value.retry_after_s == pytest.approx(6.0, rel=0.01), "three calls of two seconds on one worker"
    queue.stop()
    await asyncio.gather(*waiters, return_exceptions=True)
