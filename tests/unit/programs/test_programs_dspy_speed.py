"""What DSPy does anew in each call is done once; nothing but the time that it takes may differ."""

import asyncio
import inspect
import threading

import dspy
import pydantic
import pytest
from dspy._vendor.lm15.transports import _proxy
from dspy._vendor.lm15.transports._url import parse_url
from dspy.adapters import utils as prompt_values
from dspy.clients import costs, model_metadata
from dspy.utils import callback

from handlers.programs import dspy_speed
from handlers.programs.dspy_speed import apply


@pytest.fixture
def hops(monkeypatch):
    """The functions that have been handed to threads."""
    apply()
    handed = []
    original = asyncio.to_thread.__wrapped__

    async def counting(func, /, *args, **kwargs):
        handed.append(getattr(func, "__name__", ""))
        return await original(func, *args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", dspy_speed._staying(counting))
    return handed


async def test_a_served_program_changes_threads_in_its_first_call_only(app, at_provider, hops):
    served = app({"default": at_provider()}, made=dspy.Predict("question -> answer"))
    await served.run("made", question="why?")
    assert set(hops) == set(dspy_speed.SMALL_STEPS), "DSPy has other steps now"
    hops.clear()
    for _ in range(3):
        await served.run("made", question="why?")
    assert hops == []


async def test_other_functions_go_to_threads_as_ever():
    apply()
    here = threading.get_ident()
    assert await asyncio.to_thread(threading.get_ident) != here

    def prepare():
        return threading.get_ident()

    assert await asyncio.to_thread(prepare) != here


def test_applied_twice_it_is_there_once():
    apply()
    before = asyncio.to_thread, costs.model_info
    apply()
    assert (asyncio.to_thread, costs.model_info) == before


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-4o-mini"), ("openai", "nobody-knows-it")])
def test_what_is_known_of_a_model_is_the_same_and_the_callers_own(provider, model):
    apply()
    original = model_metadata.model_info.__wrapped__
    found = model_metadata.model_info(provider, model)
    assert found == original(provider, model)
    found["supports_vision"] = "spoilt"
    assert model_metadata.model_info(provider, model) == original(provider, model)
    assert model_metadata.model_info(provider, model, namespaces=()) == {}


@pytest.mark.parametrize(
    ("instance", "method"),
    [
        (dspy.ChainOfThought("question -> answer"), "acall"),
        (dspy.ChatAdapter(), "format"),
        (dspy.JSONAdapter(), "parse"),
        (dspy.LM("openai/any"), "acall"),
        (dspy.Tool(len), "acall"),
        (dspy.LocalInterpreter(), "execute"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_callbacks_hear_what_they_would_hear(instance, method):
    apply()
    listener = callback.BaseCallback()
    function = getattr(type(instance), method).__wrapped__
    for choose in (callback._get_on_start_handler, callback._get_on_end_handler):
        for _ in range(2):
            assert choose(listener, instance, function) == choose.__wrapped__(listener, instance, function)


def test_arguments_are_named_as_ever():
    apply()

    def called(self, a, b=2, *rest, c, d=4, **more):
        """Takes everything that there is."""

    for args, kwargs in (((1,), {"c": 3}), ((1, 5, 6, 7), {"c": 3, "e": 8}), ((), {"a": 1, "c": 3, "d": None})):
        expected = inspect.getcallargs(called, "me", *args, **kwargs)
        assert callback.inspect.getcallargs(called, "me", *args, **kwargs) == expected
    with pytest.raises(TypeError):
        callback.inspect.getcallargs(called, "me")


def test_plain_values_are_written_as_ever_and_only_their_validators_are_kept():
    apply()
    make = prompt_values.TypeAdapter
    for value in ("text", 1, 1.5, True, b"bytes", ["a", 1], {"k": [1]}, (1, 2), None, Size(width=2)):
        expected = make.__wrapped__(type(value)).dump_python(value, mode="json", fallback=str)
        assert [prompt_values.serialize_for_json(value) for _ in range(2)] == [expected] * 2
    assert make(str) is make(str)
    assert make(Size) is not make(Size)
    assert [make(int | float).validate_python("1"), make(float | int).validate_python("1")] == [
        make.__wrapped__(int | float).validate_python("1"),
        make.__wrapped__(float | int).validate_python("1"),
    ]


class Size(pydantic.BaseModel):
    width: int


def test_proxies_of_the_environment_are_read_again_after_a_while():
    now, read = [5.0], []
    known = dspy_speed._at_times(lambda: read.append(1) or {"http": f"proxy-{len(read)}"}, lambda: now[0])
    assert [known()["http"], known()["http"]] == ["proxy-1", "proxy-1"]
    now[0] += dspy_speed.PROXIES_S
    assert known()["http"] == "proxy-2"


def test_requests_go_by_the_proxies_that_are_remembered(monkeypatch):
    apply()
    target = parse_url("http://models.example/v1")
    monkeypatch.setattr(_proxy, "getproxies", dspy_speed._at_times(_proxy.getproxies.__wrapped__, lambda: 0.0))
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    route = _proxy.proxy_route_for(target, proxy=None, trust_env=True)
    assert (route.host, route.port) == ("127.0.0.1", 3128)
