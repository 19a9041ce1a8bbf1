"""Worker deaths and hangs, as a table: what user code does, what its caller is told, what becomes of the worker.

The rows are those of the fault catalogue. Each is tried with a worker for one call at a time and with one for many,
and ends with the check that everything is as before.
"""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pool.errors import DeadlineExceeded, Quarantined, WorkerLost, WorkerProtocol
from pool.events import WorkerOutput

pytestmark = [pytest.mark.asyncio(loop_scope="module")]
BOTH = {"blocking", "concurrent"}

DEATHS = [
    ("kill_self", {"number": 9}, "SIGKILL", None),
    ("kill_self", {"number": 1}, "SIGHUP", None),
    ("exit_now", {"code": 0}, "", 0),
    ("exit_now", {"code": 3}, "", 3),
    ("exit_now_async", {"code": 3}, "", 3),
    ("segfault", {}, "SIGSEGV", None),
    ("abort", {}, "SIGABRT", None),
    ("bus_error", {}, "SIGBUS", None),
]


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(("function", "arguments", "name", "code"), DEATHS)
async def test_a_death_is_told_with_its_signal_and_costs_one_restart(victim, function, arguments, name, code):
    restarts = victim.pool.snapshot().restarts
    with pytest.raises(WorkerLost) as lost:
        await victim.call(function, **arguments)
    assert (lost.value.signal, lost.value.exit_code, lost.value.function) == (name, code, function)
    await victim.whole()
    shot = victim.pool.snapshot()
    assert shot.restarts == restarts + 1
    assert (shot.exits[0][0].signal, shot.exits[0][0].exit_code) == (name, code)
    if name in ("SIGSEGV", "SIGABRT", "SIGBUS"):
        assert "saboteurs.py" in lost.value.stderr, "the stack shows where"


@pytest.mark.usefixtures("clean")
async def test_a_kill_from_outside_is_told_at_once(victim):
    running = asyncio.ensure_future(victim.call("wait_for_ever"))
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    os.kill(victim.pids()[0], signal.SIGKILL)
    started = loop.time()
    with pytest.raises(WorkerLost, match="SIGKILL"):
        await running
    assert loop.time() - started < 1.0


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("count", [0, 1, 100])
async def test_a_stream_cut_by_a_death_has_all_its_items_and_no_clean_end(victim, read, count):
    call = await victim.stream("die_after", count=count)
    assert await read(call) == list(range(count))
    with pytest.raises(WorkerLost):
        await call.future


ERRORS = ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError", "Unusual", "MemoryError"]


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("name", [*ERRORS, "StopIteration", "RecursionError"])
@pytest.mark.parametrize("function", ["throw", "throw_async"])
async def test_whatever_user_code_raises_is_its_own_failure(victim, function, name):
    pids = victim.pids()
    error = await victim.call(function, name=name)
    assert (error.code, error.reason) == ("UNKNOWN", "USER_EXCEPTION")
    assert error.type == ("RuntimeError" if (function, name) == ("throw_async", "StopIteration") else name)
    assert victim.pids() == pids, "the worker lives"


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("function", ["throw_in_stream", "throw_in_stream_async"])
async def test_whatever_a_stream_raises_is_its_own_failure(victim, read, failure_of, function, name):
    pids = victim.pids()
    call = await victim.stream(function, name=name)
    assert await read(call) == [1]
    error = failure_of(await call.future)
    assert (error.reason, error.type) == ("USER_EXCEPTION", name)
    assert victim.pids() == pids, "the worker lives"


HANGS = {
    "hold_the_interpreter": set(),
    "sleep_holding_the_interpreter": {"blocking"},
    "endless_match": {"blocking"},
    "sleep_for_ever": {"blocking"},
    "compute_for_ever": BOTH,
    "wait_for_ever": BOTH,
    "compute_for_ever_async": {"blocking"},
    "ignore_the_cancel": set(),
    "ignore_the_cancel_async": set(),
    "lock_twice": {"blocking"},
    "stop_self": set(),
}
"""What never ends, with the workers that survive it: a signal reaches a main thread even in a system call, an exception
another thread only in Python code, a cancel an event loop only between its steps."""
NO_STACK = {"stop_self", "ignore_the_cancel_async"}
"""A stopped process writes nothing, and a coroutine that waits is on no stack."""


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("function", HANGS)
async def test_a_hang_is_answered_at_its_deadline_and_freed_or_replaced(victim, function):
    loop = asyncio.get_running_loop()
    exits, pids = len(victim.exits()), victim.pids()
    started = loop.time()
    with pytest.raises(DeadlineExceeded) as late:
        await victim.call(function, timeout_s=0.2)
    assert late.value.where == "IN_WORKER"
    assert loop.time() - started < 0.2 + 0.5
    if victim.mode in HANGS[function]:
        await victim.pool._supervisor.workers[victim.pool.snapshot().workers[0].id].idle()
        assert victim.pids() == pids, "the worker lives"
        return
    await victim.until(lambda: len(victim.exits()) == exits + 1, 5)
    report = victim.exits()[-1].report
    assert report.signal == "SIGKILL"
    assert f"'{function}' went on 0.3 s after its cancel or deadline" in report.cause
    if function not in NO_STACK:
        assert f" in {function}" in report.stderr_tail, "the stack shows where it stood"


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("function", ["sleep_for_ever", "compute_for_ever", "wait_for_ever", "lock_twice"])
async def test_a_hang_that_is_cancelled_is_freed_or_replaced(victim, function):
    running = asyncio.ensure_future(victim.call(function))
    await asyncio.sleep(0.05)
    exits = len(victim.exits())
    running.cancel()
    await asyncio.wait([running])
    if victim.mode in HANGS[function]:
        await victim.pool._supervisor.workers[victim.pool.snapshot().workers[0].id].idle()
        assert len(victim.exits()) == exits
    else:
        await victim.until(lambda: len(victim.exits()) == exits + 1, 5)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("function", ["stream_for_ever", "stream_for_ever_async", "stream_that_ignores_its_close"])
async def test_a_stream_that_nobody_reads_on_is_ended(victim, function):
    pids = victim.pids()
    call = await victim.stream(function)
    assert await call.buffer.take()
    victim.pool.release(call)
    await asyncio.wait_for(call.worker.idle(), 5)
    assert victim.pids() == pids, "the worker lives"
    if function == "stream_for_ever_async":
        await victim.until(lambda: any("closed by its owner" in getattr(e, "line", "") for e in victim.events))


@pytest.mark.usefixtures("clean")
async def test_a_stream_that_is_not_read_is_ended_at_its_deadline(victim):
    """The producer waits for room when the deadline comes."""
    pids = victim.pids()
    call = await victim.stream("stream_for_ever", timeout_s=0.5)
    with pytest.raises(DeadlineExceeded):
        await call.future
    await asyncio.wait_for(call.worker.idle(), 5)
    assert victim.pids() == pids, "the worker lives"


@pytest.mark.usefixtures("clean")
async def test_garbage_on_the_outputs_harms_nothing(victim):
    lines = len([event for event in victim.events if isinstance(event, WorkerOutput)])
    assert await victim.call("shout") == "through"
    lines = len([event for event in victim.events if isinstance(event, WorkerOutput)]) - lines
    assert 0 < lines < 2000


@pytest.mark.usefixtures("clean")
async def test_an_app_that_closes_its_outputs_still_fails_as_a_value(victim):
    error = await victim.call("silence")
    assert (error.reason, error.message) == ("USER_EXCEPTION", "ValueError: nowhere to write this")
    os.kill(victim.pids()[0], signal.SIGKILL)
    await victim.until(lambda: not victim.pool.ready_workers)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("function", ["close_descriptors", "write_descriptors"])
async def test_meddling_with_the_descriptors_is_a_death_and_no_hang(victim, function):
    with pytest.raises((WorkerLost, WorkerProtocol)):
        await victim.call(function, timeout_s=5)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("away", [False, True])
async def test_what_a_worker_leaves_behind_ends_with_it(victim, process_exit, away):
    """It holds the worker's descriptors too: the death is seen all the same."""
    with pytest.raises(WorkerLost, match="exited with code 1") as lost:
        await victim.call("leave_a_child", away=away, then_die=True, timeout_s=5)
    child = int(lost.value.stderr.rpartition("child ")[2].split()[0])
    await asyncio.to_thread(process_exit, child, 2)


# -- pools of their own -------------------------------------------------------------------------------------------


async def test_the_death_of_all_workers_at_once_fails_their_calls_and_the_pool_recovers(make_victim):
    victim = await make_victim(size=3)
    running = [asyncio.ensure_future(victim.call("wait_for_ever")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(victim.call("echo", text="waited"))
    await asyncio.sleep(0)
    for pid in victim.pids():
        os.kill(pid, signal.SIGKILL)
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [WorkerLost] * 3
    assert await asyncio.wait_for(waiting, 10) == "waited", "a call in the queue is not lost"
    await victim.whole()
    assert victim.pool.snapshot().restarts == 3


async def test_a_worker_killed_during_its_start_is_started_again_and_no_call_is_lost(make_victim):
    victim = await make_victim()
    spawned = len(victim.spawned())
    os.kill(victim.pids()[0], signal.SIGKILL)
    await victim.until(lambda: not victim.pool.ready_workers)
    waiting = asyncio.ensure_future(victim.call("echo", text="waited"))
    for turn in range(1, 4):
        await victim.until(lambda turn=turn: len(victim.spawned()) == spawned + turn)
        os.kill(victim.spawned()[-1].pid, signal.SIGKILL)
    assert await asyncio.wait_for(waiting, 10) == "waited"
    assert victim.pool.snapshot().restarts == 4


async def test_a_fork_in_a_worker_answers_once(make_victim):
    victim = await make_victim()
    assert await victim.call("fork_and_return") > 0
    for number in range(20):
        assert await victim.call("echo", text=str(number)) == str(number)
    assert victim.exits() == []


@pytest.mark.parametrize("mode", ["blocking", "concurrent"])
async def test_an_input_that_killed_two_workers_kills_no_third(make_victim, mode):
    victim = await make_victim(mode)
    for _ in range(2):
        with pytest.raises(WorkerLost):
            await victim.call("kill_self", number=9)
        await victim.whole()
    pids = victim.pids()
    for _ in range(5):
        with pytest.raises(Quarantined) as refused:
            await victim.call("kill_self", number=9)
    assert (refused.value.function, refused.value.deaths) == ("kill_self", 2)
    assert await victim.call("echo", text="another input") == "another input"
    assert victim.pids() == pids
