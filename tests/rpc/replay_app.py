"""Functions and programs whose calls are saved and run again."""

import os
import random
import socket
import urllib.request

import dspy

from bridge import ainvoke, invoke


class Answer(dspy.Signature):
    """Answer."""

    question: str = dspy.InputField()
    number: int = dspy.OutputField()


class Careful(dspy.Module):
    """Two questions, one after the other, and a check that fails on some answers."""

    def __init__(self) -> None:
        self.first = dspy.Predict(Answer)
        self.second = dspy.ChainOfThought("question, number: int -> verdict: str")

    async def aforward(self, question: str) -> dspy.Prediction:
        number = (await self.first.acall(question=question)).number
        verdict = (await self.second.acall(question=question, number=number)).verdict
        if "fail" in question:
            raise ValueError(f"the verdict on {number} is {verdict!r}")
        return dspy.Prediction(number=number, verdict=verdict)


class Threaded(dspy.Module):
    """The same question from a thread."""

    def __init__(self) -> None:
        self.first = dspy.Predict(Answer)

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(number=self.first(question=question).number, luck=random.random())


class OwnModel(dspy.Module):
    """Asks a model that the app has made itself."""

    def __init__(self) -> None:
        self.ask = dspy.Predict("question -> answer")
        self.ask.lm = dspy.LM(
            "openai/test",
            api_base=os.environ.get("OWN_MODEL_URL", "http://127.0.0.1:9/v1"),
            api_key="sk-own-model-1234567",
        )

    def forward(self, question: str) -> dspy.Prediction:
        return self.ask(question=question)


careful = Careful()
threaded = Threaded()
own_model = OwnModel()


def lucky(sides: int) -> list[int]:
    return [random.randint(1, sides) for _ in range(5)]


def summarise(text: str) -> str:
    """Calls a model through the bridge."""
    answer = invoke("bridge.models.generate", messages=[{"role": "ROLE_USER", "content": text}])
    if not text.startswith("fine"):
        raise RuntimeError(f"no use for {answer['text']!r}")
    return answer["text"]


async def asynchronous(text: str) -> int:
    return len(await ainvoke("bridge.echo", value=text, other=[1, 2]))


def words(text: str) -> object:
    for word in text.split():
        if word == "stop":
            raise ValueError("stopped")
        yield word


def leaky(note: str, patient: dict, key: str) -> dict:
    """Returns and raises what is secret."""
    if note == "raise":
        raise PermissionError(f"{key} does not open {os.environ['SHOP_API_TOKEN']} for {patient['name']}")
    return {"note": note, "name": patient["name"], "env": os.environ["SHOP_API_TOKEN"], "key": key}


def calls_home(url: str) -> str:
    """Reaches into the network by itself."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.read().decode()
    except OSError as error:
        raise RuntimeError(f"not at home: {error}") from None


def resolves(name: str) -> int:
    return len(socket.getaddrinfo(name, 80))
