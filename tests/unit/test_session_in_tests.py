"""Functions that use their session, called in a unit test without a server."""

import pytest

from bridge import VersionMismatch, session
from handlers.errors import HandlerError
from handlers.testing import acall, call, in_session


def count() -> int:
    found = session.read("count")
    session.set("count", found.value + 1 if found else 1, expected_version=found.version if found else 0)
    return session.get("count")


async def tidy() -> list[str]:
    for name in await session.anames():
        assert await session.adelete(name)
    assert not await session.adelete("none")
    return [session.id, session.mode, *await session.anames()]


def late() -> int:
    found = session.read("count")
    session.set("count", 10)
    return session.set("count", 11, expected_version=found.version)


def test_a_session_of_a_unit_test():
    with in_session("s1", {"count": 3}) as variables:
        assert call(count) == 4
        assert call(count) == 5
        assert variables == {"count": 5}
        with pytest.raises(VersionMismatch):
            call(late)


async def test_a_session_for_async_functions():
    with in_session("s1", {"a": 1, "b": b"\xff"}) as variables:
        assert await acall(tidy) == ["s1", "hint"]
        assert variables == {}


def test_without_a_session_it_says_so():
    with pytest.raises(HandlerError) as caught:
        call(count)
    assert caught.value.reason == "NO_SERVER"
