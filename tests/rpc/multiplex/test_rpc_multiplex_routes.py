"""Calls of routes over one stream: no pack goes past the route, whatever the function was before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

APP = Path(__file__).parent / "multiplex_app.py"
CONFIG = """
[pools.general]
size = 2
queue_limit = 10

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
ROUTE = """
[routes.add]
alternatives = [ { function = "add", weight = 1 }, { function = "add", pool = "second", weight = 1 } ]

[pools.second]
size = 1
modules = ["APP"]
""".replace("APP", str(APP))


def sums(mux, count):
    mux.send(*[mux.request("add", a=number, b=1) for number in range(count)])
    first = mux.next_id - count
    answers = {answer.id: answer for answer in mux.answers(count)}
    assert [answers[first + number].value for number in range(count)] == list(range(1, count + 1))
    return list(answers.values())


@pytest.mark.parametrize("count", [3, 300])
def test_each_call_goes_by_its_route_also_where_the_stream_has_more_than_its_share(
    start_server, connect, multiplex, count
):
    mux = multiplex(connect(start_server(APP, CONFIG + ROUTE).address))
    for _ in range(3):
        answers = sums(mux, count)
        assert {answer.receipt.attempts for answer in answers} == {1}
        assert not any(answer.packed for answer in answers)
    pools = Counter(answer.receipt.pool for answer in sums(mux, 300))
    assert set(pools) == {"general", "second"}


def test_packs_end_where_a_reload_brings_a_route(start_server, connect, multiplex):
    server = start_server(APP, CONFIG)
    client = connect(server.address)
    multiplex(client).learn("add", a=1, b=2)
    server.config.write_text(CONFIG + ROUTE)
    server.process.send_signal(1)
    server.wait_for_log("reloaded after", 60)
    answers = sums(multiplex(client), 300)
    assert {answer.receipt.attempts for answer in answers} == {1}
