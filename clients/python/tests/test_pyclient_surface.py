"""The two clients have one surface, and all of it is public, documented and typed."""

import importlib
import inspect
import pkgutil

import bridge_client
import pytest

INTERNAL = {"AsyncChannel", "AsyncWire"}
"""Classes of one kind only, which no caller sees."""
RENAMED = {"aclose": "close"}
"""What Python itself calls otherwise in asyncio, of iterators."""
OTHERWISE = {"ToolHost.close", "Stream.close"}
"""Methods whose documentation tells how the two differ."""


def asynchronous_classes():
    """Every class of the package whose name begins with Async, by name."""
    found = {}
    for module in pkgutil.iter_modules(bridge_client.__path__, "bridge_client."):
        if not module.ispkg:
            members = vars(importlib.import_module(module.name)).values()
            found |= {one.__name__: one for one in members if inspect.isclass(one) and one.__name__.startswith("Async")}
    return {name: cls for name, cls in found.items() if name not in INTERNAL}


def twin(cls):
    """The blocking class of the same name, wherever it is defined."""
    name = cls.__name__.removeprefix("Async")
    for module in pkgutil.iter_modules(bridge_client.__path__, "bridge_client."):
        if not module.ispkg and hasattr(loaded := importlib.import_module(module.name), name):
            return getattr(loaded, name)
    raise AssertionError(f"{cls.__name__} has no blocking twin")


PAIRS = [(twin(cls), cls) for cls in asynchronous_classes().values()]


def public(cls):
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_method_for_method(blocking, asynchronous):
    theirs = {RENAMED.get(name, name): member for name, member in public(asynchronous).items()}
    assert public(blocking).keys() == theirs.keys()
    for name, member in public(blocking).items():
        if isinstance(member, property):
            continue
        other = theirs[name]
        assert inspect.signature(member).parameters == inspect.signature(other).parameters, name
        if f"{blocking.__name__}.{name}" not in OTHERWISE:
            assert member.__doc__.replace("a `with`", "an `async with`") == other.__doc__, name


def test_all_twins_were_found():
    names = {blocking.__name__ for blocking, _ in PAIRS}
    assert names >= {"Client", "Programs", "Models", "EmbeddingModels", "Metrics", "Variables", "Operator", "Stream"}


def test_connect_and_connect_async_take_the_same():
    left, right = bridge_client.connect, bridge_client.connect_async
    assert inspect.signature(left).parameters == inspect.signature(right).parameters


def test_everything_public_is_named_and_documented():
    for name in bridge_client.__all__:
        assert getattr(bridge_client, name).__doc__, name
    every = {cls.__name__ for cls in bridge_client.BridgeError.__subclasses__()}
    assert every <= set(bridge_client.__all__)
