"""Programs against a provider over HTTP: cancelling, failures, secrets, many models at once."""

import asyncio
import contextlib

import dspy
import msgspec
import pytest
from dspy.utils import exceptions as raised

from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions
from handlers.errors import HandlerError
from handlers.models.gate_wire import END, Begun, End
from handlers.programs.errors import OUTCOMES, as_handler_error

KEY = "sk-a-key-nobody-may-see"


class Sync(dspy.Module):
    """Asks twice, without a word of async."""

    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> thought")
        self.second = dspy.Predict("question, thought -> answer")

    def forward(self, question: str):
        return self.second(question=question, thought=self.first(question=question).thought)


PROGRAMS = [lambda: dspy.ChainOfThought("question -> answer"), Sync]


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_program_over_http(app, at_provider, provider, make):
    program = make()
    reply = await app(models={"default": at_provider(temperature=0.5, max_tokens=900)}, ask=program).run(
        "ask", question="Why?"
    )
    assert "bridge/test" in reply.outputs["answer"]
    (usage,) = reply.context.usage
    assert (usage.model, usage.calls) == ("openai/test", len(provider.requests))
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert usage.cost_usd is None, "nobody knows the price of this model"
    sent = provider.requests[0]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert (sent.body["temperature"], sent.body["max_completion_tokens"]) == (0.5, 900)


async def test_a_known_model_has_its_price_in_the_receipt(app, at_provider):
    reply = await app(models={"default": at_provider("gpt-4o-mini")}, ask=Sync()).run("ask", question="Why?")
    (usage,) = reply.context.usage
    assert usage.calls == 2
    assert usage.cost_usd == pytest.approx(usage.input_tokens * 0.15e-6 + usage.output_tokens * 0.6e-6)


@pytest.mark.parametrize("make", PROGRAMS)
async def test_deltas_over_http_join_to_the_outputs(app, at_provider, make):
    reply = await app(models={"default": at_provider()}, ask=make()).stream("ask", question="Why?")
    predictor = reply.deltas[-1].predictor
    assert reply.text(predictor, "answer") == reply.outputs["answer"]
    assert reply.context.usage[0].input_tokens > 0


@pytest.mark.parametrize("make", PROGRAMS)
@pytest.mark.parametrize("model", ["test-hang", "test-latency60000"])
async def test_a_cancelled_call_leaves_the_provider(app, at_provider, provider, make, model):
    served = app(models={"default": at_provider(model)}, ask=make())
    context = CallContext(CallMeta(method="ProgramService/Run"))
    task = asyncio.create_task(served.run("ask", context=context, question="Why?"))
    await asyncio.to_thread(provider.wait_for_requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (request,) = await asyncio.to_thread(provider.wait_for_client_left)
    assert request.outcome == "client_left"


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_closed_stream_leaves_the_provider(app, at_provider, provider, make):
    served = app(models={"default": at_provider("test-stall8")}, ask=make())
    stream = served.open_stream("ask", CallContext(CallMeta(method="x")), question="Why?")
    await anext(stream)
    await stream.aclose()
    (request,) = await asyncio.to_thread(provider.wait_for_client_left)
    assert request.chunks_sent == 8


async def test_a_cancelled_thread_asks_no_more(app, at_provider, provider):
    """The thread of a synchronous program can not be stopped; its next model call can."""
    entered, may_go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    class Slow(dspy.Module):
        def __init__(self):
            super().__init__()
            self.ask = dspy.Predict("question -> answer")

        def forward(self, question: str):
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(may_go_on.wait(), loop).result()
            try:
                return self.ask(question=question)
            finally:
                loop.call_soon_threadsafe(ended.set)

    task = asyncio.create_task(app(models={"default": at_provider()}, slow=Slow()).run("slow", question="?"))
    await entered.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    may_go_on.set()
    await ended.wait()
    assert provider.requests == ()


async def test_many_calls_on_two_models_never_mix(app, at_provider, provider):
    served = app(
        models={"one": at_provider("one", api_key="key-one"), "two": at_provider("two", api_key="key-two")},
        ask=Sync(),
    )
    names = ["one", "two"] * 10
    replies = await asyncio.gather(
        *(served.run("ask", model=name, question=f"{name} {n}") for n, name in enumerate(names))
    )
    for name, reply in zip(names, replies, strict=True):
        assert [usage.model for usage in reply.context.usage] == [f"openai/{name}"]
        assert reply.context.usage[0].calls == 2
    assert len(provider.requests) == 40
    for request in provider.requests:
        assert request.headers["authorization"] == f"Bearer key-{request.model}"
        assert f"{request.model} " in request.body["messages"][-1]["content"]


async def test_the_loop_stays_free_while_synchronous_programs_wait(app, at_provider, provider):
    served = app(models={"default": at_provider("test-hang"), "quick": at_provider()}, ask=Sync())
    waiting = [asyncio.create_task(served.run("ask", question="?")) for _ in range(12)]
    await asyncio.to_thread(provider.wait_for_requests, 12)
    assert "bridge/test" in (await served.run("ask", model="quick", question="?")).outputs["answer"]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


FAILURES = [
    ("test-status401", "FAILED_PRECONDITION", "401"),
    ("test-status403", "FAILED_PRECONDITION", "403"),
    ("test-status404", "FAILED_PRECONDITION", "404"),
    ("test-status400", "INVALID_ARGUMENT", "400"),
    ("test-context", "INVALID_ARGUMENT", "400"),
    ("test-status429", "RESOURCE_EXHAUSTED", "429"),
    ("test-status500", "UNAVAILABLE", "500"),
    ("test-status503", "UNAVAILABLE", "503"),
]


@pytest.mark.parametrize("make", PROGRAMS)
@pytest.mark.parametrize(("model", "code", "status"), FAILURES)
async def test_a_providers_failure(app, at_provider, make, model, code, status):
    served = app(models={"default": at_provider(model)}, ask=make())
    context = CallContext(CallMeta(method="ProgramService/Run"))
    with pytest.raises(HandlerError) as failure:
        await served.run("ask", context=context, question="Why?")
    assert (failure.value.code, failure.value.reason) == (code, "PROVIDER_ERROR")
    assert failure.value.metadata["status"] == status
    assert failure.value.metadata["provider"] == "openai"
    assert failure.value.__suppress_context__, "its cause may hold what was taken out of its text"
    assert context.usage[0].calls == 1


async def test_a_stream_fails_as_a_call_does(app, at_provider):
    with pytest.raises(HandlerError) as failure:
        await app(models={"default": at_provider("test-status429-retryafter7")}, ask=Sync()).stream("ask", question="?")
    assert (failure.value.code, failure.value.retry_after_s) == ("RESOURCE_EXHAUSTED", 7.0)


async def test_a_cut_stream_is_unavailable(app, at_provider):
    with pytest.raises(HandlerError) as failure:
        await app(models={"default": at_provider("test-cut5")}, ask=Sync()).stream("ask", question="?")
    assert (failure.value.code, failure.value.reason) == ("UNAVAILABLE", "PROVIDER_ERROR")


async def test_a_slow_provider_is_a_deadline(app, at_provider):
    served = app(models={"default": at_provider("test-hang", timeout_s=0.2)}, ask=PROGRAMS[0]())
    with pytest.raises(HandlerError) as failure:
        await served.run("ask", question="?")
    assert (failure.value.code, failure.value.reason) == ("DEADLINE_EXCEEDED", "PROVIDER_ERROR")


async def test_a_provider_that_is_not_there_is_unavailable(app, at_provider):
    served = app(models={"default": at_provider(api_base="http://127.0.0.1:9/v1")}, ask=PROGRAMS[0]())
    with pytest.raises(HandlerError) as failure:
        await served.run("ask", question="?")
    assert failure.value.code == "UNAVAILABLE"


async def test_failures_are_tried_again_as_often_as_configured(app, at_provider, provider):
    model = at_provider("test-status500x1-retryafter0", max_retries=1)
    reply = await app(models={"default": model}, ask=PROGRAMS[0]()).run("ask", question="?")
    assert "bridge/test" in reply.outputs["answer"]
    assert len(provider.requests) == 2


@pytest.mark.parametrize("model", ["test-prose", "test-empty", "test-truncated"])
async def test_an_answer_that_fits_no_field(app, at_provider, model):
    typed = dspy.ChainOfThought("question -> answer: int")
    with pytest.raises(HandlerError) as failure:
        await app(models={"default": at_provider(model)}, ask=typed).run("ask", question="Why?")
    assert (failure.value.code, failure.value.reason) == ("INTERNAL", "PROGRAM_OUTPUT_INVALID")


async def test_keys_never_leave(app, at_provider, provider):
    """A provider that says the key in its error: ours, the app's own, and one that only looks like a key."""
    own = dspy.Predict("question -> answer")
    own.set_lm(dspy.LM("openai/test-status401", api_base=provider.base_url, api_key="the-apps-own", num_retries=0))
    served = app(models={"default": at_provider("test-status401")}, ask=own)
    error = raised.LMAuthError(f"Incorrect API key: {KEY}, the-apps-own, sk-proj-0123456789abcdef", status=401)
    secrets = served.handlers["ask"]._secrets()
    shown = as_handler_error(error, secrets)
    for secret in (KEY, "the-apps-own", "0123456789abcdef"):
        assert secret not in str(shown)
        assert secret not in repr(shown.to_record())


def test_every_class_of_model_failure_has_a_row():
    """A class that DSPy adds is noticed here."""
    classes = [one for one in vars(raised).values() if isinstance(one, type) and issubclass(one, dspy.LMError)]
    general = {raised.LMError, raised.LMProviderError}
    specific = tuple(cls for cls, _ in OUTCOMES if cls not in general)
    missed = [cls.__name__ for cls in classes if not issubclass(cls, specific) and cls not in general]
    assert missed == ["LMUnexpectedError"]


def test_the_first_row_that_fits_is_the_most_specific():
    for index, (cls, _) in enumerate(OUTCOMES):
        assert [above.__name__ for above, _ in OUTCOMES[:index] if issubclass(cls, above)] == []


class Front:
    """The front's end of a provider's breaker: open from the third failure on."""

    def __init__(self):
        self.told = []

    def ask(self, name, body):
        if name == END:
            self.told.append(msgspec.msgpack.decode(body, type=End).sound)
            return True, b""
        if self.told.count(False) >= 3:
            error = {"code": "UNAVAILABLE", "reason": "BREAKER_OPEN", "message": "open", "retry_after_s": 5.0}
            return False, msgspec.json.encode(error)
        return True, msgspec.msgpack.encode(Begun(1))

    async def aask(self, name, body):
        return self.ask(name, body)

    def tell(self, name, body):
        self.ask(name, body)


async def run_as_current(served, front):
    """Runs a program as the entry does: its call is the current one."""
    context = CallContext(CallMeta(method="ProgramService/Run"), asker=front)
    token = context.enter()
    try:
        return await served.run("ask", context=context, question="Why?")
    finally:
        context.leave(token)


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_program_asks_no_provider_whose_breaker_is_open(app, at_provider, provider, make):
    front = Front()
    served = app(models={"default": at_provider("test-status503", breakers=("provider/openai",))}, ask=make())
    failures = []
    for _ in range(5):
        with pytest.raises(HandlerError) as caught:
            await run_as_current(served, front)
        failures.append(caught.value.reason)
        if failures[-1] == "BREAKER_OPEN":
            break
    assert failures[-1] == "BREAKER_OPEN"
    assert failures[0] == "PROVIDER_ERROR"
    assert caught.value.retry_after_s == 5.0
    requests = len(provider.requests)
    with pytest.raises(HandlerError, match="open"):
        await run_as_current(served, front)
    assert len(provider.requests) == requests


async def test_a_program_tells_that_its_provider_is_sound(app, at_provider):
    front = Front()
    served = app(models={"default": at_provider(breakers=("provider/openai",))}, ask=Sync())
    await run_as_current(served, front)
    assert front.told == [True, True]


async def test_the_environments_key_stays_away_from_addresses_of_ones_own(app, provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    model = ModelOptions(model="openai/test", api_base=provider.base_url)
    await app(models={"default": model}, ask=Sync()).run("ask", question="Why?")
    assert {one.headers["authorization"] for one in provider.requests} == {"Bearer none"}
