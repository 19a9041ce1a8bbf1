"""Breakers of providers: which guard a model, and what requests that pass them, and end, make of them."""

import msgspec
import pytest
from models_front import Front

from bridge.config import Config
from bridge.gateway.providers import provider_breakers
from bridge.routing.breakers import State
from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions
from handlers.errors import HandlerError, ProviderError
from handlers.models.gate import Gate, as_it_is, sound
from handlers.models.gate_wire import BEGIN, END, Begin

FAR = {"model": "openai/gpt-4o-mini"}
LOCAL = {"model": "openai/llama", "api_base": "http://127.0.0.1:1/v1"}


@pytest.fixture(name="front")
async def _front():
    return Front({"far": FAR, "local": LOCAL})


def gate(name, **options):
    return Gate(name, ModelOptions(model="openai/x", breakers=("some",), max_retries=0, **options))


async def request(front, model="far", error=None, context=None):
    guarded = gate(model)
    async for attempt in guarded.visit(context or front.context(), guarded.question("q", max_tokens=None), as_it_is):
        async with attempt:
            if error is not None:
                raise error


async def fail(front, model="far", times=3, code="UNAVAILABLE"):
    for _ in range(times):
        with pytest.raises(ProviderError):
            await request(front, model, ProviderError("down", code=code))


async def refused(front, model="far"):
    with pytest.raises(HandlerError) as caught:
        await request(front, model)
    assert caught.value.reason == "BREAKER_OPEN"
    return caught.value


async def test_failures_of_a_provider_open_its_breaker_and_no_request_goes_out(front):
    await fail(front)
    error = await refused(front)
    assert (error.code, error.retry_after_s) == ("UNAVAILABLE", 5.0)
    assert error.metadata["breaker"] == "provider/openai"
    front.now += 5.0
    await request(front)
    assert front.breakers.state("provider/openai") is State.CLOSED


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"])
async def test_a_provider_that_answers_is_sound(front, code):
    await fail(front, times=20, code=code)
    assert front.breakers.state("provider/openai") is State.CLOSED


def test_what_a_status_says_of_a_provider():
    assert sound("UNAVAILABLE") is False
    assert sound("DEADLINE_EXCEEDED") is False
    assert sound("DEADLINE_EXCEEDED", waited_in_full=False) is None
    assert sound("RESOURCE_EXHAUSTED") is None
    assert sound("INVALID_ARGUMENT") is True


async def test_a_server_of_ones_own_does_not_bring_its_kind_down(front):
    await fail(front, "local")
    assert (await refused(front, "local")).metadata["breaker"] == "provider/openai@local"
    await request(front)
    front.breakers.open("provider/openai", "an order", 5.0)
    front.now += 5.0
    await request(front, "local")
    assert front.breakers.state("provider/openai") is State.CLOSED, "a call on trial counts for whatever it tried"


async def test_sync_code_is_guarded_too(front):
    for _ in range(3):
        with pytest.raises(ProviderError), gate("far").guarded(front.context(), as_it_is):
            raise ProviderError("down")
    with pytest.raises(HandlerError, match="circuit breaker"), gate("far").guarded(front.context(), as_it_is):
        pytest.fail("it went out")


async def test_a_trial_of_a_call_that_has_ended_is_given_back(front):
    await fail(front)
    front.now += 5.0
    call = front.call()
    await front.context(call).aask(BEGIN, msgspec.msgpack.encode(Begin("far")))
    await refused(front)
    front.end(call)
    await request(front)
    assert front.breakers.state("provider/openai") is State.CLOSED


async def test_a_request_asks_once_before_and_once_after_and_no_model_without_a_breaker(front):
    await request(front)
    assert front.asked == [BEGIN, END]
    plain = Gate("plain", ModelOptions(model="bridge/test"))
    for context in (front.context(), None, CallContext(CallMeta("m"))):
        async for attempt in plain.visit(context, plain.question("q", max_tokens=None), as_it_is):
            async with attempt:
                pass
    await request(front, context=CallContext(CallMeta("m")))
    assert front.asked == [BEGIN, END]


async def test_a_front_that_does_not_answer_keeps_no_request_back(front):
    await request(front, context=CallContext(CallMeta("m"), asker=Deaf()))


class Deaf:
    async def aask(self, _name, _body):
        return False, msgspec.json.encode({"code": "UNIMPLEMENTED", "reason": "UNKNOWN_METHOD", "message": "what?"})


def test_which_breakers_guard_a_model():
    models = {
        "default": {"model": "openai/gpt-4o-mini"},
        "local": {"model": "openai/llama", "api_base": "http://127.0.0.1:1/v1"},
        "other": {"model": "openai/qwen", "api_base": "http://127.0.0.1:1/v1"},
        "far": {"model": "azure/gpt", "api_base": "http://127.0.0.1:2/v1"},
        "test": {"model": "bridge/test"},
    }
    assert provider_breakers(Config(models=models).models) == {
        "default": ("provider/openai",),
        "local": ("provider/openai", "provider/openai@local"),
        "other": ("provider/openai", "provider/openai@local"),
        "far": ("provider/azure", "provider/azure@far"),
    }
