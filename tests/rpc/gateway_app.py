"""Programs of every way to ask a model: of DSPy's own, synchronous, asynchronous, and with a model of the app's own."""

import os

import dspy

qa = dspy.Predict("question -> answer")


class Twice(dspy.Module):
    """Asks two models' worth of questions, without a word of async."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        first = self.ask(question=question).answer
        return dspy.Prediction(answer=first + self.ask(question="Sure?").answer)


twice = Twice()


class Own(dspy.Module):
    """Asks a model that the app makes itself, cache and all."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        place = os.environ["OWN_PLACE"]
        lm = dspy.LM("openai/own", api_base=place, api_key="sk-own", cache=True, num_retries=0)
        with dspy.context(lm=lm):
            return await self.ask.acall(question=question)


own = Own()


class Cached(dspy.Module):
    """Asks the served model, and wants DSPy's cache for it."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer", cache=True)

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.ask.acall(question=question)


cached = Cached()
