"""Sessions' variables, hosted tools, orders to the server: what the Python clients do of it, against a real server."""

from __future__ import annotations

import asyncio
import threading

import bridge_client
import pytest

APP = """
import time


def add(a: int, b: int) -> int:
    return a + b


def wait() -> None:
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def address(start_shared_server):
    return start_shared_server(APP).address


@pytest.fixture
def client(address):
    with bridge_client.connect(address, timeout=30) as opened:
        yield opened


def test_variables_are_set_read_listed_and_deleted(client):
    with client.session() as session:
        first = session.variables.set("total", 2**53 + 1)
        session.variables.set("name", "Ada")
        session.variables.set("raw", b"\x00\xff")
        assert [(one.name, one.type, one.value) for one in session.variables.list()] == [
            ("name", "string", "Ada"),
            ("raw", "bytes", b"\x00\xff"),
            ("total", "int", 2**53 + 1),
        ]
        assert session.variables.get("total").version == first
        with pytest.raises(bridge_client.Aborted) as caught:
            session.variables.set("total", 1, expected_version=first + 100)
        assert caught.value.reason == "VERSION_MISMATCH"
        with pytest.raises(bridge_client.BridgeError) as caught:
            session.variables.set("total", "text")
        assert caught.value.reason == "VARIABLE_TYPE"
        assert session.variables.set("total", "text", replace_type=True) > first
        session.variables.delete("total")
        with pytest.raises(bridge_client.NotFound):
            session.variables.get("total")


def test_a_watch_tells_every_change_and_why_it_ends(client):
    with client.session() as session:
        session.variables.set("a", 1)
        watched = session.variables.watch()
        snapshot = next(watched)
        assert [(one.name, one.value) for one in snapshot.variables] == [("a", 1)]
        session.variables.set("b", [1.5])
        change = next(watched)
        assert (change.variable.name, change.variable.value, change.skipped) == ("b", [1.5], 0)
        session.variables.delete("a")
        assert next(watched) == bridge_client.VariableDeleted(name="a", version=change.version + 1, skipped=0)
    assert list(watched) == [bridge_client.WatchEnd(reason="closed")]


def test_the_variables_of_no_session_are_refused(client):
    with pytest.raises(ValueError, match=r"expected a client of a session; use session\(...\)"):
        _ = client.variables


def test_sessions_say_how_they_are_bound(client):
    with client.session(mode="strict", ordered=True, ttl=90) as session:
        session.variables.set("a", 1)
        found = {one.id: one for one in client.sessions()}[session.session_id]
        assert (found.mode, found.ordered, found.ttl, found.variables, found.lost) == ("strict", True, 90.0, 1, "")
    assert session.session_id not in {one.id for one in client.sessions()}
    with pytest.raises(ValueError, match="expected a mode of hint, strict, got 'loose'"):
        client.open_session(mode="loose")


def test_hosted_tools_are_listed(client):
    def stock_of(article: str) -> int:
        """How many there are."""
        return len(article)

    assert client.tools() == ()
    with client.host_tools([stock_of], visibility="tenant") as host:
        (tool,) = client.tools()
        assert (tool.name, tool.description, tool.on_error) == ("stock_of", "How many there are.", "observe")
        assert (tool.registration, tool.connected, tool.open_calls) == (host.registration, True, 0)
        assert tool.arguments_schema["required"] == ["article"]
        assert client.tools(host.registration) == (tool,)
    with pytest.raises(bridge_client.NotFound):
        client.tools(host.registration)


def test_orders_to_the_server(client, eventually):
    assert client.operator.scale("general", 1).size == 1
    assert client.operator.scale("general", 2).size == 2
    assert client.operator.restart("general") == 2
    assert client.operator.release_input("general") == 0
    assert client.operator.drain("general", 5) is True
    with pytest.raises(bridge_client.Unavailable):
        client.call("add", a=1, b=2)
    assert client.operator.resume("general").name == "general"
    assert eventually(lambda: client.call("add", a=1, b=2) == 3, "the pool")
    breaker = client.operator.open_breaker("function/add/pool/general", 60, cause="a test")
    assert (breaker.state, breaker.cause) == ("open", "a test")
    assert breaker.key in {one.key for one in client.operator.status().breakers}
    assert client.operator.close_breaker(breaker.key) is True
    assert client.operator.close_breaker(breaker.key) is False


def test_a_call_that_goes_on_is_listed_and_cancelled(client, eventually):
    ended = []

    def call():
        with pytest.raises(bridge_client.Cancelled) as caught:
            client.with_options(request_id="long-1").call("wait")
        ended.append(caught.value.reason)

    caller = threading.Thread(target=call)
    caller.start()
    found = eventually(
        lambda: [one for one in client.operator.status().open_calls if one.request_id == "long-1" and one.worker],
        "the call",
    )
    assert (found[0].function, found[0].pool) == ("wait", "general")
    assert client.operator.cancel("long-1") == 1
    caller.join(30)
    assert ended == ["CANCELLED_BY_OPERATOR"]


def test_the_same_with_asyncio(address):
    async def main():
        async with bridge_client.connect_async(address, timeout=30) as client:
            async with client.session(ordered=True) as session:
                version = await session.variables.set("a", {"b": [1, None]})
                assert (await session.variables.get("a")).version == version
                async with session.variables.watch() as events:
                    assert (await anext(events)).version == version
                    await session.variables.delete("a", expected_version=version)
                    assert isinstance(await anext(events), bridge_client.VariableDeleted)
                assert session.session_id in {one.id for one in await client.sessions()}
            assert await client.tools() == ()
            assert {pool.name for pool in (await client.operator.status()).pools} >= {"general"}
            pool = await client.pool("general")
            assert (pool.start_kind, pool.max_size) == ("template", 2)

    asyncio.run(main())
