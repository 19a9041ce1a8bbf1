"""Orders that meet other things: a size that changes while workers are replaced, a failure while one is suspended."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal

from pool.events import PoolFailed, WorkerExited, WorkerResumed, WorkerSpawned, WorkerSuspended
from pool.restart import RestartOptions

WAITS_FROM_THE_FIFTH = """
import os, time
while int(os.environ["BRIDGE_WORKER_ID"].rpartition("-")[2]) >= 5 and not os.path.exists({gate!r}):
    time.sleep(0.005)
"""
FAILS_WHILE = """
import os
if os.path.exists({gate!r}):
    raise ValueError("no")
"""


async def test_a_pool_that_is_made_smaller_while_it_reloads_is_reloaded_all_the_same(rig, tmp_path):
    """The place whose worker is about to be replaced is given up: there is nothing left to replace there."""
    gate = tmp_path / "gate"
    one = await rig(start=WAITS_FROM_THE_FIFTH.format(gate=str(gate)), size=3).start()
    options = dataclasses.replace(one.options, env={**one.options.env, "NEW": "1"})
    reload = asyncio.ensure_future(one.pool.reload(options))
    await one.until(lambda: len(one.of(WorkerSpawned)) == 5)  # the first is replaced, the second about to be
    one.pool.resize(1, 1)
    await one.until(lambda: len(one.of(WorkerExited)) == 4)
    gate.touch()
    await reload
    assert await one.run("import os\nresult = os.environ['NEW']") == "1"
    assert len(one.pool.snapshot().workers) == 1


async def test_a_worker_that_is_suspended_while_the_others_fail_serves_when_it_goes_on(rig, tmp_path):
    gate = tmp_path / "gate"
    restart = RestartOptions(backoff_s=0.01, backoff_max_s=0.05, budget=2, slow_s=60.0)
    one = await rig(start=FAILS_WHILE.format(gate=str(gate)), size=2, restart=restart, check_timeout_s=0.5).start()
    gate.touch()
    suspended, other = one.pids()
    os.kill(suspended, signal.SIGSTOP)
    await one.until(lambda: one.of(WorkerSuspended))
    assert one.pool.snapshot().cause == "", "the other one serves"
    os.kill(other, signal.SIGKILL)
    await one.until(lambda: len(one.of(WorkerExited)) == 2)
    assert one.pool.snapshot().cause == "no worker takes calls: 1 suspended"
    os.kill(suspended, signal.SIGCONT)
    await one.until(lambda: one.of(WorkerResumed))
    assert one.pool.snapshot().state == "ready"
    assert (await one.call("echo", b"on")).body == b"on"


async def test_the_restart_budget_of_reloaded_options_counts(rig, tmp_path):
    gate = tmp_path / "gate"
    one = await rig(start=FAILS_WHILE.format(gate=str(gate))).start()
    restart = RestartOptions(backoff_s=0.01, backoff_max_s=0.05, budget=2, slow_s=60.0)
    await one.pool.reload(dataclasses.replace(one.options, restart=restart))
    gate.touch()
    os.kill(one.pids()[-1], signal.SIGKILL)
    await one.until(lambda: one.of(PoolFailed))
    assert len(one.of(WorkerSpawned)) == 3
