"""The DSPy programs of the conformance suite: on the built-in test model, which answers the same way every time.

A question with lines such as `call NAME {"a": 1}` is a script: the agent calls these tools, one after another.
"""

import asyncio
from typing import Any

import dspy

answer = dspy.Predict("question -> answer")
sort = dspy.ChainOfThought("ticket -> queue: Literal['billing','technical','sales'], urgency: int")
agent = dspy.ReAct("question -> answer", tools=[])


class Slow(dspy.Module):
    """Answer twice, with a pause between: for clients that go away and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    async def aforward(self, question: str, pause_s: float = 0.5) -> Any:
        """Ask, wait, ask again."""
        await self.ask.acall(question=question)
        await asyncio.sleep(pause_s)
        return await self.ask.acall(question=question)


slow = Slow()
