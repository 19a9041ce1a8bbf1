"""A random walk of the queue against a model: slots are never promised twice, never lost, and nobody waits in vain."""

import asyncio
import random

import pytest

from pool.admission import Admission
from pool.errors import PoolError
from pool.testing import ScriptedWorker

STEPS = 5000
LIMIT = 12


class Walk:
    """The queue beside what must be true of it."""

    def __init__(self, seed, loop):
        self.random = random.Random(seed)
        self.loop = loop
        self.queue = Admission("walk", LIMIT, loop)
        self.workers = {}
        self.removed = []
        self.leases = []
        self.tasks = []
        self.made = 0
        self.steps = {
            self.acquire: 8,
            self.acquire_at_once: 4,
            self.release: 9,
            self.cancel: 2,
            self.release_and_cancel: 2,
            self.add_worker: 1,
            self.remove_worker: 1,
            self.turn: 6,
        }

    def prefer(self):
        return self.random.choice([None, None, *self.workers, "gone"])

    def acquire(self):
        if len(self.tasks) < LIMIT:
            deadline = self.random.choice([None, None, self.loop.time() - 1])
            self.tasks.append(asyncio.ensure_future(self.queue.acquire(deadline, self.prefer())))

    def acquire_at_once(self):
        lease = self.queue.try_acquire(self.prefer())
        if lease is not None:
            self.leases.append(lease)

    def release(self):
        if self.leases:
            self.leases.pop(self.random.randrange(len(self.leases))).release()

    def cancel(self):
        if self.tasks:
            self.random.choice(self.tasks).cancel()

    def release_and_cancel(self):
        """The moment of the grant: the waiter at the front is often the one that is cancelled."""
        self.release()
        if self.tasks:
            self.tasks[0].cancel()

    def add_worker(self):
        if len(self.workers) < 4:
            self.made += 1
            slots = self.random.randint(1, 3)
            worker = ScriptedWorker(f"w{self.made}", "walk", slots, self.queue.slot_free)
            self.workers[worker.id] = worker
            self.queue.add(worker)

    def remove_worker(self):
        if len(self.workers) > 1:
            worker = self.workers.pop(self.random.choice(sorted(self.workers)))
            self.removed.append(worker)
            self.queue.remove(worker)

    async def turn(self):
        for _ in range(self.random.randint(1, 4)):
            await asyncio.sleep(0)
        self.collect()

    def collect(self):
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.leases.append(task.result())
            elif not task.cancelled():
                assert isinstance(task.exception(), PoolError)

    async def step(self):
        verb = self.random.choices(list(self.steps), list(self.steps.values()))[0]
        result = verb()
        if result is not None:
            await result

    def check_always(self):
        taken = sum(worker.slots - worker.free for worker in [*self.workers.values(), *self.removed])
        assert len(self.leases) <= taken <= len(self.leases) + len(self.tasks)
        assert all(0 <= worker.free <= worker.slots for worker in [*self.workers.values(), *self.removed])

    async def check_at_rest(self):
        """Once all that is due has happened: every lease is known, and nobody waits while there is room for them."""
        for _ in range(6):
            await asyncio.sleep(0)
        self.collect()
        everyone = [*self.workers.values(), *self.removed]
        assert sum(worker.slots - worker.free for worker in everyone) == len(self.leases)
        assert self.queue.waiting == len(self.tasks)
        room = {worker.id for worker in self.workers.values() if worker.free > 0}
        assert self.queue.has_room == bool(room)
        pinned = {
            waiter.pinned for queue in self.queue._pinned.values() for waiter in queue if not waiter.future.done()
        }
        general = [waiter for waiter in self.queue._general if not waiter.future.done()]
        assert not (room and general), "a call waits beside a free worker"
        assert not (room & pinned), "a call waits for the worker that is free"


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_random_walk_loses_nothing(seed):
    print(f"seed {seed}")
    walk = Walk(seed, asyncio.get_running_loop())
    walk.add_worker()
    for number in range(STEPS):
        await walk.step()
        walk.check_always()
        if number % 20 == 0:
            await walk.check_at_rest()
    for task in walk.tasks:
        task.cancel()
    await walk.check_at_rest()
    while walk.leases:
        walk.leases.pop().release()
    assert all(worker.free == worker.slots for worker in [*walk.workers.values(), *walk.removed])
