"""The watch with its telemetry and pools that are no processes: what it takes from calls, does to pools and tells."""

import asyncio
import logging
import time

import pytest

from bridge.anomalies.sampler import Sampler
from bridge.anomalies.watch import AnomalyWatch
from bridge.call import Identity, new_call
from bridge.config import Config, ModelConfig
from bridge.conversion.pools import pool_message
from bridge.errors import BridgeError, Code
from bridge.gateway.providers import provider_breakers
from bridge.telemetry import Telemetry
from handlers.contract import FunctionSpec
from pool.options import Canary, PoolOptions
from pool.testing import FakePool


class Entry:
    """Answers with what it was asked."""

    def catalogue(self):
        return b""

    def is_async(self, _function):
        return True

    async def acall(self, _function, _meta, body, _timeout_s):
        return True, b"", body


def a_call(worker="general-1", seconds=0.01, pool="general", **known):
    call = new_call("InvokeService/Call", Identity("r-1", tenant=known.pop("tenant", "")), b"x" * 100, 0.0)
    call.function = known.pop("function", "work")
    call.spec = FunctionSpec(name=call.function, streaming=known.pop("streaming", False))
    call.pool, call.worker, call.worker_ns = pool, worker, int(seconds * 1e9)
    for name, value in known.items():
        setattr(call, name, value)
    return call


def failure(code=Code.UNKNOWN, reason="USER_EXCEPTION", **metadata):
    return BridgeError(code, reason, "it failed", metadata=metadata)


@pytest.fixture
def quiet_log(monkeypatch):
    """Nobody reads the log, so no call is shown for its sake."""
    monkeypatch.setattr(logging.getLogger("bridge"), "level", logging.WARNING)


# -- samples -----------------------------------------------------------------------------------------------------------


def test_samples_are_bounded_and_then_calls_cost_nothing(quiet_log):
    telemetry = Telemetry()
    sampler = Sampler(telemetry.watch)
    sampler.begin({"general": 3, "llm": 2})
    for _ in range(10):
        telemetry.finished(a_call(), 0)
    assert telemetry._looks, "of the other pool more are wanted"
    for _ in range(2):
        telemetry.finished(a_call("llm-1", pool="llm"), 0)
    assert not telemetry._looks, "every call takes the way that it would take without anybody watching"
    assert len(sampler.drain("general")) == 3
    assert len(sampler.drain("llm")) == 2
    assert sampler.drain("llm") == []


def test_nobody_is_watched(quiet_log):
    telemetry = Telemetry()
    Sampler(telemetry.watch).begin({})
    assert not telemetry._looks


def test_a_debug_log_goes_on_beside_it(caplog):
    caplog.set_level(logging.DEBUG, "bridge")
    telemetry = Telemetry()
    sampler = Sampler(telemetry.watch)
    sampler.begin({"general": 1})
    for _ in range(3):
        telemetry.finished(a_call(), 0)
    assert [record.message for record in caplog.records] == ["call"] * 3
    assert len(sampler.drain("general")) == 1


def test_packed_calls_are_sampled_too(quiet_log):
    telemetry = Telemetry()
    sampler = Sampler(telemetry.watch)
    sampler.begin({"general": 3})
    telemetry.finished_packed([a_call() for _ in range(8)])
    assert not telemetry._looks
    telemetry.finished_packed([a_call() for _ in range(8)])
    assert telemetry.tallies.calls["work", 0] == 16
    assert len(sampler.drain("general")) == 3


def taken(call, failed=None, code=0):
    telemetry = Telemetry()
    sampler = Sampler(telemetry.watch)
    sampler.begin({"general": 5})
    telemetry.finished(call, failed.code if failed else code, failed)
    samples = sampler.drain("general")
    return samples[0] if samples else None


def test_what_is_known_of_a_call():
    sample = taken(a_call(seconds=0.25, tenant="acme"))
    assert (sample.worker, sample.function, sample.tenant) == ("general-1", "work", "acme")
    assert (sample.seconds, sample.size, sample.failed, sample.late) == (0.25, 3, False, False)
    assert taken(a_call(streaming=True)).seconds == 0, "the reader had a part in it"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Code.UNKNOWN, "USER_EXCEPTION"),
        (Code.INTERNAL, "RESULT_INVALID"),
        (Code.ABORTED, "WORKER_CRASHED"),
        (Code.UNAVAILABLE, "WORKER_CRASHED"),
        (Code.RESOURCE_EXHAUSTED, "WORKER_MEMORY_LIMIT"),
        (Code.RESOURCE_EXHAUSTED, "PROVIDER_ERROR"),
    ],
)
def test_failures_that_count(code, reason):
    sample = taken(a_call(), failure(code, reason, provider="someone"))
    assert (sample.failed, sample.provider) == (True, "someone")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH"),
        (Code.NOT_FOUND, "USER_EXCEPTION"),
        (Code.FAILED_PRECONDITION, "INPUT_QUARANTINED"),
        (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
        (Code.UNAVAILABLE, "SHUTTING_DOWN"),
        (Code.UNAVAILABLE, "BREAKER_OPEN"),
        (Code.ABORTED, "SESSION_LOST"),
        (Code.CANCELLED, "CANCELLED_BY_OPERATOR"),
        (Code.DEADLINE_EXCEEDED, "IN_QUEUE"),
    ],
)
def test_failures_that_say_nothing_of_the_worker(code, reason):
    assert taken(a_call(), failure(code, reason)) is None


def test_calls_that_no_worker_has_had():
    assert taken(a_call(worker="")) is None
    assert taken(a_call(pool="")) is None
    assert taken(a_call(), code=Code.CANCELLED) is None


def test_a_deadline_that_passed_in_the_worker():
    began = time.perf_counter() - 3.0
    sample = taken(a_call(leased_at=began), failure(Code.DEADLINE_EXCEEDED, "IN_WORKER"))
    assert (sample.late, sample.failed) == (True, False)
    assert 3.0 <= sample.seconds < 60.0


# -- the watch ---------------------------------------------------------------------------------------------------------


class Rig:
    """A pool of three, its watch, and a time that is turned by hand."""

    def __init__(self, mode, **changes):
        settings = {"window_s": 12.0, "min_samples": 10, "interval_s": 1.0, "cooldown_s": 1000.0}
        self.config = Config(pools={"general": {"size": 3, "anomalies": mode}}, anomalies=settings)
        canary = Canary(function="echo", meta=b"", body=b"")
        options = PoolOptions(
            name="general", entry="", entry_options=b"", canary=canary, **{"size": 3, "max_size": 6, **changes}
        )
        self.pool = FakePool(options, Entry())
        self.telemetry = Telemetry()
        self.opened = []
        self.watch = AnomalyWatch({"general": self.pool}, self.telemetry, self.config, self._open)
        self.now = 1000.0

    def _open(self, key, cause, seconds):
        self.opened.append((key, cause, seconds))

    def workers(self):
        return [worker.id for worker in self.pool.snapshot().workers]

    async def play(self, seconds, times=lambda worker: 0.01, failed=lambda worker: None):
        for _ in range(seconds):
            self.now += 1.0
            await self.watch.turn(self.now)
            for number in range(45):
                worker = self.workers()[number % 3]
                error = failed(worker)
                call = a_call(worker, times(worker) * (1 + number % 7 / 10))
                self.telemetry.finished(call, error.code if error else 0, error)
                self.pool.served(0.01)
        return self

    @property
    def last(self):
        return list(self.telemetry.last_anomalies.get("general", ()))


@pytest.fixture
async def rig():
    made = []

    async def make(mode, **changes):
        made.append(Rig(mode, **changes))
        await made[-1].pool.start()
        return made[-1]

    yield make
    for one in made:
        await one.pool.stop()


def slow(worker):
    return 0.1 if worker == "general-2" else 0.01


async def test_a_slow_worker_is_recycled_where_the_pool_is_to_be_acted_on(rig):
    one = await rig("act")
    await one.play(30)
    assert one.last == []
    await one.play(15, slow)
    assert one.workers() == ["general-1", "general-3", "general-4"]
    (anomaly,) = one.last
    assert (anomaly.finding.kind, anomaly.finding.worker, anomaly.acted) == ("slow_worker", "general-2", True)
    assert one.telemetry.anomalies == {("general", "slow_worker", "recycle"): 1}


async def test_an_observed_pool_is_told_of_and_left_alone(rig, caplog):
    one = await (await rig("observe")).play(30)
    await one.play(30, slow)
    assert one.workers() == ["general-1", "general-2", "general-3"]
    (anomaly,) = one.last
    assert not anomaly.acted
    assert one.telemetry.anomalies == {("general", "slow_worker", "none"): 1}
    (record,) = [record for record in caplog.records if "is slow" in record.message]
    assert record.levelname == "WARNING"
    assert record.fields["anomaly"] == "slow_worker"
    assert record.fields["worker"] == "general-2"
    assert record.fields["ratio"] == pytest.approx(10, rel=0.2)


async def test_a_pool_that_is_switched_off_is_not_looked_at(rig, quiet_log):
    one = await (await rig("off")).play(30)
    await one.play(30, slow)
    assert one.last == []
    assert not one.telemetry._looks


async def test_new_settings_hold_at_once(rig):
    one = await (await rig("off")).play(2)
    one.watch.renew(one.config.model_copy(update={"pools": Config(pools={"general": {"size": 3}}).pools}))
    await one.play(30)
    await one.play(15, slow)
    assert [anomaly.acted for anomaly in one.last] == [False], "observe is the default"


async def test_a_function_that_fails_opens_its_breaker(rig):
    one = await (await rig("act")).play(30)
    await one.play(8, failed=lambda _worker: failure())
    ((key, cause, seconds),) = one.opened
    assert key == "function/work/pool/general"
    assert "function 'work' fails" in cause
    assert seconds == one.config.anomalies.breaker_s
    assert one.last[0].acted


async def test_a_provider_that_fails_opens_its_breaker(rig):
    one = await (await rig("act")).play(30)
    await one.play(8, failed=lambda _worker: failure(Code.UNAVAILABLE, "PROVIDER_ERROR", provider="someone"))
    assert [key for key, _, _ in one.opened] == ["provider/someone"]
    assert one.workers() == ["general-1", "general-2", "general-3"], "no worker is to blame"


async def test_a_provider_at_a_place_of_its_own_opens_the_breaker_that_counts_its_calls(rig):
    one = await rig("act")
    models = {"first": ModelConfig(model="openai/one", api_base="http://127.0.0.1:1/v1")}
    one.watch.renew(one.config.model_copy(update={"models": models}))
    await one.play(30)
    told = {"provider": "openai", "configuration": "models.first"}
    await one.play(8, failed=lambda _worker: failure(Code.UNAVAILABLE, "PROVIDER_ERROR", **told))
    assert [key for key, _, _ in one.opened] == [provider_breakers(models)["first"][-1]] == ["provider/openai@first"]


async def test_a_queue_that_grows_gets_more_workers(rig):
    one = await rig("act", scale_up_wait_s=2.0)
    calls = []
    deadline = asyncio.get_running_loop().time() + 60
    held = asyncio.Event()

    async def acall(_function, _meta, body, _timeout_s):
        await held.wait()
        return True, b"", body

    for worker in one.pool._doubles.workers.values():
        worker._entry = type("Held", (Entry,), {"acall": staticmethod(acall)})()
    for turn in range(6):
        calls += [one.pool.submit("echo", b"", b"x", deadline) for _ in range(20)]
        if turn:
            for worker in list(one.pool._doubles.workers.values())[:3]:
                for call in list(worker.calls.values()):
                    one.pool.release(call)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        one.now += 1.0
        await one.watch.turn(one.now)
    held.set()
    for call in calls:
        one.pool.release(call)
    assert one.last[0].finding.kind == "rising_wait"
    assert one.last[0].acted
    assert one.pool.snapshot().target == one.last[0].finding.workers > 3


async def test_the_last_anomalies_are_in_the_pools_message(rig):
    one = await (await rig("observe")).play(30)
    await one.play(15, slow)
    one.telemetry.last_anomalies["general"][0] = anomaly = one.last[0]
    message = pool_message(one.pool.options, one.pool.snapshot(), [], [anomaly])
    (shown,) = message.anomalies
    assert shown.cause.startswith("worker general-2 is slow: ")
    assert (shown.acted, shown.worker, shown.function) == (False, "general-2", "work")
    assert shown.numbers["ratio"] == anomaly.finding.numbers["ratio"]


async def test_a_pool_that_goes_is_forgotten(rig):
    one = await (await rig("observe")).play(3)
    one.watch._pools = {}
    await one.watch.turn(one.now + 1)
    assert one.watch._known == {}
