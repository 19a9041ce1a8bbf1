"""An app with a program of its own, a function that rates answers and functions that agents may call."""

import dspy

from bridge import invoke

own = dspy.Predict("question -> answer")


def rate(inputs: dict, outputs: dict) -> float:
    """Rates an answer: longer questions are worth more."""
    return min(1.0, len(inputs["question"]) / 10) if outputs["answer"] else 0.0


def weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"rain in {city}"


def runs(program: str, question: str) -> dict:
    """Runs a program for its caller."""
    return invoke(program, question=question)
