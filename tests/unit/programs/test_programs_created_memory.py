"""Programs that run for ever: histories, traces and built programs are bounded, so memory stays where it is."""

import gc
import os

import dspy
import msgspec
import psutil
import pytest

from bridge.v1 import program_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, CreatedOptions, EntryOptions, ModelOptions
from handlers.programs import definitions
from handlers.programs.created import CreatedPrograms
from handlers.programs.definitions import ProgramDefinition
from handlers.signatures.parser import parse

LONG = os.environ.get("TEST_LENGTH") == "long"
CALLS = 100_000 if LONG else 1_500
WARM = 500
MODELS = {"default": ModelOptions(model="bridge/test")}


class Front:
    """Answers what workers ask about definitions."""

    def __init__(self):
        self.asked = []

    async def aask(self, name, body):
        number = msgspec.msgpack.decode(body)
        self.asked.append((name, number))
        definition = ProgramDefinition(
            name=f"made.{number}",
            version=number,
            signature=parse(f"question, extra_{number} -> answer"),
            kind="chain_of_thought",
        )
        return True, definitions.to_json(definition)


def created(kept=256):
    options = EntryOptions(pool="llm", models=MODELS, created=CreatedOptions())
    return CreatedPrograms(options, kept)


async def run(programs, front, number):
    context = CallContext(CallMeta("ProgramService/Run", version=number, definition=number), asker=front)
    context.enter()
    inputs = {"question": "why?", f"extra_{number}": "x" * 1000}
    request = program_pb2.RunRequest(program=f"made.{number}")
    request.inputs.json = msgspec.json.encode(inputs).decode()
    body = await programs.call("ProgramService/Run", request.SerializeToString(), context)
    assert program_pb2.RunResponse.FromString(body).outputs.json


async def test_only_so_many_built_programs_are_kept():
    programs, front = created(kept=4), Front()
    for number in range(1, 13):
        await run(programs, front, number)
    assert len(programs._built) == 4
    assert programs._opening == {}
    await run(programs, front, 12)
    assert len(front.asked) == 12, "the last ones are there"
    await run(programs, front, 1)
    assert front.asked[-1] == ("program.definition", 1)


@pytest.mark.timeout(1800 if LONG else 120)
async def test_calls_leave_memory_as_it_was(app):
    programs, front = created(kept=2), Front()
    served = app(made=dspy.ChainOfThought("question -> answer"))

    async def calls(count):
        for index in range(count):
            await run(programs, front, 1 + index % 2)
            if index % 2:
                await served.run("made", question=f"{index} " * 100)
            if index % 100 == 99:
                await run(programs, front, 3 + index // 100 % 3)

    await calls(WARM)
    gc.collect()
    objects, resident = len(gc.get_objects()), psutil.Process().memory_info().rss
    await calls(CALLS)
    gc.collect()
    assert len(gc.get_objects()) - objects < 2_000
    assert psutil.Process().memory_info().rss - resident < 30 << 20
    assert dspy.settings.get("trace") in (None, [])
    for handler in programs._built.values():
        assert all(not predictor.traces for predictor in handler._program.predictors())
        assert all(not getattr(lm, "history", []) for lm in handler._models._made.values())
