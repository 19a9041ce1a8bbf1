"""Priorities, tenants and bounds in bytes: whose turn it is among waiting calls, and who gives way in a full queue."""

import asyncio
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.admission import Admission
from pool.calls import HIGH, LOW, NORMAL, Call
from pool.errors import DeadlineExceeded, DeadlineUnreachable, QueueFull
from pool.estimates import SAMPLES
from pool.frames import Reply
from pool.options import Canary, PoolOptions
from pool.testing import ScriptedWorker
from pool.turns import ACCOUNTS, AGE, KEPT_PART

OK = Reply(True, b"", b"")
MANY = 1 << 20


def options(**changes):
    canary = Canary(function="canary", meta=b"", body=b"")
    return PoolOptions(**{"name": "p", "entry": "m:f", "entry_options": b"", "canary": canary, "size": 1, **changes})


class Rig:
    """A queue with scripted workers; `begun` has the calls in the order in which they were begun."""

    def __init__(self, loop, workers=1, lookahead=0, **changes):
        self.loop = loop
        self.begun = []
        self.queue = Admission("p", 0, loop)
        self.queue.configure(options(**{"queue_limit": MANY, **changes}))
        self.workers = [ScriptedWorker(f"w{n}", "p", 1, self.queue.slot_free, lookahead) for n in range(workers)]
        for worker in self.workers:
            self.queue.add(worker)

    def submit(self, tenant="", priority=NORMAL, *, size=0, prefer=None, function="f", deadline=None):
        call = Call(
            function, b"", bytes(size), deadline, self.loop.create_future(), False,
            lambda _worker: self.begun.append(call), priority, tenant,
        )  # fmt: skip
        self.queue.submit(call, prefer)
        return call

    def busy(self):
        """Let every worker have a call; these are not counted."""
        for worker in self.workers:
            self.submit(prefer=worker.id)
        self.begun.clear()

    def finish(self, worker=None, took_s=0.05):
        """End the call that a worker runs, as if it had taken so long."""
        worker = worker or self.workers[0]
        call = next(iter(worker.calls.values()))
        call.launched_at = time.perf_counter() - took_s
        worker.finish(call, OK)
        self.queue.release(call)

    def drain(self):
        while running := [worker for worker in self.workers if worker.calls]:
            self.finish(running[0])


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


def in_loop(check):
    """Run a check of a property inside of a running loop, which a rig needs."""

    async def main():
        check(asyncio.get_running_loop())

    asyncio.run(main())


# -- priorities ---------------------------------------------------------------------------------------------------


async def test_higher_goes_first_and_within_a_priority_the_older(loop):
    rig = Rig(loop)
    rig.busy()
    low, normal, high = rig.submit("", LOW), rig.submit(), rig.submit("", HIGH)
    low2, normal2, high2 = rig.submit("", LOW), rig.submit(), rig.submit("", HIGH)
    rig.drain()
    assert rig.begun == [high, high2, normal, normal2, low, low2]
    assert (rig.queue.waiting, rig.queue._queue._ranked, rig.queue._queue._others) == (0, 0, {})


async def test_what_waits_long_enough_is_due(loop):
    rig = Rig(loop)
    rig.busy()
    low = [rig.submit("", LOW) for _ in range(2)]
    for _ in range(3 * AGE):
        rig.submit("", HIGH)
    rig.drain()
    assert [rig.begun.index(call) for call in low] == [AGE, 2 * AGE + 1]


@settings(max_examples=60, deadline=None)
@given(arrivals=st.lists(st.tuples(st.sampled_from([HIGH, NORMAL, LOW]), st.integers(0, 2)), min_size=1, max_size=120))
def test_nobody_starves_under_an_endless_flood_of_higher_calls(arrivals):
    """From the moment that a call is the oldest of its priority, at most AGE + 2 others are begun before it."""

    def check(loop):
        rig = Rig(loop)
        rig.busy()
        waiting, passed = {HIGH: [], NORMAL: [], LOW: []}, Counter()
        for priority, ends in arrivals:
            waiting[priority].append(rig.submit("", priority))
            for _ in range(ends):
                if not any(waiting.values()):
                    break
                rig.submit("", HIGH)
                before = len(rig.begun)
                rig.finish()
                assert len(rig.begun) == before + 1, "a slot stands still while calls wait"
                begun = rig.begun[-1]
                for calls in waiting.values():
                    if begun in calls:
                        assert calls[0] is begun, "within a priority the older goes first"
                        calls.remove(begun)
                    elif calls:
                        passed[calls[0]] += 1
                        assert calls[0].priority == HIGH or passed[calls[0]] <= AGE + 2
        rig.queue.close()

    in_loop(check)


# -- tenants ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(backlog=st.lists(st.integers(0, 4), min_size=20, max_size=200), workers=st.integers(1, 3))
def test_backlogged_tenants_get_their_share_within_one_call(backlog, workers):
    """Whatever the order in which the calls came, and however many came of each."""

    def check(loop):
        rig = Rig(loop, workers)
        rig.busy()
        left = Counter()
        for number in backlog:
            tenant = f"t{number}" if number else ""
            rig.submit(tenant)
            left[tenant] += 1
        served, whole = Counter(), set(left)
        while rig.queue.waiting:
            rig.finish(rig.workers[len(rig.begun) % workers])
            tenant = rig.begun[-1].tenant
            served[tenant] += 1
            left[tenant] -= 1
            assert max(served[one] for one in whole) - min(served[one] for one in whole) <= 1
            whole = {one for one in whole if left[one]} or whole
            if not all(left[one] for one in whole):
                break
        rig.queue.close()

    in_loop(check)


async def test_turns_are_taken_by_the_time_that_calls_really_take(loop):
    """A tenant whose calls take three times as long gets a third of the calls."""
    rig = Rig(loop)
    rig.busy()
    for _ in range(80):
        rig.submit("slow")
        rig.submit("fast")
    rig.finish()
    for _ in range(80):
        rig.finish(took_s=0.3 if rig.begun[-1].tenant == "slow" else 0.1)
    served = Counter(call.tenant for call in rig.begun)
    assert served["fast"] == pytest.approx(3 * served["slow"], abs=4)


async def test_a_tenant_that_comes_late_waits_for_nobodys_backlog_and_has_saved_nothing_up(loop):
    rig = Rig(loop)
    rig.busy()
    for _ in range(40):
        rig.submit("flood")
    for _ in range(20):
        rig.finish()
    late = [rig.submit("late") for _ in range(4)]
    rig.begun.clear()
    for _ in range(8):
        rig.finish()
    assert rig.begun.index(late[0]) <= 1
    assert sum(call in rig.begun for call in late) == 4


async def test_calls_without_a_tenant_have_saved_nothing_up_either(loop):
    rig = Rig(loop)
    rig.busy()
    for _ in range(30):
        rig.submit("a")
    for _ in range(29):
        rig.finish()
    rig.drain()
    rig.busy()
    for _ in range(20):
        rig.submit()
    rig.submit("b")
    for _ in range(2):
        rig.finish()
    assert "b" in [call.tenant for call in rig.begun[-2:]]


async def test_calls_of_sessions_take_turns_too(loop):
    """A call that waits for one worker alone does not wait behind everything that another tenant has sent for any."""
    rig = Rig(loop, workers=2)
    rig.busy()
    for _ in range(20):
        rig.submit("flood")
    pinned = rig.submit("other", prefer="w1")
    rig.finish(rig.workers[0])
    assert pinned.worker is None, "it wants the other one"
    rig.finish(rig.workers[1])
    rig.finish(rig.workers[1])
    assert pinned in rig.begun


async def test_who_waited_for_a_worker_that_left_keeps_its_turn(loop):
    rig = Rig(loop, workers=2)
    rig.busy()
    first = rig.submit("a")
    pinned = [rig.submit("a", prefer="w1"), rig.submit("", HIGH, prefer="w1"), rig.submit(prefer="w1")]
    last = rig.submit("a")
    rig.queue.remove(rig.workers[1])
    assert all(call.pinned is None for call in pinned)
    for _ in range(5):
        rig.finish()
    order = rig.begun
    assert order[0] is pinned[1]
    assert [call for call in order if call.tenant == "a"] == [first, pinned[0], last]
    assert rig.queue.waiting == 0


# -- a full queue -------------------------------------------------------------------------------------------------


async def test_a_higher_call_displaces_the_newest_of_the_lowest(loop):
    rig = Rig(loop, queue_limit=4)
    rig.busy()
    normal, low, newest = rig.submit(), rig.submit("", LOW), rig.submit("", LOW)
    other = rig.submit()
    high = rig.submit("", HIGH)
    error = newest.future.exception()
    assert isinstance(error, QueueFull)
    assert (error.displaced, error.waiting, error.limit) == (True, 4, 4)
    assert error.retry_after_s > 0
    with pytest.raises(QueueFull, match="4 calls waiting") as full:
        rig.submit("", LOW)
    assert not full.value.displaced
    rig.drain()
    assert rig.begun == [high, normal, other, low]


async def test_a_lower_priority_keeps_a_part_of_the_queue(loop):
    rig = Rig(loop, queue_limit=4 * KEPT_PART)
    rig.busy()
    low = [rig.submit("", LOW) for _ in range(4 * KEPT_PART)]
    for _ in range(3 * KEPT_PART + KEPT_PART - 4):
        rig.submit("", HIGH)
    with pytest.raises(QueueFull):
        rig.submit("", HIGH)
    assert [call.future.done() for call in low] == [False] * 4 + [True] * (4 * KEPT_PART - 4)


async def test_a_flood_holds_only_the_room_that_others_leave(loop):
    rig = Rig(loop, queue_limit=10)
    rig.busy()
    flood = [rig.submit("flood") for _ in range(10)]
    with pytest.raises(QueueFull):
        rig.submit("flood")
    others = [rig.submit("other") for _ in range(5)]
    with pytest.raises(QueueFull):
        rig.submit("other")
    assert [call.future.done() for call in flood] == [False] * 5 + [True] * 5, "its newest gave way"
    third = [rig.submit("third") for _ in range(3)]
    with pytest.raises(QueueFull):
        rig.submit("third")
    assert rig.queue.waiting == 10
    left = [sum(not call.future.done() for call in calls) for calls in (flood, others, third)]
    assert sorted(left) == [3, 3, 4]
    with pytest.raises(QueueFull):
        rig.submit("flood")


async def test_without_tenants_nobody_gives_way(loop):
    rig = Rig(loop, queue_limit=2)
    rig.busy()
    calls = [rig.submit(), rig.submit()]
    with pytest.raises(QueueFull):
        rig.submit()
    assert not any(call.future.done() for call in calls)


async def test_the_queue_is_bounded_in_bytes_too(loop):
    rig = Rig(loop, queue_bytes=1000)
    running = rig.submit(size=5000)
    assert running.worker is not None, "only what waits is counted"
    first = rig.submit(size=600)
    message = r"1\.000|600 bytes.*waiting, its limit is .*1000 bytes.*this one has .*500 bytes.*pools\.p\.queue_bytes"
    with pytest.raises(QueueFull, match=message) as full:
        rig.submit(size=500)
    assert (full.value.exceeded, full.value.queued_bytes, full.value.limit_bytes) == ("bytes", 600, 1000)
    second = rig.submit(size=400)
    rig.queue.release(first)
    third = rig.submit(size=600)
    rig.drain()
    assert rig.begun == [running, second, third]
    assert (rig.queue.waiting, rig.queue._queue.bytes) == (0, 0)


async def test_as_many_give_way_as_the_bytes_need_or_none(loop):
    rig = Rig(loop, queue_bytes=1000)
    rig.busy()
    low = [rig.submit("", LOW, size=250) for _ in range(4)]
    with pytest.raises(QueueFull):
        rig.submit("", HIGH, size=1200)
    assert not any(call.future.done() for call in low), "no call leaves for one that finds no room all the same"
    rig.submit("", HIGH, size=500)
    assert [call.future.done() for call in low] == [False, False, True, True]
    assert rig.queue._queue.bytes == 1000


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(
            st.sampled_from([HIGH, NORMAL, LOW]), st.sampled_from(["", "a", "b", "c"]), st.integers(0, 900),
            st.sampled_from([None, "w0", "w1"]), st.integers(0, 3),
        ),
        max_size=150,
    ),
    lookahead=st.sampled_from([0, 0, 3]),
)  # fmt: skip
def test_no_bound_is_ever_exceeded_and_nobody_is_lost(arrivals, lookahead):
    def check(loop):
        rig = Rig(loop, workers=2, lookahead=lookahead, queue_limit=6, queue_bytes=2000)
        rig.busy()
        calls = []
        for priority, tenant, size, prefer, act in arrivals:
            try:
                calls.append(rig.submit(tenant, priority, size=size, prefer=prefer))
            except QueueFull:
                assert rig.queue.waiting == 6 or rig.queue._queue.bytes + size > 2000
            if act == 1 and calls:
                rig.queue.release(calls[len(calls) // 2])
            if act == 2:
                for worker in [worker for worker in rig.workers if worker.calls][:1]:
                    rig.finish(worker)
            queued = [call for call in calls if call.queued]
            assert rig.queue.waiting == len(queued) + sum(call.lined for call in calls) <= 6
            assert rig.queue._queue.bytes == sum(len(call.body) for call in queued) <= 2000
            ranked = [call for call in queued if call.tenant or call.priority]
            assert rig.queue._queue._ranked == len(ranked)
        kept = [call for call in calls if call.queued or call.lined]
        rig.drain()
        assert set(kept) <= set(rig.begun), "who waits is served in the end"
        assert (rig.queue.waiting, rig.queue._queue.bytes) == (0, 0)
        assert all(worker.free == 1 for worker in rig.workers)
        rig.queue.close()

    in_loop(check)


async def test_tenants_that_come_once_are_forgotten(loop):
    rig = Rig(loop)
    for number in range(3 * ACCOUNTS):
        rig.busy()
        rig.submit(f"t{number}")
        rig.drain()
    assert len(rig.queue._queue._turns._accounts) <= ACCOUNTS


async def test_calls_that_left_do_not_pile_up_behind_one_that_waits(loop):
    rig = Rig(loop)
    rig.busy()
    first = rig.submit(size=10)
    for number in range(3000):
        rig.queue.release(rig.submit("a" if number % 2 else "", size=10))
    assert sum(map(len, rig.queue._queue._lanes())) < 200
    rig.finish()
    assert rig.begun == [first]


# -- lines --------------------------------------------------------------------------------------------------------


async def test_lines_are_short_once_calls_have_priorities(loop):
    rig = Rig(loop, lookahead=8)
    calls = [rig.submit() for _ in range(5)]
    assert [call.lined for call in calls] == [False] + [True] * 4
    rig.submit("a")
    rig.drain()
    calls = [rig.submit() for _ in range(5)]
    assert [call.lined for call in calls] == [False, True, False, False, False], "calls of 50 ms: one at a time"
    high = rig.submit("", HIGH)
    rig.finish()
    assert (high.worker, high.lined) == (rig.workers[0], True), "the next in line, before those that came earlier"


async def test_what_is_taken_back_from_a_line_is_not_paid_for(loop):
    rig = Rig(loop, lookahead=1)
    rig.busy()
    calls = [rig.submit(tenant) for tenant in ("a", "a", "b")]
    rig.finish()
    lined = [call for call in calls if call.lined]
    charged = {call.account.tenant: call.account.turn_s for call in calls if call.account is not None}
    assert len(lined) == 1
    assert charged
    rig.queue.remove(rig.workers[0])
    assert [call.queued for call in lined] == [True]
    assert lined[0].account is None


# -- deadlines ----------------------------------------------------------------------------------------------------


def learn(queue, seconds, function="f"):
    for _ in range(10 * SAMPLES):
        queue.observe(seconds, function)


async def test_a_call_that_would_be_too_late_is_refused_at_once(loop):
    rig = Rig(loop)
    learn(rig.queue, 1.0)
    rig.busy()
    for _ in range(5):
        rig.submit()
    with pytest.raises(DeadlineUnreachable, match="would need about 6") as refused:
        rig.submit(deadline=loop.time() + 4.5)
    assert refused.value.predicted_s == pytest.approx(6.0, abs=0.1)
    assert refused.value.remaining_s == pytest.approx(4.5, abs=0.1)
    assert rig.submit(deadline=loop.time() + 5.5).queued
    assert rig.queue.waiting == 6


async def test_a_call_that_may_be_in_time_is_not_refused(loop):
    rig = Rig(loop, max_size=2)
    rig.busy()
    for _ in range(50):
        rig.submit()
    assert rig.submit(deadline=loop.time() + 0.01).queued, "nothing is known of the function"
    learn(rig.queue, 1.0, "other")
    for _ in range(50):
        rig.submit(function="rare")
    assert rig.submit(deadline=loop.time() + 0.01).queued, "nor of these"
    for _ in range(4):
        rig.submit("t", function="other")
    assert rig.submit(deadline=loop.time() + 0.01).queued, "another tenant's calls may come later"
    assert rig.submit("t", deadline=loop.time() + 2.1).queued, "the pool may have two workers by then"
    assert rig.submit("t", HIGH, deadline=loop.time() + 0.01).queued, "it overtakes them"
    with pytest.raises(DeadlineUnreachable):
        rig.submit("t", deadline=loop.time() + 1.5)


async def test_functions_that_vary_widely_refuse_nobody(loop):
    rig = Rig(loop)
    for _ in range(10 * SAMPLES):
        rig.queue.observe(0.01, "f")
        rig.queue.observe(0.01, "f")
        rig.queue.observe(2.0, "f")
    rig.busy()
    for _ in range(5):
        rig.submit()
    assert rig.submit(deadline=loop.time() + 0.3).queued


@settings(max_examples=40, deadline=None)
@given(late=st.lists(st.tuples(st.booleans(), st.sampled_from(["", "a"]), st.sampled_from([HIGH, LOW])), max_size=40))
def test_a_call_whose_deadline_passed_in_the_queue_is_never_begun(late):
    async def main():
        rig = Rig(asyncio.get_running_loop())
        rig.busy()
        calls = [
            (passes, rig.submit(tenant, priority, deadline=rig.loop.time() + (-1.0 if passes else 60.0)))
            for passes, tenant, priority in late
        ]
        expired = [call for passes, call in calls if passes]
        if expired:
            await asyncio.wait([call.future for call in expired], timeout=5)
        rig.drain()
        assert [call for passes, call in calls if passes and call in rig.begun] == []
        assert all(isinstance(call.future.exception(), DeadlineExceeded) for call in expired)
        assert {call for passes, call in calls if not passes} == set(rig.begun)
        rig.queue.close()

    asyncio.run(main())
