"""A random walk of the queue against a model: slots are never promised twice, never lost, and nobody waits in vain.

With workers that calls are lined up for and without, and with deaths: a call that was begun is lost with its worker,
one that was not never is.
"""

import asyncio
import random

import pytest

from pool.admission import Admission
from pool.calls import Call
from pool.errors import DeadlineExceeded, QueueFull, WorkerLost
from pool.frames import Reply
from pool.testing import ScriptedWorker

STEPS = 5000
LIMIT = 12
LOST = WorkerLost("walk", "w", "f", "killed", signal="SIGKILL", exit_code=None, stderr="")


class Walk:
    """The queue beside what must be true of it: `calls` are those that were not released yet."""

    def __init__(self, seed, lookahead, loop):
        self.random = random.Random(seed)
        self.lookahead = lookahead
        self.loop = loop
        self.queue = Admission("walk", LIMIT, loop)
        self.workers = {}
        self.removed = []
        self.calls = []
        self.launches = {}
        self.lined = set()
        self.made = 0
        self.steps = {
            self.submit: 12,
            self.finish: 10,
            self.release: 3,
            self.cancel_the_future: 1,
            self.expire: 1,
            self.finish_and_release: 2,
            self.add_worker: 1,
            self.remove_worker: 1,
            self.kill_worker: 1,
            self.begin_early: 2,
            self.balance: 2,
            self.observe: 1,
        }

    def everyone(self):
        return [*self.workers.values(), *self.removed]

    def submit(self):
        body = bytes(self.random.choice([0, 0, 0, 20_000]))
        call = Call("f", b"", body, None, self.loop.create_future(), on_launch=lambda _worker: self.launched(call))
        prefer = self.random.choice([None, None, *self.workers, "gone"])
        idle = any(worker.free for worker in self.workers.values())
        before = self.queue.waiting
        try:
            self.queue.submit(call, prefer)
        except QueueFull:
            assert before >= LIMIT
            assert prefer in self.workers or not idle
        else:
            self.calls.append(call)

    def launched(self, call):
        """It starts: no older call that could have had this worker's slot still waits in the queue."""
        self.launches[call] = self.launches.get(call, 0) + 1
        assert self.launches[call] == 1, "a call was begun twice"
        if call in self.lined:
            return  # it may be begun before one that was taken back from another line
        for other in self.calls:
            if other.queued and not other.future.done() and other.number < call.number:
                assert other.pinned not in (None, call.worker.id), f"{call.number} overtook {other.number}"

    def running(self):
        return [call for worker in self.everyone() for call in worker.calls.values()]

    def finish(self):
        if running := self.running():
            call = self.random.choice(running)
            call.worker.finish(call, Reply(True, b"", b""))

    def release(self):
        if self.calls:
            call = self.calls.pop(self.random.randrange(len(self.calls)))
            for _ in range(self.random.randint(1, 2)):
                self.queue.release(call)
            assert call.future.done() or call.abandoned

    def cancel_the_future(self):
        """As a task does that is cancelled: it releases the call a turn later."""
        if self.calls:
            self.random.choice(self.calls).future.cancel()

    def expire(self):
        if self.calls:
            call = self.random.choice(self.calls)
            early = call.lined and call.worker.early and call.worker.line[0] is call
            began, ended = early or call in self.launches, call.future.done()
            self.queue._expire(call)
            if not ended:
                assert isinstance(call.future.exception(), DeadlineExceeded)
                assert call.future.exception().where == ("IN_WORKER" if began else "IN_QUEUE")

    def finish_and_release(self):
        """The moment of the launch: the call at the front is often the one that is cancelled."""
        self.finish()
        if self.calls:
            self.queue.release(self.calls.pop(0))

    def add_worker(self):
        if len(self.workers) < 4:
            self.made += 1
            slots = 1 if self.lookahead else self.random.randint(1, 3)
            worker = ScriptedWorker(f"w{self.made}", "walk", slots, self.queue.slot_free, self.lookahead)
            self.workers[worker.id] = worker
            self.queue.add(worker)

    def remove_worker(self):
        """It takes no more calls and ends those that it runs."""
        if len(self.workers) > 1:
            worker = self.workers.pop(self.random.choice(sorted(self.workers)))
            self.removed.append(worker)
            self.queue.remove(worker)
            assert worker.lined == worker.early, "its line waits for nothing any more"

    def kill_worker(self):
        if self.workers:
            worker = self.workers.pop(self.random.choice(sorted(self.workers)))
            self.removed.append(worker)
            self.queue.remove(worker)
            while worker.calls:
                worker.finish(next(iter(worker.calls.values())), LOST)

    def begin_early(self):
        """A worker goes on to the next in line; its last answer has not been read."""
        if lined := [worker for worker in self.everyone() if worker.line]:
            self.random.choice(lined).early = True

    def balance(self):
        self.queue._lines.balance()

    def observe(self):
        """Short calls are lined up although a worker is idle, others are not."""
        for _ in range(100):
            self.queue.observe(self.random.choice([0.0, 0.01]))

    def step(self):
        self.lined = {call for call in self.calls if call.lined}
        self.random.choices(list(self.steps), list(self.steps.values()))[0]()

    def check(self):
        everyone = self.everyone()
        assert all(0 <= worker.free <= worker.slots for worker in everyone)
        assert sum(worker.slots - worker.free for worker in everyone) == len(self.running())
        assert self.queue._queue.count == sum(call.queued for call in self.calls)
        lines = [call for worker in self.workers.values() for call in worker.line]
        assert all(call in self.calls or call.abandoned for call in lines), "a call that left is lined up"
        assert self.queue.waiting == self.queue._queue.count + len(lines)
        room = {worker.id for worker in self.workers.values() if worker.free > 0}
        assert self.queue.has_room == bool(room)
        for call in self.calls:
            if call.queued and not call.future.done():
                assert call.pinned not in room, "a call waits for the worker that is free"
                assert call.pinned is not None or not room, "a call waits beside a free worker"
            if call.lined:
                assert call.pinned in (None, call.worker.id), "a pinned call was lined up elsewhere"

    def end(self):
        for call in self.calls:
            self.queue.release(call)
        while running := self.running():
            running[0].worker.finish(running[0], Reply(True, b"", b""))
        assert self.queue.waiting == 0
        assert all(worker.free == worker.slots and worker.lined == 0 for worker in self.everyone())
        self.queue._lines.balance()
        assert self.queue._lines.timer is None, "no timer runs where no call is lined up"


@pytest.mark.parametrize("lookahead", [0, 1, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_random_walk_loses_nothing(seed, lookahead):
    print(f"seed {seed}")
    walk = Walk(seed, lookahead, asyncio.get_running_loop())
    walk.add_worker()
    for _ in range(STEPS):
        walk.step()
        walk.check()
    for call in walk.calls:
        if call.future.done() and not call.future.cancelled() and (error := call.future.exception()) is not None:
            assert isinstance(error, DeadlineExceeded) or (error is LOST and walk.launches[call] == 1)
    walk.end()
    walk.queue.close()
