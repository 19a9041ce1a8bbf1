"""The queue of a pool: who gets a worker, in which order, and every way to leave."""

import asyncio
import gc

import pytest

from pool.admission import Admission
from pool.calls import Call
from pool.errors import DeadlineExceeded, PoolUnavailable, QueueFull, Stopped
from pool.frames import Reply
from pool.testing import ScriptedWorker

OK = Reply(True, b"", b"")


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


@pytest.fixture
async def queue(loop):
    made = Admission("p", 3, loop)
    yield made
    made.close()


@pytest.fixture
async def add(queue):
    def add(name, slots=1):
        worker = ScriptedWorker(name, "p", slots, queue.slot_free)
        queue.add(worker)
        return worker

    return add


@pytest.fixture
async def submit(queue, loop):
    """Submit a call; its `worker` is who runs it, None while it waits."""

    def submit(prefer=None, deadline=None):
        call = Call("f", b"", b"", deadline, loop.create_future())
        queue.submit(call, prefer)
        return call

    return submit


def finish(call):
    call.worker.finish(call, OK)


async def settled(turns=5):
    """Let everything happen that is due."""
    for _ in range(turns):
        await asyncio.sleep(0)


# -- launched at once ---------------------------------------------------------------------------------------------


async def test_without_a_worker_a_call_waits_for_the_first(queue, add, submit):
    call = submit()
    assert (call.worker, queue.waiting, queue.has_room) == (None, 1, False)
    worker = add("a")
    assert (call.worker, queue.waiting) == (worker, 0)


async def test_a_worker_is_given_as_many_calls_as_it_has_slots(queue, add, submit):
    worker = add("a", slots=2)
    first, second, third = submit(), submit(), submit()
    assert [call.worker for call in (first, second, third)] == [worker, worker, None]
    finish(first)
    assert third.worker is worker, "in the same turn"
    finish(second)
    assert queue.has_room


async def test_calls_go_round_the_workers(add, submit):
    for name in "abc":
        add(name, slots=2)
    assert [submit().worker.id for _ in range(6)] == list("abcabc")


async def test_a_preferred_worker_is_the_only_one_while_it_is_there(add, submit):
    add("a")
    add("b")
    assert submit("b").worker.id == "b"
    assert submit("b").worker is None, "it is busy, and the caller wants no other"
    assert submit("gone").worker.id == "a", "it is no more: any will do"


async def test_a_call_that_ended_is_released_without_effect(queue, add, submit):
    worker = add("a")
    call = submit()
    finish(call)
    queue.release(call)
    queue.release(call)
    assert (worker.free, call.abandoned, queue.waiting) == (1, False, 0)
    assert call.future.result() is OK


async def test_a_new_session_is_bound_to_who_has_room_or_the_fewest_waiters(queue, add, submit):
    assert queue.choose() is None
    add("a")
    add("b")
    submit("a")
    assert queue.choose() == "b"
    submit("b")
    submit("a")
    assert queue.choose() == "b"


# -- in the queue -------------------------------------------------------------------------------------------------


async def test_first_come_first_served(queue, add, submit):
    worker = add("a")
    calls = [submit() for _ in range(4)]
    assert queue.waiting == 3
    for number, call in enumerate(calls):
        assert [later.worker for later in calls[number + 1 :]] == [None] * (3 - number)
        assert call.worker is worker
        finish(call)
    assert queue.waiting == 0


async def test_the_queue_has_a_limit_and_says_when_to_come_again(queue, submit):
    calls = [submit() for _ in range(3)]
    with pytest.raises(QueueFull, match=r"3 calls waiting, which is its limit; raise pools\.p\.queue_limit") as full:
        submit()
    assert 0.05 <= full.value.retry_after_s <= 30
    queue.release(calls[0])
    assert submit().worker is None, "who left has made room"


async def test_a_deadline_in_the_queue(queue, add, submit, loop):
    add("a")
    running, late = submit(), submit(deadline=loop.time() + 0.01)
    with pytest.raises(DeadlineExceeded) as passed:
        await late.future
    assert passed.value.where == "IN_QUEUE"
    queue.release(late)
    assert queue.waiting == 0
    finish(running)
    assert queue.has_room, "nobody is owed this slot"


async def test_a_deadline_of_a_running_call_is_the_workers(queue, add, submit, loop):
    worker = add("a")
    call = submit(deadline=loop.time() + 0.01)
    with pytest.raises(DeadlineExceeded) as passed:
        await call.future
    assert passed.value.where == "IN_WORKER"
    assert (worker.free, call.abandoned) == (0, True), "the slot is taken until the worker has done"
    queue.release(call)
    finish(call)
    assert worker.free == 1


async def test_a_cancel_in_the_queue(queue, add, submit):
    worker = add("a")
    running, first, second = submit(), submit(), submit()
    queue.release(first)
    queue.release(first)
    assert (first.future.cancelled(), queue.waiting) == (True, 1)
    finish(running)
    assert (first.worker, second.worker) == (None, worker)


async def test_a_future_that_is_cancelled_counts_until_it_is_released(queue, add, submit):
    worker = add("a")
    running, first, second = submit(), submit(), submit()
    first.future.cancel()
    finish(running)
    assert (first.worker, second.worker) == (None, worker)
    queue.release(first)
    queue.release(first)
    assert queue.waiting == 0


async def test_a_cancel_in_the_moment_of_the_launch_is_the_workers(queue, add, submit):
    worker = add("a")
    running, first, second = submit(), submit(), submit()
    finish(running)  # the first is launched; its caller has not run since
    queue.release(first)
    assert (first.abandoned, second.worker, worker.free) == (True, None, 0)
    finish(first)
    assert second.worker is worker


async def test_a_cancel_in_the_moment_of_a_failure_leaves_no_complaint(queue, submit, loop):
    complaints = []
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    call, late = submit(), submit(deadline=loop.time() - 1)
    await asyncio.wait({late.future})
    queue.stop()
    queue.release(call)
    queue.release(late)
    del call, late
    gc.collect()
    await settled()
    assert complaints == []


async def test_a_deadline_and_a_launch_in_the_same_moment_lose_no_slot(queue, add, submit, loop):
    worker = add("a")
    running, late = submit(), submit(deadline=loop.time() - 1)
    finish(running)
    assert late.worker is worker
    with pytest.raises(DeadlineExceeded):
        await late.future
    queue.release(late)
    finish(late)
    assert worker.free == 1


# -- pinned calls -------------------------------------------------------------------------------------------------


async def test_who_waits_for_one_worker_gets_that_one(add, submit):
    a, b = add("a"), add("b")
    on_a, on_b, pinned, general = submit("a"), submit("b"), submit("b"), submit()
    finish(on_a)
    assert general.worker is a, "it overtakes who wants another worker"
    assert pinned.worker is None
    finish(on_b)
    assert pinned.worker is b


async def test_pinned_and_general_calls_share_one_order(add, submit):
    add("a")
    calls = [submit(), submit(), submit("a"), submit()]
    for number, call in enumerate(calls):
        assert [bool(later.worker) for later in calls[number:]] == [True] + [False] * (3 - number)
        finish(call)


async def test_who_waited_for_a_worker_that_left_keeps_the_place_in_the_line(queue, add, submit):
    a, b = add("a"), add("b")
    on_a, on_b = submit("a"), submit("b")
    first, second, third = submit(), submit("b"), submit()
    queue.remove(b)
    before = on_a
    for call in (first, second, third):
        assert call.worker is None
        finish(before)
        assert call.worker is a
        before = call
    finish(on_b)
    finish(before)
    assert queue.choose() == "a", "a worker that was removed is given to nobody"


async def test_who_waited_for_a_worker_that_left_takes_a_free_one_at_once(queue, add, submit):
    a, b = add("a"), add("b")
    submit("b")
    pinned = submit("b")
    queue.remove(b)
    assert pinned.worker is a


async def test_a_pinned_call_that_left_is_skipped(queue, add, submit):
    b = add("b")
    running, first, second = submit("b"), submit("b"), submit("b")
    queue.release(first)
    finish(running)
    assert (first.worker, second.worker) == (None, b)


# -- refusal ------------------------------------------------------------------------------------------------------


def unavailable():
    return PoolUnavailable("p", "exited with code 1", 10.0)


async def test_refusal_fails_who_waits_and_who_comes(queue, add, submit):
    b = add("b")
    submit()
    calls = [submit(), submit("b"), submit()]
    queue.remove(b)
    queue.refuse(unavailable)
    errors = [call.future.exception() for call in calls]
    assert [type(error) for error in errors] == [PoolUnavailable] * 3
    assert len(set(map(id, errors))) == 3, "one exception object raised in several places mixes their tracebacks"
    with pytest.raises(PoolUnavailable, match="exited with code 1"):
        submit()
    for call in calls:
        queue.release(call)
    assert queue.waiting == 0


async def test_refusal_ends_with_the_next_worker(queue, add, submit):
    queue.refuse(unavailable)
    worker = add("a")
    assert submit().worker is worker


async def test_refusals_do_not_pile_up_tracebacks(queue, submit):
    queue.refuse(unavailable)
    depths = []
    for _ in range(3):
        with pytest.raises(PoolUnavailable) as refused:
            submit()
        depths.append(len(refused.traceback))
    assert len(set(depths)) == 1


async def test_a_pool_that_stopped_stays_stopped_when_a_replacement_is_ready(queue, add, submit):
    queue.stop()
    add("late")
    with pytest.raises(Stopped, match="shutting down"):
        submit()
    queue.refuse(unavailable)
    with pytest.raises(Stopped):
        submit()


async def test_the_estimate_follows_the_service_time(queue, add, submit):
    add("a")
    for _ in range(200):
        queue.observe(2.0)
    for _ in range(4):
        submit()
    with pytest.raises(QueueFull) as full:
        submit()
    assert 5.9 <= full.value.retry_after_s <= 7.6, "three calls of two seconds on one worker, and a jitter"
    with pytest.raises(QueueFull) as later:
        submit()
    assert 7.9 <= later.value.retry_after_s <= 10.1, "the next one comes a call later"
