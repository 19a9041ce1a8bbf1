"""Programs without a server: an app made of the given members, and calls of its handlers as the entry makes them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import dspy
import pytest

from bridge.v1 import common_pb2, invoke_pb2, program_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, EntryOptions, Handler, ModelOptions
from handlers.models.openai_test_server.server import OpenAITestServer, serve
from handlers.programs.discovery import discover_programs


@pytest.fixture(autouse=True)
def no_trace_is_left():
    """What a test runs outside of a server stays in DSPy's trace for good; another test counts what is in there."""
    yield
    if trace := dspy.settings.get("trace"):
        trace.clear()


TEST_MODEL = ModelOptions(model="bridge/test")


@dataclass
class Reply:
    """What a call gave: its outputs and its receipt; of a stream also the deltas."""

    outputs: Any
    context: CallContext
    deltas: list[program_pb2.FieldDelta] = field(default_factory=list)

    def text(self, predictor: str, name: str) -> str:
        return "".join(one.text for one in self.deltas if (one.predictor, one.field) == (predictor, name))


class App:
    """A module with programs in it, and how to call them."""

    def __init__(self, models: dict[str, ModelOptions], members: dict[str, Any]) -> None:
        module = ModuleType("an_app")
        for name, member in members.items():
            setattr(module, name, member)
        found = discover_programs(module, "an_app.py", EntryOptions(pool="llm", models=models))
        self.handlers: dict[str, Handler] = {handler.spec.name: handler for handler in found}

    async def run(
        self,
        program: str,
        model: str = "",
        context: CallContext | None = None,
        wishes: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> Reply:
        request = program_pb2.RunRequest(program=program, inputs=payload(inputs), model=model, **(wishes or {}))
        context = context or new_context("ProgramService/Run")
        body = await self.handlers[program].call("ProgramService/Run", request.SerializeToString(), context)
        return Reply(json.loads(program_pb2.RunResponse.FromString(body).outputs.json), context)

    async def call(self, program: str, **inputs: Any) -> Reply:
        request = invoke_pb2.CallRequest(function=program, arguments=payload(inputs))
        context = new_context("InvokeService/Call")
        body = await self.handlers[program].call("InvokeService/Call", request.SerializeToString(), context)
        return Reply(json.loads(invoke_pb2.CallResponse.FromString(body).result.json), context)

    def open_stream(
        self, program: str, context: CallContext, model: str = "", wishes: dict[str, Any] | None = None, **inputs: Any
    ) -> AsyncIterator[bytes]:
        wishes = wishes or {}
        request = program_pb2.StreamRunRequest(program=program, inputs=payload(inputs), model=model, **wishes)
        return self.handlers[program].stream("ProgramService/StreamRun", request.SerializeToString(), context)

    async def stream(self, program: str, model: str = "", **inputs: Any) -> Reply:
        context = new_context("ProgramService/StreamRun")
        events = [
            program_pb2.StreamRunResponse.FromString(event)
            async for event in self.open_stream(program, context, model, **inputs)
        ]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.WhichOneof("event") for event in events] == ["field_delta"] * (len(events) - 1) + ["final"]
        deltas = [event.field_delta for event in events[:-1]]
        return Reply(json.loads(events[-1].final.outputs.json), context, deltas)

    async def events(
        self, program: str, model: str = "", context: CallContext | None = None, **inputs: Any
    ) -> list[program_pb2.StreamRunResponse]:
        """Stream with every kind of event; what fails raises."""
        context = context or new_context("ProgramService/StreamRun")
        stream = self.open_stream(program, context, model, {"all_events": True}, **inputs)
        return [program_pb2.StreamRunResponse.FromString(event) async for event in stream]


def payload(inputs: dict[str, Any]) -> common_pb2.Payload:
    return common_pb2.Payload(json=json.dumps(inputs))


def new_context(method: str) -> CallContext:
    return CallContext(CallMeta(method=method))


@pytest.fixture
def app():
    """Makes an app: `app(triage=..., models={...})`; without models, the test model is the default."""

    def make(models: dict[str, ModelOptions] | None = None, **members: Any) -> App:
        return App({"default": TEST_MODEL} if models is None else models, members)

    return make


@pytest.fixture
def provider():
    """An OpenAI-compatible server on loopback."""
    with serve() as server:
        yield server


@pytest.fixture
def at_provider(provider: OpenAITestServer):
    """Makes a model of the provider, which behaves as the words of its name say."""

    def make(name: str = "test", **options: Any) -> ModelOptions:
        defaults = {"api_base": provider.base_url, "api_key": "sk-a-key-nobody-may-see", "max_retries": 0}
        return ModelOptions(model=f"openai/{name}", **{**defaults, **options})

    return make
