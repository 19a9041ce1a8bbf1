"""When a pool, a service and the server count as serving: judged from pools that the tests make up."""

import asyncio
from dataclasses import dataclass, field

import pytest
from grpc_health.v1 import health_pb2

from bridge.config import HealthConfig
from bridge.health import SERVICES, Health
from bridge.servicers.health import HealthServicer
from pool.errors import PoolError


@dataclass
class Options:
    name: str


@dataclass
class FakePool:
    """A pool as health sees it. `answers` is what its canaries come back with, in order; then they hang."""

    name: str = "general"
    ready_workers: int = 1
    proof_age_s: float | None = 0.0
    saturated: bool = False
    draining: bool = False
    answers: list[PoolError | None] = field(default_factory=list)
    canaries: asyncio.Queue = field(default_factory=asyncio.Queue)

    @property
    def options(self):
        return Options(self.name)

    async def canary(self, timeout_s):
        self.canaries.put_nowait(timeout_s)
        if not self.answers:
            await asyncio.Event().wait()
        return self.answers.pop(0)


def health(*pools, max_age_s=10.0, interval_s=0.01):
    return Health({pool.name: pool for pool in pools}, HealthConfig(max_age_s=max_age_s, interval_s=interval_s))


@pytest.mark.parametrize(
    ("ready", "age", "saturated", "serving"),
    [
        (1, 0.0, False, True),
        (1, 10.0, False, True),
        (1, 10.1, False, False),
        (1, None, False, False),
        (0, 0.0, False, False),
        (0, 0.0, True, False),
        (1, 10.1, True, True),
        (1, None, True, True),
        (8, 3.0, False, True),
    ],
)
def test_a_pool_serves_with_a_ready_worker_and_a_recent_proof(ready, age, saturated, serving):
    judged = health(FakePool(ready_workers=ready, proof_age_s=age, saturated=saturated))
    assert judged.serving("pool/general") is serving
    assert judged.serving("") is serving


def test_a_pool_that_an_operator_drains_does_not_serve_and_is_no_reason_to_restart_the_server():
    judged = health(FakePool("general"), FakePool("llm", draining=True))
    assert judged.serving("pool/llm") is False
    assert judged.serving("") is False
    assert judged.is_well
    assert not health(FakePool("general", ready_workers=0), FakePool("llm", draining=True)).is_well
    judged.drain()
    assert not judged.is_well


def test_nothing_is_remembered_between_questions():
    pool = FakePool()
    judged = health(pool)
    assert judged.serving("") is True
    pool.proof_age_s = 11.0
    assert judged.serving("") is False
    pool.proof_age_s = 0.5
    assert judged.serving("") is True


def test_the_server_needs_all_its_pools_and_a_service_its_own():
    judged = health(FakePool("general"), FakePool("llm", ready_workers=0), FakePool("embeddings"))
    told = {name: judged.serving(name) for name in judged.names()}
    assert told == {
        "": False,
        "bridge.v1.EmbeddingService": True,
        "bridge.v1.InvokeService": True,
        "bridge.v1.MetricService": True,
        "bridge.v1.ModelService": False,
        "bridge.v1.PoolService": True,
        "bridge.v1.ProgramService": False,
        "bridge.v1.SessionService": True,
        "bridge.v1.ToolService": True,
        "pool/embeddings": True,
        "pool/general": True,
        "pool/llm": False,
    }


def test_a_service_whose_pool_does_not_exist_does_not_serve():
    judged = health(FakePool("general"))
    assert judged.serving("") is True
    assert judged.serving("bridge.v1.EmbeddingService") is False
    assert judged.serving("bridge.v1.ModelService") is False


def test_functions_are_served_while_any_pool_is_where_general_is_switched_off():
    assert health(FakePool("mine")).serving("bridge.v1.InvokeService") is True
    assert health(FakePool("mine", ready_workers=0)).serving("bridge.v1.InvokeService") is False


@pytest.mark.parametrize("name", ["nonsense", "pool/", "pool/none", "bridge.v1", "bridge.v1.InvokeService/", "pool"])
def test_unknown_names(name):
    assert health(FakePool()).serving(name) is None


def test_draining_is_said_of_everything():
    judged = health(FakePool("general"), FakePool("llm"), FakePool("embeddings"))
    assert all(judged.serving(name) for name in judged.names())
    judged.drain()
    assert [name for name in judged.names() if judged.serving(name)] == []
    assert judged.serving("nonsense") is None


def test_every_service_of_the_api_is_judged():
    from bridge.servicers.table import service_names

    assert service_names() == sorted(SERVICES)


class Watcher:
    """A client that watches a name, through the servicer that it would reach."""

    def __init__(self, judged, name=""):
        _, streaming = HealthServicer(judged).handlers()
        self.told = asyncio.Queue()
        request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
        handler = streaming["/grpc.health.v1.Health/Watch"]
        self.task = asyncio.create_task(handler(request, (), None, self.write))

    async def write(self, data):
        self.told.put_nowait(health_pb2.HealthCheckResponse.FromString(data).status)

    async def next(self):
        async with asyncio.timeout(5):
            return await self.told.get()


async def test_a_watcher_is_told_of_a_drain_at_once_and_ends_with_the_server():
    judged = health(FakePool())
    watcher = Watcher(judged)
    assert await watcher.next() == health_pb2.HealthCheckResponse.SERVING
    loop = asyncio.get_running_loop()
    before = loop.time()
    judged.drain()
    assert await watcher.next() == health_pb2.HealthCheckResponse.NOT_SERVING
    assert loop.time() - before < 0.4, "it does not wait for the next look"
    judged.close()
    async with asyncio.timeout(5):
        answer = await watcher.task
    assert answer.code == 14
    assert watcher.told.empty()


async def test_a_watcher_is_told_changes_only():
    pool = FakePool()
    watcher = Watcher(health(pool))
    assert await watcher.next() == health_pb2.HealthCheckResponse.SERVING
    pool.ready_workers = 0
    assert await watcher.next() == health_pb2.HealthCheckResponse.NOT_SERVING
    pool.ready_workers = 1
    assert await watcher.next() == health_pb2.HealthCheckResponse.SERVING
    watcher.task.cancel()


async def test_watching_an_unknown_name_waits_for_it_to_appear():
    watcher = Watcher(health(FakePool()), "nonsense")
    assert await watcher.next() == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert not watcher.task.done()
    watcher.task.cancel()


async def test_questions_that_are_no_messages():
    unary, streaming = HealthServicer(health(FakePool())).handlers()
    answer = await unary["/grpc.health.v1.Health/Check"](b"\xff\xff", (), None)
    assert (answer.code, answer.body) == (3, None)
    answer = await streaming["/grpc.health.v1.Health/Watch"](b"\xff\xff", (), None, None)
    assert answer.code == 3
