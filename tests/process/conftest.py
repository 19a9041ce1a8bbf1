"""Pools of real processes for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from pool.options import Canary, PoolOptions
from pool.pool import Pool
from pool.restart import RestartOptions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Rig:
    """A pool, all that it told its listener, and short ways to use it."""

    def __init__(self, start="", canary="", canary_s=10, how="spawn", **changes):
        self.events = []
        self.changed = asyncio.Event()
        self.fatal = []
        self.options = PoolOptions(
            **{
                "name": "rig",
                "entry": "process_entry:open_entry",
                "entry_options": json.dumps({"start": start, "canary": canary}).encode(),
                "canary": Canary(function="canary", meta=b"", body=b"", timeout_s=canary_s),
                "size": 1,
                "start": how,
                "env": {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
                "restart": RestartOptions(backoff_s=0.01, backoff_max_s=0.05, budget=1000),
                "grace_s": 0.3,
                **changes,
            }
        )
        self.pool = Pool(self.options, listener=self.listen, fatal=self.fatal.append)

    def listen(self, event):
        self.events.append(event)
        self.changed.set()

    async def start(self):
        await self.pool.start()
        await self.until(lambda: self.pool.ready_workers == self.options.size)
        return self

    async def until(self, condition, timeout_s=20):
        """Wait until something is true, looking again at each event."""
        async with asyncio.timeout(timeout_s):
            while not (value := condition()):
                self.changed.clear()
                await self.changed.wait()
        return value

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def pids(self):
        return [worker.pid for worker in self.pool.snapshot().workers]

    def submit(self, function, body=b"", timeout_s=20.0, prefer=None, stream=False):
        """Submit a call; the test releases it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        return self.pool.submit(function, b"", body, deadline, prefer=prefer, stream=stream)

    async def call(self, function, body=b"", timeout_s=20.0, prefer=None):
        call = self.submit(function, body, timeout_s, prefer)
        try:
            return await call.future
        finally:
            self.pool.release(call)

    async def run(self, text, timeout_s=20.0, prefer=None):
        """Run Python text in a worker; the text it leaves in `result`."""
        reply = await self.call("run", text.encode(), timeout_s, prefer)
        assert reply.ok
        return reply.body.decode()


@pytest.fixture
async def rig(request):
    """`rig(**options)` makes a pool that is stopped at the end; `await (...).start()` waits for all its workers.

    Its parameter, where a test module gives one, is how workers start: `spawn` or `template`.
    """
    made = []

    def make(**changes):
        made.append(Rig(**{"how": getattr(request, "param", "spawn"), **changes}))
        return made[-1]

    yield make
    for one in made:
        await asyncio.wait_for(one.pool.stop(), 20)
        assert one.fatal == []
