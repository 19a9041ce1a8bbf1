"""Models behind the front's gateway: repeats, stand-ins, kept answers, budgets, limits, and who goes midway."""

import asyncio
import email.utils
import time

import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from models_front import Front

from bridge.config import Config
from bridge.gateway.model_options import model_options
from bridge.receipts.budgets import Budget
from handlers.contract import EntryOptions
from handlers.errors import HandlerError
from handlers.models.chat import ChatAnswer, ChatRequest, Way
from handlers.models.gate_wire import BEGIN, END
from handlers.models.openai_test_server.behaviour import Behaviour
from handlers.models.openai_test_server.server import serve
from handlers.models.service import Models


@pytest.fixture(autouse=True)
async def _litellm_settles():
    yield
    for _ in range(2):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        ending = [task for task in tasks if "_worker_loop" not in repr(task.get_coro())]
        await asyncio.gather(*ending, return_exceptions=True)
        await GLOBAL_LOGGING_WORKER.flush()
    await GLOBAL_LOGGING_WORKER.stop()


@pytest.fixture(name="server")
def _server():
    with serve() as server:
        yield server


class Rig:
    """Models of a configuration in a worker, and the front that guards them."""

    def __init__(self, models, **tables):
        config = Config(models=models, **tables)
        self.front = Front(models, **tables)
        self.models = Models(
            EntryOptions(pool="llm", models=model_options(config, {"KEY": "sk-1", "OTHER": "sk-2"})).models
        )
        self.sleeps = []
        for name in models:
            gate = self.models._alone(name)._gate
            gate.sleep = self._sleep

    async def _sleep(self, seconds):
        self.sleeps.append(seconds)

    async def ask(self, model="default", text="hello", call=None, cache=True, **known):
        """One request; returns the answer and the call."""
        call = call or self.front.call(**known)
        request = ChatRequest(messages=[{"role": "user", "content": text}], way=Way(cache=cache))
        try:
            answer = await self.models.find(model).complete(request, self.front.context(call))
        finally:
            self.front.end(call)
        return answer, call

    async def stream(self, model="default", text="hello", **known):
        call = self.front.call(**known)
        request = ChatRequest(messages=[{"role": "user", "content": text}])
        events = [one async for one in self.models.find(model).stream(request, self.front.context(call))]
        self.front.end(call)
        assert isinstance(events[-1], ChatAnswer)
        assert "".join(events[:-1]) == events[-1].text
        return events[-1], call


def at(server, name="test", **settings):
    return {"model": f"openai/{name}", "api_base": server.base_url, **settings}


def told(call):
    """What the receipt tells of the call's answers."""
    answers = [] if call.inside is None else call.inside.answers
    return [(one.model, one.cause, *one.passed) for one in answers]


async def failed(coroutine):
    with pytest.raises(HandlerError) as caught:
        await coroutine
    return caught.value


# -- repeats -----------------------------------------------------------------------------------------------------------


async def test_a_date_in_retry_after_is_honoured(server):
    rig = Rig({"default": at(server, max_retries=1)})
    date = email.utils.formatdate(time.time() + 7, usegmt=True)
    server.script(Behaviour(status=503, retry_after=date))
    await rig.ask()
    (waited,) = rig.sleeps
    assert 4 < waited <= 7


async def test_a_wait_beyond_what_is_allowed_is_passed_on(server):
    rig = Rig({"default": at(server, max_retries=3, max_wait_s=5.0)})
    server.script(Behaviour(status=429, retry_after="6"))
    error = await failed(rig.ask())
    assert (error.reason, error.retry_after_s, rig.sleeps) == ("PROVIDER_ERROR", 6.0, [])


async def test_each_repeat_asks_once_before_and_once_after(server):
    rig = Rig({"default": at(server, max_retries=2)})
    server.script(Behaviour(status=500), Behaviour(status=429))
    await rig.ask()
    assert rig.front.asked == [BEGIN, END] * 3


# -- stand-ins ---------------------------------------------------------------------------------------------------------


async def test_the_next_answers_and_the_first_cools_down(server):
    models = {"default": at(server, max_retries=0, fallbacks=["second"], cooldown_s=50.0), "second": at(server, "two")}
    rig = Rig(models)
    server.script(Behaviour(status=503))
    _, call = await rig.ask()
    assert told(call) == [("second", "fallback", "default: PROVIDER_ERROR")]
    assert server.requests[-1].body["model"] == "two"
    _, call = await rig.ask()
    assert told(call) == [("second", "fallback", "default: MODEL_COOLING")]
    assert [one.body["model"] for one in server.requests] == ["test", "two", "two"]
    assert 49 < rig.front.gateway.cooling_s(rig.front.gateway.models["default"]) <= 50
    assert dict(rig.front.gateway.fallbacks) == {
        ("default", "second", "PROVIDER_ERROR"): 1,
        ("default", "second", "MODEL_COOLING"): 1,
    }


async def test_a_provider_says_for_how_long(server):
    models = {
        "default": at(server, max_retries=0, fallbacks=["test"], cooldown_s=1.0),
        "test": {"model": "bridge/test"},
    }
    rig = Rig(models)
    server.script(Behaviour(status=429, retry_after="90"))
    await rig.ask()
    assert rig.front.gateway.cooling_s(rig.front.gateway.models["default"]) > 80


async def test_a_stream_falls_back_before_its_first_piece_and_never_after(server):
    models = {
        "default": at(server, max_retries=0, fallbacks=["test"], cooldown_s=0.0),
        "test": {"model": "bridge/test"},
    }
    rig = Rig(models)
    server.script(Behaviour(status=500))
    answer, call = await rig.stream()
    assert (answer.model, told(call)) == ("bridge/test", [("test", "fallback", "default: PROVIDER_ERROR")])
    server.script(Behaviour(ending="cut", after_chunks=3))
    error = await failed(rig.stream())
    assert (error.code, error.reason) == ("UNAVAILABLE", "PROVIDER_ERROR")


@pytest.mark.parametrize(("status", "falls"), [(400, False), (401, True), (404, True), (422, False)])
async def test_which_failures_fall(server, status, falls):
    models = {"default": at(server, fallbacks=["test"]), "test": {"model": "bridge/test"}}
    rig = Rig(models)
    server.script(Behaviour(status=status))
    if falls:
        assert (await rig.ask())[0].model == "bridge/test"
    else:
        assert (await failed(rig.ask())).metadata["status"] == str(status)


async def test_the_last_is_asked_though_it_cools_and_its_failure_is_told(server):
    models = {"default": at(server, max_retries=0, fallbacks=["second"]), "second": at(server, max_retries=0)}
    rig = Rig(models)
    server.script(*[Behaviour(status=503)] * 3)
    assert (await failed(rig.ask())).metadata["configuration"] == "models.second"
    assert (await failed(rig.ask())).metadata["configuration"] == "models.second"
    assert len(server.requests) == 3


# -- answers that are kept ---------------------------------------------------------------------------------------------


async def test_the_same_question_is_answered_out_of_the_cache_plain_and_streamed(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0, input_price=1.0, output_price=1.0)})
    first, call = await rig.ask(request_id="origin")
    assert told(call) == []
    for again, call in (await rig.ask(), await rig.stream()):
        assert (again.text, again.finish_reason, again.model) == (first.text, first.finish_reason, first.model)
        assert (again.usage.input_tokens, again.usage.cost_usd, again.usage.cached_calls) == (0, 0.0, 1)
        (answer,) = call.inside.answers
        assert (answer.cause, answer.origin_request_id) == ("cache", "origin")
    assert len(server.requests) == 1
    assert rig.front.asked == [BEGIN, END, BEGIN, BEGIN], "a hit asks once"
    await rig.ask(text="something else")
    await rig.ask(cache=False)
    assert len(server.requests) == 3


async def test_calls_of_tools_are_kept_too(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0)})
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}}
    request = ChatRequest(messages=[{"role": "user", "content": "x"}], tools=[tool])
    model = rig.models.find("default")
    answers = [await model.complete(request, rig.front.context()) for _ in range(2)]
    answers += [[one async for one in model.stream(request, rig.front.context())][-1]]
    assert answers[0].tool_calls
    assert answers[0].tool_calls == answers[1].tool_calls == answers[2].tool_calls
    assert len(server.requests) == 1
    other = ChatRequest(messages=request.messages)
    await model.complete(other, rig.front.context())
    assert len(server.requests) == 2, "what tools there are matters"


async def test_the_same_question_at_the_same_time_is_asked_once(server):
    rig = Rig({"default": at(server, "test-latency200", cache_ttl_s=60.0)})
    found = await asyncio.gather(*(rig.ask(request_id=f"r{index}") for index in range(20)))
    assert len(server.requests) == 1
    assert len({answer.text for answer, _ in found}) == 1
    causes = [cause for _, call in found for _, cause in told(call)]
    assert causes == ["shared"] * 19
    assert {one.origin_request_id for _, call in found if call.inside for one in call.inside.answers} == {"r0"}


async def test_failures_are_shared_by_those_who_wait_and_never_kept(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0, max_retries=0)})
    server.script(Behaviour(status=503, latency_s=0.2))
    errors = await asyncio.gather(*(rig.ask() for _ in range(5)), return_exceptions=True)
    assert {one.reason for one in errors} == {"PROVIDER_ERROR"}
    assert len(server.requests) == 1
    await rig.ask()
    assert len(server.requests) == 2


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("ending", ["cut", "broken_json", "wrong_type", "500", "too_long"])
async def test_no_failure_is_kept_whatever_it_is(server, ending, streamed):
    rig = Rig({"default": at(server, cache_ttl_s=60.0, max_retries=0)})
    behaviours = {"500": Behaviour(status=500), "too_long": Behaviour(status=400, error_code="context_length_exceeded")}
    server.script(behaviours.get(ending) or Behaviour(ending=ending, after_chunks=5))
    ask = rig.stream if streamed else rig.ask
    assert (await failed(ask())).reason == "PROVIDER_ERROR"
    _, call = await ask()
    assert told(call) == []
    assert len(server.requests) == 2
    _, call = await ask()
    assert told(call) == [("default", "cache")]


async def test_where_the_reader_of_a_stream_goes_midway_the_next_asks(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0)})
    server.script(Behaviour(ending="stall", after_chunks=4))
    call = rig.front.call()
    request = ChatRequest(messages=[{"role": "user", "content": "hello"}])
    stream = rig.models.find("default").stream(request, rig.front.context(call))
    assert await anext(stream)
    second = asyncio.create_task(rig.ask())
    while rig.front.asked.count(BEGIN) < 2:
        await asyncio.sleep(0)
    await stream.aclose()
    answer, _ = await second
    assert answer.text
    await asyncio.to_thread(server.wait_for_client_left)


async def test_a_repeat_answers_those_who_wait(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0, max_retries=1)})
    server.script(Behaviour(status=503, latency_s=0.1))
    await asyncio.gather(*(rig.ask() for _ in range(5)))
    assert len(server.requests) == 2


async def test_where_who_asked_has_gone_the_next_asks_and_the_connection_is_closed(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0)})
    server.script(Behaviour(ending="hang"))
    first = asyncio.create_task(rig.ask())
    await asyncio.to_thread(server.wait_for_requests, 1)
    second = asyncio.create_task(rig.ask())
    while rig.front.asked.count(BEGIN) < 2:
        await asyncio.sleep(0)
    first.cancel()
    answer, _ = await second
    assert answer.text
    await asyncio.to_thread(server.wait_for_client_left)
    assert len(server.requests) == 2


async def test_tenants_keys_and_places_never_share_an_answer(server):
    with serve() as elsewhere:
        models = {
            "default": at(server, cache_ttl_s=60.0, api_key="env:KEY"),
            "same": at(server, cache_ttl_s=60.0, api_key="env:KEY"),
            "key": at(server, cache_ttl_s=60.0, api_key="env:OTHER"),
            "place": at(elsewhere, cache_ttl_s=60.0, api_key="env:KEY"),
        }
        rig = Rig(models)
        for model in models:
            for tenant in ("", "a", "b"):
                _, call = await rig.ask(model, tenant=tenant)
                assert told(call) == []
        assert len(server.requests) + len(elsewhere.requests) == 12
        _, call = await rig.ask("place", tenant="b")
        assert told(call) == [("place", "cache")]


async def test_a_new_place_forgets_what_was_kept(server):
    with serve() as elsewhere:
        rig = Rig({"default": at(server, cache_ttl_s=60.0)})
        await rig.ask()
        rig.front.renew({"default": at(elsewhere, cache_ttl_s=60.0)})
        _, call = await rig.ask()
        assert told(call) == []


async def test_what_is_refused_or_empty_is_not_kept(server):
    for word in ("refusal", "empty", "filtered"):
        rig = Rig({"default": at(server, f"test-{word}", cache_ttl_s=60.0)})
        requests = len(server.requests)
        await rig.ask()
        await rig.ask()
        assert len(server.requests) == requests + 2


# -- budgets and limits ------------------------------------------------------------------------------------------------


async def test_a_standing_budget_is_never_overspent(server):
    models = {"default": at(server, "test-latency50", max_tokens=20, input_price=0.0, output_price=1e6)}
    rig = Rig(models, budgets={"tenants": {"usd": 100.0}})
    found = await asyncio.gather(*(rig.ask(tenant="acme") for _ in range(12)), return_exceptions=True)
    reasons = {one.reason for one in found if isinstance(one, HandlerError)}
    assert reasons == {"BUDGET_EXCEEDED"}
    assert sum(not isinstance(one, HandlerError) for one in found) == 5
    await rig.ask(tenant="other")


async def test_a_call_that_ends_without_a_word_gives_its_place_back_and_pays_what_it_reserved():
    rig = Rig(
        {"default": {"model": "bridge/test", "max_concurrent": 1, "max_wait_s": 0.0}}, budgets={"b": {"tokens": 10_000}}
    )
    call = rig.front.call()
    context = rig.front.context(call)
    gate = rig.models._alone("default")._gate
    await context.aask(BEGIN, gate.begin(context, gate.question("x" * 100, max_tokens=500)))
    assert (await failed(rig.ask())).reason == "MODEL_RATE_LIMITED"
    rig.front.end(call)
    await rig.ask()
    ((_, _, account),) = rig.front.gateway.budgets.accounts()
    assert account.budget.spent.tokens > 500
    assert account.budget.reserved.tokens == 0


async def test_a_budget_of_a_key_does_not_tell_the_key():
    models = {
        "default": {"model": "bridge/test", "api_key": "literal:sk-nobody-may-see"},
        "other": {"model": "bridge/test"},
    }
    rig = Rig(models, budgets={"keys": {"per": "key", "requests": 1}})
    await rig.ask()
    error = await failed(rig.ask())
    ((_, holder, _),) = rig.front.gateway.budgets.accounts()
    assert error.reason == "BUDGET_EXCEEDED"
    assert "sk-nobody" not in f"{holder} {error} {error.metadata}"
    await rig.ask("other")


async def test_limits_hold_for_all_workers_together(server):
    models = {"default": at(server, requests_per_minute=3, max_wait_s=1.0)}
    rig, other = Rig(models), Rig(models)
    other.front = rig.front
    found = await asyncio.gather(*(one.ask() for one in (rig, other) * 3), return_exceptions=True)
    refused = [one for one in found if isinstance(one, HandlerError)]
    assert [(one.code, one.reason) for one in refused] == [("RESOURCE_EXHAUSTED", "MODEL_RATE_LIMITED")] * 3
    assert all(55 < one.retry_after_s <= 60 for one in refused)
    assert len(server.requests) == 3


async def test_a_model_without_room_falls_back(server):
    models = {
        "default": at(server, requests_per_minute=1, max_wait_s=0.0, fallbacks=["test"]),
        "test": {"model": "bridge/test"},
    }
    rig = Rig(models)
    await rig.ask()
    answer, call = await rig.ask()
    assert (answer.model, told(call)) == ("bridge/test", [("test", "fallback", "default: MODEL_RATE_LIMITED")])


async def test_a_call_with_a_budget_of_its_own_asks_no_more_often(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0, requests_per_minute=9)}, budgets={"b": {"tokens": 10**6}})
    await rig.ask(budget=Budget(tokens=10**6))
    assert rig.front.asked == [BEGIN, END]


async def test_where_nothing_is_configured_nothing_is_asked(server):
    rig = Rig({"default": at(server)}, breakers={"providers": {"enabled": False}})
    await rig.ask()
    await rig.stream()
    assert rig.front.asked == []
