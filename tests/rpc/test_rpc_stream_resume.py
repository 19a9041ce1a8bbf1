"""Runs of programs that outlive their stream: cut off, taken up again, from wherever a client comes back."""

import json

import grpc
import pytest

from bridge.v1 import program_pb2 as pb
from bridge.v1.common_pb2 import Payload
from handlers.models.openai_test_server.server import serve

Code = grpc.StatusCode
APP = """
import asyncio
import os

import dspy

plain = dspy.Predict("question -> answer")


class Held(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    async def aforward(self, question: str, port: int):
        first = await self.ask.acall(question=question)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"{os.getpid()}\\n".encode())
            await reader.read()
        finally:
            writer.close()
        return await self.ask.acall(question=first.answer)
"""
CONFIG = """
[server]
fronts = {fronts}

[pools.general]
size = 0

[pools.embeddings]
size = 0

[pools.llm]
size = 1
grace_s = 0.3

[models.default]
model = "bridge/test"

[models.failing]
model = "openai/test-cut20"
api_base = "{provider}"
api_key = "file:{key}"
max_retries = 0

[programs]
{programs}
"""


@pytest.fixture(scope="module")
def provider():
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def settings(provider, tmp_path_factory):
    key = tmp_path_factory.mktemp("keys") / "key"
    key.write_text("sk-a-key-nobody-may-see")
    return {"provider": provider.base_url, "key": key}


@pytest.fixture(scope="module")
def served(start_shared_server, fronts, settings):
    return start_shared_server(APP, CONFIG.format(fronts=fronts, programs="", **settings))


@pytest.fixture(scope="module")
def small(start_shared_server, settings):
    """A server that keeps little."""
    limits = "resume_ttl_s = 0.3\nresume_max_runs = 1\nresume_max_events = 3"
    return start_shared_server(APP, CONFIG.format(fronts=1, programs=limits, **settings))


class Stream:
    """A stream of events that a test reads as far as it likes."""

    def __init__(self, call, read):
        self.call = call
        self._read = read

    def take(self, count=None):
        events = []
        for message in self.call:
            events.append(self._read(message))
            if len(events) == count:
                break
        return events

    def leave(self):
        self.call.cancel()

    def failure(self):
        with pytest.raises(grpc.RpcError) as raised:
            self.take()
        return raised.value


def run(client, program="plain", tenant="", resumable=True, **fields):
    inputs = {"question": "Why?", **fields.pop("inputs", {})}
    request = pb.StreamRunRequest(
        program=program, inputs=Payload(json=json.dumps(inputs)), resumable=resumable, **fields
    )
    return _open(client, "StreamRun", request, pb.StreamRunResponse, lambda message: message, tenant)


def resume(client, token, after=0, tenant=""):
    request = pb.ResumeRunRequest(token=token, after_sequence=after)
    return _open(client, "ResumeRun", request, pb.ResumeRunResponse, lambda message: message.event, tenant)


def _open(client, method, request, response, read, tenant):
    stream = client.channel.unary_stream(
        f"/bridge.v1.ProgramService/{method}", type(request).SerializeToString, response.FromString
    )
    metadata = [("x-tenant", tenant)] if tenant else []
    return Stream(stream(request, metadata=metadata, timeout=30.0, wait_for_ready=True), read)


def cancel(client, token, tenant=""):
    metadata = [("x-tenant", tenant)] if tenant else []
    return client.unary("ProgramService/CancelRun", pb.CancelRunRequest(token=token), pb.CancelRunResponse, metadata)


def reason(error):
    from google.rpc.error_details_pb2 import ErrorInfo
    from google.rpc.status_pb2 import Status

    trailers = {one.key: one.value for one in error.trailing_metadata()}
    status = Status.FromString(trailers["grpc-status-details-bin"])
    info = next(one for one in status.details if one.Is(ErrorInfo.DESCRIPTOR))
    return error.code(), ErrorInfo.FromString(info.value).reason


def numbers(events):
    return [event.sequence for event in events]


@pytest.mark.parametrize("cut", [1, 4])
def test_what_was_missed_comes_once_and_in_order(served, connect, cut):
    stream = run(connect(served.address))
    seen = stream.take(cut)
    stream.leave()
    token = seen[0].resume_token
    assert token
    assert seen[0].status.step == pb.RUN_STEP_STARTED
    rest = resume(connect(served.address, own_connection=True), token, cut).take()
    events = seen + rest
    assert numbers(events) == list(range(1, len(events) + 1))
    answer = json.loads(events[-1].final.outputs.json)["answer"]
    assert "".join(event.field_delta.text for event in events) == answer
    again = resume(connect(served.address), token).take()
    assert again == events, "a run can be read again from its start"


def test_a_stream_that_nobody_cuts_is_as_any_other(served, connect):
    client = connect(served.address)
    events = run(client, all_events=True).take()
    plain = run(client, all_events=True, resumable=False).take()
    assert [event.WhichOneof("event") for event in events] == [event.WhichOneof("event") for event in plain]
    assert not any(event.resume_token for event in [*plain, *events[1:]])


def test_the_run_goes_on_while_nobody_reads(served, connect, gate):
    stream = run(connect(served.address), "Held", inputs={"port": gate.port})
    seen = stream.take(3)
    held = gate.entered()
    stream.leave()
    later = resume(connect(served.address, own_connection=True), seen[0].resume_token, 3)
    seen += later.take(2)
    held.release()
    held.wait_until_gone()
    seen += later.take()
    assert numbers(seen) == list(range(1, len(seen) + 1))
    assert seen[-1].HasField("final")
    receipt = {one.key: one.value for one in later.call.trailing_metadata()}["bridge-receipt-bin"]
    assert b"Held" in receipt


def test_two_clients_read_one_run(served, connect, gate):
    client = connect(served.address)
    first = run(client, "Held", inputs={"port": gate.port})
    seen = first.take(1)
    second = resume(connect(served.address, own_connection=True), seen[0].resume_token)
    gate.entered().release()
    assert seen + first.take() == second.take()


def test_a_run_is_its_tenants(served, connect, gate):
    client = connect(served.address)
    stream = run(client, "Held", tenant="one", inputs={"port": gate.port})
    token = stream.take(1)[0].resume_token
    held = gate.entered()
    for tenant in ("two", ""):
        assert reason(resume(client, token, tenant=tenant).failure()) == (Code.NOT_FOUND, "RESUME_EXPIRED")
        assert cancel(client, token, tenant).reason == "RESUME_EXPIRED"
    assert reason(resume(client, "no-such-token", tenant="one").failure()) == (Code.NOT_FOUND, "RESUME_EXPIRED")
    held.release()
    assert resume(client, token, tenant="one").take()[-1].HasField("final")


def test_a_cancelled_run_stops_its_program(served, connect, gate):
    client = connect(served.address)
    stream = run(client, "Held", inputs={"port": gate.port})
    token = stream.take(1)[0].resume_token
    held = gate.entered()
    stream.leave()
    assert cancel(client, token).value.cancelled
    held.wait_until_gone()
    assert reason(resume(client, token).failure()) == (Code.CANCELLED, "RUN_CANCELLED")
    assert not cancel(client, token).value.cancelled


def test_a_run_that_is_not_resumable_ends_with_its_stream(served, connect, gate):
    stream = run(connect(served.address), "Held", resumable=False, inputs={"port": gate.port})
    held = gate.entered()
    stream.leave()
    held.wait_until_gone()


def test_a_failure_is_told_to_who_comes_back(served, connect):
    client = connect(served.address)
    stream = run(client, model="failing")
    seen = stream.take(1)
    assert reason(stream.failure()) == (Code.UNAVAILABLE, "PROVIDER_ERROR")
    later = resume(client, seen[0].resume_token, 1)
    assert reason(later.failure()) == (Code.UNAVAILABLE, "PROVIDER_ERROR")


def test_what_can_not_run_is_refused_as_ever(served, connect):
    client = connect(served.address)
    assert reason(run(client, "plian").failure()) == (Code.NOT_FOUND, "UNKNOWN_PROGRAM")
    assert reason(run(client, temperature=9.0).failure()) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


def test_events_that_have_not_come_can_not_be_skipped(served, connect):
    client = connect(served.address)
    events = run(client).take()
    stream = resume(client, events[0].resume_token, len(events) + 1)
    assert reason(stream.failure()) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert resume(client, events[0].resume_token, len(events)).take() == []


def test_a_run_that_nobody_takes_up_is_cancelled_and_forgotten(small, connect, gate):
    client = connect(small.address)
    stream = run(client, "Held", inputs={"port": gate.port})
    token = stream.take(1)[0].resume_token
    held = gate.entered()
    stream.leave()
    held.wait_until_gone()
    assert reason(resume(client, token).failure()) == (Code.NOT_FOUND, "RESUME_EXPIRED")


def test_there_are_only_so_many_resumable_runs(small, connect, gate):
    client = connect(small.address)
    stream = run(client, "Held", inputs={"port": gate.port})
    stream.take(1)
    held = gate.entered()
    assert reason(run(client).failure()) == (Code.RESOURCE_EXHAUSTED, "RESUME_LIMIT")
    assert run(client, resumable=False).take()[-1].HasField("final")
    held.release()
    assert stream.take()[-1].HasField("final")
    assert run(client).take()[-1].HasField("final"), "a run that has ended makes room"


def test_events_beyond_what_is_kept_are_gone(small, connect):
    client = connect(small.address)
    events = run(client).take()
    token, count = events[0].resume_token, len(events)
    gap = resume(client, token, 1).failure()
    assert reason(gap) == (Code.OUT_OF_RANGE, "RESUME_GAP")
    assert numbers(resume(client, token, count - 3).take()) == [count - 2, count - 1, count]
