"""Ten times the load that the workers can bear: what is accepted is as fast as ever, the rest is refused at once."""

import asyncio
import json

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload, Receipt

SERVICE_S = 0.02
QUEUE = 8
APP = f"""
import time
def work() -> str:
    time.sleep({SERVICE_S})
    return "done"
"""
CONFIG = f"""
[pools.general]
size = 2
queue_limit = {QUEUE}

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
REQUEST = invoke_pb2.CallRequest(function="work", arguments=Payload(json="{}")).SerializeToString()


def seconds_of(trailers):
    """What the receipt says of the time from the request to the answer."""
    return Receipt.FromString(dict(trailers)["bridge-receipt-bin"]).total_us / 1e6


class Load:
    """Calls a server and notes how each ended, and after how long by the server's clock: the client is busy too."""

    def __init__(self, channel):
        self._call = channel.unary_unary("/bridge.v1.InvokeService/Call")
        self._loop = asyncio.get_running_loop()
        self.accepted = []
        self.refused = []
        self.retry_s = []
        self.reasons = set()

    async def one(self):
        call = self._call(REQUEST, timeout=30)
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            self.refused.append(seconds_of(error.trailing_metadata()))
            status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
            info, retry = ErrorInfo(), RetryInfo()
            for detail in status.details:
                detail.Unpack(info) or detail.Unpack(retry)
            self.retry_s.append(retry.retry_delay.ToTimedelta().total_seconds())
            self.reasons.add((error.code(), info.reason))
        else:
            self.accepted.append(seconds_of(await call.trailing_metadata()))
            assert json.loads(invoke_pb2.CallResponse.FromString(reply).result.json) == "done"

    async def closed(self, seconds):
        """As many calls as the workers bear; the calls per second."""
        end, before = self._loop.time() + seconds, len(self.accepted)

        async def some():
            while self._loop.time() < end:
                await self.one()

        await asyncio.gather(*(some() for _ in range(4)))
        return (len(self.accepted) - before) / seconds

    async def open(self, per_second, seconds):
        """So many calls a second, whatever becomes of them; the calls per second that were answered."""
        began, before, running = self._loop.time(), len(self.accepted), set()
        for number in range(int(per_second * seconds)):
            if (wait_s := began + number / per_second - self._loop.time()) > 0:
                await asyncio.sleep(wait_s)
            task = asyncio.ensure_future(self.one())
            running.add(task)
            task.add_done_callback(running.discard)
        taken_s = self._loop.time() - began
        answered = len(self.accepted) - before
        if running:
            await asyncio.gather(*running)
        return answered / taken_s


def late(times, share):
    return sorted(times)[int(len(times) * share)]


@pytest.mark.timeout(300)
async def test_ten_times_the_load(start_server, trend, length):
    server = start_server(APP, CONFIG)
    async with grpc.aio.insecure_channel(server.address) as channel:
        load = Load(channel)
        capacity = await load.closed(1.0)
        front = trend(server.pid)
        await load.open(10 * capacity, 1.0)
        load.accepted.clear()
        load.refused.clear()
        front.measure(0)
        goodput = await load.open(10 * capacity, length(2.0, 60.0))
        front.measure(1)
        print(f"capacity {capacity:.0f}/s, goodput {goodput:.0f}/s, refused {len(load.refused)}")
        print(f"accepted p99 {late(load.accepted, 0.99):.3f} s, refused p50 {late(load.refused, 0.5):.4f} s")
        assert len(load.refused) > 5 * len(load.accepted)
        assert load.reasons == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")}
        assert min(load.retry_s) > 0, "it says when to come again"
        assert goodput > length(0.7, 0.9) * capacity
        assert late(load.refused, 0.5) < 0.05
        assert late(load.accepted, 0.99) < 5 * SERVICE_S * (QUEUE / 2 + 1)
        assert front.grown() == {}
        assert front.memory[1][1] - front.memory[0][1] < 20 << 20
        load.refused.clear()
        async with asyncio.timeout(2):
            await load.one()
        assert load.refused == []
