"""Workers that are replaced, then retired: by limits and by orders, under load, and where the new one fails."""

from __future__ import annotations

import asyncio
import dataclasses
import os

import pytest

from pool.errors import StartFailed
from pool.events import PoolFailed, ReplacementFailed, WorkerExited, WorkerReady, WorkerRecycled
from pool.lifecycle import State
from pool.restart import RestartOptions

QUICK = {"check_interval_s": 0.2, "check_timeout_s": 2.0}
FAILS_WHILE = """
import os
if os.path.exists({gate!r}) and os.environ["BRIDGE_WORKER_ID"] != "rig-1":
    raise ValueError("no")
"""
STARTS_AFTER = """
import os, time
while os.environ["BRIDGE_WORKER_ID"] == "rig-2" and not os.path.exists({gate!r}):
    time.sleep(0.005)
"""


class Load:
    """Callers that go on calling until they are told to stop; any failure is theirs to keep."""

    def __init__(self, one, callers=6):
        self._one = one
        self._on = True
        self.answered = 0
        self.fewest = one.pool.ready_workers
        self._tasks = [asyncio.ensure_future(self._call(number)) for number in range(callers)]

    async def _call(self, caller):
        while self._on:
            body = b"%d of %d" % (self.answered, caller)
            assert (await self._one.call("echo", body)).body == body
            self.answered += 1
            self.fewest = min(self.fewest, self._one.pool.ready_workers)

    async def stop(self):
        self._on = False
        await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_recycling_under_load_fails_no_call(rig, concurrency):
    """Never fewer ready workers than the pool's size, and no call that does not come back."""
    one = await rig(size=2, max_calls=200, concurrency=concurrency, **QUICK).start()
    load = Load(one)
    await one.until(lambda: len(one.of(WorkerRecycled)) >= 6, 60)
    await load.stop()
    assert load.fewest == 2
    assert all(event.expected for event in one.of(WorkerExited))
    assert one.pool.snapshot().restarts == 0
    assert one.of(WorkerRecycled)[0].cause.startswith("it has answered ")
    for event in one.of(WorkerRecycled):
        at = one.events.index(event)
        assert any(seen.worker == event.replacement for seen in one.events[:at] if isinstance(seen, WorkerReady))
        assert not any(seen.worker == event.worker for seen in one.events[:at] if isinstance(seen, WorkerExited))


async def test_canaries_are_no_use_of_a_worker(rig):
    one = await rig(size=1, max_calls=5, **QUICK).start()
    for _ in range(12):
        assert await one.pool.canary(5.0) is None
    await asyncio.sleep(0.3)
    (worker,) = one.pool.snapshot().workers
    assert worker.id == "rig-1", "it has not been recycled"
    assert worker.canaries >= 12
    assert worker.answered <= worker.canaries


async def test_a_worker_is_recycled_at_an_age(rig):
    one = await rig(size=2, max_age_s=0.5, **QUICK).start()
    await one.until(lambda: {"rig-1", "rig-2"} <= {event.worker for event in one.of(WorkerExited)})
    assert one.pool.ready_workers == 2
    assert all(event.expected for event in one.of(WorkerExited))


async def test_a_worker_above_its_soft_limit_ends_its_call_then_goes(rig):
    one = await rig(memory_soft_limit_bytes=150 << 20, **QUICK).start()
    text = "import time\nblock = bytearray(300 << 20)\ntime.sleep(1.5)\nresult = str(len(block))"
    assert await one.run(text) == str(300 << 20)
    await one.until(lambda: one.of(WorkerExited))
    (recycled,) = one.of(WorkerRecycled)
    assert recycled.cause.startswith("it held ")
    assert recycled.cause.endswith("its soft limit is 150.0 MiB (157286400 bytes)")
    ended = one.of(WorkerExited)[0].report
    assert ended.ordered
    assert ended.cause == f"replaced: {recycled.cause}", "an operator reads more than its exit code"


async def test_a_restart_replaces_all_in_turn_and_fails_no_call(rig):
    one = await rig(size=3).start()
    old = set(one.pids())
    load = Load(one)
    assert await one.pool.restart() == 3
    await load.stop()
    await one.until(lambda: len(one.of(WorkerExited)) == 3)
    assert load.answered > 0
    assert load.fewest == 3
    assert not old & set(one.pids())
    assert one.pool.snapshot().restarts == 0


async def test_one_worker_is_restarted_by_name(rig):
    one = await rig(size=2).start()
    assert await one.pool.restart("rig-2") == 1
    await one.until(lambda: one.of(WorkerExited))
    assert sorted(worker.id for worker in one.pool.snapshot().workers) == ["rig-1", "rig-3"]
    assert {worker.id: worker.place for worker in one.pool.snapshot().workers} == {"rig-1": 0, "rig-3": 1}
    with pytest.raises(ValueError, match="no worker 'rig-2' to replace; it has rig-1, rig-3"):
        await one.pool.restart("rig-2")


@pytest.mark.parametrize("worker", [None, "rig-1"])
async def test_a_restart_that_fails_leaves_the_old_worker(rig, tmp_path, worker):
    gate = tmp_path / "gate"
    one = await rig(start=FAILS_WHILE.format(gate=str(gate))).start()
    gate.touch()
    with pytest.raises(StartFailed, match="ValueError: no"):
        await one.pool.restart(worker)
    assert (await one.run("import os; result = os.environ['BRIDGE_WORKER_ID']")) == "rig-1"
    assert [event.retry_s for event in one.of(ReplacementFailed)] == [None]
    gate.unlink()
    assert await one.pool.restart(worker) == 1
    assert (await one.run("import os; result = os.environ['BRIDGE_WORKER_ID']")) == "rig-3"


async def test_a_spare_that_does_not_start_is_tried_again_and_the_old_one_stays(rig, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    one = await rig(start=FAILS_WHILE.format(gate=str(gate)), max_calls=10, **QUICK).start()
    for number in range(20):
        await one.call("echo", b"%d" % number)
    await one.until(lambda: len(one.of(ReplacementFailed)) >= 3)
    assert [worker.recycle[:15] for worker in one.pool.snapshot().workers if worker.id == "rig-1"] == [
        "it has answered"
    ]
    assert one.pool.ready_workers == 1
    assert one.pool.snapshot().restarts == 0, "nothing is lost while the old one serves"
    gate.unlink()
    await one.until(lambda: one.of(WorkerRecycled))


async def test_the_old_one_that_dies_while_its_spare_starts_is_replaced_by_it(rig, tmp_path):
    gate = tmp_path / "gate"
    one = await rig(start=STARTS_AFTER.format(gate=str(gate))).start()
    restarting = asyncio.ensure_future(one.pool.restart())
    await one.until(lambda: len(one.pool.snapshot().workers) == 2)
    os.kill(one.pids()[0], 9)
    await one.until(lambda: one.of(WorkerExited))
    gate.touch()
    assert await restarting == 1
    assert [worker.id for worker in one.pool.snapshot().workers] == ["rig-2"]
    assert one.pool.snapshot().restarts == 1


async def test_a_reload_brings_new_options_without_failing_a_call(rig):
    one = await rig(size=2).start()
    load = Load(one)
    options = dataclasses.replace(one.options, env={**one.options.env, "GIVEN": "anew"}, size=3)
    assert await one.pool.reload(options) == b""
    assert one.pool.options is options
    await one.until(lambda: one.pool.ready_workers == 3)
    await load.stop()
    assert load.fewest >= 2
    found = {await one.run("import os; result = os.environ.get('GIVEN')", prefer=f"rig-{n}") for n in (3, 4, 5)}
    assert found == {"anew"}


async def test_a_reload_that_fails_changes_nothing(rig, tmp_path):
    one = await rig().start()
    (pid,) = one.pids()
    broken = dataclasses.replace(one.options, entry="process_entry:nothing_there")
    with pytest.raises(StartFailed, match="nothing_there"):
        await one.pool.reload(broken)
    assert one.pids() == [pid]
    assert one.pool.options is one.options
    os.kill(pid, 9)
    await one.until(lambda: len(one.of(WorkerReady)) == 2)
    assert (await one.call("echo", b"as before")).body == b"as before"


async def test_a_retired_worker_serves_the_sessions_that_are_bound_to_it(rig):
    one = await rig().start()
    one.pool.hold("rig-1")
    one.pool.hold("rig-1")
    await one.pool.restart()
    who = "import os; result = os.environ['BRIDGE_WORKER_ID']"
    assert [(w.id, w.state, w.sessions) for w in one.pool.snapshot().workers] == [
        ("rig-1", State.DRAINING, 2),
        ("rig-2", State.READY, 0),
    ]
    assert not one.pool.has_worker("rig-1")
    assert one.pool.has_worker("rig-1", held=True)
    for _ in range(3):
        assert await one.run(who, prefer="rig-1") == "rig-1"
        assert await one.run(who) == "rig-2"
    one.pool.unhold("rig-1")
    assert await one.run(who, prefer="rig-1") == "rig-1"
    one.pool.unhold("rig-1")
    await one.until(lambda: one.of(WorkerExited))
    assert not one.pool.has_worker("rig-1", held=True)
    assert await one.run(who, prefer="rig-1") == "rig-2"


async def test_sessions_hold_a_retired_worker_for_a_limited_time(rig):
    one = await rig(drain_hold_s=0.2).start()
    one.pool.hold("rig-1")
    await one.pool.restart()
    await one.until(lambda: one.of(WorkerExited))
    assert one.of(WorkerExited)[0].expected


async def test_a_failed_pool_is_started_by_hand(rig, tmp_path):
    gate = tmp_path / "gate"
    restart = RestartOptions(backoff_s=0.01, backoff_max_s=0.01, budget=3, slow_s=600.0)
    start = f"import os\nif os.path.exists({str(gate)!r}): raise ValueError('no')"
    one = await rig(size=2, start=start, restart=restart).start()
    gate.touch()
    for pid in one.pids():
        os.kill(pid, 9)
    await one.until(lambda: one.of(PoolFailed))
    assert one.pool.snapshot().state == "failed"
    with pytest.raises(StartFailed, match="ValueError: no"):
        await one.pool.restart()
    assert one.pool.snapshot().cause == "ValueError: no"
    gate.unlink()
    assert await one.pool.restart() == 2
    assert (await one.call("echo", b"back")).body == b"back"
    assert one.pool.snapshot().cause == ""
