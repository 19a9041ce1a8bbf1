"""Breakers of providers: which guard a model, and what workers that ask and tell make of them."""

import msgspec
import pytest

from bridge.asks import Asks
from bridge.breakers import BreakerRule, Breakers, State
from bridge.call import Identity, new_call
from bridge.config import Config
from bridge.providers import ProviderAsks, provider_breakers
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.errors import HandlerError, ProviderError
from handlers.models.guard import ENTER, TOLD, abroke, aguarded, guarded, sound

RULE = BreakerRule(min_calls=3, open_s=5.0, close_after=1)
OPENAI = ("provider/openai",)
LOCAL = ("provider/openai", "provider/openai@local")


class Front:
    """The front's end, as a worker's call reaches it."""

    def __init__(self):
        self.now, self.asked = 0.0, []
        self.breakers = Breakers(lambda: self.now, lambda _event: None, lambda _key: RULE)
        self._asks = Asks({})
        self._asks.add({}, ProviderAsks(self.breakers).asks())

    def context(self):
        return CallContext(
            CallMeta("ModelService/Generate"), asker=Asker(self, new_call("m", Identity("id"), b"", 0.0))
        )

    def answer(self, call, name, body):
        self.asked.append(name)
        return self._asks.answer_now(call, name, body)

    def state(self, key):
        return self.breakers.state(key)


class Asker:
    def __init__(self, front, call):
        self._front, self.call = front, call

    def ask(self, name, body):
        return self._front.answer(self.call, name, body)

    async def aask(self, name, body):
        return self._front.answer(self.call, name, body)


@pytest.fixture
def front():
    return Front()


async def request(front, keys=OPENAI, error=None, context=None, verdict=lambda error: sound(error.code)):
    async with aguarded(context or front.context(), keys, verdict):
        if error is not None:
            raise error


async def fail(front, keys=OPENAI, times=3, code="UNAVAILABLE"):
    for _ in range(times):
        with pytest.raises(ProviderError):
            await request(front, keys, ProviderError("down", code=code))


async def refused(front, keys=OPENAI):
    with pytest.raises(HandlerError) as caught:
        await request(front, keys)
    assert caught.value.reason == "BREAKER_OPEN"
    return caught.value


async def test_failures_of_a_provider_open_its_breaker_and_no_request_goes_out(front):
    await fail(front)
    error = await refused(front)
    assert (error.code, error.retry_after_s) == ("UNAVAILABLE", 5.0)
    assert error.metadata["breaker"] == "provider/openai"
    front.now += 5.0
    await request(front)
    assert front.state("provider/openai") is State.CLOSED


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"])
async def test_a_provider_that_answers_is_sound(front, code):
    await fail(front, times=20, code=code)
    assert front.state("provider/openai") is State.CLOSED


def test_what_a_status_says_of_a_provider():
    assert sound("UNAVAILABLE") is False
    assert sound("DEADLINE_EXCEEDED") is False
    assert sound("DEADLINE_EXCEEDED", waited_in_full=False) is None
    assert sound("RESOURCE_EXHAUSTED") is None
    assert sound("INVALID_ARGUMENT") is True


async def test_a_server_of_ones_own_does_not_bring_its_kind_down(front):
    await fail(front, LOCAL)
    assert (await refused(front, LOCAL)).metadata["breaker"] == "provider/openai@local"
    await request(front, OPENAI)
    front.breakers.open("provider/openai", "an order", 5.0)
    front.now += 5.0
    await request(front, LOCAL)
    assert front.state("provider/openai") is State.CLOSED, "a call on trial counts for whatever it tried"


async def test_sync_code_is_guarded_too(front):
    for _ in range(3):
        with pytest.raises(ProviderError), guarded(front.context(), OPENAI, lambda error: sound(error.code)):
            raise ProviderError("down")
    with pytest.raises(HandlerError, match="circuit breaker"), guarded(front.context(), OPENAI, lambda _error: True):
        pytest.fail("it went out")


async def test_a_stream_that_breaks_counts(front):
    for _ in range(2):
        await request(front)
        await abroke(front.context(), OPENAI, ProviderError("broken", code="UNAVAILABLE"))
    assert front.state("provider/openai") is State.OPEN


async def test_a_trial_of_a_call_that_has_ended_is_given_back(front):
    await fail(front)
    front.now += 5.0
    context = front.context()
    await context.aask(ENTER, msgspec.msgpack.encode(OPENAI))
    await refused(front)
    context.asker.call.ended_at = 1.0
    await request(front)
    assert front.state("provider/openai") is State.CLOSED


async def test_no_model_without_a_breaker_asks_and_nobody_outside_of_a_server(front):
    await request(front, ())
    async with aguarded(None, OPENAI, lambda _error: None):
        pass
    async with aguarded(CallContext(CallMeta("m")), OPENAI, lambda _error: None):
        pass
    assert front.asked == []
    await request(front)
    assert front.asked == [ENTER, TOLD]


async def test_a_front_that_does_not_answer_keeps_no_request_back(front):
    context = CallContext(CallMeta("m"), asker=Deaf())
    async with aguarded(context, OPENAI, lambda _error: None):
        pass


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
