"""Faults of all kinds, one after the other, while callers go on: each call ends once, and well or for a known reason.

How long it takes is TEST_MINUTES; TEST_SEED repeats the choices.
"""

import asyncio
import json
import os
import signal
import socket
from collections import Counter
from contextlib import suppress

import grpc
import grpc.aio
import psutil
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload

MINUTES = float(os.environ.get("TEST_MINUTES", "0.1"))
CALLERS = 8
APP = """
import ctypes, os, time
from collections.abc import Iterator

def twice(number: int) -> int:
    return 2 * number

def numbers(to: int) -> Iterator[int]:
    yield from range(to)

def flood() -> Iterator[str]:
    while True:
        yield "x" * 50_000

def die(signal_number: int) -> int:
    os.kill(os.getpid(), signal_number)
    time.sleep(60)
    return 0

def hang() -> int:
    ctypes.PyDLL(None).sleep(60)
    return 0

def leave() -> int:
    if os.fork() == 0:
        os.setsid()
        time.sleep(300)
        os._exit(0)
    return os._exit(3)

def large(size: int) -> str:
    return "x" * size
"""
CONFIG = """
[server]
max_message_bytes = "1MiB"
slow_reader_timeout_s = 1

[pools.general]
size = 4
grace_s = 0.3
quarantine_after = 0
restart_budget = 1000000

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
EXPECTED = {"WORKER_CRASHED", "IN_WORKER", "IN_QUEUE", "QUEUE_FULL", "MESSAGE_TOO_LARGE", "DEADLINE_UNREACHABLE"}


def request(function, **arguments):
    return invoke_pb2.CallRequest(function=function, arguments=Payload(json=json.dumps(arguments))).SerializeToString()


def reason_of(error):
    """Why a call failed; the code alone where gRPC itself ended it."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    info = ErrorInfo()
    if packed is not None and any(detail.Unpack(info) for detail in Status.FromString(packed).details):
        return info.reason
    return error.code().name


class Soak:
    """The callers, the faults, and a count of how calls ended."""

    def __init__(self, server, channel, chance):
        self.server = server
        self.chance = chance
        self.unary = channel.unary_unary("/bridge.v1.InvokeService/Call")
        self.stream = channel.unary_stream("/bridge.v1.InvokeService/StreamCall")
        self.ends = Counter()
        self.faults = Counter()
        self.over = asyncio.Event()

    async def caller(self):
        """Calls with known answers, until it is over."""
        while not self.over.is_set():
            number = self.chance.randrange(1 << 40)
            metadata = (("x-timeout-ms", "5000"),)
            try:
                if number % 10 == 0:
                    items = [one async for one in self.stream(request("numbers", to=20), metadata=metadata, timeout=9)]
                    found = [int(invoke_pb2.StreamCallResponse.FromString(one).item.json) for one in items]
                    assert found == list(range(20))
                else:
                    reply = await self.unary(request("twice", number=number), metadata=metadata, timeout=9)
                    assert int(invoke_pb2.CallResponse.FromString(reply).result.json) == 2 * number
                self.ends["answered"] += 1
            except grpc.aio.AioRpcError as error:
                self.ends[reason_of(error)] += 1

    async def bad_call(self, function, timeout_ms=300, **arguments):
        with suppress(grpc.aio.AioRpcError):
            metadata = (("x-timeout-ms", str(timeout_ms)),)
            await self.unary(request(function, **arguments), metadata=metadata, timeout=9)

    def _worker(self):
        workers = [one for one in self.server.workers() if one.ppid() == self.server.pid]
        return self.chance.choice(workers) if workers else None

    async def kill(self):
        if (worker := self._worker()) is not None:
            with suppress(psutil.NoSuchProcess):
                worker.send_signal(self.chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]))

    async def stop_for_a_moment(self):
        if (worker := self._worker()) is not None:
            with suppress(psutil.NoSuchProcess):
                worker.suspend()
                await asyncio.sleep(self.chance.random())
                worker.resume()

    async def crash(self):
        await self.bad_call("die", signal_number=self.chance.choice([9, 11, 6]))

    async def hang(self):
        await self.bad_call("hang")

    async def leave(self):
        await self.bad_call("leave")

    async def too_large(self):
        await self.bad_call("large", size=2_000_000)
        await self.bad_call("twice", number="x" * 1_500_000)

    async def cancel(self):
        for _ in range(20):
            call = self.unary(request("twice", number=1), timeout=9)
            await asyncio.sleep(0.002 * self.chance.random())
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call

    async def read_nothing(self):
        call = self.stream(request("flood"), metadata=(("x-timeout-ms", "3000"),), timeout=9)
        with suppress(grpc.aio.AioRpcError):
            await call.read()
            await asyncio.sleep(1.5)
        call.cancel()

    async def speak_nonsense(self):
        host, port = self.server.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as connection, suppress(OSError):
            connection.sendall(self.chance.randbytes(self.chance.randrange(10_000)))

    async def faults_for(self, seconds):
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        kinds = [self.kill, self.stop_for_a_moment, self.crash, self.hang, self.leave, self.too_large]
        kinds += [self.cancel, self.read_nothing, self.speak_nonsense]
        while loop.time() < end:
            kind = self.chance.choice(kinds)
            self.faults[kind.__name__] += 1
            await kind()
            await asyncio.sleep(self.chance.random())

    async def rest(self):
        """Wait until all workers are back; calls are answered then, each within a second."""
        async with asyncio.timeout(20):
            while len([one for one in self.server.workers() if one.ppid() == self.server.pid]) < 4:
                await asyncio.sleep(0.05)
        for _ in range(20):
            await self.unary(request("twice", number=1), timeout=5)


@pytest.mark.timeout(MINUTES * 60 + 240)
async def test_faults_one_after_the_other(start_server, trend, chance, length):
    server = start_server(APP, CONFIG)
    async with grpc.aio.insecure_channel(server.address) as channel:
        soak = Soak(server, channel, chance)
        front = trend(server.pid)
        parts = length(3, 12)
        for part in range(parts):
            soak.over.clear()
            callers = [asyncio.ensure_future(soak.caller()) for _ in range(CALLERS)]
            await soak.faults_for(MINUTES * 60 / parts)
            soak.over.set()
            await asyncio.gather(*callers)
            await soak.rest()
            if part >= parts // 4:
                front.measure(soak.ends.total())
            print(f"{soak.ends.total()} calls, {soak.faults.total()} faults: {dict(soak.ends)}")
        print(f"faults: {dict(soak.faults)}; front: {front.memory}, {front.held}")
    assert set(soak.ends) <= EXPECTED | {"answered"}
    assert soak.ends["answered"] > 0.9 * soak.ends.total()
    assert front.grown() == {}
    if MINUTES >= 5:
        assert front.bytes_per_unit < 100, "bytes that each call leaves in the server"
