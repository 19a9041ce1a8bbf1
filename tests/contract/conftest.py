"""Pools of each kind that the contract suite is held against."""

from __future__ import annotations

import asyncio
import os
import runpy
from pathlib import Path

import pytest

from pool.options import Canary, PoolOptions
from pool.pool import Pool
from pool.restart import RestartOptions
from pool.testing import FakePool

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OPEN_ENTRY = runpy.run_path(str(HERE / "contract_entry.py"))["open_entry"]
FLAVOURS = {
    "fake": (b"async", 1, "spawn"),
    "blocking": (b"sync", 1, "spawn"),
    "forked": (b"sync", 1, "template"),
    "async": (b"async", 4, "template"),
    "threads": (b"sync", 4, "spawn"),
}
"""What the entry is told, the concurrency of a worker, and how it starts."""


@pytest.fixture(params=FLAVOURS)
def flavour(request):
    return request.param


@pytest.fixture
async def make(flavour):
    """Make and start a pool of this flavour; stopped at the end."""
    entry_options, concurrency, start = FLAVOURS[flavour]
    pools = []

    async def make(on_ask=None, **changes):
        events = asyncio.Queue()
        options = PoolOptions(
            **{
                "name": "contract",
                "entry": "contract_entry:open_entry",
                "entry_options": entry_options,
                "canary": Canary(function="echo", meta=b"", body=b"canary"),
                "size": 1,
                "concurrency": concurrency,
                "start": start,
                "env": {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
                "restart": RestartOptions(backoff_s=0.01, budget=100),
                **changes,
            }
        )
        if flavour == "fake":
            pool = FakePool(options, OPEN_ENTRY(entry_options), on_ask)
        else:
            pool = Pool(options, listener=events.put_nowait, fatal=pytest.fail, on_ask=on_ask)
        pools.append(pool)
        assert await pool.start() == b"the catalogue"
        while pool.ready_workers < options.size:
            await asyncio.wait_for(events.get(), 20)
        return pool

    yield make
    for pool in pools:
        await pool.stop()


@pytest.fixture
async def pool(make):
    return await make()
