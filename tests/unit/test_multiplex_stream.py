"""One multiplexed stream without a transport: how it ends, whatever moment the order to end comes at."""

from __future__ import annotations

import asyncio

import pytest

from bridge.config import Config
from bridge.errors import Code
from bridge.multiplex.multiplexer import METHOD, Multiplexer
from bridge.telemetry import Telemetry
from bridge.upkeep.slow_readers import SlowReaders
from bridge.v1.invoke_pb2 import MultiplexResponse


class Client:
    """What a transport hands to a stream. `reading` is whether messages are taken from it, `sent` what it has sent."""

    def __init__(self, *, reading=True):
        self.received = []
        self.reading = asyncio.Event()
        self.writes = asyncio.Event()
        self.sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        if reading:
            self.reading.set()

    async def write(self, message):
        self.writes.set()
        await self.reading.wait()
        self.received.append(MultiplexResponse.FromString(message))

    def open(self, multiplexer):
        handler = multiplexer.handlers()[f"/bridge.v1.{METHOD}"]
        return asyncio.create_task(handler((), None, self.sent.get, self.write))


@pytest.fixture
async def multiplexer():
    made = Multiplexer(None, {}, Telemetry(), Config(), SlowReaders(60.0))
    yield made
    made.close()


async def test_a_drain_that_comes_while_the_greeting_is_written_ends_the_stream(multiplexer):
    """The client may have the greeting before the front knows that it was written."""
    client = Client(reading=False)
    stream = client.open(multiplexer)
    await client.writes.wait()
    draining = asyncio.create_task(multiplexer.drain(5.0))
    await asyncio.sleep(0)
    client.reading.set()
    assert await draining
    answer = await stream
    assert answer.code == Code.UNAVAILABLE
    assert "shutting down" in answer.message
    assert len(client.received) == 1


async def test_a_drain_ends_a_stream_that_reads(multiplexer):
    client = Client()
    stream = client.open(multiplexer)
    await client.writes.wait()
    await asyncio.sleep(0)
    assert await multiplexer.drain(5.0)
    assert (await stream).code == Code.UNAVAILABLE


async def test_a_stream_that_its_client_has_ended_is_no_failure_of_a_drain(multiplexer):
    client = Client(reading=False)
    stream = client.open(multiplexer)
    await client.writes.wait()
    client.sent.put_nowait(None)
    await asyncio.sleep(0)
    draining = asyncio.create_task(multiplexer.drain(5.0))
    await asyncio.sleep(0)
    client.reading.set()
    assert await draining
    assert (await stream).code == 0


async def test_no_stream_is_begun_while_draining(multiplexer):
    assert await multiplexer.drain(0.0)
    client = Client()
    answer = await client.open(multiplexer)
    assert answer.code == Code.UNAVAILABLE
    assert not client.received
