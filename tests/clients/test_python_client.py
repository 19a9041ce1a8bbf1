"""The Python client against a real server with the demo app, and with an app of its own for what that lacks."""

import asyncio
import math
import os
import textwrap

import bridge_client
import numpy as np
import pydantic
import pytest

APP = textwrap.dedent("""
    import asyncio
    import datetime
    import itertools
    import os
    import signal
    import time
    from collections.abc import AsyncIterator, Iterator
    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np


    def scale(x: np.ndarray, by: float = 2.0) -> np.ndarray:
        return x * by


    def split(x: np.ndarray) -> dict:
        return {"first": x[0], "rest": [x[1:]], "shape": list(x.shape)}


    def flip(data: bytes) -> bytes:
        return data[::-1]


    def length(data: bytes) -> int:
        return len(data)


    @dataclass
    class Point:
        x: int
        y: int


    def mirror(point: Point, when: datetime.datetime | None = None) -> Point:
        return Point(point.y, point.x)


    def same(value: float) -> float:
        return value


    def big(value: int) -> int:
        return value


    def fail(message: str) -> None:
        raise ValueError(message)


    def crash() -> None:
        os.kill(os.getpid(), signal.SIGKILL)


    def pid() -> int:
        return os.getpid()


    def rest(seconds: float) -> str:
        time.sleep(seconds)
        return "rested"


    def numbers(marker: str) -> Iterator[int]:
        try:
            yield from itertools.count(1)
        finally:
            Path(marker).touch()


    async def async_numbers(marker: str) -> AsyncIterator[int]:
        try:
            for number in itertools.count(1):
                yield number
                await asyncio.sleep(0.01)
        finally:
            Path(marker).touch()


    def linger(marker: str) -> None:
        Path(marker + ".begun").touch()
        try:
            for _ in range(600):
                time.sleep(0.1)
        finally:
            Path(marker).touch()


    async def async_linger(marker: str) -> None:
        Path(marker + ".begun").touch()
        try:
            await asyncio.sleep(60)
        finally:
            Path(marker).touch()
""")


@pytest.fixture
def client(server):
    with bridge_client.connect(server.address) as opened:
        yield opened


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """One server with the app above for all tests here, which is why `start_server` does not make it."""
    from tests.conftest import running

    folder = tmp_path_factory.mktemp("own")
    (folder / "app.py").write_text(APP)
    with running(folder / "app.py", "[pools.general]\nsize = 2\n", folder, {}) as started:
        yield started


@pytest.fixture
def own_client(own):
    with bridge_client.connect(own.address) as opened:
        yield opened


class TestDemoApp:
    def test_a_call(self, client):
        assert client.call("add", a=1, b=2) == 3

    def test_records_as_arguments(self, client):
        class Item(pydantic.BaseModel):
            name: str
            price: float

        assert client.call("invoice", items=[Item(name="tea", price=2.5)]) == {"lines": 1, "total": 2.5}

    def test_streams(self, client):
        assert list(client.stream("count", to=100)) == list(range(1, 101))
        assert list(client.stream("ticks", number=2, every_s=0.0)) == ["tick 1", "tick 2"]

    def test_the_catalogue(self, client):
        names = [function.name for function in client.functions()]
        assert {"add", "invoice", "count", "ticks", "triage", "support"} <= set(names)
        assert names == sorted(names)
        add = client.describe("add")
        assert set(add.arguments_schema["properties"]) == {"a", "b"}
        assert isinstance(client.call("add", **add.example), int)

    def test_a_program(self, client):
        found = client.programs.run("triage", ticket="I was charged twice")
        assert found.queue in {"billing", "technical", "sales"}
        assert isinstance(found.urgency, int)
        assert "triage" in [program.name for program in client.programs.list()]
        assert set(client.programs.describe("triage").outputs_schema["properties"]) >= {"queue", "urgency"}

    def test_a_programs_stream(self, client):
        *deltas, last = client.programs.stream("triage", ticket="I was charged twice")
        assert isinstance(last, bridge_client.Final)
        assert last.outputs.queue in {"billing", "technical", "sales"}
        assert {delta.field for delta in deltas} >= {"reasoning"}
        assert [event.sequence for event in [*deltas, last]] == list(range(1, len(deltas) + 2))

    def test_usage_is_in_the_receipt(self, client):
        receipts = []
        client.with_options(on_receipt=receipts.append, request_id="r-9").programs.run("triage", ticket="help")
        (receipt,) = receipts
        assert (receipt.request_id, receipt.function, receipt.route) == ("r-9", "triage", "pooled")
        assert receipt.worker
        assert receipt.usage[0].model == "bridge/test"
        assert receipt.usage[0].input_tokens > 0
        assert receipt.total_us >= receipt.worker_us > 0

    def test_models(self, client):
        whole = client.models.generate("Say hello")
        assert whole.model == "bridge/test"
        assert whole.finish_reason == "stop"
        *deltas, last = client.models.stream("Say hello")
        assert "".join(delta.text for delta in deltas) == last.text == whole.text
        assert last.usage.output_tokens > 0

    def test_a_tool_call_and_its_answer(self, client):
        tool = bridge_client.Tool(
            name="weather",
            description="The weather in a city.",
            parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        )
        asked = client.models.generate("What is the weather in Bern?", tools=[tool])
        turns = [{"role": "user", "content": "What is the weather in Bern?"}, asked.message()]
        if asked.tool_calls:
            assert isinstance(asked.tool_calls[0].parsed()["city"], str)
            turns.append({"role": "tool", "content": "sunny", "tool_call_id": asked.tool_calls[0].id})
        assert client.models.generate(turns).text

    def test_extract(self, client):
        class Person(pydantic.BaseModel):
            name: str
            age: int

        found = client.models.extract(Person, "Ada is 36 years old")
        assert isinstance(found.value, Person)
        assert found.attempts >= 1
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
        assert isinstance(client.models.extract(schema, "yes or no?").value["ok"], bool)

    def test_embeddings(self, client):
        found = client.embeddings.embed(["a cat", "a kitten", "a motorway"])
        assert found.dimensions == len(found.vectors[0]) == 384
        assert math.isclose(math.hypot(*found.vectors[0]), 1.0, rel_tol=1e-4)
        kitten, motorway = client.embeddings.similarity("a cat", ["a kitten", "a motorway"]).rows[0]
        assert kitten > motorway
        paired = client.embeddings.similarity(["a cat", "a car"], ["a kitten", "a lorry"], pairwise=True).rows
        assert paired[0][0] == pytest.approx(kitten, abs=1e-4)
        assert [len(row) for row in paired] == [2]

    def test_metrics(self, client):
        score = client.metrics.score("bleu", "the cat sat on the mat", "the cat sat on the mat")
        assert score.value == pytest.approx(100.0)
        assert "version:" in score.signature
        batch = client.metrics.score_batch("exact_match", ["a", "b"], ["a", ["x", "y"]])
        assert [one.value for one in batch.scores] == [1.0, 0.0]
        assert batch.aggregate.value == 0.5
        assert {"bleu", "exact_match"} <= {metric.name for metric in client.metrics.list()}

    def test_health_and_pools(self, client):
        assert client.health() == "SERVING"
        assert client.health("bridge.v1.InvokeService") == "SERVING"
        pools = {pool.name: pool for pool in client.pools()}
        assert pools["general"].state == "ready"
        assert client.health("pool/general") == "SERVING"
        assert client.pool("general").workers[0].pid > 0
        with pytest.raises(bridge_client.NotFound):
            client.health("pool/nothing")
        with pytest.raises(bridge_client.NotFound):
            client.pool("nothing")

    def test_wrong_arguments(self, client):
        with pytest.raises(bridge_client.SchemaMismatch) as caught:
            client.call("add", a="one")
        assert {violation.field for violation in caught.value.violations} == {"a", "b"}

    def test_an_unknown_name_suggests_the_right_one(self, client):
        with pytest.raises(bridge_client.NotFound, match="add") as caught:
            client.call("ad", a=1, b=2)
        assert caught.value.reason == "UNKNOWN_FUNCTION"
        with pytest.raises(bridge_client.NotFound, match="triage"):
            client.programs.run("triag", ticket="x")

    async def test_many_at_once(self, server):
        async with bridge_client.connect_async(server.address) as client:
            calls = [client.call("add", a=number, b=1) for number in range(50)]
            assert await asyncio.gather(*calls) == list(range(1, 51))
            assert [number async for number in client.stream("count", to=3)] == [1, 2, 3]
            assert (await client.programs.run("triage", ticket="help")).queue
            assert await client.health() == "SERVING"


class TestOwnApp:
    def test_arrays(self, own_client):
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        back = own_client.call("scale", x=array, by=0.5)
        assert back.dtype == np.float32
        assert (back == array * 0.5).all()
        parts = own_client.call("split", x=array)
        assert (parts["first"] == array[0]).all()
        assert (parts["rest"][0] == array[1:]).all()
        assert parts["shape"] == [2, 3]

    def test_bytes(self, own_client):
        assert own_client.call_raw("flip", b"\x00ab") == b"ba\x00"
        assert own_client.call("flip", data=b"\xff\x00") == b"\x00\xff"
        assert own_client.call("length", data=bytes(1_000_000)) == 1_000_000
        with pytest.raises(bridge_client.UnexpectedReply, match="got int"):
            own_client.call_raw("length", b"abc")

    def test_numbers(self, own_client):
        assert math.isnan(own_client.call("same", value=math.nan))
        assert own_client.call("same", value=-math.inf) == -math.inf
        assert own_client.call("big", value=2**63 - 1) == 2**63 - 1
        assert own_client.call("big", value=-(2**63)) == -(2**63)

    def test_records_and_dates(self, own_client):
        import datetime

        now = datetime.datetime.now(datetime.UTC)
        assert own_client.call("mirror", point={"x": 1, "y": 2}, when=now) == {"x": 2, "y": 1}

    def test_what_the_function_raises(self, own_client):
        with pytest.raises(bridge_client.UserException, match="no tea today") as caught:
            own_client.call("fail", message="no tea today")
        assert caught.value.metadata["type"] == "ValueError"
        assert caught.value.request_id

    def test_a_worker_that_dies(self, own_client):
        with pytest.raises(bridge_client.WorkerCrashed) as caught:
            own_client.call("crash")
        assert caught.value.code == "ABORTED"
        assert own_client.call("length", data=b"x") == 1

    def test_a_deadline_says_where_the_time_went(self, own_client):
        with pytest.raises(bridge_client.DeadlineExceeded) as caught:
            own_client.with_options(timeout=0.3).call("rest", seconds=30)
        assert caught.value.reason == "IN_WORKER"

    def test_a_session_stays_with_its_worker(self, own_client):
        with own_client.session(ttl=60) as session:
            assert len({session.call("pid") for _ in range(10)}) == 1
            found = own_client.get_session(session.session_id)
            assert found.calls == 10
            assert found.ttl == 60
            assert "general" in found.workers
        with pytest.raises(bridge_client.NotFound):
            own_client.get_session(session.session_id)

    @pytest.mark.parametrize("function", ["numbers", "async_numbers"])
    def test_leaving_a_stream_stops_the_function(self, function, own_client, tmp_path, eventually):
        marker = tmp_path / "left"
        for number in own_client.stream(function, marker=os.fspath(marker)):
            if number == 3:
                break
        eventually(marker.exists, "the generator to be closed")

    @pytest.mark.parametrize("function", ["linger", "async_linger"])
    async def test_cancelling_a_task_stops_the_function(self, function, own, tmp_path, eventually):
        marker = tmp_path / "cancelled"
        async with bridge_client.connect_async(own.address) as client:
            task = asyncio.create_task(client.call(function, marker=os.fspath(marker)))
            begun = tmp_path / "cancelled.begun"
            await asyncio.to_thread(eventually, begun.exists, "the function to begin")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(eventually, marker.exists, "the function to be cancelled")
