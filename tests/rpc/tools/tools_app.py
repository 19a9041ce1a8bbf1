"""What the servers of the tools' tests serve: agents of several sorts, and functions that may be tools."""

import asyncio
import os

import dspy

import bridge


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def fails(text: str) -> str:
    raise ValueError(f"no such text: {text}")


def pid() -> int:
    return os.getpid()


agent = dspy.ReAct("question -> answer", tools=[])
clerk = dspy.ReAct("question -> answer", tools=[])
clerk.server_tools = ["function:add"]
plain = dspy.Predict("question -> answer")


class Slow(dspy.Module):
    """Runs an agent of synchronous code: in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct("question -> answer", tools=[])

    def forward(self, question: str) -> dspy.Prediction:
        return self.agent(question=question)


class Own(dspy.Module):
    """Asks for the run's tools itself and calls the first, with a limit of its own."""

    takes_tools = True

    async def aforward(self, argument: str, limit_s: float = 30.0) -> dict:
        tools = await bridge.atools()
        try:
            async with asyncio.timeout(limit_s):
                return {"names": [tool.name for tool in tools], "value": str(await tools[0].acall(text=argument))}
        except TimeoutError:
            return {"names": [], "value": "gave up"}


class OwnNow(dspy.Module):
    """The same in synchronous code, with tools that it names itself."""

    takes_tools = True

    def forward(self, name: str) -> dict:
        (tool,) = bridge.tools(name)
        return {"value": str(tool(a=20, b=22)), "description": tool.desc}
