"""Calls that share a message to the worker: whatever happens to one of them happens to it alone."""

from __future__ import annotations

from pathlib import Path

import pytest

APP = Path(__file__).with_name("multiplex_app.py")
REST = """
[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
CONFIG = f"""
[pools.general]
size = 2
grace_s = 0.3
{REST}"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect, eventually):
    client = connect(shared.address)
    eventually(
        lambda: len(client.workers("general")) == 2 and not client.pool("general").running, "the pool to be whole"
    )
    return client


@pytest.fixture
def mux(rpc, multiplex):
    return multiplex(rpc)


def notes(path):
    return [int(line) for line in path.read_text().split()]


def test_a_cancelled_member_of_a_pack_that_waits_is_never_begun(mux, rpc, gate, tmp_path, eventually):
    mux.learn()
    path = tmp_path / "notes"
    mux.send(*[mux.request("act", {"priority": 3}, how="hold", port=gate.port) for _ in range(2)])
    holding = [gate.entered(), gate.entered()]
    ids = mux.send(*[mux.request("act", how="note", port=number, path=str(path)) for number in range(10)])
    eventually(lambda: rpc.pool("general").queued >= 10, "each of them to count as a call that waits")
    mux.send(cancel=(ids[0], ids[3], ids[9]))
    assert {answer.reason for answer in mux.answers(3)} == {"CANCELLED_BY_CLIENT"}
    for held in holding:
        held.release()
    assert {answer.ok for answer in mux.answers(9)} == {True}
    assert sorted(notes(path)) == [1, 2, 4, 5, 6, 7, 8]


def test_a_cancelled_member_behind_the_one_that_runs_is_never_begun(mux, gate, tmp_path):
    mux.learn()
    path = tmp_path / "notes"
    mux.send(mux.request("act", {"priority": 3}, how="hold", port=gate.port))
    elsewhere = gate.entered()
    ids = mux.send(
        mux.request("act", how="a"),
        mux.request("act", how="hold", port=gate.port),
        *[mux.request("act", how="note", port=number, path=str(path)) for number in range(10)],
    )
    held = gate.entered()
    mux.send(cancel=(ids[4], ids[11]))
    answers = {answer.id: answer for answer in mux.answers(3)}
    assert answers[ids[0]].ok
    assert {answers[ids[4]].reason, answers[ids[11]].reason} == {"CANCELLED_BY_CLIENT"}
    held.release()
    elsewhere.release()
    assert {answer.ok for answer in mux.answers(10)} == {True}
    assert sorted(notes(path)) == [0, 1, 3, 4, 5, 6, 7, 8]


def test_an_idempotent_member_whose_worker_died_is_tried_once_more(mux, tmp_path):
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.touch()
    mux.learn("once", path=str(there))
    paths = [there] * 10 + [missing] + [there] * 10
    ids = mux.send(*[mux.request("once", path=str(path)) for path in paths])
    answers = {answer.id: answer for answer in mux.answers(21)}
    assert [answers[one].value for one in ids] == ["alive"] * 21
    retried = [one for one in ids if "retried after" in answers[one].receipt.reason]
    assert retried == [ids[10]], "the others were not in its way"
    assert "SIGKILL" in answers[ids[10]].receipt.reason


def test_calls_with_a_session_or_a_priority_are_no_part_of_a_pack(mux):
    mux.learn()
    plain, ranked, bound = (
        mux.send(*[mux.request("act", options, how="a") for _ in range(8)])
        for options in (None, {"priority": 1}, {"session_id": "s"})
    )
    answers = {answer.id: answer for answer in mux.answers(24)}
    assert [sum(answers[one].packed for one in ids) for ids in (plain, ranked, bound)] == [8, 0, 0]


def test_traces_and_tenants_reach_each_member(rpc, multiplex):
    mux = multiplex(rpc, [("x-tenant", "acme")])
    mux.learn()
    traces = ["", "00-11111111111111111111111111111111-2222222222222222-01", ""]
    ids = mux.send(*[mux.request("act", {"traceparent": one}, how="who") for one in traces])
    answers = {answer.id: answer for answer in mux.answers(3)}
    assert [answers[one].value for one in ids] == [f"acme {one}" for one in traces]
    assert all(answers[one].packed for one in ids)


def test_an_operator_can_have_no_packs(start_server, connect, multiplex):
    server = start_server(APP, f"[multiplex]\nmax_pack_calls = 1\n{CONFIG}")
    mux = multiplex(connect(server.address))
    for _ in range(10):
        mux.send(*[mux.request("add", a=1, b=2) for _ in range(8)])
        assert not any(answer.packed for answer in mux.answers(8))
