"""Attempts with scripted alternatives: what is promised of every order of failures, and the races one by one."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.attempts.failures import NOT_STARTED
from bridge.attempts.runner import AttemptsRunner
from bridge.call import Identity, new_call
from bridge.errors import BridgeError, Code
from bridge.receipts import receipts
from bridge.routing.breakers import Breakers, State
from bridge.routing.router import NativeLimits, Pooled, Router
from bridge.routing.stats import RouteStats
from bridge.routing.table import route_table
from bridge.settings.route_tables import RouteConfig
from bridge.v1.common_pb2 import Receipt
from handlers.contract import Catalogue, FunctionSpec, ReplyMeta, UsageRecord
from handlers.registry import Registry
from pool.errors import CancelledByOperator

CODES = {
    "PROVIDER_ERROR": Code.UNAVAILABLE,
    "WORKER_CRASHED": Code.ABORTED,
    "QUEUE_FULL": Code.RESOURCE_EXHAUSTED,
    "USER_EXCEPTION": Code.UNKNOWN,
    "SCHEMA_MISMATCH": Code.INVALID_ARGUMENT,
    "IN_WORKER": Code.DEADLINE_EXCEEDED,
}


class Scripted:
    """Runs attempts by a script: each takes the next line of its function. A line may be a future to wait for."""

    def __init__(self, script):
        self.script = {name: list(lines) for name, lines in script.items()}
        self.asked = []
        self.cancelled = []
        self.running = 0

    async def run(self, call):
        line = self._next(call)
        try:
            if isinstance(line, asyncio.Future):
                line = await line
        except asyncio.CancelledError:
            self.cancelled.append(call.function)
            raise
        return self._end(call, line)

    async def stream(self, call):
        for line in self._next(call):
            if line in CODES:
                self._end(call, line)
            yield [line.encode()]

    def cancel(self, call):
        for future in call.job or ():
            if not future.done():
                future.set_exception(CancelledByOperator("general"))
                return True
        return False

    def _next(self, call):
        self.asked.append(call.function)
        call.route, call.pool, call.worker, call.worker_ns = 2, "general", f"worker-of-{call.function}", 1000
        lines = self.script.get(call.function)
        line = lines.pop(0) if lines else "ok"
        if isinstance(line, asyncio.Future):
            call.job = [line]
        return line

    @staticmethod
    def _end(call, line):
        call.meta = ReplyMeta(usage=(UsageRecord("m", 1, 2, 3, 0, 0.5),), model_s=1.0)
        if line in CODES:
            raise BridgeError(CODES[line], line, f"{call.function}: {line}", retry_after_s=0.0)
        return f"{call.function}: {line}".encode()


class Auto:
    """No function here is placed by measurement."""


class Native:
    running = 0


class Made:
    def __init__(self, script, config, *, idempotent=True, streaming=False, names=("a", "b", "c")):
        functions = tuple(
            FunctionSpec(name=name, pool="general", idempotent=idempotent, streaming=streaming) for name in names
        )
        catalogues = {"general": Catalogue(functions=functions)}
        table = route_table({"r": RouteConfig(**config)}, Registry().merge(catalogues), catalogues)
        self.spec, self.route = table.specs["r"], table.routes["r"]
        loop = asyncio.get_running_loop()
        self.changes = []
        self.breakers = Breakers(loop.time, self.changes.append, lambda _key: None)
        self.stats = RouteStats(loop.time)
        self.scripted = Scripted(script)
        router = Router(NativeLimits(max_request_bytes=1, concurrency=1), Auto())
        self.runner = AttemptsRunner(
            {}, Native(), self.scripted, router, self.stats, self.breakers, lambda _event: None
        )
        self.runner.bind({Pooled: self.scripted})

    def call(self, *, timeout_s=10.0, **identity):
        deadline = asyncio.get_running_loop().time() + timeout_s
        method = "InvokeService/StreamCall" if self.spec.streaming else "InvokeService/Call"
        made = new_call(method, Identity("id", **identity), b"request", deadline)
        made.spec, made.function = self.spec, "r"
        return made

    def known(self, label, seconds=0.001, calls=30):
        for _ in range(calls):
            self.stats.observe("r", label, seconds=seconds, ok=True)

    def check_nothing_left(self):
        """Every trial has been given back: a half-open breaker has room again."""
        for one in self.route.alternatives:
            for key in one.keys:
                assert self.breakers.allows(key)
        assert not self.runner.late


RETRY = {"attempts": 3, "backoff_ms": 0.001, "budget": 10.0, "on": ["PROVIDER_ERROR", "WORKER_CRASHED", "QUEUE_FULL"]}
ON = ["PROVIDER_ERROR", "WORKER_CRASHED", "QUEUE_FULL", "USER_EXCEPTION", "IN_WORKER"]
LINES = st.lists(st.sampled_from(["ok", *CODES]), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({"a": LINES, "b": LINES, "c": LINES}),
    st.sampled_from([None, RETRY]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), ("c",), ("b", "c")]),
)
def test_any_order_of_failures(script, retry, idempotent, open_all, fallback):
    async def go():
        first = [{"function": "a"}, {"function": "b"}] if "b" not in fallback else [{"function": "a"}]
        config = {"alternatives": first, "fallback": fallback, "retry": retry, "fallback_on": [*ON, "BREAKER_OPEN"]}
        made = Made(script, config, idempotent=idempotent)
        if open_all:
            for one in made.route.alternatives:
                made.breakers.open(one.keys[0], "cause", 100.0)
        call = made.call()
        try:
            body, failure = await made.runner.run(call), None
        except BridgeError as error:
            body, failure = None, error
        check(made, call, body, failure, fallback, retry)
        receipt = Receipt.FromString(receipts.receipt(call).SerializeToString())
        assert receipt.attempts == len(call.attempts.tried)
        assert sum(one.calls for one in receipt.usage) == len(made.scripted.asked)

    asyncio.run(go())


def check(made, call, body, failure, fallback, retry):
    tried = call.attempts.tried
    asked = [one.alternative for one in tried if one.failure != "BREAKER_OPEN"]
    assert asked == made.scripted.asked, "what is written down is what ran"
    most = 1 if retry is None else retry["attempts"]
    assert sum(one.kind in ("first", "retry") for one in tried) <= most
    fallbacks = [one.alternative for one in tried if one.kind == "fallback"]
    assert len(set(fallbacks)) == len(fallbacks)
    assert set(fallbacks) <= set(fallback)
    assert call.attempts.fallback == bool(fallbacks)
    for one in tried[:-1]:
        assert one.failure not in ("", "SCHEMA_MISMATCH"), "nothing follows upon an answer"
        if not made.route.idempotent:
            assert one.failure in NOT_STARTED, "it had begun, and was repeated"
    assert (failure is None) == (bool(tried) and not tried[-1].failure)
    if failure is None:
        assert body == f"{tried[-1].alternative}: ok".encode()
        assert call.worker == f"worker-of-{tried[-1].alternative}"
        assert call.attempts.alternative == tried[-1].alternative
    elif asked:
        assert failure.reason in {one.failure for one in tried}
        assert failure.reason != "BREAKER_OPEN"
    else:
        assert failure.reason == "BREAKER_OPEN"


def hedged(**more):
    hedge = {"after_quantile": 0.9, "max_fraction": 1.0, "min_ms": 1.0}
    alternatives = [{"function": "a", "weight": 1e6}, {"function": "b", "weight": 1e-6 + 0.001}]
    return {"alternatives": alternatives, "hedge": hedge} | more


async def test_the_loser_is_cancelled_and_its_time_counts_as_long():
    never = asyncio.get_running_loop().create_future()
    made = Made({"a": [never]}, hedged())
    made.known("a")
    call = made.call()
    assert await made.runner.run(call) == b"b: ok"
    await asyncio.gather(*made.runner.late, return_exceptions=True)
    assert made.scripted.cancelled == ["a"]
    assert [(one.alternative, one.kind, one.failure) for one in call.attempts.tried] == [
        ("a", "first", "CANCELLED"),
        ("b", "hedge", ""),
    ]
    assert made.stats.samples("r", "a") > 30.5, "it took at least so long"
    assert made.runner.counters.hedges == {("r", "won"): 1}
    made.check_nothing_left()


async def test_a_quick_call_is_not_hedged():
    made = Made({}, hedged())
    made.known("a", seconds=5.0)
    call = made.call()
    assert await made.runner.run(call) == b"a: ok"
    assert not call.attempts.hedged
    assert made.scripted.asked == ["a"]


async def test_without_figures_there_is_no_hedge():
    slow = asyncio.get_running_loop().create_future()
    made = Made({"a": [slow]}, hedged())
    asyncio.get_running_loop().call_later(0.05, slow.set_result, "ok")
    assert await made.runner.run(made.call()) == b"a: ok"
    assert made.scripted.asked == ["a"]


async def test_hedges_stay_within_their_budget():
    loop = asyncio.get_running_loop()
    made = Made({"a": [loop.create_future() for _ in range(3)]}, hedged())
    made.route.config.hedge.__dict__["max_fraction"] = 0.0
    made.known("a")
    assert await made.runner.run(made.call()) == b"b: ok", "one is always allowed"
    second = asyncio.create_task(made.runner.run(made.call()))
    await until(lambda: made.runner.counters.hedges["r", "over_budget"])
    second.cancel()
    await asyncio.gather(second, *made.runner.late, return_exceptions=True)
    assert made.scripted.asked == ["a", "b", "a"]


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def test_where_both_fail_the_first_failure_is_told():
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    made = Made({"a": [first], "b": [second]}, hedged())
    made.known("a")
    task = asyncio.create_task(made.runner.run(made.call()))
    await until(lambda: made.scripted.asked == ["a", "b"])
    second.set_result("QUEUE_FULL")
    await until(lambda: second.done())
    first.set_result("PROVIDER_ERROR")
    with pytest.raises(BridgeError, match="a: PROVIDER_ERROR"):
        await task
    made.check_nothing_left()


async def test_a_client_that_leaves_ends_both():
    loop = asyncio.get_running_loop()
    made = Made({"a": [loop.create_future()], "b": [loop.create_future()]}, hedged())
    made.known("a")
    task = asyncio.create_task(made.runner.run(made.call()))
    await until(lambda: made.scripted.asked == ["a", "b"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(*made.runner.late, return_exceptions=True)
    assert sorted(made.scripted.cancelled) == ["a", "b"]
    assert made.stats.samples("r", "a") < 30.5, "nothing is learnt from it"
    made.check_nothing_left()


async def test_an_operator_ends_both_attempts_and_no_other_follows():
    loop = asyncio.get_running_loop()
    made = Made({"a": [loop.create_future()], "b": [loop.create_future()]}, hedged(retry=RETRY))
    made.known("a")
    call = made.call()
    task = asyncio.create_task(made.runner.run(call))
    await until(lambda: made.scripted.asked == ["a", "b"])
    assert made.runner.cancel(call)
    with pytest.raises(CancelledByOperator):
        await task
    assert made.scripted.asked == ["a", "b"]


async def test_an_operator_ends_a_pause_before_a_retry():
    retry = RETRY | {"backoff_ms": 3_600_000.0, "max_backoff_ms": 3_600_000.0}
    made = Made({"a": ["PROVIDER_ERROR"]}, {"alternatives": [{"function": "a"}], "retry": retry})
    call = made.call(timeout_s=1e6)
    task = asyncio.create_task(made.runner.run(call))
    await until(lambda: call.job is not None and made.runner.cancel(call))
    with pytest.raises(CancelledByOperator):
        await task


async def test_a_pause_that_would_outlast_the_deadline_is_not_begun():
    retry = RETRY | {"backoff_ms": 3_600_000.0, "max_backoff_ms": 3_600_000.0}
    made = Made({"a": ["PROVIDER_ERROR"]}, {"alternatives": [{"function": "a"}], "retry": retry})
    with pytest.raises(BridgeError, match="PROVIDER_ERROR"):
        await made.runner.run(made.call(timeout_s=1e-3))
    assert made.scripted.asked == ["a"]


@pytest.mark.parametrize(
    ("script", "values", "failure", "asked"),
    [
        ({"a": [["1", "2"]]}, ["1", "2"], None, ["a"]),
        ({"a": [["PROVIDER_ERROR"]], "c": [["3"]]}, ["3"], None, ["a", "c"]),
        ({"a": [["1", "PROVIDER_ERROR"]]}, ["1"], "PROVIDER_ERROR", ["a"]),
        ({"a": [[]]}, [], None, ["a"]),
    ],
)
async def test_streams_have_another_attempt_before_their_first_message_only(script, values, failure, asked):
    made = Made(script, {"alternatives": [{"function": "a"}], "fallback": ["c"]}, streaming=True)
    seen, raised = [], None
    try:
        async with aclosing(made.runner.stream(made.call())) as batches:
            async for messages in batches:
                seen += [message.decode() for message in messages]
    except BridgeError as error:
        raised = error.reason
    assert (seen, raised, made.scripted.asked) == (values, failure, asked)
    made.check_nothing_left()


async def test_a_stream_that_nobody_reads_on_teaches_nothing():
    made = Made({"a": [["1", "2", "3"]]}, {"alternatives": [{"function": "a"}]}, streaming=True)
    made.breakers.open("function/r/a", "cause", 1e-9)
    async with aclosing(made.runner.stream(made.call())) as batches:
        async for _ in batches:
            break
    assert made.breakers.state("function/r/a") is State.HALF_OPEN
    made.check_nothing_left()


async def test_a_deadline_that_was_too_short_is_no_fault_of_the_alternative():
    made = Made({"a": ["IN_WORKER"] * 2}, {"alternatives": [{"function": "a"}]})
    made.known("a", seconds=10.0)
    before = made.stats.failure_rate("r", "a")
    with pytest.raises(BridgeError):
        await made.runner.run(made.call())
    assert made.stats.failure_rate("r", "a") == before
