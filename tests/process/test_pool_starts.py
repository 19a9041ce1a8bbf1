"""How workers start: proved first, and where they can not, with the user's own words."""

from __future__ import annotations

import asyncio
import os

import pytest

from pool.errors import PoolUnavailable, StartFailed
from pool.events import PoolFailed, WorkerExited, WorkerOutput, WorkerReady, WorkerSpawned
from pool.restart import RestartOptions
from pool.spawn import PlainSpawner


async def start_fails(rig, **changes):
    """Start a pool that can not; what it raises."""
    with pytest.raises(StartFailed) as failed:
        await asyncio.wait_for(rig(**changes).pool.start(), 20)
    return failed.value


async def test_a_worker_is_ready_only_after_its_canary(rig):
    one = await rig(canary="print('canary')").start()
    assert await one.run("result = entry.calls") == "2", "the canary came before the first call"
    await one.until(lambda: one.of(WorkerOutput))
    assert [type(event) for event in one.events if not isinstance(event, WorkerOutput)] == [WorkerSpawned, WorkerReady]
    assert one.of(WorkerReady)[0].seconds > 0


async def test_a_canary_that_fails_fails_the_start(rig):
    assert "its canary was answered with an error" in (await start_fails(rig, canary="result = 'bad'")).cause


async def test_a_canary_that_hangs_fails_the_start(rig):
    failure = await start_fails(rig, canary="import time; time.sleep(60)", canary_s=0.2)
    assert failure.cause == "its canary did not come back within 0.2 s"


async def test_a_failed_start_has_the_users_error_and_traceback(rig):
    failure = await start_fails(rig, start="def load():\n    raise KeyError('MODEL_PATH')\nload()")
    assert failure.cause == "KeyError: 'MODEL_PATH'"
    assert 'File "<test>", line 2, in load' in failure.detail


async def test_an_exit_at_import_is_a_failed_start(rig):
    failure = await start_fails(rig, start="import sys; print('no licence', file=sys.stderr); sys.exit(3)")
    assert failure.cause == "exited with code 3"
    assert "no licence" in failure.detail


async def test_a_crash_at_import_is_a_failed_start(rig):
    failure = await start_fails(rig, start="import os; os.abort()")
    assert failure.cause == "killed by SIGABRT"
    assert "Fatal Python error: Aborted" in failure.detail


async def test_a_thread_left_at_a_failed_import_does_not_hold_the_process(rig):
    start = "import threading; threading.Thread(target=threading.Event().wait).start()\nraise ValueError('after all')"
    assert (await start_fails(rig, start=start)).cause == "ValueError: after all"


async def test_an_import_that_takes_too_long(rig):
    failure = await start_fails(rig, start="import time; time.sleep(60)", start_timeout_s=0.5)
    assert failure.cause == "not ready after 0.5 s"
    assert "<test>" in failure.detail, "the stack shows where it stood"


async def test_a_process_that_can_not_be_started_is_tried_again(rig):
    """A full process table passes; it must not end the server."""
    one = rig()
    real = PlainSpawner.spawn
    failures = iter([OSError(11, "Resource temporarily unavailable")] * 2)

    async def spawn(launch):
        for failure in failures:
            raise failure
        return await real(one.pool._supervisor._spawner, launch)

    one.pool._supervisor._spawner.spawn = spawn
    with pytest.raises(StartFailed, match="no process could be started"):
        await one.pool.start()
    await one.until(lambda: one.pool.ready_workers == 1)
    assert one.pool.snapshot().restarts == 2


async def test_a_pool_that_had_been_ready_fails_says_why_and_recovers(rig, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    one = await rig(
        start=f"open({str(gate)!r})",
        restart=RestartOptions(backoff_s=0.001, backoff_max_s=0.001, budget=3, period_s=0.5, slow_s=0.2),
    ).start()
    gate.unlink()
    waiting = asyncio.ensure_future(one.call("run", b"import os; os._exit(1)"))
    await one.until(lambda: one.of(PoolFailed))
    await asyncio.wait([waiting])
    with pytest.raises(PoolUnavailable, match="FileNotFoundError") as refused:
        await one.call("echo")
    assert refused.value.retry_after_s == 0.2
    assert one.pool.snapshot().state == "failed"
    assert "FileNotFoundError" in one.pool.snapshot().cause
    gate.touch()
    await one.until(lambda: one.pool.ready_workers)
    assert (await one.call("echo", b"again")).body == b"again"
    assert (one.pool.snapshot().state, one.pool.snapshot().cause) == ("ready", "")


async def test_a_stop_during_the_start(rig, leaks):
    one = rig(start="import time; time.sleep(60)", size=2)
    starting = asyncio.ensure_future(one.pool.start())
    await one.until(lambda: len(one.of(WorkerSpawned)) == 2)
    await one.pool.stop()
    with pytest.raises(StartFailed, match="the server stopped"):
        await starting
    assert leaks.left() == {}


async def test_a_stop_before_the_first_step_of_a_start(rig, leaks):
    one = rig()
    starting = asyncio.ensure_future(one.pool.start())
    await asyncio.sleep(0)
    await one.pool.stop()
    with pytest.raises(StartFailed, match="the server stopped"):
        await asyncio.wait_for(starting, 5)
    assert leaks.left() == {}


@pytest.mark.parametrize("kind", [WorkerSpawned, WorkerReady, WorkerExited])
async def test_a_fault_of_supervision_itself_is_told_and_never_hidden(rig, kind):
    """Whoever owns the pool ends the process then: without its supervisor a pool only looks alive."""
    one = rig()
    listen = one.listen

    def fail(event):
        listen(event)
        if isinstance(event, kind):
            raise RuntimeError("a bug")

    told = asyncio.Event()
    one.pool._supervisor._listener = fail
    one.pool._supervisor._fatal = lambda error: (one.fatal.append(error), told.set())
    starting = asyncio.ensure_future(one.pool.start())
    if kind is WorkerExited:
        await starting
        os.kill(one.pids()[0], 9)
    await asyncio.wait_for(told.wait(), 5)
    assert [str(error) for error in one.fatal] == ["a bug"]
    one.fatal.clear()
    await one.pool.stop()
    await asyncio.wait([starting])
    one.fatal.clear()
