"""A random walk of a whole pool against a model of it: calls come, end, leave and expire, workers die and are replaced.

Nothing of the front is a double; the workers are played (pool_played.py). What must hold, whatever happens:
no worker runs more calls than it may; every call is begun once at most and ends exactly once, with its own answer or an
error that fits what has become of it; nobody waits in vain; and in the end all counters are where they began.
"""

import asyncio
import importlib.util
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from pool.errors import (
    CancelledByOperator,
    DeadlineExceeded,
    DeadlineUnreachable,
    PoolUnavailable,
    Quarantined,
    QueueFull,
    StartFailed,
    Stopped,
    WorkerLost,
)
from pool.lifecycle import State
from pool.options import Canary, PoolOptions
from pool.pool import Pool
from pool.restart import RestartOptions

STEPS = 20_000 * int(os.environ.get("TEST_WALKS", "1"))
SEED = int(os.environ.get("TEST_SEED") or random.randrange(2**32))


NEVER_BEGUN = {"IN_QUEUE", "QueueFull", "PoolUnavailable", "DeadlineUnreachable", "Stopped"}
"""Ends of calls that no worker may have seen, or see later."""


def played_crew(begun):
    path = Path(__file__).with_name("pool_played.py")
    spec = importlib.util.spec_from_file_location("pool_played", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlayedCrew(begun)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


class Walk:
    """The pool, and what is known of its calls: `begun` counts by their numbers how often each was begun."""

    def __init__(self, chance, concurrency):
        self.chance = chance
        self.concurrency = concurrency
        self.loop = asyncio.get_running_loop()
        self.crew = played_crew(self._on_begin)
        self.fatal = []
        self.loop.set_exception_handler(lambda _loop, context: self.fatal.append(context))
        options = PoolOptions(
            name="walk",
            entry="e:f",
            entry_options=b"",
            canary=Canary(function="canary", meta=b"", body=b""),
            size=3,
            min_size=1,
            max_size=5,
            concurrency=concurrency,
            queue_limit=20,
            lookahead=4,
            max_calls=40,
            grace_s=0.01,
            scale_up_wait_s=0.05,
            scale_down_idle_s=0.1,
            check_interval_s=0.2,
            check_timeout_s=0.2,
            quarantine_after=0,
            drain_hold_s=0.05,
            restart=RestartOptions(backoff_s=0.0, backoff_max_s=0.001, budget=10**9),
        )
        self.pool = Pool(options, listener=lambda _event: None, fatal=self.fatal.append, spawner=self.crew)
        self.calls = {}
        self.begun = {}
        self.number = 0
        self.ends = {}
        self.orders = set()
        self.steps = {
            self.submit: 30,
            self.finish: 30,
            self.leave: 4,
            self.cancel_by_operator: 1,
            self.kill: 0.4,
            self.turn_stubborn: 0.3,
            self.resize: 0.3,
            self.restart: 0.1,
            self.drain_and_resume: 0.1,
            self.fail_some_starts: 0.05,
            self.let_time_pass: 0.2,
        }

    def _on_begin(self, body):
        number = int(body)
        self.begun[number] = self.begun.get(number, 0) + 1
        assert self.begun[number] == 1, f"call {number} was begun twice"
        assert self.ends.get(number) not in NEVER_BEGUN, f"call {number} was begun after its end: {self.ends[number]}"

    # -- steps -------------------------------------------------------------------------------------------------------

    def submit(self):
        self.number += 1
        number = self.number
        deadline = None if self.chance.random() < 0.9 else self.loop.time() + self.chance.random() * 0.02
        prefer = self.chance.choice([None, None, None, *(worker.id for worker in self.pool.snapshot().workers), "none"])
        try:
            call = self.pool.submit(
                "f",
                b"",
                b"%d" % number,
                deadline,
                prefer=prefer,
                stream=self.chance.random() < 0.1,
                priority=self.chance.choice([0, 1, 2, 4]),
                tenant=self.chance.choice(["", "a", "b"]),
            )
        except (QueueFull, Stopped, PoolUnavailable, DeadlineUnreachable) as error:
            self.ends[number] = type(error).__name__
            return
        self.calls[number] = call
        call.future.add_done_callback(lambda future: self._on_end(number, future))

    def _on_end(self, number, future):
        assert number not in self.ends or self.ends[number] == "left", f"call {number} ended twice"
        if future.cancelled():
            self.ends[number] = "left"
            return
        error = future.exception()
        begun = self.begun.get(number, 0)
        if error is None:
            reply = future.result()
            assert begun == 1
            assert not reply.ok or reply.body == b"%d" % number, "an answer of another call"
            self.ends.setdefault(number, "answered")
        else:
            known = (
                WorkerLost,
                Stopped,
                DeadlineExceeded,
                CancelledByOperator,
                PoolUnavailable,
                QueueFull,
                Quarantined,
            )
            assert isinstance(error, known), repr(error)
            self.ends.setdefault(number, end := getattr(error, "where", type(error).__name__))
            assert not begun or end not in NEVER_BEGUN, f"call {number} was begun, and ended as {end}"

    def _pick(self):
        return self.chance.choice(list(self.calls)) if self.calls else None

    def finish(self):
        busy = [worker for worker in self.crew.living if worker.running]
        if busy:
            worker = self.chance.choice(busy)
            worker.end_one(self.chance.choice(list(worker.running)))

    def leave(self):
        if (number := self._pick()) is not None:
            call = self.calls.pop(number)
            if not call.future.done():
                self.ends[number] = "left"
            self.pool.release(call)
            self.pool.release(call)

    def cancel_by_operator(self):
        if (number := self._pick()) is not None:
            self.pool.cancel(self.calls[number])
            assert self.calls[number].future.done()

    def kill(self):
        if self.crew.living:
            self.chance.choice(list(self.crew.living)).exit(self.chance.choice([-9, -11, 0, 1]))

    def turn_stubborn(self):
        if self.crew.living:
            self.chance.choice(list(self.crew.living)).stubborn = True

    def resize(self):
        least = self.chance.randint(1, 3)
        self.pool.resize(least, least + self.chance.randint(0, 3))

    def restart(self):
        if not self.orders:
            workers = [worker.id for worker in self.pool.snapshot().workers]
            self._order(self.pool.restart(self.chance.choice([None, *workers])))

    def drain_and_resume(self):
        async def both():
            await self.pool.drain(0.01)
            self.pool.resume()

        if not self.orders:
            self._order(both())

    def _order(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.orders.add(task)

        def done(_task):
            self.orders.discard(task)
            error = None if task.cancelled() else task.exception()
            assert error is None or isinstance(error, StartFailed | ValueError), repr(error)

        task.add_done_callback(done)

    def fail_some_starts(self):
        self.crew.failing = self.chance.randint(1, 4)

    def let_time_pass(self):
        self.pause_s = self.chance.random() * 0.01

    # -- the walk ----------------------------------------------------------------------------------------------------

    def check(self):
        for worker in self.crew.living:
            assert len(worker.running) <= self.concurrency
        workers = self.pool._supervisor.workers
        for worker in workers.values():
            assert worker.state is not State.DEAD
            assert 0 <= worker.free <= self.concurrency
        assert self.fatal == []
        waiting = self.pool.snapshot().waiting
        assert 0 <= waiting <= len(self.calls) + 20
        for number in [number for number, call in self.calls.items() if call.future.done()]:
            self.pool.release(self.calls.pop(number))

    async def walk(self, steps):
        weights = list(self.steps.values())
        for step in range(steps):
            self.pause_s = 0.0
            self.chance.choices(list(self.steps), weights)[0]()
            await asyncio.sleep(self.pause_s)
            if step % 20 == 0:
                self.check()

    async def come_to_rest(self):
        """Let everything end by itself; nobody waits in vain."""
        async with asyncio.timeout(20):
            while self.orders:
                await asyncio.wait(self.orders, timeout=0.01)
                self.finish()
            self.crew.failing = 0
            self.pool.resume()
            await self.pool.restart()
            for worker in self.crew.living:
                worker.stubborn = False
            while not all(call.future.done() for call in self.calls.values()) or self._unsettled():
                self.finish()
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # the last ends are told in the next turn
        self.check()
        assert self.calls == {}

    def _unsettled(self):
        return any(worker.running for worker in self.pool._supervisor.workers.values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_walk_of_the_whole_pool(monkeypatch, concurrency):
    print(f"seed {SEED} (TEST_SEED={SEED} repeats this walk, TEST_WALKS=10 makes it ten times as long)")
    before = descriptors()
    walk = Walk(random.Random(SEED), concurrency)
    walk.crew.play(monkeypatch)
    await walk.pool.start()
    await walk.walk(STEPS // 2)
    await walk.come_to_rest()
    ends = list(walk.ends.values())
    print(f"{Counter(ends)}, {walk.pool.snapshot().restarts} restarts")
    assert len(ends) == walk.number, "every call has ended, and once"
    snapshot = walk.pool.snapshot()
    assert (snapshot.waiting, sum(worker.running for worker in snapshot.workers)) == (0, 0)
    workers = walk.pool._supervisor.workers.values()
    assert all(worker.free == concurrency for worker in workers if worker.state is State.READY)
    assert ends.count("answered") > walk.number / 4, "the walk was mostly work"
    await asyncio.wait_for(walk.pool.stop(), 10)
    assert walk.crew.living == set()
    assert walk.fatal == []
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert descriptors() <= before
