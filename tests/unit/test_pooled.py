"""What a pooled call leaves behind once it has ended."""

from __future__ import annotations

import asyncio
import gc

import msgspec
import pytest

from bridge.call import Call, Identity, new_call
from bridge.pooled import PooledRunner
from bridge.v1 import common_pb2, invoke_pb2
from handlers.contract import EntryOptions
from handlers.entry import open_entry
from pool.options import Canary, PoolOptions
from pool.testing import FakePool


@pytest.fixture
async def pool():
    options = PoolOptions(
        name="general",
        entry="",
        entry_options=b"",
        canary=Canary(function="bridge.canary", meta=b"", body=b""),
        size=1,
    )
    entry = open_entry(msgspec.json.encode(EntryOptions(pool="general", builtins=("core",))))
    made = FakePool(options, entry)
    await made.start()
    yield made
    await made.stop()


def echo(method, request, seconds):
    call = new_call(method, Identity("r-1"), request, asyncio.get_running_loop().time() + seconds)
    call.function, call.pool = "bridge.echo", "general"
    return call


def arguments():
    return common_pb2.Payload(json=b'{"text": "hello"}')


def calls_alive():
    return sum(isinstance(one, Call) for one in gc.get_objects())


async def unary(runner):
    request = invoke_pb2.CallRequest(function="bridge.echo", arguments=arguments()).SerializeToString()
    reply = invoke_pb2.CallResponse.FromString(await runner.run(echo("InvokeService/Call", request, 5.0)))
    assert reply.result.json == '{"text": "hello"}'


async def stream(runner):
    request = invoke_pb2.StreamCallRequest(function="bridge.echo", arguments=arguments()).SerializeToString()
    assert [len(batch) async for batch in runner.stream(echo("InvokeService/StreamCall", request, 5.0))] == [1]


@pytest.mark.parametrize("kind", [unary, stream])
async def test_a_call_that_has_ended_is_freed_without_the_garbage_collector(pool, kind):
    """Its request may be large, and collections are rare in the front."""
    runner = PooledRunner({"general": pool}, sessions=None)
    await kind(runner)
    gc.collect()
    before = calls_alive()
    gc.disable()
    try:
        for _ in range(10):
            await kind(runner)
        assert calls_alive() - before <= 1, "the frames of this test may still hold the last one"
    finally:
        gc.enable()
