"""Pools that grow and shrink, drain and go on, and calls that an operator cancels; and faults of supervision."""

from __future__ import annotations

import asyncio

import pytest

from pool.errors import CancelledByOperator, Stopped
from pool.events import PoolScaled, WorkerExited, WorkerSpawned

QUICK = {"check_interval_s": 0.2, "check_timeout_s": 2.0}
WAIT = "import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.005)\nresult = 'well'"


async def test_a_pool_grows_while_calls_wait_and_shrinks_when_one_can_be_spared(rig, tmp_path):
    gate = tmp_path / "gate"
    one = await rig(min_size=1, max_size=3, scale_up_wait_s=0.1, scale_down_idle_s=0.4, **QUICK).start()
    calls = [asyncio.ensure_future(one.run(WAIT.format(gate=str(gate)))) for _ in range(5)]
    await one.until(lambda: one.pool.ready_workers == 3)
    assert one.pool.snapshot().target == 3
    gate.touch()
    assert await asyncio.gather(*calls) == ["well"] * 5
    await one.until(lambda: len(one.of(WorkerExited)) == 2)
    assert one.pool.ready_workers == 1
    assert [(event.old, event.new) for event in one.of(PoolScaled)] == [(1, 2), (2, 3), (3, 2), (2, 1)]
    assert one.of(PoolScaled)[0].cause.startswith("a call has waited")
    assert one.of(PoolScaled)[3].cause.startswith("a worker could be spared")
    assert all(event.expected for event in one.of(WorkerExited))


async def test_a_pool_of_a_fixed_size_does_not_scale(rig, tmp_path):
    gate = tmp_path / "gate"
    one = await rig(scale_up_wait_s=0.05, **QUICK).start()
    calls = [asyncio.ensure_future(one.run(WAIT.format(gate=str(gate)))) for _ in range(3)]
    with pytest.raises(TimeoutError):
        await one.until(lambda: one.of(PoolScaled), 0.5)
    gate.touch()
    await asyncio.gather(*calls)


async def test_a_pool_is_resized_while_it_works(rig, tmp_path):
    gate = tmp_path / "gate"
    one = await rig(size=2).start()
    one.pool.resize(4, 6)
    await one.until(lambda: one.pool.ready_workers == 4)
    shot = one.pool.snapshot()
    assert (shot.target, shot.least, shot.most) == (4, 4, 6)
    running = asyncio.ensure_future(one.run(WAIT.format(gate=str(gate)), prefer="rig-4"))
    await asyncio.sleep(0)
    one.pool.resize(1, 1)
    await one.until(lambda: len(one.of(WorkerExited)) == 3)
    gate.touch()
    assert await running == "well"
    assert (await one.call("echo", b"on")).body == b"on"
    assert one.pool.snapshot().target == 1
    with pytest.raises(ValueError, match="expected 1 <= minimum <= maximum, got 3 and 2"):
        one.pool.resize(3, 2)
    one.pool.resize(2, 2)
    await one.until(lambda: one.pool.ready_workers == 2)
    assert len({worker.place for worker in one.pool.snapshot().workers}) == 2


async def test_a_worker_that_is_still_starting_is_given_up_at_once(rig, tmp_path):
    slow = "import os, time\nwhile os.environ['BRIDGE_WORKER_ID'] != 'rig-1': time.sleep(0.01)"
    one = await rig(start=slow).start()
    one.pool.resize(2, 2)
    await one.until(lambda: len(one.of(WorkerSpawned)) == 2)
    one.pool.resize(1, 1)
    await one.until(lambda: one.of(WorkerExited))
    assert one.of(WorkerExited)[0].report.cause == "it is no longer needed"
    assert one.of(WorkerExited)[0].expected
    assert one.pool.snapshot().restarts == 0


async def test_a_pool_drains_and_goes_on(rig):
    one = await rig(**QUICK).start()
    assert await one.pool.drain(5)
    assert one.pool.snapshot().state == "draining"
    with pytest.raises(Stopped):
        await one.call("echo")
    one.pool.resume()
    assert one.pool.snapshot().state == "ready"
    assert (await one.call("echo", b"again")).body == b"again"


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_an_operator_cancels_a_call_that_runs_and_one_that_waits(rig, concurrency):
    one = await rig(concurrency=concurrency).start()
    calls = [one.submit("run", b"import time\nwhile True: time.sleep(0.01)") for _ in range(concurrency + 1)]
    for call in calls[::-1]:
        assert one.pool.cancel(call)
        assert not one.pool.cancel(call), "it has ended"
        with pytest.raises(CancelledByOperator, match="an operator has cancelled the call in pool 'rig'"):
            await call.future
        one.pool.release(call)
    assert (await one.call("echo", b"next")).body == b"next"
    assert one.pool.snapshot().restarts == 0, "the running ones were interrupted"


def broken(*_args, **_more):
    raise RuntimeError("a bug")


FAULTS = {
    "checks": lambda force: setattr(force._checks, "look", broken),
    "recycling": lambda force: setattr(force._recycling, "look", broken),
    "places": lambda force: (setattr(force._places, "_look", broken), force._places.all[0].wake.set()),
    "scaling": lambda force: setattr(force._sizing, "look", broken),
    "retirement": lambda force: (setattr(force._crew, "_end_when_idle", crashing), force.resize(1, 1)),
    "memory": lambda force: (setattr(force, "_over_soft_memory", broken), force._watch_memory()),
}


async def crashing(*_args, **_more):
    raise RuntimeError("a bug")


@pytest.mark.parametrize("part", FAULTS)
async def test_a_fault_of_any_part_of_supervision_is_fatal(rig, part):
    """Whoever owns the pool ends the process then."""
    soft = 1 << 20 if part == "memory" else None
    one = await rig(size=2, memory_soft_limit_bytes=soft, max_calls=10**9, **QUICK).start()
    told = asyncio.Event()
    force = one.pool._supervisor
    force._fatal = lambda error: (one.fatal.append(error), told.set())
    FAULTS[part](force)
    await asyncio.wait_for(told.wait(), 10)
    assert {str(error) for error in one.fatal} == {"a bug"}
    force._fatal = lambda error: None
    await one.pool.stop()
    one.fatal.clear()
