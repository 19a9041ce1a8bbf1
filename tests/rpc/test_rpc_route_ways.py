"""Routes where calls come in other ways: nested, after a reload, and where they can not be served at all."""

from pathlib import Path

import grpc
import pytest

Code = grpc.StatusCode
APP = Path(__file__).with_name("routes_app.py")
LEAN = """
[pools.general]
size = {size}
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
ROUTES = """
[routes.falls]
alternatives = [ { function = "one" } ]
fallback = ["two"]

[routes.again]
alternatives = [ { function = "three" } ]
retry = { attempts = 2, backoff_ms = 1.0, budget = 10.0 }
"""


class TestNested:
    @pytest.fixture(params=[1, 3], ids=["one worker", "three"])
    def client(self, request, start_server, connect):
        return connect(start_server(APP, LEAN.format(size=request.param) + ROUTES).address)

    def test_a_call_of_a_route_from_its_own_pool(self, client, orders):
        outcome = client.call("nests", target="falls", folder=orders.folder, text="x")
        assert outcome.value == "nested one: x"
        assert outcome.receipt.attempts == 0
        assert [one.function for one in outcome.receipt.nested.listed] == ["falls"]

    def test_its_attempts_follow_each_other(self, client, orders):
        orders("one", "fail")
        orders("three", "fail")
        assert client.call("nests", target="falls", folder=orders.folder, text="x").value == "nested two: x"
        assert client.call("nests", target="again", folder=orders.folder, text="x").value == "nested three: x"
        assert (orders.asked("one"), orders.asked("two"), orders.asked("three")) == (1, 1, 2)


def reload(server, config):
    server.config.write_text(config)
    server.process.send_signal(1)
    line = server.stderr.wait(lambda line: "reloaded after" in line or "not reloaded" in line, 60)
    assert line, server.stderr.text
    return line


class TestReload:
    @pytest.fixture
    def server(self, start_server):
        return start_server(APP, LEAN.format(size=2) + ROUTES)

    def test_routes_come_change_and_go(self, server, connect, orders):
        client = connect(server.address)
        assert client.call("one", folder=orders.folder, text="x").receipt.attempts == 0
        more = '[routes.one]\nalternatives = [ { function = "two" } ]\n'
        assert "reloaded after" in reload(server, LEAN.format(size=2) + more)
        assert client.call("one", folder=orders.folder, text="x").value == "two: x"
        assert client.call("falls", folder=orders.folder, text="x").reason == "UNKNOWN_FUNCTION"

    def test_one_that_can_not_be_served_changes_nothing(self, server, connect, orders):
        client = connect(server.address)
        wrong = '[routes.falls]\nalternatives = [ { function = "oen" } ]\n'
        line = reload(server, LEAN.format(size=2) + wrong)
        assert "not reloaded" in line
        assert "did you mean 'one'" in line
        assert client.call("falls", folder=orders.folder, text="x").value == "one: x"


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ('alternatives = [ { function = "missing" } ]', "routes.r.alternatives.0: There is no function 'missing'"),
        (
            'alternatives = [ { function = "one" }, { function = "different" } ]',
            "routes.r: 'different' can not answer for 'one': its arguments differ: folder: not known; text: expected "
            "integer, got string",
        ),
        (
            'alternatives = [ { function = "one" }, { function = "careless", shadow = 0.5 } ]',
            "'careless' is to get copies of calls, but is not declared idempotent",
        ),
        ('alternatives = [ { model = "none" } ]', "routes.r.alternatives.0.model: there is no model 'none'"),
    ],
)
def test_a_server_with_a_route_that_can_not_be_served_does_not_start(launch, route, expected):
    server = launch(APP, LEAN.format(size=1) + f"\n[routes.r]\n{route}\n")
    assert server.wait() in (1, 2)
    assert expected in " ".join(server.stderr.split())
    assert server.leftovers() == []
