"""Packs on the wire, and what a worker leaves behind: whole records or none, each member begun once."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import frames, packed
from pool.errors import FrameError
from pool.frames import Request
from pool.packed import Outbox, left_behind, members, read_members, read_records, record
from pool.tokens import OUTBOX_BYTES, PACK_MEMBERS, PACKS, Tokens, shared_memory

SMALL = st.binary(max_size=40)


@pytest.fixture
def tokens():
    memory = shared_memory()
    made = Tokens(memory, new=True)
    os.close(memory)
    yield made
    made.close()


@given(st.lists(st.tuples(SMALL, SMALL)))
def test_members_are_read_as_they_were_written(calls):
    assert list(read_members(members(calls))) == calls


@given(st.lists(st.tuples(st.integers(0, 65535), st.booleans(), st.integers(0, 1 << 60), SMALL, SMALL)))
def test_results_are_read_as_they_were_written(results):
    data = b"".join(record(index, ok, meta, body, ns) for index, ok, ns, meta, body in results)
    assert read_records(data) == results


@given(st.binary(max_size=200))
def test_bytes_that_are_no_results_are_refused_or_read(data):
    try:
        read_records(data)
    except FrameError:
        return
    assert data == b"" or len(data) >= 19


def test_each_cut_of_results_is_noticed():
    whole = record(1, True, b"meta", b"body", 5) + record(2, False, b"", b"x", 6)
    first = len(record(1, True, b"meta", b"body", 5))
    for size in range(1, len(whole)):
        if size != first:
            with pytest.raises(FrameError):
                read_records(whole[:size])


def test_what_a_worker_leaves_is_of_one_pack_and_whole(tokens):
    outbox = Outbox(tokens.outbox)
    outbox.begin(7)
    assert outbox.add(7, record(0, True, b"", b"a", 1))
    assert outbox.add(7, record(1, True, b"", b"b", 1))
    assert [one[4] for one in left_behind(tokens.outbox, 7)] == [b"a", b"b"]
    assert left_behind(tokens.outbox, 8) == []
    outbox.begin(8)
    assert left_behind(tokens.outbox, 7) == []


def test_a_result_without_room_is_not_added(tokens):
    outbox = Outbox(tokens.outbox)
    outbox.begin(1)
    assert not outbox.add(1, bytes(OUTBOX_BYTES))
    assert outbox.content() == b""


def test_what_user_code_wrote_over_is_nothing(tokens):
    Outbox(tokens.outbox).begin(3)
    tokens.outbox[8:16] = b"\xff" * 8
    assert left_behind(tokens.outbox, 3) == []


def test_the_members_of_each_pack_have_tokens_of_their_own(tokens):
    one, other = tokens.arm(2), tokens.arm(1)
    assert [tokens.take_member(one) for _ in range(3)] == [True, True, False]
    take = tokens.taker(other)
    assert [take(), take()] == [True, False]
    assert {tokens.arm(1) for _ in range(PACKS)} == set(range(PACKS))


def run(tokens, bodies, *, call=None, recalled=0):
    """Run a pack in this process; return the indices of the results of each PACKED frame."""
    slot = tokens.arm(len(bodies))
    for _ in range(recalled):
        assert tokens.take_member(slot)
    body = members([(b"", one) for one in bodies])
    sent = []
    echo = lambda _request, _id, meta, body: (True, meta, body)  # noqa: E731
    request = Request(100, False, None, "f", bytes((slot,)), body)
    rest = packed.run(request, tokens, call or echo, lambda head, rest: sent.append(head + rest))
    found = []
    for data in [*sent, rest]:
        length, kind, call_id = frames.HEADER.unpack_from(data)
        assert (kind, call_id, length) == (frames.PACKED, 100, len(data) - frames.HEADER_SIZE)
        results = data[frames.HEADER_SIZE :]
        found.append([(one[0], one[4]) for one in read_records(results)])
    return found


def test_members_run_in_order(tokens):
    seen = []

    def call(_request, index, _meta, body):
        seen.append(index)
        return True, b"", body

    assert run(tokens, [b"a", b"b", b"c"], call=call) == [[(0, b"a"), (1, b"b"), (2, b"c")]]
    assert seen == [0, 1, 2]


def test_a_member_that_nobody_waits_for_has_no_result(tokens):
    call = lambda _request, index, _meta, body: None if index == 1 else (True, b"", body)  # noqa: E731
    assert run(tokens, [b"a", b"b", b"c"], call=call) == [[(0, b"a"), (2, b"c")]]


def test_members_are_marked_as_dropped_in_both_ends(tokens):
    memory = shared_memory()
    front, worker = Tokens(memory, new=True), Tokens(memory)
    os.close(memory)
    one, other = front.arm(PACK_MEMBERS, 1 << 5), front.arm(3)
    front.drop_member(one, PACK_MEMBERS - 1)
    assert worker.dropped[one] == 1 << 5 | 1 << 63
    assert worker.dropped[other] == 0
    assert worker.take_member(one), "it costs no token of those that are left"
    for end in (front, worker):
        end.close()
        end.drop_member(one, 1)


def test_members_that_were_taken_back_do_not_run(tokens):
    assert run(tokens, [b"a", b"b", b"c"], recalled=2) == [[(0, b"a")]]


def test_results_that_do_not_fit_are_sent_before(tokens):
    large = bytes(OUTBOX_BYTES // 2)
    results = run(tokens, [large, large, b"c"])
    assert [one for frame in results for one in frame] == [(0, large), (1, large), (2, b"c")]
    assert len(results) > 1


def test_a_result_does_not_wait_long_for_the_next(tokens):
    def call(_request, _id, _meta, body):
        if body == b"slow":
            end = time.perf_counter_ns() + packed.SEND_NS
            while time.perf_counter_ns() < end:
                pass
        return True, b"", body

    assert run(tokens, [b"a", b"slow", b"b"], call=call) == [[(0, b"a"), (1, b"slow")], [(2, b"b")]]
