"""Pools that serve the saboteurs through the real entry."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from bridge.v1 import common_pb2, invoke_pb2
from handlers.contract import CallMeta, EntryOptions, ReplyMeta
from pool.events import WorkerExited, WorkerSpawned
from pool.options import Canary, PoolOptions
from pool.pool import Pool
from pool.restart import RestartOptions

HERE = Path(__file__).resolve().parent
UNARY = msgspec.msgpack.encode(CallMeta("InvokeService/Call"))
STREAM = msgspec.msgpack.encode(CallMeta("InvokeService/StreamCall"))
GRACE_S = 0.3
CONCURRENCY = {"blocking": 1, "concurrent": 4}
LONG = os.environ.get("TEST_LENGTH") == "long"
KINDS = [(mode, start) for mode in CONCURRENCY for start in ("spawn", "template")]
"""Kinds of workers and ways to start them. A short run has each of both once, a long one all pairs."""
if not LONG:
    KINDS = [("blocking", "template"), ("concurrent", "spawn")]


def payload(arguments):
    return common_pb2.Payload(json=json.dumps(arguments).encode())


def failure_of(reply):
    """The record of a failure that a worker has answered with."""
    assert not reply.ok
    return msgspec.msgpack.decode(reply.meta, type=ReplyMeta).error


async def items_of(call):
    """All items of a stream up to its end, however that comes."""
    found = []
    while chunks := await call.buffer.take():
        found += [json.loads(invoke_pb2.StreamCallResponse.FromString(chunk).item.json) for chunk in chunks]
    return found


class Victim:
    """A pool with the saboteurs, its events, and calls in the bridge's own envelopes."""

    def __init__(self, mode, **changes):
        self.mode = mode
        self.events = []
        self.changed = asyncio.Event()
        self.fatal = []
        entry = EntryOptions(pool="general", modules=(str(HERE / "saboteurs.py"),), builtins=("core",))
        canary = invoke_pb2.CallRequest(function="bridge.canary").SerializeToString()
        self.options = PoolOptions(
            **{
                "name": "general",
                "entry": "handlers.entry:open_entry",
                "entry_options": msgspec.json.encode(entry),
                "canary": Canary(function="bridge.canary", meta=UNARY, body=canary),
                "size": 1,
                "concurrency": CONCURRENCY[mode],
                "env": {"PYTHONPATH": str(HERE.parents[1])},
                "grace_s": GRACE_S,
                "restart": RestartOptions(backoff_s=0.01, backoff_max_s=0.05, budget=1000),
                **changes,
            }
        )
        self.pool = Pool(self.options, listener=self.listen, fatal=self.fatal.append)

    def listen(self, event):
        self.events.append(event)
        self.changed.set()

    async def start(self):
        await self.pool.start()
        await self.whole()
        return self

    async def stop(self):
        await asyncio.wait_for(self.pool.stop(), 20)
        assert self.fatal == []

    async def until(self, condition, timeout_s=10):
        """Wait until something is true, looking again at each event."""
        async with asyncio.timeout(timeout_s):
            while not (value := condition()):
                self.changed.clear()
                await self.changed.wait()
        return value

    async def whole(self):
        """Wait until every place has a worker and nothing else is there."""
        size = self.options.size
        await self.until(lambda: self.pool.ready_workers == size == len(self.pool.snapshot().workers))

    def exits(self):
        return [event for event in self.events if isinstance(event, WorkerExited)]

    def spawned(self):
        return [event for event in self.events if isinstance(event, WorkerSpawned)]

    def pids(self):
        return [worker.pid for worker in self.pool.snapshot().workers]

    async def call(self, function, timeout_s=20.0, **arguments):
        """Call a function; its result, or the record of its failure."""
        loop = asyncio.get_running_loop()
        request = invoke_pb2.CallRequest(function=function, arguments=payload(arguments)).SerializeToString()
        call = self.pool.submit(function, UNARY, request, loop.time() + timeout_s)
        try:
            reply = await call.future
        finally:
            self.pool.release(call)
        if not reply.ok:
            return failure_of(reply)
        return json.loads(invoke_pb2.CallResponse.FromString(reply.body).result.json)

    async def stream(self, function, timeout_s=20.0, **arguments):
        """Start a streaming call; `pool.release` cancels it."""
        loop = asyncio.get_running_loop()
        request = invoke_pb2.StreamCallRequest(function=function, arguments=payload(arguments)).SerializeToString()
        return self.pool.submit(function, STREAM, request, loop.time() + timeout_s, stream=True)


@pytest.fixture(scope="session")
def read():
    return items_of


@pytest.fixture(scope="session", name="failure_of")
def failure_of_fixture():
    return failure_of


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS, ids="-".join)
async def victim(request):
    """One worker with the saboteurs, shared by a module's tests: each must leave it as good as new."""
    mode, start = request.param
    made = Victim(mode, start=start)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def clean(victim, leaks):
    """After the test: nothing more is held than before, and the next call is answered within five seconds."""
    assert await victim.call("echo", text="before") == "before"
    yield
    async with asyncio.timeout(5):
        await victim.whole()
        assert await victim.call("echo", text="after") == "after"
    for _ in range(200):
        if not (left := leaks.left()):
            break
        await asyncio.sleep(0.01)  # a process that has just been killed needs a moment
    assert left == {}


@pytest_asyncio.fixture(loop_scope="module")
async def make_victim():
    """`await make_victim(mode, **options)` starts a pool of the test's own."""
    made = []

    async def make(mode="blocking", **changes):
        made.append(Victim(mode, **changes))
        return await made[-1].start()

    yield make
    for one in made:
        await one.stop()
