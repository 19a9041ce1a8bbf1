"""The parts of a batch add up to the whole, whatever the weights; the wire brings back what was put on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.batching.counters import Histogram
from bridge.batching.shares import split, split_meta
from handlers import batches
from handlers.contract import CallMeta, ErrorRecord, ReplyMeta, UsageRecord

weights = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40)


@given(st.integers(0, 10**15), weights)
def test_parts_are_whole_and_add_up(total, by):
    parts = split(total, by)
    assert sum(parts) == total
    assert min(parts) >= 0


def test_parts_follow_the_weights():
    assert split(100, [1, 1, 2]) == [25, 25, 50]
    assert split(10, [0, 0]) == [5, 5]
    assert split(7, [float("nan"), 1]) == [0, 7]


@given(weights, st.integers(0, 10**6), st.floats(0, 100))
def test_the_use_of_models_adds_up(by, tokens, cost):
    use = UsageRecord("m", calls=1, input_tokens=tokens, output_tokens=3, cost_usd=cost)
    parts = split_meta(ReplyMeta((use, UsageRecord("n", calls=2)), model_s=0.5), by)
    assert sum(part.usage[0].input_tokens for part in parts) == tokens
    assert sum(part.usage[1].calls for part in parts) == 2
    assert sum(part.usage[0].cost_usd for part in parts) == pytest.approx(cost)
    assert {part.usage[1].cost_usd for part in parts} == {None}
    assert sum(part.model_s for part in parts) == pytest.approx(0.5)


metas = st.builds(CallMeta, st.text(max_size=20), request_id=st.text(max_size=20), tenant=st.text(max_size=5))


@given(st.lists(st.tuples(metas, st.binary(max_size=50)), max_size=20), st.integers(0, 2**40))
def test_members_come_back_as_they_were(members, limit):
    import msgspec

    body = batches.pack([(msgspec.msgpack.encode(meta), request) for meta, request in members], limit)
    assert batches.unpack(body) == ([batches.Member(*one) for one in members], limit)


answers = st.builds(batches.Answer, st.booleans(), st.floats(0, 1e9), st.binary(max_size=9), st.binary(max_size=50))


@given(st.lists(answers, max_size=20))
def test_answers_come_back_as_they_were(given_answers):
    assert batches.unpack_answers(batches.pack_answers(given_answers, 1 << 20)) == given_answers


def test_an_answer_that_does_not_fit_fails_alone():
    made = [batches.good(b"x" * 400), batches.good(b"y" * 900), batches.good(b"z" * 300)]
    found = batches.unpack_answers(batches.pack_answers(made, 1000))
    assert [answer.ok for answer in found] == [True, False, True]
    assert b"max_items" in found[1].meta


@given(st.binary(max_size=60))
def test_other_bytes_are_told_from_batches(data):
    for read in (batches.unpack, batches.unpack_answers):
        try:
            read(data)
        except (ValueError, TypeError):
            continue


def test_a_failure_keeps_its_record():
    answer = batches.failed(ErrorRecord(code="UNKNOWN", reason="R", message="m"), 2.0)
    assert (answer.ok, answer.weight, answer.body) == (False, 2.0, b"")


def test_a_histogram_counts_each_value_once():
    histogram = Histogram((1, 2, 4))
    for value in (1, 2, 3, 4, 5):
        histogram.add(value)
    assert histogram.buckets() == [("1.0", 1.0), ("2.0", 2.0), ("4.0", 4.0), ("+Inf", 5.0)]
    assert histogram.sum == 15
