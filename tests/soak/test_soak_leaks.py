"""What work leaves behind: nothing, however much of it there was.

Short in every run of the tests; with TEST_LENGTH=long 100,000 calls, 1,000 deaths of workers and 10,000 cancels.
"""

import asyncio
import json
import os
import signal

import grpc
import grpc.aio
import psutil
import pytest

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload
from pool.errors import PoolError
from pool.events import WorkerExited
from pool.restart import RestartOptions

pytestmark = pytest.mark.timeout(900)
CHECKPOINTS = 8
FRONT_BYTES_PER_CALL = 400
"""What a call may leave in the front by the trend of a short run; the long one is held to a tenth."""
DEATH_BYTES = 4_000
APP = """
import time
from collections.abc import Iterator
def echo(text: str) -> str:
    return text
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
def count(to: int) -> Iterator[int]:
    yield from range(to)
"""
CONFIG = """
[pools.general]
size = 2
queue_limit = 1000
grace_s = 2

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


def request(function, **arguments):
    return invoke_pb2.CallRequest(function=function, arguments=Payload(json=json.dumps(arguments))).SerializeToString()


class Client:
    """Calls a server, many at a time."""

    def __init__(self, channel, chance):
        self.chance = chance
        self.unary = channel.unary_unary("/bridge.v1.InvokeService/Call")
        self.stream = channel.unary_stream("/bridge.v1.InvokeService/StreamCall")

    async def calls(self, count, at_once=32):
        """So many calls: short ones, some of them streams."""

        async def some(number):
            for turn in range(count // at_once):
                text = f"{number}-{turn}"
                if turn % 20 == 19:
                    items = [item async for item in self.stream(request("count", to=5), timeout=30)]
                    assert len(items) == 5
                else:
                    reply = await self.unary(request("echo", text=text), timeout=30)
                    assert json.loads(invoke_pb2.CallResponse.FromString(reply).result.json) == text

        await asyncio.gather(*(some(number) for number in range(at_once)))

    async def cancels(self, count, at_once=16):
        """So many calls that are cancelled at any moment of their life; some have ended by then."""
        ends = {"cancelled": 0, "answered": 0}

        async def some(_number):
            for _ in range(count // at_once):
                call = self.unary(request("nap", seconds=0.002), timeout=30)
                waiting = asyncio.ensure_future(call.wait_for_connection())
                await asyncio.sleep(0.02 * self.chance.random() ** 3)
                call.cancel()
                waiting.cancel()
                try:
                    await call
                    ends["answered"] += 1
                except asyncio.CancelledError:
                    ends["cancelled"] += 1

        await asyncio.gather(*(some(number) for number in range(at_once)))
        return ends

    async def both_slots(self):
        """Two calls that take a while run at once on two workers: no slot has been lost."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(self.unary(request("nap", seconds=0.4), timeout=30) for _ in range(2)))
        return loop.time() - started < 0.75


async def with_checkpoints(trend, pids, count, work):
    """Do so much work, a third of it as a warm-up, and measure between the parts of the rest."""
    trends = [trend(pid) for pid in pids]
    warm_up = count // 3
    part = (count - warm_up) // CHECKPOINTS
    await work(warm_up)
    for number in range(CHECKPOINTS):
        for one in trends:
            one.measure(number * part)
        await work(part)
    for one in trends:
        one.measure(CHECKPOINTS * part)
        memory = ", ".join(f"{size >> 10}" for _, size in one.memory)
        print(f"pid {one.pid}: {one.bytes_per_unit:.0f} bytes per unit ({memory} KiB), {one.held[0]} -> {one.held[-1]}")
    return trends


@pytest.fixture
async def served(start_server, chance):
    server = start_server(APP, CONFIG)
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield server, Client(channel, chance)


async def test_calls_leave_nothing_in_a_server(served, trend, length):
    server, client = served
    workers = [process.pid for process in server.workers()]
    assert len(workers) == 2
    trends = await with_checkpoints(trend, [server.pid, *workers], length(6_000, 150_000), client.calls)
    assert [one.grown() for one in trends] == [{}, {}, {}]
    allowed = length(FRONT_BYTES_PER_CALL, FRONT_BYTES_PER_CALL / 10)
    assert [round(one.bytes_per_unit) for one in trends if one.bytes_per_unit > allowed] == []


async def test_cancels_that_race_with_the_end_leave_nothing_in_a_server(served, trend, length):
    server, client = served
    workers = {process.pid for process in server.workers()}
    (front,) = await with_checkpoints(trend, [server.pid], length(1_000, 15_000), client.cancels)
    assert front.grown() == {}
    assert front.bytes_per_unit < length(6_000, 400)
    assert await client.both_slots() or await client.both_slots()
    assert {process.pid for process in server.workers()} == workers, "cancels that are obeyed cost no worker"


async def rig_calls(one, count):
    for _ in range(count):
        assert (await one.call("echo", b"x")).ok


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_deaths_of_workers_leave_nothing_in_the_front(rig, trend, objects, chance, length, concurrency):
    restart = RestartOptions(backoff_s=0, budget=100_000)
    one = await rig(size=4, concurrency=concurrency, restart=restart, quarantine_after=0).start()

    async def deaths(count):
        one.events.clear()  # the test's own list would look like a leak
        while len(one.of(WorkerExited)) < count:
            victims = chance.sample(one.pids(), chance.randint(1, 4))
            calls = [asyncio.ensure_future(one.call("echo", b"x")) for _ in range(chance.randint(0, 6))]
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(answer, PoolError) or answer.body == b"x"
            await one.until(lambda gone=set(victims): not gone & set(one.pids()) and one.pool.ready_workers == 4)

    await deaths(length(4, 30))
    await rig_calls(one, 10)
    before = objects()
    (front,) = await with_checkpoints(trend, [os.getpid()], length(24, 1_200 if concurrency == 1 else 200), deaths)
    one.events.clear()
    await rig_calls(one, 10)
    assert front.grown() == {}
    assert await settled(before, objects) == {}
    if length(False, True):
        assert front.bytes_per_unit < DEATH_BYTES
    assert len(psutil.Process().children(recursive=True)) == front.held[0]["processes"]


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_cancels_leave_no_future_and_no_task(rig, objects, chance, length, concurrency):
    one = await rig(size=2, concurrency=concurrency, grace_s=5).start()
    endless = b"import time\nwhile True: time.sleep(0.0005)"

    async def cancel_one():
        task = asyncio.ensure_future(one.call("run", endless if chance.random() < 0.3 else b"result = 1"))
        await asyncio.sleep(0.003 * chance.random() ** 3)
        task.cancel()
        await asyncio.wait([task])

    async def many(count):
        for _ in range(count // 10):
            await asyncio.gather(*(cancel_one() for _ in range(10)))
        for worker in list(one.pool._supervisor.workers.values()):
            await worker.idle()
        await rig_calls(one, 10)

    await many(50)
    before = objects()
    await many(length(500, 10_000))
    assert await settled(before, objects) == {}
    assert one.pool.snapshot().waiting == 0
    assert one.pool.snapshot().restarts == 0


async def settled(before, objects):
    """What there is more of, once timers of a second or two have run."""
    for _ in range(30):
        if not (more := grown(before, objects())):
            break
        await asyncio.sleep(0.1)
    return more


def grown(before, after):
    """What there is more of; a few futures come and go with the loop's own business."""
    spare = {"Call": 8, "Task": 2, "Future": 6, "_GatheringFuture": 1, "descriptors": 2}
    return {name: after[name] - before[name] for name in after if after[name] > before[name] + spare.get(name, 0)}
