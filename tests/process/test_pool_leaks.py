"""What is left when the owner of a pool is killed, when workers are, and after many cancels."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pool.errors import PoolError
from pool.events import WorkerExited

BOTH = pytest.mark.parametrize("rig", ["spawn", "template"], indirect=True)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OWNER = """
import asyncio, runpy, sys
rig_of = runpy.run_path({conftest!r})["Rig"]
START = '''
import subprocess
child = subprocess.Popen(["sleep", "300"])
away = subprocess.Popen(["sleep", "300"], start_new_session=True)
result = f"{{child.pid}} {{away.pid}}"
'''
async def main():
    one = await rig_of(size=2, concurrency={concurrency}, how={how!r}).start()
    found = [await one.run(START, prefer=worker.id) for worker in one.pool.snapshot().workers]
    print(*one.pids(), *found, flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""


def all_exit(descriptors, timeout_s):
    """Wait for the end of all processes; those that still run."""
    deadline = time.monotonic() + timeout_s
    left = set(descriptors)
    while left and (remaining := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(list(left), [], [], remaining)
        left -= set(ready)
    return left


@pytest.mark.parametrize(
    ("number", "concurrency", "how"),
    [
        (signal.SIGKILL, 1, "spawn"),
        (signal.SIGABRT, 4, "spawn"),
        (signal.SIGKILL, 4, "template"),
        (signal.SIGABRT, 1, "template"),
    ],
)
def test_nothing_outlives_the_owner_of_a_pool(number, concurrency, how):
    """Workers die by their parent-death signal; what they started, whatever its group, by the guard."""
    script = OWNER.format(conftest=str(HERE / "conftest.py"), concurrency=concurrency, how=how)
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 6
        below = [child.pid for child in psutil.Process(owner.pid).children(recursive=True)]
        assert set(pids) < set(below), "the two workers, what they started, the guard and the template"
        descriptors = {os.pidfd_open(pid): pid for pid in below}
        try:
            owner.send_signal(number)
            assert [descriptors[left] for left in all_exit(descriptors, 2)] == []
        finally:
            for descriptor in descriptors:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)


@BOTH
async def test_a_grandchild_ends_with_its_worker_whatever_its_group(rig, process_exit):
    one = await rig(size=2).start()
    start = "import subprocess\nresult = subprocess.Popen(['sleep', '300'], start_new_session={}).pid"
    near, far = [int(await one.run(start.format(away), prefer="rig-1")) for away in (False, True)]
    neighbours = int(await one.run(start.format(True), prefer="rig-2"))
    os.kill(one.pids()[0], signal.SIGKILL)
    await asyncio.to_thread(process_exit, near, 2)
    await asyncio.to_thread(process_exit, far, 2)
    assert psutil.pid_exists(neighbours), "only the dead worker's own are ended"
    await asyncio.wait_for(one.pool.stop(), 5)
    await asyncio.to_thread(process_exit, neighbours, 2)


@BOTH
async def test_a_grandchild_that_holds_the_pipes_does_not_hide_the_death(rig):
    one = await rig().start()
    hold = "import os, subprocess as s\ns.Popen(['sleep', '300'], close_fds=False, start_new_session=True)\nos._exit(1)"
    with pytest.raises(PoolError, match="exited with code 1"):
        await one.run(hold, timeout_s=5)
    assert (await one.call("echo", b"next", timeout_s=5)).body == b"next"


@BOTH
async def test_a_guard_that_was_killed_is_replaced(rig, process_exit):
    one = await rig().start()
    guard = one.pool._supervisor._spawner.guard
    os.kill(guard._process.pid, signal.SIGKILL)
    await asyncio.to_thread(guard._process.wait)
    start = "import subprocess\nresult = subprocess.Popen(['sleep', '300'], start_new_session=True).pid"
    for _ in range(2):
        away = int(await one.run(start))
        (pid,) = one.pids()
        os.kill(pid, signal.SIGKILL)
        await one.until(lambda pid=pid: pid not in one.pids() and one.pool.ready_workers)
    await asyncio.to_thread(process_exit, away, 2)


def words(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def held():
    """What this process holds: threads, descriptors, processes below it that are no template and none forked ahead."""
    below = [child for child in psutil.Process().children(recursive=True) if "pool.template_child" not in words(child)]
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), len(below)


def more_than(before):
    """What this process holds more of; what earlier tests have left may go meanwhile."""
    return [(now, was) for now, was in zip(held(), before, strict=True) if now > was]


@BOTH
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_dead_worker_is_let_go_without_a_collection_of_garbage(rig, concurrency):
    """A server collects garbage so seldom that each dead worker in a cycle would be held as if it had leaked."""
    one = await rig(concurrency=concurrency).start()
    assert (await one.call("echo", b"x")).ok
    dead = weakref.ref(next(iter(one.pool._supervisor.workers.values())))
    gc.collect()
    gc.disable()
    try:
        os.kill(dead().pid, signal.SIGKILL)
        await one.until(lambda: one.of(WorkerExited) and one.pool.ready_workers)
        for _ in range(300):
            if dead() is None:
                break
            await asyncio.sleep(0.01)  # a timer of a second still knows it
        assert dead() is None
    finally:
        gc.enable()


async def test_fifty_kills_leave_nothing_behind(rig):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    one = await rig(size=4).start()
    before = held()
    while len(one.of(WorkerExited)) < 50:
        victims = chance.sample(one.pids(), chance.randint(1, 4))
        calls = [asyncio.ensure_future(one.call("echo", b"%d" % number)) for number in range(chance.randint(0, 6))]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        for number, answer in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
            assert isinstance(answer, PoolError) or answer.body == b"%d" % number
        await one.until(lambda gone=set(victims): not gone & set(one.pids()) and one.pool.ready_workers == 4)
    assert not more_than(before)
    assert {event.report.signal for event in one.of(WorkerExited)} == {"SIGKILL"}


@BOTH
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_five_hundred_cancels_at_any_moment_leave_nothing_behind(rig, concurrency):
    """Each at another point of a call's life; the answers between them are the right ones."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    one = await rig(size=1, concurrency=concurrency, grace_s=3).start()
    endless = b"import time\nwhile True: time.sleep(0.0005)"
    await one.call("echo")
    before = held()
    for number in range(250):
        task = asyncio.ensure_future(one.call("run", endless))
        quick = asyncio.ensure_future(one.call("run", b"result = 1"))
        await asyncio.sleep(0.004 * chance.random() ** 3)
        task.cancel()
        quick.cancel()
        answer = await one.call("echo", b"%d" % number, timeout_s=10)
        assert (answer.ok, answer.body) == (True, b"%d" % number)
    await one.pool._supervisor.workers["rig-1"].idle()
    assert not more_than(before)
    assert one.pool.snapshot().restarts == 0


EARLY = """
import asyncio, os, runpy
Rig = runpy.run_path({conftest!r})["Rig"]
async def main():
    one = Rig(how={how!r})
    def listen(event):
        print(event.pid, flush=True)
        os.kill(os.getpid(), 9)
    one.pool._supervisor._listener = listen
    await one.pool.start()
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["spawn", "template"])
def test_a_worker_whose_owner_dies_before_it_has_begun_ends_too(how):
    """The parent-death signal is not set yet then: the worker looks for its parent, and the guard for both."""
    owner = subprocess.run(
        [sys.executable, "-c", EARLY.format(conftest=str(HERE / "conftest.py"), how=how)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    assert owner.returncode == -signal.SIGKILL
    pid = int(owner.stdout)
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert not all_exit([descriptor], 2)
    finally:
        os.close(descriptor)
