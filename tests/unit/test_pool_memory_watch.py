"""Whom the memory watch looks at, how often, and what it tells: with figures and time turned by hand."""

import asyncio
from types import SimpleNamespace

import pytest

from pool.memory import CONFIRM_SHARE, FAST_S, SAMPLE_S, SLOW_S, MemoryWatch
from pool.options import Canary, PoolOptions
from pool.testing import FakeClock

MIB = 1 << 20
HARD = 512 * MIB
SOFT = 300 * MIB


class Figures:
    """Readings that the test sets: of each pid (resident, proportional); `exact` counts the slow ones."""

    def __init__(self, clock):
        self.clock = clock
        self.of = {}
        self.groups = {}
        self.read = 0
        self.exact = 0
        self.exact_s = 0.0
        self.scanned = 0

    def scan(self, leaders):
        self.scanned += 1

    def members(self, leader):
        return self.groups.get(leader, [leader])

    def resident(self, pids):
        self.read += 1
        return sum(self.of.get(pid, (0, 0))[0] for pid in pids)

    def proportional(self, pids):
        self.exact += 1
        self.clock.turn(self.exact_s)
        return sum(self.of.get(pid, (0, 0))[1] for pid in pids)


class Rig:
    """A watch over workers a (pid 1) and b (pid 2); `told` has what it told."""

    def __init__(self, **limits):
        self.clock = FakeClock(100.0)
        self.figures = Figures(self.clock)
        self.workers = [SimpleNamespace(id=name, pid=pid, running=1, rss_bytes=0) for pid, name in ((1, "a"), (2, "b"))]
        self.told = []
        options = PoolOptions(
            name="p", entry="e:f", entry_options=b"", canary=Canary(function="c", meta=b"", body=b""), **limits
        )
        self.watch = MemoryWatch(
            options,
            workers=lambda: self.workers,
            over_hard=lambda worker, used: self.told.append(("hard", worker.id, used)),
            over_soft=lambda worker, used: self.told.append(("soft", worker.id, used)),
            readings=self.figures,
            clock=self.clock,
        )

    def hold(self, pid, resident, proportional=None):
        self.figures.of[pid] = (resident, resident if proportional is None else proportional)

    async def go(self, seconds):
        """Let the watch run for some seconds of its clock."""
        until = self.clock.now() + seconds
        while self.clock.now() + (pause_s := await self.watch.turn()) <= until + 1e-6:
            self.clock.turn(pause_s)


async def test_without_limits_figures_are_known_and_cost_next_to_nothing():
    rig = Rig()
    rig.hold(1, 900 * MIB)
    assert await rig.watch.turn() == pytest.approx(SLOW_S)
    assert [worker.rss_bytes for worker in rig.workers] == [900 * MIB, 0]
    await rig.go(60)
    assert (rig.figures.exact, rig.figures.scanned, rig.told) == (0, 0, [])
    assert rig.figures.read <= 2 * 62


async def test_a_worker_over_its_hard_limit_is_told_with_the_exact_figure():
    rig = Rig(memory_limit_bytes=HARD)
    rig.hold(1, HARD + 10 * MIB, HARD + 5 * MIB)
    rig.hold(2, HARD)
    await rig.watch.turn()
    assert rig.told == [("hard", "a", HARD + 5 * MIB)]
    assert rig.figures.exact == 1


async def test_the_memory_of_all_members_counts():
    rig = Rig(memory_limit_bytes=HARD)
    await rig.watch.turn()
    rig.figures.groups[1] = [1, 11, 12]
    for pid in (1, 11, 12):
        rig.hold(pid, 200 * MIB)
    await rig.go(SAMPLE_S * 1.5)
    assert rig.told[0] == ("hard", "a", 600 * MIB)


@pytest.mark.parametrize(("free", "seconds"), [(HARD, SAMPLE_S), (200 * MIB, 0.0524), (20 * MIB, FAST_S), (0, FAST_S)])
async def test_the_nearer_to_the_limit_the_sooner_a_busy_worker_is_looked_at(free, seconds):
    rig = Rig(memory_limit_bytes=HARD)
    rig.workers.pop()
    rig.hold(1, HARD - free)
    assert await rig.watch.turn() == pytest.approx(seconds, rel=0.01)
    rig.workers[0].running = 0
    await rig.go(SAMPLE_S)
    assert await rig.watch.turn() == pytest.approx(SAMPLE_S), "an idle one needs no hurry"


@pytest.mark.parametrize("rate", [500 * MIB, 1024 * MIB, 2500 * MIB])
async def test_a_balloon_is_noticed_within_one_fast_sample(rate):
    """As far as the watch itself decides it: at any rate up to the one that it assumes."""
    rig = Rig(memory_limit_bytes=HARD)
    rig.workers.pop()
    started = rig.clock.now()
    while not rig.told:
        rig.hold(1, int(50 * MIB + rate * (rig.clock.now() - started)))
        rig.clock.turn(await rig.watch.turn())
    assert HARD < rig.told[0][2] <= HARD + rate * FAST_S * 1.01


async def test_a_worker_that_only_shares_much_is_left_alone_and_read_seldom():
    rig = Rig(memory_limit_bytes=HARD)
    rig.hold(1, HARD + 40 * MIB, HARD // 2)
    rig.hold(2, HARD + 40 * MIB, HARD // 2)
    await rig.go(10)
    assert rig.told == []
    assert rig.figures.exact <= 2 * 11
    rig.figures.exact = 0
    rig.figures.exact_s = 0.1
    await rig.go(100)
    assert rig.figures.exact * 0.1 <= 2 * 100 / CONFIRM_SHARE + 0.2, "at most one part in fifty for each worker"


async def test_what_is_added_to_shared_pages_is_noticed_at_once():
    rig = Rig(memory_limit_bytes=HARD)
    rig.workers.pop()
    rig.hold(1, HARD + 100 * MIB, HARD - 50 * MIB)
    await rig.watch.turn()
    rig.hold(1, HARD + 160 * MIB, HARD + 10 * MIB)
    await rig.go(SAMPLE_S)
    assert rig.told == [("hard", "a", HARD + 10 * MIB)]


async def test_shared_pages_that_become_the_workers_own_are_noticed_in_time():
    """A page that is written is copied: the resident memory stays as it is."""
    rig = Rig(memory_limit_bytes=HARD)
    rig.workers.pop()
    rig.hold(1, HARD + 100 * MIB, HARD - 50 * MIB)
    await rig.watch.turn()
    rig.hold(1, HARD + 100 * MIB, HARD + 90 * MIB)
    await rig.go(SLOW_S + 2 * SAMPLE_S)
    assert rig.told[0] == ("hard", "a", HARD + 90 * MIB)


async def test_the_soft_limit_is_told_and_told_again_while_it_lasts():
    rig = Rig(memory_limit_bytes=HARD, memory_soft_limit_bytes=SOFT)
    rig.hold(1, SOFT + MIB)
    await rig.go(5)
    assert {told[:2] for told in rig.told} == {("soft", "a")}
    assert 4 <= len(rig.told) <= 6
    rig.hold(1, HARD + MIB)
    await rig.go(SAMPLE_S)
    assert rig.told[-1] == ("hard", "a", HARD + MIB)
    rig.told.clear()
    rig.hold(1, SOFT - MIB)
    await rig.go(5)
    assert rig.told == []


async def test_a_soft_limit_alone_is_enough():
    rig = Rig(memory_soft_limit_bytes=SOFT)
    rig.hold(2, SOFT + MIB)
    assert await rig.watch.turn() == pytest.approx(SAMPLE_S)
    assert rig.told == [("soft", "b", SOFT + MIB)]


async def test_a_process_that_can_not_be_read_exactly_counts_in_full():
    rig = Rig(memory_limit_bytes=HARD)
    rig.hold(1, HARD + MIB, 0)
    await rig.watch.turn()
    assert rig.told == [("hard", "a", HARD + MIB)]


async def test_what_is_remembered_goes_with_the_worker():
    rig = Rig(memory_limit_bytes=HARD)
    await rig.go(1)
    rig.workers.clear()
    assert await rig.watch.turn() == pytest.approx(SAMPLE_S)
    assert rig.watch._tracks == {}


async def test_it_ends_when_it_is_told_to():
    stopping = asyncio.Event()
    task = asyncio.create_task(Rig().watch.run(stopping))
    await asyncio.sleep(0)
    stopping.set()
    await asyncio.wait_for(task, 5)
