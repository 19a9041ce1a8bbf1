"""One stream of many calls under clients that do not read, or send without end, and the settings that bound them."""

from __future__ import annotations

import threading
from pathlib import Path

import grpc

Code = grpc.StatusCode
APP = Path(__file__).with_name("multiplex_app.py")
CONFIG = """
[server]
slow_reader_timeout_s = {slow_s}

[multiplex]
max_open_calls = {calls}
max_open_bytes = "256KiB"

[pools.general]
size = 1
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
BIG = 64 * 1024


def test_calls_are_begun_no_faster_than_their_answers_are_read(start_server, connect, multiplex):
    """400 answers are 25 MiB; what a client leaves unread holds no more than the stream's limit and the transport."""
    server = start_server(APP, CONFIG.format(slow_s=1.0, calls=2048))
    rpc = connect(server.address)
    unread = multiplex(rpc)
    unread.send(*[unread.request("big", size=BIG) for _ in range(400)])
    server.wait_for_log("SLOW_READER", 20.0)
    assert rpc.pool("general").calls < 300
    assert unread.failure().code() is Code.DEADLINE_EXCEEDED
    assert rpc.call("add", a=1, b=2).value == 3


def test_a_client_that_reads_late_loses_nothing(start_server, connect, multiplex, eventually):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=2048)).address)
    late = multiplex(rpc)
    late.send(*[late.request("big", size=BIG) for _ in range(200)])
    eventually(lambda: rpc.pool("general").calls >= 5, "the first calls to end")
    answers = late.answers(200)
    assert {len(answer.value) for answer in answers} == {BIG}


def test_no_more_calls_are_open_than_the_setting_says(start_server, connect, multiplex, gate, eventually):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=8)).address)
    mux = multiplex(rpc)
    mux.send(mux.request("act", how="hold", port=gate.port))
    held = gate.entered()
    sender = threading.Thread(
        target=lambda: [mux.send(*[mux.request("add", a=1, b=2) for _ in range(50)]) for _ in range(100)]
    )
    sender.start()
    eventually(lambda: rpc.pool("general").queued >= 7, "calls to wait")
    assert rpc.pool("general").queued in (7, 8), "but for a canary, which may wait too"
    held.release()
    assert len(mux.answers(5001)) == 5001
    sender.join()


def test_no_more_bytes_of_requests_are_held_than_the_setting_says(start_server, connect, multiplex, gate, eventually):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=2048)).address)
    mux = multiplex(rpc)
    mux.send(mux.request("act", how="hold", port=gate.port))
    held = gate.entered()
    for _ in range(100):
        mux.send(mux.request("measure", text="x" * BIG))
    eventually(lambda: rpc.pool("general").queued >= 4, "calls to wait")
    assert rpc.pool("general").queued <= 6, "256 KiB are four, and one is read before the limit is seen"
    held.release()
    assert sorted(str(answer.value) for answer in mux.answers(101)) == [str(BIG)] * 100 + ["hold"]


def test_the_greeting_says_how_many_calls_may_be_open(start_server, connect, multiplex):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=77)).address)
    assert multiplex(rpc).max_open_calls == 77


def test_the_metadata_of_the_stream_holds_for_its_calls(start_server, connect, multiplex, gate):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=2048)).address)
    mux = multiplex(rpc, [("x-timeout-ms", "300")])
    ids = mux.send(
        mux.request("act", how="hold", port=gate.port),
        mux.request("act", {"timeout_ms": 20_000}, how="hold", port=gate.port),
    )
    gate.entered().wait_until_gone()
    gate.entered().release()
    answers = {answer.id: answer for answer in mux.answers(2)}
    assert answers[ids[0]].reason == "IN_WORKER"
    assert answers[ids[1]].value == "hold"


def test_calls_of_a_higher_priority_go_first(start_server, connect, multiplex, gate, eventually, tmp_path):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=2048)).address)
    mux, path = multiplex(rpc), tmp_path / "notes"
    mux.send(mux.request("act", how="hold", port=gate.port))
    held = gate.entered()
    mux.send(*[mux.request("act", how="note", port=number, path=str(path)) for number in range(60)])
    eventually(lambda: rpc.pool("general").queued >= 60, "calls to wait")
    mux.send(mux.request("act", {"priority": 3}, how="note", port=99, path=str(path)))
    eventually(lambda: rpc.pool("general").queued >= 61, "it to wait too")
    held.release()
    assert len(mux.answers(62)) == 62
    order = path.read_text().split()
    assert order.index("99") < 40, "only what stood in the line of the worker already is before it"
    assert [number for number in order if number != "99"] == [str(number) for number in range(60)]


def test_strict_and_ordered_sessions(start_server, connect, multiplex, tmp_path, eventually):
    rpc = connect(start_server(APP, CONFIG.format(slow_s=60.0, calls=2048)).address)
    mux = multiplex(rpc, [("x-session-id", "one"), ("x-session-mode", "strict"), ("x-session-ordered", "1")])
    path = tmp_path / "notes"
    mux.send(*[mux.request("act", how="note", port=number, path=str(path)) for number in range(20)])
    answers = mux.answers(20)
    assert path.read_text().split() == [str(number) for number in range(20)]
    assert {answer.receipt.session_epoch for answer in answers} == {0}, "its first worker"
    mux.send(mux.request("act", how="die"))
    assert mux.answers(1)[0].reason == "WORKER_CRASHED"
    eventually(lambda: len(rpc.workers("general")) == 1, "the worker to be back")
    mux.send(mux.request("act", how="a"), mux.request("act", {"session_id": "other"}, how="a"))
    outcomes = [answer.value or answer.reason for answer in mux.answers(2)]
    assert sorted(outcomes) == ["SESSION_LOST", "a"]
