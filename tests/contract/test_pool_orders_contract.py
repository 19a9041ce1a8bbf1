"""What an operator can order of a pool, the same of each kind."""

import asyncio
import dataclasses

import pytest

from pool.errors import CancelledByOperator, Stopped


async def echo(pool, body=b"x", prefer=None):
    call = pool.submit("echo", b"", body, asyncio.get_running_loop().time() + 20, prefer=prefer)
    try:
        return (await call.future).body
    finally:
        pool.release(call)


def names(pool):
    return [worker.id for worker in pool.snapshot().workers]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_restart_replaces_every_worker(make):
    pool = await make(size=2)
    assert await pool.restart() == 2
    await until(lambda: sorted(names(pool)) == ["contract-3", "contract-4"])
    assert await echo(pool, b"on") == b"on"


async def test_a_restart_of_one_worker(make):
    pool = await make(size=2)
    assert await pool.restart("contract-1") == 1
    await until(lambda: sorted(names(pool)) == ["contract-2", "contract-3"])
    with pytest.raises(ValueError, match="no worker 'contract-1'"):
        await pool.restart("contract-1")


async def test_a_pool_is_resized(make):
    pool = await make(size=2)
    pool.resize(3, 5)
    await until(lambda: pool.ready_workers == 3)
    shot = pool.snapshot()
    assert (shot.target, shot.least, shot.most) == (3, 3, 5)
    pool.resize(1, 1)
    await until(lambda: len(names(pool)) == 1)
    assert await echo(pool) == b"x"


async def test_a_worker_is_recycled_in_its_turn(make):
    pool = await make(size=2, check_interval_s=0.2)
    assert pool.recycle("contract-1", "it was slow")
    assert not pool.recycle("contract-1", "and again"), "it is to be replaced already"
    assert not pool.recycle("nobody", "it was slow")
    await until(lambda: sorted(names(pool)) == ["contract-2", "contract-3"])
    assert await echo(pool, b"on") == b"on"


async def test_a_pool_grows_within_its_bounds(make):
    pool = await make(size=1, max_size=3)
    assert pool.grow(2, "many come")
    await until(lambda: pool.ready_workers == 2)
    assert not pool.grow(2, "as many as there are")
    assert pool.grow(9, "far more come")
    await until(lambda: pool.ready_workers == 3)
    shot = pool.snapshot()
    assert (shot.target, shot.least, shot.most) == (3, 1, 3)
    assert not pool.grow(4, "no more are allowed")


async def test_arrivals_are_counted(pool):
    before = pool.snapshot().arrivals
    for _ in range(3):
        await echo(pool)
    assert pool.snapshot().arrivals == before + 3


async def test_a_reload_returns_the_catalogue(make):
    pool = await make()
    options = dataclasses.replace(pool.options, queue_limit=7)
    assert await pool.reload(options) == b"the catalogue"
    assert pool.options is options
    await until(lambda: names(pool) == ["contract-2"])


async def test_a_drained_pool_goes_on(pool):
    assert await pool.drain(5)
    with pytest.raises(Stopped):
        await echo(pool)
    assert pool.snapshot().state == "draining"
    pool.resume()
    assert await echo(pool, b"again") == b"again"


async def test_sessions_are_counted(pool):
    pool.hold("contract-1")
    pool.hold("contract-1")
    pool.unhold("contract-1")
    pool.hold("nobody")
    pool.unhold("nobody")
    assert [worker.sessions for worker in pool.snapshot().workers] == [1]


async def test_a_call_that_has_ended_is_not_cancelled(pool):
    call = pool.submit("echo", b"", b"x", None)
    await call.future
    assert not pool.cancel(call)
    pool.release(call)


async def test_a_call_is_cancelled_once(pool):
    call = pool.submit("echo", b"", b"x", None)
    assert pool.cancel(call)
    assert not pool.cancel(call)
    with pytest.raises(CancelledByOperator):
        await call.future
    pool.release(call)
    assert await echo(pool) == b"x"
