"""Too much memory and too many files, through the entry that users get: what is told, and who goes on.

Nothing of it may cost another caller anything.
"""

from __future__ import annotations

import asyncio
import resource

import pytest

from pool.cgroup_support import detect
from pool.errors import WorkerMemoryLimit

pytestmark = [pytest.mark.asyncio(loop_scope="module")]
MIB = 1 << 20
MODES = pytest.mark.parametrize("mode", ["blocking", "concurrent"])
CGROUPS = [
    "off",
    pytest.param("auto", marks=pytest.mark.skipif(detect().kind == "none", reason=detect().why)),
]


@MODES
@pytest.mark.parametrize("cgroups", CGROUPS)
async def test_a_balloon_is_told_by_bytes_limit_pool_and_function(make_victim, mode, cgroups):
    victim = await make_victim(mode, size=2, memory_limit_bytes=256 * MIB, cgroups=cgroups)
    for _ in range(2):
        with pytest.raises(WorkerMemoryLimit) as caught:
            await victim.call("allocate", mebibytes=4096)
        error = caught.value
        assert (error.pool, error.function, error.limit_bytes) == ("general", "allocate", 256 * MIB)
        assert error.used_bytes > 256 * MIB
        assert f"({error.used_bytes} bytes)" in str(error)
        assert await victim.call("echo", text="unharmed") == "unharmed"
        await victim.whole()


@MODES
async def test_beyond_the_data_limit_python_raises_and_the_worker_lives(make_victim, mode):
    victim = await make_victim(mode, data_limit_bytes=512 * MIB)
    pids = victim.pids()
    for _ in range(3):
        error = await victim.call("allocate", mebibytes=2048)
        assert (error.code, error.reason, error.type) == ("UNKNOWN", "USER_EXCEPTION", "MemoryError")
        assert await victim.call("allocate", mebibytes=64) == 64 * MIB
    assert victim.pids() == pids


async def test_memory_that_is_mapped_and_not_used_is_no_reason_to_kill(make_victim):
    victim = await make_victim(memory_limit_bytes=256 * MIB)
    pids = victim.pids()
    assert await victim.call("map_and_touch_little", mebibytes=8192) == 8192 * MIB
    assert victim.pids() == pids


@MODES
async def test_a_leak_of_a_mebibyte_a_call_costs_no_call(make_victim, mode):
    """At the soft limit the worker is replaced first, then it goes."""
    soft = 120 * MIB
    victim = await make_victim(mode, memory_soft_limit_bytes=soft)
    (first,) = victim.pids()
    seen = set()
    async with asyncio.timeout(60):
        while len(victim.exits()) < 2:
            seen.add(await victim.call("leak", mebibytes=1))
    assert first in seen
    assert len(seen) >= 3, "calls went on with the replacements"
    assert all(exited.expected for exited in victim.exits())
    grown = victim.pool.snapshot().growth
    assert grown[0].function == "leak"
    assert grown[0].grown_bytes >= 40 * MIB


@MODES
async def test_a_worker_without_a_descriptor_to_spare_reports_that_and_lives(make_victim, mode):
    victim = await make_victim(mode)
    (pid,) = victim.pids()
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (128, hard))
    error = await victim.call("open_files_for_ever")
    assert (error.reason, error.type) == ("USER_EXCEPTION", "OSError")
    assert "Too many open files" in error.message
    assert await victim.call("echo", text="without a file") == "without a file"
    assert await victim.call("close_files") > 64
    assert victim.pids() == [pid]
