"""Calls of a pack that are counted together count as much as each by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.call import Identity, new_call
from bridge.receipts import tallies
from bridge.receipts.tallies import Tallies

NOW, LEASED = 1000.0, 900.0
packed = st.tuples(st.floats(0, LEASED), st.integers(1, 1 << 40), st.integers(0, 4096), st.integers(0, 1 << 30))


def made(calls):
    found = []
    for started_at, worker_ns, bytes_in, bytes_out in calls:
        call = new_call("InvokeService/Call", Identity("r"), b"", 0.0)
        call.function, call.route, call.leased_at = call.method, 2, LEASED
        call.started_at, call.worker_ns, call.bytes_in, call.bytes_out = started_at, worker_ns, bytes_in, bytes_out
        found.append(call)
    return found


@given(st.lists(packed, min_size=1, max_size=64))
def test_they_add_up_to_the_same(calls):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tallies.time, "perf_counter", lambda: NOW)
        together, apart = Tallies(), Tallies()
        together.add_packed(made(calls))
        together.add_packed(made(calls[:1]))
        for call in made([*calls, calls[0]]):
            apart.add(call, 0)
    assert together.calls == apart.calls
    one, other = together.functions["InvokeService/Call"], apart.functions["InvokeService/Call"]
    assert (one.bytes_in, one.bytes_out, one.worker_ns) == (other.bytes_in, other.bytes_out, other.worker_ns)
    assert (one.total_s, one.queue_s) == pytest.approx((other.total_s, other.queue_s), abs=1e-6)


def test_each_has_the_time_at_which_it_was_counted():
    calls = made([(1.0, 1, 1, 1), (2.0, 1, 1, 1)])
    Tallies().add_packed(calls)
    assert calls[0].ended_at == calls[1].ended_at > 0
