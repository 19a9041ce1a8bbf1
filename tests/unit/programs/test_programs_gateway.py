"""Programs' models behind the front's gateway: repeats, stand-ins, answers that are kept, and what programs ask for."""

import asyncio
import email.utils
import time

import dspy
import pytest
from models_front import Front

from bridge.config import Config
from bridge.gateway.model_options import model_options
from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions
from handlers.errors import HandlerError
from handlers.models.gate_wire import BEGIN, END
from handlers.models.openai_test_server.behaviour import Behaviour


class Sync(dspy.Module):
    """Asks without a word of async."""

    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str):
        return self.ask(question=question)


class OnLoop(Sync):
    """Asks on the event loop, and does not await it."""

    async def aforward(self, question: str):
        return self.ask(question=question)


PROGRAMS = [lambda: dspy.Predict("question -> answer"), Sync]


class Rig:
    """A program on models of a configuration, and the front that guards them."""

    def __init__(self, app, models, program):
        self.front = Front(models)
        self.app = app(models=model_options(Config(models=models), {}), ask=program)
        self.sleeps = []
        served = self.app.handlers["ask"]._models
        for name in models:
            served.get(name).gate.sleep = self._sleep

    async def _sleep(self, seconds):
        self.sleeps.append(seconds)

    async def run(self, timeout_s=None, streamed=False, wishes=None, **known):
        call = self.front.call(**known)
        asker = self.front.context(call).asker
        context = CallContext(CallMeta("ProgramService/Run"), timeout_s, asker)
        token = context.enter()
        try:
            if streamed:
                return await self.app.events("ask", context=context, question="Why?"), call
            return await self.app.run("ask", context=context, wishes=wishes, question="Why?"), call
        finally:
            context.leave(token)
            self.front.end(call)


def at(provider, name="test", **settings):
    return {"model": f"openai/{name}", "api_base": provider.base_url, "max_retries": 0, **settings}


def told(call):
    return [(one.model, one.cause, *one.passed) for one in call.inside.answers]


@pytest.mark.parametrize("make", PROGRAMS)
async def test_what_a_provider_asks_to_wait_is_waited_seconds_or_date(app, provider, make):
    rig = Rig(app, {"default": at(provider, max_retries=2)}, make())
    date = email.utils.formatdate(time.time() + 9, usegmt=True)
    provider.script(Behaviour(status=429, retry_after="3"), Behaviour(status=503, retry_after=date))
    reply, _ = await rig.run()
    assert reply.outputs["answer"]
    assert rig.sleeps[0] == 3.0
    assert 6 < rig.sleeps[1] <= 9
    assert rig.front.asked == [BEGIN, END] * 3


async def test_nothing_is_waited_for_that_outlasts_the_call(app, provider):
    rig = Rig(app, {"default": at(provider, max_retries=2)}, Sync())
    provider.script(Behaviour(status=429, retry_after="30"))
    with pytest.raises(HandlerError) as caught:
        await rig.run(timeout_s=20.0)
    assert (caught.value.code, caught.value.retry_after_s) == ("RESOURCE_EXHAUSTED", 30.0)
    assert (rig.sleeps, len(provider.requests)) == ([], 1)


@pytest.mark.parametrize("make", PROGRAMS)
async def test_another_model_stands_in_and_the_first_cools_down(app, provider, make):
    models = {
        "default": at(provider, fallbacks=["second", "test"]),
        "second": at(provider, "two"),
        "test": {"model": "bridge/test"},
    }
    rig = Rig(app, models, make())
    provider.script(Behaviour(status=500), Behaviour(status=429))
    reply, call = await rig.run()
    assert told(call) == [("test", "fallback", "default: PROVIDER_ERROR", "second: PROVIDER_ERROR")]
    assert "bridge/test" in {use.model for use in reply.context.usage}
    _, call = await rig.run()
    assert told(call)[0][2:] == ("default: MODEL_COOLING", "second: MODEL_COOLING")
    assert len(provider.requests) == 2


async def test_a_failure_names_the_model_of_the_configuration(app, provider):
    rig = Rig(app, {"default": at(provider)}, Sync())
    provider.script(Behaviour(status=500))
    with pytest.raises(HandlerError) as caught:
        await rig.run()
    assert caught.value.metadata["configuration"] == "models.default"


async def test_once_a_piece_has_gone_out_nobody_stands_in_and_nothing_is_repeated(app, provider):
    models = {"default": at(provider, max_retries=3, fallbacks=["test"]), "test": {"model": "bridge/test"}}
    rig = Rig(app, models, dspy.Predict("question -> answer"))
    provider.script(Behaviour(ending="cut", after_chunks=12))
    with pytest.raises(HandlerError) as caught:
        await rig.run(streamed=True)
    assert caught.value.code == "UNAVAILABLE"
    assert (len(provider.requests), rig.sleeps) == (1, [])


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_program_is_answered_out_of_what_was_kept_and_pays_nothing(app, provider, make):
    rig = Rig(app, {"default": at(provider, cache_ttl_s=60.0, input_price=1.0, output_price=1.0)}, make())
    first, _ = await rig.run()
    again, call = await rig.run()
    assert again.outputs == first.outputs
    assert told(call) == [("default", "cache")]
    (use,) = again.context.usage
    assert (use.calls, use.cached_calls, use.input_tokens, use.cost_usd, use.unpriced_calls) == (1, 1, 0, 0.0, 0)
    assert first.context.usage[0].cost_usd > 0
    assert len(provider.requests) == 1


@pytest.mark.parametrize("make", PROGRAMS)
async def test_a_call_that_wants_a_fresh_answer_neither_takes_nor_leaves_one(app, provider, make):
    rig = Rig(app, {"default": at(provider, cache_ttl_s=60.0)}, make())
    for wishes, asked in (({"cache": False}, 1), ({}, 2), ({"cache": True}, 2), ({"cache": False}, 3), ({}, 3)):
        await rig.run(wishes=wishes)
        assert len(provider.requests) == asked, "the second call finds nothing that the first could have left"
    fresh, kept = await asyncio.gather(rig.run(wishes={"cache": False}), rig.run())
    assert len(provider.requests) == 4, "calls at the same time do not mix"
    assert (told(fresh[1]), told(kept[1])) == ([], [("default", "cache")])


async def test_the_same_question_of_many_runs_is_asked_once_and_each_gets_it(app, provider):
    rig = Rig(app, {"default": at(provider, "test-latency200", cache_ttl_s=60.0)}, Sync())
    replies = await asyncio.gather(*(rig.run() for _ in range(10)))
    assert len(provider.requests) == 1
    assert len({reply.outputs["answer"] for reply, _ in replies}) == 1


class Warm(Sync):
    """Asks the same twice, at other temperatures, and once not out of the cache."""

    def forward(self, question: str):
        for config in ({"temperature": 0.1}, {"temperature": 0.9}, {"temperature": 0.1}, {"cache": False}):
            answer = self.ask(question=question, config=config)
        return answer


async def test_parameters_are_part_of_the_question_and_a_program_may_do_without(app, provider):
    rig = Rig(app, {"default": at(provider, cache_ttl_s=60.0)}, Warm())
    await rig.run()
    assert [one.body.get("temperature") for one in provider.requests] == [0.1, 0.9, None]
    await rig.run()
    assert len(provider.requests) == 4, "what asks for no kept answer keeps none"


async def test_a_program_that_holds_up_the_loop_says_what_to_do(app, provider):
    rig = Rig(app, {"default": at(provider, requests_per_minute=5)}, OnLoop())
    with pytest.raises(HandlerError, match="acall") as caught:
        await rig.run()
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_NEEDS_ASYNC")
    assert provider.requests == ()


def test_dspys_cache_is_off_once_programs_are_served(app):
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    app(models={"default": ModelOptions(model="bridge/test")}, ask=Sync())
    assert not dspy.cache.enable_memory_cache
    assert not dspy.cache.enable_disk_cache
