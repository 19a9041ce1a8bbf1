"""Calls that are lined up behind running ones: where, how many, and when they are taken back."""

import asyncio

import pytest

from pool.admission import PACKED_S, Admission
from pool.calls import Call
from pool.errors import DeadlineExceeded, QueueFull, Stopped
from pool.frames import Reply
from pool.lines import BALANCE_S, LINED_BYTES
from pool.testing import ScriptedWorker


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


@pytest.fixture
async def queue(loop):
    made = Admission("p", 20, loop)
    yield made
    made.close()


@pytest.fixture
async def add(queue):
    def add(name, lookahead=4):
        worker = ScriptedWorker(name, "p", 1, queue.slot_free, lookahead)
        queue.add(worker)
        return worker

    return add


@pytest.fixture
async def submit(queue, loop):
    def submit(prefer=None, size=0, deadline=None, to=None):
        call = Call("f", b"", bytes(size), deadline, loop.create_future())
        (to or queue).submit(call, prefer)
        return call

    return submit


def finish(call):
    call.worker.finish(call, Reply(True, b"", b""))


def short_calls(queue):
    """Let the queue believe that calls are short enough to be packed."""
    while queue._times.usual_s > PACKED_S:
        queue.observe(0.0)


# -- into a line --------------------------------------------------------------------------------------------------


async def test_the_shortest_line_is_taken(add, submit):
    a, b = add("a"), add("b")
    submit(), submit()
    lined = [submit() for _ in range(6)]
    assert all(call.lined for call in lined)
    assert (a.lined, b.lined) == (3, 3)


async def test_what_does_not_fit_a_line_waits_in_the_queue_and_moves_up(queue, add, submit):
    a = add("a", lookahead=2)
    calls = [submit() for _ in range(5)]
    assert [call.lined for call in calls] == [False, True, True, False, False]
    assert queue.waiting == 4
    for number, call in enumerate(calls):
        assert (call.worker, call.id in a.calls) == (a, True)
        assert all(later.lined for later in calls[number + 1 : number + 3])
        finish(call)
    assert queue.waiting == 0


async def test_no_call_is_lined_up_past_one_that_waits(add, submit):
    add("a")
    running, big, small = submit(), submit(size=LINED_BYTES + 1), submit()
    assert (big.lined, small.lined) == (False, False), "too large to lie in a socket, and too late"
    finish(running)
    assert (big.worker.calls, small.lined) == ({big.id: big}, True)


async def test_a_queue_of_no_calls_lines_up_none(add, submit, loop):
    queue = Admission("p", 0, loop)
    queue.add(ScriptedWorker("a", "p", 1, queue.slot_free, 4))
    short_calls(queue)
    submit(to=queue)
    with pytest.raises(QueueFull):
        submit(to=queue)
    queue.add(ScriptedWorker("b", "p", 1, queue.slot_free, 4))
    assert submit(to=queue).worker.id == "b"
    assert queue.waiting == 0


async def test_the_limit_counts_calls_in_lines_also_while_a_worker_is_idle(add, submit, loop):
    queue = Admission("p", 2, loop)
    for name in "ab":
        queue.add(ScriptedWorker(name, "p", 1, queue.slot_free, 4))
    short_calls(queue)
    calls = [submit(to=queue) for _ in range(4)]
    assert [call.lined for call in calls] == [False, True, True, False], "rather woken than above the limit"
    with pytest.raises(QueueFull, match="2 calls waiting"):
        submit(to=queue)
    queue.close()


async def test_pinned_calls_are_lined_up_at_their_own_worker_and_stay_there(queue, add, submit):
    a, b = add("a"), add("b")
    on_a, on_b = submit("a"), submit("b")
    pinned = [submit("a") for _ in range(3)]
    assert [call.worker for call in pinned] == [a] * 3
    finish(on_b)
    assert b.free == 1, "an idle neighbour does not get them"
    queue._lines.balance()
    queue._lines.balance()
    assert [call.pinned for call in pinned] == ["a"] * 3
    finish(on_a)
    for call in pinned:
        assert (call.worker, call.id in a.calls) == (a, True)
        finish(call)


# -- out of a line ------------------------------------------------------------------------------------------------


async def test_an_idle_worker_takes_from_a_line(add, submit):
    add("a"), add("b")
    slow, short = submit(), submit()
    lined = [submit("a") if number == 9 else submit() for number in range(4)]
    b = short.worker
    finish(short)
    for _ in range(4):
        assert b.running == 1
        finish(next(iter(b.calls.values())))
    assert all(call.future.done() for call in lined)
    assert not slow.future.done()


async def test_a_worker_that_is_added_takes_from_a_line(add, submit):
    add("a")
    submit()
    lined = submit()
    assert lined.worker.id == "a"
    add("b")
    assert (lined.worker.id, lined.lined) == ("b", False)


async def test_short_calls_are_packed_until_one_is_not_short(queue, add, submit, loop):
    b, a = add("b"), add("a")
    short_calls(queue)
    slow, behind = submit(), submit()
    assert (slow.worker, behind.worker, behind.lined, b.free) == (a, a, True, 1)
    started = loop.time()
    async with asyncio.timeout(5):
        while behind.lined:
            await asyncio.sleep(0)
    assert behind.worker is b
    assert loop.time() - started >= BALANCE_S * 0.9
    finish(behind)
    finish(slow)


async def test_short_calls_keep_to_the_worker_that_was_busy_last_and_others_go_round(queue, add, submit):
    def workers():
        seen = []
        for _ in range(4):
            call = submit()
            seen.append(call.worker.id)
            finish(call)
        return seen

    for name in "abc":
        add(name)
    assert workers() == ["a", "b", "c", "a"]
    short_calls(queue)
    assert len(set(workers())) == 1


async def test_a_line_behind_a_slow_call_goes_back_to_the_queue_before_later_calls_are_served(queue, add, submit):
    """Else it would stand there while the other worker serves whoever comes, as long as that is never idle."""
    add("a"), add("b")
    slow, short = submit(), submit()
    stuck = submit()
    later = [submit(), submit()]
    assert (stuck.worker, later[0].worker) == (slow.worker, short.worker)
    queue._lines.balance()
    finish(short)
    queue._lines.balance()
    assert not stuck.lined or stuck.worker is not slow.worker
    order = []
    for call in (stuck, *later):
        call.future.add_done_callback(lambda _future, call=call: order.append(call))
    for _ in range(3):
        finish(next(call for call in short.worker.calls.values()))
    await asyncio.sleep(0)
    assert set(order) == {stuck, *later}, "all three, beside the slow one"
    assert not slow.future.done()


async def test_lines_that_move_are_left_alone(queue, add, submit):
    a = add("a")
    calls = [submit() for _ in range(5)]
    for call in calls[:3]:
        queue._lines.balance()
        finish(call)
    assert [call.lined for call in calls[4:]] == [True]
    assert a._passed_over == 0


async def test_calls_taken_back_are_served_by_age(queue, add, submit):
    add("a", lookahead=8)
    running = submit()
    calls = [submit() for _ in range(12)]
    queue._lines.balance()
    queue._lines.balance()
    assert [call.queued for call in calls] == [True] * 12
    assert queue.waiting == 12
    order = []
    for call in calls:
        call.on_launch = lambda _worker, call=call: order.append(call)
    finish(running)
    for call in calls:
        finish(call)
    assert order == calls


async def test_no_timer_runs_for_a_line_that_was_taken_back(queue, add, submit):
    add("a")
    submit(), submit()
    assert queue._lines.timer is not None
    queue._lines.timer.cancel()
    queue._lines.balance()
    queue._lines.timer.cancel()
    queue._lines.balance()
    assert queue._lines.timer is None


# -- leaving a line -----------------------------------------------------------------------------------------------


async def test_who_leaves_a_line_offers_those_behind_to_idle_workers(queue, add, submit):
    b, a = add("b"), add("a")
    short_calls(queue)
    running, first, second = submit(), submit(), submit()
    assert [call.worker for call in (running, first, second)] == [a] * 3
    queue.release(first)
    assert (first.future.cancelled(), first.worker) == (True, None)
    assert second.worker is b, "it does not wait for the first worker"
    assert queue.waiting == 0


async def test_a_deadline_in_a_line(queue, add, submit, loop):
    a = add("a")
    submit()
    late, behind = submit(deadline=loop.time() + 0.01), submit()
    with pytest.raises(DeadlineExceeded) as passed:
        await late.future
    assert passed.value.where == "IN_QUEUE"
    queue.release(late)
    assert (a.lined, queue.waiting, behind.queued) == (0, 1, True)


async def test_a_cancel_that_comes_as_the_call_is_begun_is_the_workers(queue, add, submit):
    a = add("a")
    running, first, second = submit(), submit(), submit()
    a.early = True  # the worker has gone on to the first
    queue.release(first)
    assert (first.abandoned, first.lined, queue.waiting) == (True, True, 2)
    finish(running)
    assert (list(a.calls.values()), queue.waiting) == ([first], 1)
    finish(first)
    assert list(a.calls.values()) == [second]


async def test_an_idle_worker_takes_the_first_of_a_line_or_the_last_where_calls_are_short(queue, add, submit):
    for service_s, taken in ((0.05, 1), (0.0001, 3)):
        for _ in range(200):
            queue.observe(service_s)
        a = add(f"a{taken}")
        calls = [submit() for _ in range(4)]
        b = add(f"b{taken}")
        assert list(b.calls.values()) == [calls[taken]]
        assert queue.waiting == 2
        for call in calls:
            queue.release(call)
        queue.remove(a)
        queue.remove(b)


async def test_a_future_cancelled_in_a_line_is_skipped_and_counted_once(queue, add, submit):
    add("a")
    running, first, second = submit(), submit(), submit()
    first.future.cancel()
    add("b")
    assert second.worker.id == "b"
    assert first.worker is None, "it was taken back, and nobody wants it"
    queue.release(first)
    queue.release(first)
    assert queue.waiting == 0
    finish(running)


async def test_who_is_lined_up_at_a_worker_that_leaves_is_served_first_elsewhere(queue, add, submit):
    a, b = add("a"), add("b", lookahead=0)
    submit("a"), submit("b")
    pinned = [submit("a") for _ in range(2)]
    submit("b"), submit("b")
    queue.remove(a)
    assert [(call.queued, call.pinned) for call in pinned] == [(True, None)] * 2
    finish(next(iter(b.calls.values())))
    assert list(b.calls.values()) == pinned[:1]
    add("c")
    assert pinned[1].worker.id == "c"


async def test_who_is_lined_up_when_a_stopped_pool_loses_its_worker_is_told(queue, add, submit):
    a = add("a")
    running, lined = submit(), submit()
    queue.stop()
    assert (lined.lined, lined.future.done()) == (True, False), "accepted work is finished"
    queue.remove(a)
    assert isinstance(lined.future.exception(), Stopped)
    queue.release(lined)
    assert queue.waiting == 0
    finish(running)
