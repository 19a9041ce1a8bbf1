"""Workers that stop answering, on real processes: noticed in time, told with their stack, and never by mistake."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pool.errors import WorkerLost
from pool.events import WorkerCondemned, WorkerExited, WorkerReady, WorkerResumed, WorkerSuspended
from pool.lifecycle import State

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LONG = os.environ.get("TEST_LENGTH") == "long"
QUICK = {"check_interval_s": 0.2, "check_timeout_s": 0.3}

HOLDS_THE_GIL = """
import ctypes, threading, time
def hold_everything():
    time.sleep(0.1)  # until the call that starts this has been answered
    ctypes.PyDLL(None).sleep(600)
threading.Thread(target=hold_everything, daemon=True).start()
"""
WEDGES_THE_MAIN_THREAD = """
import signal, threading
def wait_for_ever(*_):
    threading.Event().wait()
signal.signal(signal.SIGALRM, wait_for_ever)
signal.setitimer(signal.ITIMER_REAL, 0.1)
"""
STOPPED = "its process was stopped"


async def soon(condition):
    """Wait for what no event tells of."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("text", "frame"),
    [(HOLDS_THE_GIL, "in hold_everything"), (WEDGES_THE_MAIN_THREAD, "in wait_for_ever")],
    ids=["holds the GIL", "wedges the main thread"],
)
async def test_an_idle_worker_that_hangs_is_killed_with_its_stack_and_replaced(rig, text, frame):
    one = await rig(**QUICK).start()
    await one.run(text)
    await one.until(lambda: one.of(WorkerExited))
    (exited,) = one.of(WorkerExited)
    assert exited.report.cause == "hung: idle, and a canary did not come back within 0.3 s"
    assert frame in exited.report.stderr_tail
    assert not exited.expected
    assert (await one.call("echo", b"next")).body == b"next"
    assert one.pool.snapshot().restarts == 1


async def test_a_call_that_comes_behind_the_canary_of_a_hung_worker_is_not_lost(rig):
    one = await rig(**QUICK).start()
    await one.run(HOLDS_THE_GIL)
    await soon(lambda: one.pool.snapshot().workers[0].running)
    assert (await one.call("echo", b"late")).body == b"late"
    assert [event.worker for event in one.of(WorkerExited)] == ["rig-1"]


async def test_a_stopped_process_gets_no_calls_and_is_killed(rig):
    one = await rig(size=2).start()
    running = asyncio.ensure_future(one.run("import time; time.sleep(600)", prefer="rig-1", timeout_s=60))
    await soon(lambda: one.pool.snapshot().workers[0].running)
    stopped = time.monotonic()
    os.kill(one.pids()[0], signal.SIGSTOP)
    await one.until(lambda: one.of(WorkerSuspended))
    assert one.pool.ready_workers == 1
    assert [worker.state for worker in one.pool.snapshot().workers] == [State.SUSPENDED, State.READY]
    answers = await asyncio.gather(*(one.call("echo", b"%d" % number) for number in range(20)))
    assert [answer.body for answer in answers] == [b"%d" % number for number in range(20)]
    with pytest.raises(WorkerLost, match=STOPPED):
        await running
    assert 1.9 < time.monotonic() - stopped < 3.5
    await one.until(lambda: one.pool.ready_workers == 2)


async def test_a_stopped_process_that_goes_on_is_left_alone(rig):
    one = await rig(**QUICK).start()
    (pid,) = one.pids()
    os.kill(pid, signal.SIGSTOP)
    await one.until(lambda: one.of(WorkerSuspended))
    assert one.pool.ready_workers == 0
    waiting = asyncio.ensure_future(one.call("echo", b"patient"))
    os.kill(pid, signal.SIGCONT)
    assert (await waiting).body == b"patient"
    assert one.of(WorkerResumed)
    assert one.pids() == [pid]
    assert one.of(WorkerExited) == []


async def test_a_worker_that_is_stopped_while_it_starts_is_replaced(rig):
    one = rig(start="import os, signal\nif os.environ['BRIDGE_WORKER_ID'] == 'rig-1': os.kill(0, signal.SIGSTOP)")
    starting = asyncio.ensure_future(one.pool.start())
    await one.until(lambda: one.pool.ready_workers)
    assert STOPPED in one.of(WorkerExited)[0].report.cause
    await asyncio.wait([starting])
    assert STOPPED in str(starting.exception())


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_long_call_in_c_that_holds_the_gil_is_never_killed(rig, concurrency):
    """Far longer than interval and timeout together. A worker with many calls may be replaced; the call comes back.

    At full length a minute, with the times that a server has.
    """
    seconds, times = (60, {}) if LONG else (2, QUICK)
    one = await rig(concurrency=concurrency, **times).start()
    text = f"import ctypes, os\nctypes.PyDLL(None).sleep({seconds})\nresult = os.getpid()"
    (pid,) = one.pids()
    assert await one.run(text, timeout_s=seconds + 20) == str(pid)
    await one.until(lambda: one.pool.ready_workers == 1)
    assert [event for event in one.of(WorkerExited) if not event.expected] == []
    if concurrency == 1:
        assert one.pids() == [pid]
        assert one.of(WorkerCondemned) == []


WEDGES_THE_LOOP = """
import gc, time
from pool.child_async import Concurrent
(loop,) = [found for found in gc.get_objects() if isinstance(found, Concurrent)]
def wedge():
    time.sleep(600)
loop._loop.call_soon_threadsafe(wedge)
time.sleep(600)
"""


async def test_a_worker_whose_event_loop_hangs_is_replaced_at_once_and_ends_after_its_calls(rig):
    one = await rig(concurrency=3, **QUICK).start()
    wedging = asyncio.ensure_future(one.run(WEDGES_THE_LOOP, timeout_s=2.5))
    await one.until(lambda: one.of(WorkerCondemned))
    assert not wedging.done()
    await one.until(lambda: len(one.of(WorkerReady)) == 2)
    assert (await one.call("echo", b"on")).body == b"on", "the replacement serves while the other still has calls"
    assert not wedging.done(), "its call has until its deadline"
    await asyncio.wait([wedging])
    await one.until(lambda: one.of(WorkerExited))
    (exited,) = one.of(WorkerExited)
    assert exited.report.cause == "its event loop hung: a canary did not come back within 0.3 s"
    assert "in wedge" in exited.report.stderr_tail


async def test_an_idle_worker_with_a_hung_event_loop_is_killed(rig):
    one = await rig(concurrency=3, **QUICK).start()
    await one.run(HOLDS_THE_GIL)
    await one.until(lambda: one.of(WorkerExited))
    assert "hung: idle" in one.of(WorkerExited)[0].report.cause
    assert (await one.call("echo", b"next")).body == b"next"


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_call_above_stall_after_is_ended_whatever_its_deadline(rig, concurrency):
    one = await rig(concurrency=concurrency, stall_after_s=0.4).start()
    neighbour = None
    if concurrency > 1:
        neighbour = asyncio.ensure_future(one.run("import time; time.sleep(0.1); result = 'well'"))
    with pytest.raises(WorkerLost, match=r"'run' ran longer than 0\.4 s"):
        await one.run("import time; time.sleep(600)", timeout_s=600)
    if neighbour is not None:
        assert await neighbour == "well"
    assert (await one.call("echo", b"next")).body == b"next"


async def test_a_canary_is_a_proof_for_the_pool_and_nobodys_call(rig):
    one = await rig(**QUICK).start()
    assert one.pool.proof_age_s is None
    await soon(lambda: one.pool.proof_age_s is not None)
    assert one.pool.snapshot().calls == 0


async def test_a_worker_whose_canary_fails_is_replaced_then_retired(rig):
    one = await rig(canary="import builtins; result = getattr(builtins, 'broken', '')", **QUICK).start()
    await one.run("import builtins; builtins.broken = 'bad'")
    await one.until(lambda: one.of(WorkerExited))
    assert one.of(WorkerExited)[0].expected
    assert one.pool.snapshot().restarts == 0, "it was replaced, not lost"
    assert one.pool.ready_workers == 1


SUSPENDED = """
import asyncio, runpy
from pool.events import WorkerExited
rig_of = runpy.run_path({conftest!r})["Rig"]
async def main():
    one = await rig_of(size=2, check_interval_s=0.2, check_timeout_s=0.3).start()
    print(*one.pids(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, input)
    for _ in range(20):
        await asyncio.sleep(0.1)
    print(len(one.of(WorkerExited)), (await one.call("echo", b"well")).body.decode(), flush=True)
    await one.pool.stop()
asyncio.run(main())
"""


def test_a_machine_that_was_suspended_kills_nobody():
    """All processes stop for longer than any patience, and go on: the front first, its workers a moment later."""
    script = SUSPENDED.format(conftest=str(HERE / "conftest.py"))
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        workers = [int(pid) for pid in owner.stdout.readline().split()]
        for pid in [*workers, owner.pid]:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3.0)  # time itself is what is tested
        os.kill(owner.pid, signal.SIGCONT)
        time.sleep(0.2)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert owner.stdout.readline().split() == ["0", "well"]
    finally:
        os.kill(owner.pid, signal.SIGCONT)
        owner.stdin.close()
        owner.stdout.close()
        owner.wait(20)
