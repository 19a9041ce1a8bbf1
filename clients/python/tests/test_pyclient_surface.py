"""The two clients have one surface, and all of it is public, documented and typed."""

import inspect

import bridge_client
import pytest
from bridge_client import models, programs, texts

PAIRS = [
    (bridge_client.Client, bridge_client.AsyncClient),
    (programs.Programs, programs.AsyncPrograms),
    (models.Models, models.AsyncModels),
    (texts.EmbeddingModels, texts.AsyncEmbeddingModels),
    (texts.Metrics, texts.AsyncMetrics),
]


def public(cls):
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_method_for_method(blocking, asynchronous):
    assert public(blocking).keys() == public(asynchronous).keys()
    for name, member in public(blocking).items():
        if isinstance(member, property):
            continue
        other = public(asynchronous)[name]
        assert inspect.signature(member).parameters == inspect.signature(other).parameters, name
        assert member.__doc__.replace("a `with`", "an `async with`") == other.__doc__, name


def test_connect_and_connect_async_take_the_same():
    left, right = bridge_client.connect, bridge_client.connect_async
    assert inspect.signature(left).parameters == inspect.signature(right).parameters


def test_everything_public_is_named_and_documented():
    for name in bridge_client.__all__:
        assert getattr(bridge_client, name).__doc__, name
    every = {cls.__name__ for cls in bridge_client.BridgeError.__subclasses__()}
    assert every <= set(bridge_client.__all__)
