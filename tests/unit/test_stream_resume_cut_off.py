"""A resumable run whose client was cut off while an event was on its way to it."""

import asyncio
from types import SimpleNamespace

import pytest

from bridge.programs.resume import ResumableRuns
from bridge.settings.program_table import ProgramsConfig
from bridge.upkeep.slow_readers import SlowReaders
from bridge.v1 import program_pb2 as pb


class Dispatcher:
    """Gives one event, and then none until it is cancelled."""

    def stream(self, _call):
        async def batches():
            yield [pb.StreamRunResponse(sequence=1).SerializeToString()]
            await asyncio.Event().wait()

        return batches()


def begin(*_request):
    identity = SimpleNamespace(tenant="")
    return SimpleNamespace(identity=identity, deadline=float("inf"), function="slow")


@pytest.fixture
async def runs():
    telemetry = SimpleNamespace(finished=lambda *_: None)
    made = ResumableRuns(begin, Dispatcher(), telemetry, SlowReaders(30.0), ProgramsConfig)
    yield made
    for run in list(made._runs.values()):
        made._forget(run)


async def test_it_is_kept_where_the_client_may_know_its_token(runs):
    sent, going = [], asyncio.Event()

    async def write(message):
        sent.append(message)
        going.set()
        await asyncio.Event().wait()  # the client has it, and goes before the transport says so

    stream = asyncio.create_task(runs._start(b"", (), None, write))
    await going.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    token = pb.StreamRunResponse.FromString(sent[0]).resume_token
    assert runs._cancel(pb.CancelRunRequest(token=token), "").cancelled


async def test_it_is_forgotten_where_nobody_knows_its_token(runs):
    async def write(_message):
        pytest.fail("nothing is written before the first event")

    stream = asyncio.create_task(runs._start(b"", (), None, write))
    await asyncio.sleep(0)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    assert runs._runs == {}
