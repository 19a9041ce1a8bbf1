"""Extractions behind the gateway: answers that are kept, streamed and not, and models that stand in."""

import asyncio
import json

import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from models_front import Front

from bridge.config import Config
from bridge.gateway.model_options import model_options
from handlers.models.answer_schema import AnswerSchema
from handlers.models.chat import ChatRequest, Extracted
from handlers.models.openai_test_server.behaviour import Behaviour
from handlers.models.openai_test_server.server import serve
from handlers.models.service import Models

SCHEMA = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
QUESTION = ChatRequest(messages=[{"role": "user", "content": "I live in Oslo."}])


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
    def __init__(self, models):
        self.front = Front(models)
        self.models = Models(model_options(Config(models=models), {}))

    async def extract(self):
        call = self.front.call()
        found = await self.models.find("default").extract(
            QUESTION, AnswerSchema.parse(SCHEMA), 2, self.front.context(call)
        )
        self.front.end(call)
        return found, call

    async def stream(self):
        call = self.front.call()
        stream = self.models.find("default").stream_extract(
            QUESTION, AnswerSchema.parse(SCHEMA), 2, self.front.context(call)
        )
        events = [event async for event in stream]
        self.front.end(call)
        return events, call


def at(server, **settings):
    return {"model": "openai/test", "api_base": server.base_url, "max_retries": 0, **settings}


async def test_an_extraction_is_answered_out_of_what_was_kept_and_so_is_its_stream(server):
    rig = Rig({"default": at(server, cache_ttl_s=60.0)})
    first, call = await rig.extract()
    assert call.inside.answers == []
    for _ in range(2):
        again, call = await rig.extract()
        assert (again.json_text, again.usage.cached_calls) == (first.json_text, 1)
        assert [one.cause for one in call.inside.answers] == ["cache"]
    events, _ = await rig.stream()
    assert isinstance(events[-1], Extracted)
    assert events[-1].json_text == first.json_text
    assert len(events) > 1, "it grows as a new one does"
    assert len(server.requests) == 1


async def test_feedback_makes_another_question(server):
    """A kept answer that does not fit is not asked for again, and the one that fits is kept too."""
    rig = Rig({"default": at(server, cache_ttl_s=60.0)})
    server.script("no JSON at all", '{"city": "Oslo"}', '{"city": "Oslo"}')
    first, _ = await rig.extract()
    requests = len(server.requests)
    again, _ = await rig.extract()
    assert (again.json_text, again.attempts) == (first.json_text, first.attempts)
    assert len(server.requests) == requests


@pytest.mark.parametrize("way", ["extract", "stream"])
async def test_another_model_stands_in(server, way):
    rig = Rig({"default": at(server, fallbacks=["test"], cooldown_s=0.0), "test": {"model": "bridge/test"}})
    server.script(Behaviour(status=503))
    found, call = await getattr(rig, way)()
    last = found if way == "extract" else found[-1]
    assert last.model == "bridge/test"
    assert [(one.model, one.cause) for one in call.inside.answers] == [("test", "fallback")]


async def test_an_answer_that_never_fits_is_no_reason_to_ask_another_model(server):
    rig = Rig({"default": at(server, fallbacks=["test"]), "test": {"model": "bridge/test"}})
    server.script(*["never"] * 6)
    with pytest.raises(Exception, match="fit") as caught:
        await rig.extract()
    assert caught.value.reason == "OUTPUT_INVALID"
