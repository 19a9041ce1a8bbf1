"""How long a call may take: what the transport says, what the client says exactly, and the server's limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.deadline import timeout_s


@pytest.mark.parametrize(
    ("transport_s", "exact_ms", "expected"),
    [
        (None, None, 60.0),
        (5.0, None, 5.0),
        (None, 5000, 5.0),
        (5.0, 2000, 2.0),
        (2.0, 5000, 2.0),
        (7200.0, None, 3600.0),
        (None, 10**12 - 1, 3600.0),
        (7200.0, 10**9, 3600.0),
        (None, 1, 0.001),
        (None, 0, 0.0),
        (0.0, None, 0.0),
        (-3.0, None, 0.0),
        (-3.0, 5000, 0.0),
        (10 * 365 * 86400.0, None, 3600.0),
    ],
)
def test_the_smaller_wins_within_the_limits(transport_s, exact_ms, expected):
    assert timeout_s(transport_s, exact_ms, default_s=60.0, longest_s=3600.0) == expected


def test_the_default_is_within_the_limit_too():
    assert timeout_s(None, None, default_s=60.0, longest_s=10.0) == 10.0


@given(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(0, 10**12),
    st.floats(0.001, 1e6),
    st.floats(0.001, 1e6),
)
def test_it_is_never_negative_nor_above_the_limit(transport, exact, default, longest):
    value = timeout_s(transport, exact, default, longest)
    assert 0.0 <= value <= longest
    assert math.isfinite(value)
    if transport is not None:
        assert value <= max(0.0, transport)
    if exact is not None:
        assert value <= exact / 1000.0
