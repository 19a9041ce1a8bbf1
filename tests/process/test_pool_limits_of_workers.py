"""What each worker is started with: CPUs, a GPU, a limit of data, a niceness, in place before any code of the user."""

import ast
import asyncio
import os

import pytest

from pool.errors import StartFailed

pytestmark = pytest.mark.parametrize("rig", ["spawn", "template"], indirect=True)

SEEN = """
import os, resource
cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
seen = (sorted(os.sched_getaffinity(0)), cuda, os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0])
"""
TELL = f"{SEEN}\nimport builtins\nbuiltins.seen_at_start = seen"
ASK = f"{SEEN}\nimport builtins\nresult = repr((builtins.seen_at_start, seen))"


async def of_each(one):
    """What each worker sees, by place; one that was spawned has seen the same at its import."""
    workers = [worker.id for worker in one.pool.snapshot().workers]
    texts = await asyncio.gather(*(one.run(ASK, prefer=worker) for worker in workers))
    seen = [ast.literal_eval(text) for text in texts]
    assert one.options.start == "template" or all(at_start == now for at_start, now in seen)
    return [now for _, now in seen]


async def test_each_place_has_its_cpus_and_gpu(rig):
    cpus = sorted(os.sched_getaffinity(0))
    turns = ((cpus[0],), (cpus[-1],))
    one = await rig(start=TELL, size=3, cpus=turns, gpus=("0", "1"), nice=3).start()
    for place, now in enumerate(await of_each(one)):
        assert now[:3] == (list(turns[place % 2]), str(place % 2), os.nice(0) + 3)


async def test_a_replacement_has_the_cpus_of_its_place(rig):
    cpus = sorted(os.sched_getaffinity(0))
    one = await rig(start=TELL, cpus=((cpus[-1],),), gpus=("7",)).start()
    old = one.pids()
    await asyncio.wait([asyncio.ensure_future(one.call("run", b"import os; os._exit(1)"))])
    await one.until(lambda: one.pool.ready_workers and one.pids() != old)
    assert [now[:2] for now in await of_each(one)] == [([cpus[-1]], "7")]


async def test_without_settings_a_worker_has_what_the_front_has(rig, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    one = await rig(start=TELL).start()
    assert (await of_each(one))[0][:2] == (sorted(os.sched_getaffinity(0)), "5")


async def test_allocating_beyond_the_data_limit_raises_in_the_function(rig):
    one = await rig(start=TELL, data_limit_bytes=256 << 20).start()
    assert (await of_each(one))[0][3] == 256 << 20
    text = "try:\n    bytearray(512 << 20)\nexcept MemoryError:\n    result = 'refused'"
    assert await one.run(text) == "refused"
    assert await one.run("result = 'lives'") == "lives"


async def test_a_cpu_that_is_not_there_is_a_failed_start_that_says_so(rig):
    there = min(os.sched_getaffinity(0))
    one = rig(start=TELL, cpus=((there, 8191),))
    with pytest.raises(StartFailed, match=rf"got \[{there}, 8191\]; correct the pool's cpus"):
        await one.pool.start()
