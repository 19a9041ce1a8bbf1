"""Calls that are placed by measurement, on a pool and an entry of this process: where they go, what is learnt."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time

import msgspec
import pytest

from bridge.auto.choice import Why
from bridge.auto.runner import AutoPlacement, AutoRunner, Waits
from bridge.call import Identity, new_call
from bridge.errors import BridgeError
from bridge.native import NativeRunner
from bridge.pooled import PooledRunner
from bridge.receipts import receipts
from bridge.routing.router import NativeLimits
from bridge.v1 import common_pb2, invoke_pb2
from handlers.contract import EntryOptions, ReplyMeta
from handlers.entry import Entry
from pool.errors import WorkerLost
from pool.options import Canary, PoolOptions
from pool.testing import FakePool

APP = '''
import time
from bridge import function

@function(placement="auto", pure=True, thread_safe=True)
def work(seconds: float) -> str:
    """Sleep, so that nothing is left to the processor's speed."""
    if seconds < 0:
        raise ValueError("as told")
    time.sleep(seconds)
    return "done"
'''
METHOD = "InvokeService/Call"
LIMITS = {"max_request_bytes": 10_000, "concurrency": 4, "max_p99_s": 1.0}
"""A machine that others use must not make a quick call one that is over the limit."""


class Asks:
    """Nobody asks."""


class Load:
    """As busy as the test says."""

    busy = calls_per_s = lag_s = turn_s = 0.0

    def touch(self):
        pass

    def ran(self, seconds):
        pass


class Front:
    """A front with one pool; `draw` is what the next copies are drawn by."""

    def __init__(self, pool, entry, limits):
        self.pool = pool
        self.draw = 1.0
        self.placement = AutoPlacement({"general": pool}, limits, Load())
        self.native = NativeRunner(entry, Asks())
        self.runner = AutoRunner(self.placement, self.native, PooledRunner({"general": pool}, None), lambda: self.draw)
        self.spec = msgspec.structs.replace(entry.specs()[0], pool="general")

    def call(self, seconds, timeout_s=5.0):
        payload = common_pb2.Payload(json=f'{{"seconds": {seconds}}}')
        request = invoke_pb2.CallRequest(function="work", arguments=payload).SerializeToString()
        call = new_call(METHOD, Identity("r-1"), request, asyncio.get_running_loop().time() + timeout_s)
        call.function, call.spec = "work", self.spec
        return call

    async def run(self, seconds, *, way=None, timeout_s=5.0):
        """Run a call where it is decided, or on the way that the test names; return its record."""
        call = self.call(seconds, timeout_s)
        decision = self.placement.decide(self.spec, call.bytes_in, self.native.running)
        call.pool, call.reason = decision.pool, decision.reason
        if way is not None:
            call.pool = "" if way == "native" else "general"
        await self.runner.run(call)
        return call

    def known(self, call):
        found = self.placement.known(self.spec, call.bytes_in)
        self.placement.figures._reckon(found, "work", "general", time.monotonic())
        return found

    async def copied(self):
        """Wait until no copy runs."""
        while tasks := list(self.runner.copies._tasks.values()):
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    @property
    def copies(self):
        return {(way, outcome): count for (_, way, outcome), count in self.placement.counters.copies.items()}


@pytest.fixture
async def make_front(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "app.py").write_text(APP)
    options = EntryOptions(pool="general", builtins=("core",), modules=(str(tmp_path / "app.py"),))
    entry = Entry(msgspec.structs.replace(options, native_only=True, builtins=()))
    pools = []

    async def make(size=1, **limits):
        canary = Canary(function="bridge.canary", meta=b"", body=b"")
        one = FakePool(
            PoolOptions(name="general", entry="", entry_options=b"", canary=canary, size=size), Entry(options)
        )
        await one.start()
        pools.append(one)
        return Front(one, entry, NativeLimits(**{**LIMITS, **limits}))

    yield make
    for one in pools:
        await one.stop()


async def test_the_front_s_entry_has_the_function(make_front):
    front = await make_front()
    assert front.spec.placement == "auto"


async def test_calls_go_to_workers_first_and_then_to_the_front(make_front):
    front = await make_front()
    ways = [await front.run(0.0) for _ in range(40)]
    assert [call.route for call in ways[:8]] == [receipts.POOLED] * 8
    assert ways[0].reason == "auto: pooled, calls of this size have not been timed yet"
    native = next(call for call in ways if call.route == receipts.NATIVE)
    assert re.fullmatch(r"auto: native [\d.]+ m?s against pooled [\d.]+ m?s", native.reason)
    decisions = front.placement.counters.decisions
    assert decisions["work", "pooled", Why.UNTIMED] >= 8
    assert decisions["work", "native", Why.NATIVE_FASTER] > 0
    assert sum(decisions.values()) == 40


async def test_a_slow_function_stays_in_workers(make_front):
    front = await make_front(max_p99_s=0.005)
    calls = [await front.run(0.02) for _ in range(20)]
    assert {call.route for call in calls} == {receipts.POOLED}
    assert re.fullmatch(r"auto: pooled, native p99 of [\d.]+ m?s is over 5 ms", calls[-1].reason)
    known = front.known(calls[0])
    assert 0.02 <= known.service_s < 0.5
    assert front.placement.counters.overruns["work"] == 0


async def test_a_native_call_that_overruns_stops_the_next_of_its_size_at_once(make_front):
    front = await make_front(max_p99_s=0.01)
    for _ in range(20):
        await front.run(0.001, way="pooled")
    slow = front.call(0.03)
    known = front.known(slow)
    assert not known.overran
    slow.pool = ""
    await front.runner.run(slow)
    assert front.placement.counters.overruns["work"] == 1
    decision = front.placement.decide(front.spec, slow.bytes_in, 0)
    assert (decision.pool, known.overran) == ("general", True)


async def test_a_failure_is_timed_like_an_answer(make_front):
    front = await make_front()
    for way in ("pooled", "native"):
        with pytest.raises(BridgeError, match="as told"):
            await front.run(-1.0, way=way)
    figures = front.placement.figures
    assert figures.times.samples("work", "native") == pytest.approx(1, abs=0.01)
    assert figures.times.samples("work", "pool/general") == pytest.approx(1, abs=0.01)


async def test_a_call_that_ran_into_its_deadline_is_known_to_be_slow(make_front, monkeypatch):
    front = await make_front()
    began = threading.Event()
    call = front.call(0.0)
    call.pool = "general"

    async def too_late(call):
        call.leased_at = time.perf_counter() - 1.5
        began.set()
        raise BridgeError(4, "IN_WORKER", "too late")

    monkeypatch.setattr(front.runner._pooled, "run", too_late)
    with pytest.raises(BridgeError, match="too late"):
        await front.runner.run(call)
    assert began.is_set()
    assert front.placement.figures.times.quantile("work", "pool/general", 0.5) >= 1.4


async def test_a_function_that_a_worker_died_in_stays_out_of_the_front(make_front, monkeypatch):
    front = await make_front()
    for _ in range(20):
        await front.run(0.0)

    async def dies(call):
        raise WorkerLost("general", "general-1", "work", "killed", signal="SIGSEGV", exit_code=None, stderr="")

    monkeypatch.setattr(front.runner._pooled, "run", dies)
    call = front.call(0.0)
    call.pool = "general"
    with pytest.raises(WorkerLost):
        await front.runner.run(call)
    known = front.known(call)
    assert known.deadly
    assert (
        front.placement.decide(front.spec, call.bytes_in, 0).reason == "auto: pooled, a worker has died in a call of it"
    )
    front.placement.renew(front.placement.limits)
    assert not front.placement.known(front.spec, call.bytes_in).deadly, "a reload brings other code"


async def test_a_streaming_call_goes_to_a_worker(make_front):
    front = await make_front()
    call = front.call(0.0)
    call.method = "InvokeService/StreamCall"
    messages = [message async for batch in front.runner.stream(call) for message in batch]
    assert len(messages) == 1
    assert (call.pool, call.route, call.reason) == ("general", receipts.POOLED, "auto: streams run in a worker")


async def test_a_copy_goes_the_other_way_and_is_compared(make_front):
    front = await make_front(copies=0.5)
    for _ in range(20):
        await front.run(0.0, way="pooled")
    front.draw = 0.49
    pooled = await front.run(0.0, way="pooled")
    await front.copied()
    native = await front.run(0.0, way="native")
    await front.copied()
    assert front.copies == {("native", "ok"): 1, ("pooled", "ok"): 1}
    counters = front.placement.counters
    assert counters.compared["work"] == 2
    assert counters.taken_s["work"] > 0
    assert 0 <= counters.regret_s["work"] <= counters.taken_s["work"]
    assert (pooled.route, native.route) == (receipts.POOLED, receipts.NATIVE)
    front.draw = 0.5
    await front.run(0.0, way="native")
    assert front.runner.copies._tasks == {}


async def test_no_copy_where_it_would_take_somebody_s_place(make_front):
    front = await make_front(copies=1.0)
    for _ in range(20):
        await front.run(0.0, way="pooled")
    front.draw = 0.0
    blocker = front.pool.submit("bridge.canary", b"", b"", None)
    await front.run(0.0, way="native")
    front.pool.release(blocker)
    assert front.copies == {}, "the only worker is taken"
    front.placement.load.busy = 0.6
    await front.run(0.0, way="pooled")
    assert front.copies == {}, "the front is busy"


async def test_no_copy_in_the_front_of_what_may_not_run_there(make_front):
    front = await make_front(copies=1.0, max_p99_s=0.005)
    front.draw = 0.0
    for _ in range(20):
        await front.run(0.02, way="pooled")
        await front.copied()
    assert front.copies == {}


async def test_a_copy_in_a_worker_leaves_when_callers_wait(make_front, monkeypatch):
    front = await make_front(copies=1.0)
    for _ in range(20):
        await front.run(0.0, way="pooled")
    held = asyncio.Event()

    async def hold(call):
        await held.wait()

    monkeypatch.setattr(front.runner._pooled, "run", hold)
    front.draw = 0.0
    await front.run(0.0, way="native")
    assert list(front.runner.copies._tasks) == ["general"]
    monkeypatch.setattr(type(front.pool), "waiting", 1)
    await asyncio.wait_for(front.copied(), 5.0)
    assert front.copies == {("pooled", "gave_way"): 1}


async def test_predictions_are_held_against_what_calls_took(make_front):
    front = await make_front()
    for _ in range(30):
        await front.run(0.002, way="pooled")
    errors = front.placement.counters.errors["work", "pooled"]
    assert 15 <= sum(errors.counts) <= 30, "none before there is a prediction"


def test_waits_are_corrected_by_what_they_were():
    waits = Waits()
    assert waits.factor("a") == 1.0
    for _ in range(300):
        waits.learn("a", 0.01, 0.03)
        waits.learn("b", 0.01, 0.0)
        waits.learn("c", 0.01, 9.0)
    assert waits.factor("a") == pytest.approx(3.0, rel=0.02)
    assert (waits.factor("b"), waits.factor("c")) == (0.1, 10.0)


async def test_a_call_that_was_kept_from_the_processor_is_not_slow(make_front, monkeypatch):
    front = await make_front(max_p99_s=0.005)

    async def kept(call):
        call.worker_ns, call.leased_at, call.route = 50_000_000, time.perf_counter(), receipts.POOLED
        call.meta = ReplyMeta(own_s=0.0001)
        return b""

    monkeypatch.setattr(front.runner._pooled, "run", kept)
    monkeypatch.setattr(front.native, "run", kept)
    for way in ("pooled", "native"):
        await front.run(0.0, way=way)
        name = "native" if way == "native" else "pool/general"
        assert front.placement.figures.times.quantile("work", name, 0.99) == pytest.approx(0.0001, rel=0.03)
    assert front.placement.counters.overruns["work"] == 0
