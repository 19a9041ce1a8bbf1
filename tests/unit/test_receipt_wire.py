"""The receipt that is written without a message object is the one that the generated class would write."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.receipts import wire as receipt_wire
from bridge.v1.common_pb2 import Receipt

names = st.text(max_size=200).filter(lambda text: text.isprintable())
counts = st.integers(0, 2**63 - 1) | st.sampled_from([0, 1, 127, 128, 16383, 16384, 2**32])


@given(names, names, st.sampled_from([1, 2]), names, names, names, st.lists(counts, min_size=5, max_size=5))
def test_every_field_is_read_back(request_id, function, route, reason, pool, worker, numbers):
    queue_us, worker_us, total_us, bytes_in, bytes_out = numbers
    data = receipt_wire.write(request_id.encode(), (function, route, reason, pool, worker), *numbers)
    expected = Receipt(
        request_id=request_id,
        function=function,
        route=route,
        reason=reason,
        pool=pool,
        worker=worker,
        queue_us=queue_us,
        worker_us=worker_us,
        total_us=total_us,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
    )
    assert Receipt.FromString(data) == expected


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_change_of_memory_may_be_negative_or_nothing(change):
    receipt = Receipt.FromString(receipt_wire.memory_change(change))
    assert receipt.HasField("memory_change_bytes")
    assert receipt.memory_change_bytes == change


@given(counts)
def test_an_epoch_is_left_out_where_it_is_nought(epoch):
    data = receipt_wire.session_epoch(epoch)
    assert Receipt.FromString(data).session_epoch == epoch
    assert bool(data) == bool(epoch)


def test_the_tags_are_those_of_the_proto_file():
    tags = {"queue_us": b"@", "worker_us": b"H", "total_us": b"X", "bytes_in": b"`", "bytes_out": b"h"}
    fields = Receipt.DESCRIPTOR.fields_by_name
    assert {name: bytes([fields[name].number << 3]) for name in tags} == tags
    assert bytes([fields["memory_change_bytes"].number << 3]) == b"p"
    assert bytes([fields["session_epoch"].number << 3]) == b"8"
    assert fields["request_id"].number == 1
