"""Requests to providers that were all sound a moment ago: they go out unasked, and count as any other."""

import pytest
from models_front import Front

from bridge.programs.runner import ProgramRunner
from bridge.receipts.budgets import Budget
from bridge.routing.breakers import State
from handlers.boundary import BOUNDARY
from handlers.contract import ModelOptions
from handlers.errors import HandlerError, ProviderError
from handlers.models.gate import SOUND_S, Gate, as_it_is
from handlers.models.gate_wire import BEGIN, END

NOW = 1000.0
KEY = "provider/openai"
DOWN = ProviderError("down", code="UNAVAILABLE")


class Worker:
    """A worker's gate to one model, whose clock the test turns."""

    def __init__(self, **options):
        self.now = NOW
        known = {"breakers": (KEY,), "max_retries": 0} | options
        self.gate = Gate("far", ModelOptions(model="openai/x", **known), self._sleep, lambda: self.now)

    async def _sleep(self, _seconds):
        pass

    async def request(self, context, *errors):
        """Send a request, whose attempts end with these errors and then well; how many there were."""
        left = list(errors)
        attempts = 0
        async for attempt in self.gate.visit(context, self.gate.question("q", max_tokens=None), as_it_is):
            async with attempt:
                attempts += 1
                if left:
                    raise left.pop(0)
        return attempts

    def guarded(self, context, error=None):
        with self.gate.guarded(context, as_it_is):
            if error is not None:
                raise error

    async def guarded_later(self, context, error):
        self.guarded(context, error)


@pytest.fixture(name="front")
async def _front():
    front = Front({"far": {"model": "openai/gpt-4o-mini"}})
    front.sound_at = NOW - SOUND_S / 2
    return front


@pytest.fixture
def worker():
    return Worker()


async def test_it_goes_out_unasked_and_is_counted(front, worker):
    await worker.request(front.context())
    worker.guarded(front.context())
    assert front.asked == [END, END]
    assert front.gateway.models["far"].requests == 2
    (snapshot,) = front.breakers.snapshot()
    assert (snapshot.key, snapshot.calls, snapshot.failures) == (KEY, 2, 0)


@pytest.mark.parametrize("in_thread", [False, True], ids=["async", "sync"])
async def test_its_failures_open_the_breaker(front, worker, in_thread):
    for _ in range(3):
        sent = worker.guarded_later if in_thread else worker.request
        with pytest.raises(ProviderError):
            await sent(front.context(), DOWN)
        worker.now += 1.0
        front.sound_at = worker.now
    assert front.asked == [END] * 3
    assert front.breakers.state(KEY) is State.OPEN
    assert not front.breakers.providers_sound
    front.sound_at = 0.0  # as calls are told from now on
    with pytest.raises(HandlerError, match="circuit breaker"):
        await worker.request(front.context())


async def test_after_a_failure_the_next_request_of_the_same_call_asks(front, worker):
    context = front.context()
    with pytest.raises(ProviderError):
        await worker.request(context, DOWN)
    await worker.request(context)
    assert front.asked == [END, BEGIN, END]


async def test_a_second_attempt_asks(front):
    worker = Worker(max_retries=1)
    assert await worker.request(front.context(), DOWN) == 2
    assert front.asked == [END, BEGIN, END]


@pytest.mark.parametrize("age_s", [SOUND_S, 10.0, -1.0], ids=["just too old", "old", "of another clock"])
async def test_it_asks_when_that_was_not_a_moment_ago(front, worker, age_s):
    front.sound_at = NOW - age_s
    await worker.request(front.context())
    assert front.asked == [BEGIN, END]


async def test_what_the_front_limits_or_keeps_or_a_budget_holds_is_asked_for(front):
    await Worker(asks=True).request(front.context())
    await Worker().request(front.context(budget=Budget(tokens=100_000)))
    assert front.asked == [BEGIN, END, BEGIN, END]


async def test_what_is_recorded_for_a_replay_is_asked_for(front, worker):
    class Recorder:
        async def athrough(self, _kind, _request, send, _shape):
            return await send()

    token = BOUNDARY.set(Recorder())
    try:
        await worker.request(front.context())
    finally:
        BOUNDARY.reset(token)
    assert front.asked == [BEGIN, END]


class Pooled:
    """Runs nothing, and keeps what calls were told."""

    def __init__(self):
        self.sound_at = []

    async def run(self, call):
        self.sound_at.append(call.sound_at)
        return b""


async def test_programs_are_told_only_while_no_breaker_of_a_provider_keeps_calls_back(front):
    pooled = Pooled()
    runner = ProgramRunner(lambda _call: None, front.breakers, pooled)
    await runner.run(front.call())
    front.breakers.open("provider/other", "an order", 5.0)
    await runner.run(front.call())
    front.now += 6.0
    await runner.run(front.call())
    front.breakers.close("provider/other", "an order")
    front.breakers.open("function/f/native", "an order", 5.0)
    await runner.run(front.call())
    assert [bool(at) for at in pooled.sound_at] == [True, False, False, True]
