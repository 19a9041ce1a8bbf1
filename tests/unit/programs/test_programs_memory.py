"""What programs leave behind: no prompt, no trace, no object, however often they run."""

import gc
import sys
from collections import Counter
from itertools import pairwise

import dspy
import pytest

from handlers.programs.test_engine import AsyncTestEngine, TestEngine


class Sync(dspy.Module):
    """Asks without a word of async."""

    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> thought")
        self.second = dspy.ChainOfThought("question, thought -> answer")

    def forward(self, question: str):
        return self.second(question=question, thought=self.first(question=question).thought)


def own_model():
    program = Sync()
    program.set_lm(dspy.LM("bridge/test", engine=TestEngine(), async_engine=AsyncTestEngine()))
    return program


def agent():
    def add(a: int = 1, b: int = 2) -> int:
        return a + b

    return dspy.ReAct("question -> answer", tools=[add], max_iters=2)


PROGRAMS = {
    "predict": lambda: dspy.Predict("question -> answer"),
    "sync": Sync,
    "own": own_model,
    "agent": agent,
}
ROUNDS = 20


def lists_of(program):
    """Every list in which DSPy could write down what it has done."""
    models = [dspy.settings.get("lm"), *(predictor.lm for predictor in program.predictors())]
    modules = [module for _, module in program.named_sub_modules()]
    found = [model.history for model in models if model is not None]
    found += [module.history for module in modules if getattr(module, "history", None) is not None]
    found += [predictor.traces for predictor in program.predictors()]
    found += [predictor.train for predictor in program.predictors()]
    found += [dspy.clients.base_lm.GLOBAL_HISTORY, dspy.settings.get("trace") or []]
    return found


@pytest.mark.parametrize("name", PROGRAMS)
async def test_no_history_and_no_trace_is_kept(app, name):
    program = PROGRAMS[name]()
    before = sum(map(len, lists_of(program)))
    served = app(ask=program)
    lm = served.handlers["ask"]._models.default()
    for number in range(3):
        await served.run("ask", question=f"{number}")
        await served.stream("ask", question=f"{number}")
        await served.events("ask", question=f"{number}")
        await served.run("ask", wishes={"temperature": 0.1 * number, "adapter": number + 1}, question=f"{number}")
    assert len(lists_of(program)) > 3
    assert sum(map(len, lists_of(program))) == before
    assert lm.history == []


@pytest.mark.parametrize("name", PROGRAMS)
async def test_calls_leave_no_objects_behind(app, name):
    served = app(ask=PROGRAMS[name]())

    async def rounds(count):
        for number in range(count):
            await served.run("ask", question=f"{number}")
            await served.events("ask", question=f"{number}")
            await served.run("ask", wishes={"temperature": 0.5}, question=f"{number}")

    await rounds(5)
    counts = [objects()]
    for _ in range(2):
        await rounds(ROUNDS)
        counts.append(objects())
    once, twice = (Counter(new) - Counter(old) for old, new in pairwise(counts))
    more = {kind for kind in twice if min(once[kind], twice[kind]) >= ROUNDS}
    assert more == set(), "one object per call, or more, stays"


def objects():
    """Counts the objects that live, by kind."""
    gc.collect()
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


async def test_what_one_call_holds_ends_with_it(app):
    """Not even the prompt of a call is to be found once it has ended."""
    served = app(ask=Sync())
    secret = "zebra-" * 50
    await served.run("ask", question=secret)
    await served.stream("ask", question=secret)
    gc.collect()
    here = sys._getframe()
    holders = [
        one
        for one in gc.get_objects()
        if isinstance(one, dict | list | tuple) and one is not here.f_locals and any(value is secret for value in one)
    ]
    assert not [one for one in holders if isinstance(one, list)]
