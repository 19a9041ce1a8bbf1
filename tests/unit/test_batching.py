"""Calls that run together on a pool without processes: every one of them is answered once, whatever the others do."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.batching.runner import BatchedRunner
from bridge.call import Identity, new_call
from bridge.errors import BridgeError, Code
from bridge.pooled import PooledRunner
from bridge.receipts import receipts
from bridge.v1.common_pb2 import Receipt
from handlers import batches
from handlers.contract import BatchRule, CallMeta, ErrorRecord, FunctionSpec, ReplyMeta, UsageRecord
from pool.errors import (
    CancelledByOperator,
    DeadlineExceeded,
    Quarantined,
    QueueFull,
    Stopped,
    WorkerLost,
    WorkerProtocol,
)
from pool.options import Canary, PoolOptions
from pool.testing import FakePool

RULE = BatchRule(max_items=8, max_wait_s=0.002)
SPEC = FunctionSpec(name="f", pool="p", batch=RULE)
BAD, POISON = b"bad", b"poison"


class Entry:
    """Answers each request with its bytes in capitals, once `gate` is open; `ran` has what ran together."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.ran = []
        self.usage = ()
        self.whole = None

    def catalogue(self):
        return b""

    async def acall(self, function, meta, body, timeout_s):
        call = msgspec.msgpack.decode(meta, type=CallMeta)
        members, limit = batches.unpack(body) if call.method == batches.METHOD else ([batches.Member(call, body)], None)
        self.ran.append([member.request for member in members])
        await self.gate.wait()
        if self.whole is not None:
            return False, msgspec.msgpack.encode(ReplyMeta(error=self.whole)), b""
        if limit is not None and members[0].request == b"garble":
            return True, b"", b"\xff" * 9
        answers = [self.answer(member.request) for member in members]
        reply_meta = msgspec.msgpack.encode(ReplyMeta(self.usage)) if self.usage else b""
        if limit is None:
            return answers[0].ok, answers[0].meta, answers[0].body
        return True, reply_meta, batches.pack_answers(answers, limit)

    def answer(self, request):
        if request.startswith(BAD):
            return batches.failed(ErrorRecord(code="INVALID_ARGUMENT", reason="SCHEMA_MISMATCH", message="bad"))
        return batches.good(request.upper(), weight=len(request))


class Rig:
    def __init__(self, **options):
        self.entry = Entry()
        usual = {"name": "p", "entry": "", "entry_options": b"", "size": 1}
        canary = Canary(function="canary", meta=b"", body=b"")
        self.pool = FakePool(PoolOptions(**{**usual, "canary": canary, **options}), self.entry)
        pools = {"p": self.pool}
        self.pooled = PooledRunner(pools, SimpleNamespace())
        self.runner = BatchedRunner(pools, self.pooled, 1 << 20)
        self.calls = []

    async def __aenter__(self):
        await self.pool.start()
        return self

    async def __aexit__(self, *_):
        await self.pool.stop()
        self.runner.close()

    def start(self, request, spec=SPEC, timeout_s=30.0, tenant="", priority=0):
        identity = Identity(f"r{len(self.calls)}", tenant=tenant, priority=priority)
        call = new_call("InvokeService/Call", identity, request, asyncio.get_running_loop().time() + timeout_s)
        call.spec, call.pool, call.function = spec, "p", spec.name
        self.calls.append(call)
        return asyncio.ensure_future(self.runner.run(call))

    async def hold(self, *requests, **options):
        """The first call runs and is held; the rest wait for it."""
        self.entry.gate.clear()
        tasks = []
        for request in requests:
            tasks.append(self.start(request, **options))
            await settle()
        return tasks


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def rig():
    async with Rig() as made:
        yield made


async def test_a_call_alone_runs_at_once_as_any_pooled_call(rig):
    assert await rig.start(b"a") == b"A"
    (call,) = rig.calls
    assert (call.batch_size, call.worker) == (0, "p-1")
    assert rig.runner.counters.sizes["f"].sum == 1


async def test_those_that_waited_run_together_and_each_gets_its_own(rig):
    tasks = await rig.hold(b"a", b"b", b"c", b"d")
    rig.entry.gate.set()
    assert await asyncio.gather(*tasks) == [b"A", b"B", b"C", b"D"]
    assert rig.entry.ran == [[b"a"], [b"b", b"c", b"d"]]
    assert [call.batch_size for call in rig.calls] == [0, 3, 3, 3]
    assert rig.runner.counters.sizes["f"].counts[:3] == [1, 0, 1]


async def test_one_members_failure_is_its_own(rig):
    tasks = await rig.hold(b"a", b"b", b"bad", b"d")
    rig.entry.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found[0], found[1] == (b"A", b"B")
    assert found[3] == b"D"
    assert (found[2].code, found[2].reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


async def test_what_fails_as_a_whole_fails_for_each(rig):
    tasks = await rig.hold(b"a", b"b", b"c")
    rig.entry.whole = ErrorRecord(code="UNKNOWN", reason="USER_EXCEPTION", message="boom")
    rig.entry.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error.reason for error in found] == ["USER_EXCEPTION"] * 3


async def test_a_reply_that_is_none_fails_each_and_hangs_nobody(rig):
    tasks = await rig.hold(b"a", b"garble", b"c")
    rig.entry.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [bytes, WorkerProtocol, WorkerProtocol]


async def test_shares_of_time_and_use_add_up_and_stand_in_the_receipts(rig):
    rig.entry.usage = (UsageRecord("m", calls=1, input_tokens=11, output_tokens=3),)
    tasks = await rig.hold(b"a", b"bb", b"cccc", b"d" * 8)
    rig.entry.gate.set()
    await asyncio.gather(*tasks)
    members = rig.calls[1:]
    whole = members[0].batch_ns
    assert whole == sum(call.worker_ns for call in members)
    assert members[0].worker_ns < members[1].worker_ns < members[2].worker_ns
    assert sum(call.meta.usage[0].input_tokens for call in members) == 11
    found = [Receipt.FromString(dict(receipts.trailers(call))["bridge-receipt-bin"]) for call in members]
    assert {(one.batch_size, one.batch_us) for one in found} == {(3, whole // 1000)}
    assert sum(one.usage[0].output_tokens for one in found) == 3


async def test_a_receipt_without_use_of_models_has_the_batch_too(rig):
    tasks = await rig.hold(b"a", b"b", b"c")
    rig.entry.gate.set()
    await asyncio.gather(*tasks)
    receipt = Receipt.FromString(dict(receipts.trailers(rig.calls[1]))["bridge-receipt-bin"])
    assert (receipt.batch_size, receipt.worker, receipt.pool) == (2, "p-1", "p")
    assert not receipt.HasField("memory_change_bytes")


async def test_a_member_that_is_cancelled_while_it_waits_never_runs(rig):
    tasks = await rig.hold(b"a", b"b", b"c", b"d")
    tasks[2].cancel()
    await settle()
    rig.entry.gate.set()
    assert await asyncio.gather(tasks[0], tasks[1], tasks[3]) == [b"A", b"B", b"D"]
    assert rig.entry.ran[1] == [b"b", b"d"]
    assert rig.runner.counters.left["f"] == 1


async def test_one_who_is_cancelled_in_the_turn_in_which_he_would_go_leaves_the_worker_free(rig):
    """The end of the first call sends the second, whose task does not know yet that it has been cancelled."""
    tasks = await rig.hold(b"a", b"b")
    (group,) = rig.runner._groups.values()
    group._left_out = 1  # nobody waits for more after the end of the first
    for task in tasks:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
    assert (group.running, group.waiters.count, rig.runner.counters.waiting["f"]) == (0, 0, 0)
    rig.entry.gate.set()
    assert await rig.start(b"c") == b"C"


async def test_a_member_that_is_cancelled_while_it_runs_leaves_the_others_theirs(rig):
    first, *rest = await rig.hold(b"a", b"b", b"c")
    rig.entry.gate.set()
    await first
    rig.entry.gate.clear()
    await until(lambda: len(rig.entry.ran) == 2)
    rest[0].cancel()
    await settle()
    rig.entry.gate.set()
    assert await rest[1] == b"C"
    assert rest[0].cancelled()


async def test_when_all_members_have_left_the_batch_is_cancelled_and_the_worker_is_free(rig):
    first, *rest = await rig.hold(b"a", b"b", b"c")
    rig.entry.gate.set()
    await first
    rig.entry.gate.clear()
    await until(lambda: len(rig.entry.ran) == 2)
    for task in rest:
        task.cancel()
    await until(lambda: not rig.pool.saturated)
    rig.entry.gate.set()
    assert await rig.start(b"z") == b"Z"


async def test_a_deadline_ends_one_member_where_it_is(rig):
    held = await rig.hold(b"a")
    short = rig.start(b"b", timeout_s=0.05)
    long = rig.start(b"c")
    with pytest.raises(DeadlineExceeded) as caught:
        await short
    assert caught.value.where == "IN_QUEUE"
    short = rig.start(b"d", timeout_s=0.4)
    rig.entry.gate.set()
    await held[0]
    rig.entry.gate.clear()
    with pytest.raises(DeadlineExceeded) as caught:
        await short
    assert caught.value.where == "IN_WORKER"
    rig.entry.gate.set()
    assert await long == b"C"


async def test_an_operator_ends_one_member(rig):
    tasks = await rig.hold(b"a", b"b", b"c")
    assert rig.runner.cancel(rig.calls[1])
    assert not rig.runner.cancel(rig.calls[1])
    with pytest.raises(CancelledByOperator):
        await tasks[1]
    rig.entry.gate.set()
    assert await asyncio.gather(tasks[0], tasks[2]) == [b"A", b"C"]


async def test_a_worker_that_dies_with_a_batch_fails_all_of_it_where_it_may_not_run_twice(rig):
    first, *rest = await rig.hold(b"a", b"b", b"c")
    rig.entry.gate.set()
    await first
    rig.entry.gate.clear()
    await until(lambda: len(rig.entry.ran) == 2)
    rig.pool.kill("p-1")
    found = await asyncio.gather(*rest, return_exceptions=True)
    assert {type(error) for error in found} == {WorkerLost}
    assert [call.worker for call in rig.calls[1:]] == ["p-1"] * 2
    rig.entry.gate.set()
    assert await rig.start(b"z") == b"Z"


async def test_members_of_an_idempotent_function_run_alone_when_their_worker_has_died(rig):
    spec = msgspec.structs.replace(SPEC, idempotent=True)
    first, *rest = await rig.hold(b"a", b"b", b"c", spec=spec)
    rig.entry.gate.set()
    await first
    rig.entry.gate.clear()
    await until(lambda: len(rig.entry.ran) == 2)
    rig.pool.kill("p-1")
    await settle()
    rig.entry.gate.set()
    assert await asyncio.gather(*rest) == [b"B", b"C"]
    assert sorted(rig.entry.ran[2:]) == [[b"b"], [b"c"]]
    assert all("retried alone after p-1" in call.reason for call in rig.calls[1:])


async def test_after_such_a_death_calls_run_alone_so_that_the_one_that_kills_is_found(rig):
    first, *rest = await rig.hold(b"a", b"b", POISON)
    rig.entry.gate.set()
    await first
    rig.entry.gate.clear()
    await until(lambda: len(rig.entry.ran) == 2)
    rig.pool.kill("p-1")
    await asyncio.gather(*rest, return_exceptions=True)
    for worker in ("p-2", "p-3"):
        again = rig.start(POISON)
        await settle()
        rig.pool.kill(worker)
        with pytest.raises(WorkerLost):
            await again
    with pytest.raises(Quarantined):
        await rig.start(POISON)
    tasks = [rig.start(b"x"), rig.start(b"y")]
    rig.entry.gate.set()
    assert await asyncio.gather(*tasks) == [b"X", b"Y"]
    assert rig.entry.ran[-2:] == [[b"x"], [b"y"]]


async def test_an_input_that_is_known_to_kill_gets_into_no_batch(rig):
    rig.entry.gate.clear()
    for worker in ("p-1", "p-2"):
        dying = rig.start(POISON)
        await settle()
        rig.pool.kill(worker)
        with pytest.raises(WorkerLost):
            await dying
    tasks = await rig.hold(b"a", b"b")
    with pytest.raises(Quarantined):
        await rig.start(POISON)
    rig.entry.gate.set()
    assert await asyncio.gather(*tasks) == [b"A", b"B"]


async def test_the_queue_of_the_pool_bounds_those_that_wait_and_a_tenant_makes_room():
    async with Rig(queue_limit=3) as rig:
        tasks = await rig.hold(b"a", b"b", b"c", b"d", tenant="one")
        with pytest.raises(QueueFull) as caught:
            await rig.start(b"e", tenant="one")
        assert (caught.value.limit, caught.value.waiting, caught.value.displaced) == (3, 3, False)
        other = rig.start(b"f", tenant="two")
        with pytest.raises(QueueFull) as caught:
            await tasks[3]
        assert caught.value.displaced
        rig.entry.gate.set()
        assert await asyncio.gather(*tasks[:3], other) == [b"A", b"B", b"C", b"F"]


async def test_what_is_larger_than_a_batch_runs_by_itself(rig):
    spec = msgspec.structs.replace(SPEC, batch=BatchRule(max_bytes=10))
    tasks = await rig.hold(b"a", b"x" * 11, b"b", b"c", spec=spec)
    rig.entry.gate.set()
    await asyncio.gather(*tasks)
    assert [b"x" * 11] in rig.entry.ran


async def test_a_pool_that_stops_tells_those_that_wait():
    async with Rig() as rig:
        tasks = await rig.hold(b"a", b"b", b"c")
        await rig.pool.stop()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in found} == {Stopped}


async def test_rules_by_name_gather_each_name_apart(rig):
    from bridge.v1.embedding_pb2 import EmbedRequest

    named = BatchRule(by_name={"default": RULE, "large": RULE})
    spec = msgspec.structs.replace(SPEC, batch=named)
    rig.entry.gate.clear()
    tasks = []
    for model in ("", "large", "default", "large", "default", "large", "other", "other", "third"):
        request = (
            EmbedRequest(model=model or "default", texts=[str(len(tasks))]) if model else EmbedRequest(texts=["0"])
        )
        tasks.append(rig.start(request.SerializeToString(), spec=spec))
        rig.calls[-1].method = "EmbeddingService/Embed"
    await settle()
    rig.entry.gate.set()
    await asyncio.gather(*tasks)
    ran = [[EmbedRequest.FromString(one).model for one in batch] for batch in rig.entry.ran]
    assert sorted(ran) == [[""], ["default"] * 2, ["large"], ["large"] * 2, ["other"], ["other", "third"]]


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from([b"a", b"bad", b"c" * 300]), st.sampled_from(["", "t"])),
        st.tuples(st.just("cancel"), st.integers(0, 50), st.none()),
        st.tuples(st.just("operator"), st.integers(0, 50), st.none()),
        st.tuples(st.sampled_from(["open", "shut", "turn", "kill"]), st.none(), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.booleans(), st.integers(1, 2))
def test_no_call_is_lost_and_each_is_answered_once(script, idempotent, size):
    asyncio.run(walk(script, idempotent, size))


async def walk(script, idempotent, size):
    spec = msgspec.structs.replace(SPEC, idempotent=idempotent)
    async with Rig(size=size) as rig:
        tasks, asked = [], []
        for step, what, more in script:
            if step == "call":
                request = what + b"-%d" % len(tasks)
                tasks.append(rig.start(request, spec=spec, tenant=more))
                asked.append(request)
            elif step == "cancel" and tasks:
                tasks[what % len(tasks)].cancel()
            elif step == "operator" and tasks:
                rig.runner.cancel(rig.calls[what % len(tasks)])
            elif step == "open":
                rig.entry.gate.set()
            elif step == "shut":
                rig.entry.gate.clear()
            elif step == "kill":
                await settle()
                rig.pool.kill(next(iter(rig.pool.snapshot().workers)).id)
            else:
                await settle()
        rig.entry.gate.set()
        async with asyncio.timeout(10):
            found = await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: all(not group.running for group in rig.runner._groups.values()))
        for request, answer in zip(asked, found, strict=True):
            if isinstance(answer, bytes):
                assert answer == request.upper()
            else:
                assert isinstance(answer, BridgeError | CancelledByOperator | WorkerLost | asyncio.CancelledError)
                assert not isinstance(answer, BridgeError) or request.startswith(BAD)
        assert all(not group.waiters.count for group in rig.runner._groups.values())
        assert not rig.pool.saturated
        assert rig.pool.snapshot().waiting == 0
