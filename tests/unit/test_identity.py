"""Metadata into an identity: what is read, what is passed over, and what is refused with its key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.call import Identity
from bridge.errors import BridgeError, Code
from bridge.interceptors.identity import VALUE_CHARACTERS, identify, request_id_of


def refused(*metadata):
    with pytest.raises(BridgeError) as caught:
        identify(metadata)
    return caught.value


def test_everything_that_is_read():
    identity = identify(
        (
            ("x-request-id", "r-1"),
            ("x-session-id", "s-1"),
            ("x-session-mode", "strict"),
            ("x-session-ordered", "1"),
            ("x-tenant", "acme"),
            ("x-timeout-ms", "1500"),
            ("x-priority", "high"),
            ("traceparent", "00-abc-def-01"),
            ("user-agent", "grpc-node"),
            ("x-unknown", "passed over"),
            ("some-bin", b"\x00"),
        )
    )
    assert identity == Identity("r-1", "s-1", "acme", "00-abc-def-01", 1500, 1, "strict", True)


def test_without_metadata_a_request_gets_an_id_of_its_own():
    ids = {identify(()).request_id for _ in range(1000)}
    assert len(ids) == 1000
    assert "" not in ids
    identity = identify((("x-request-id", ""),))
    assert identity.request_id not in {"", *ids}
    assert (identity.session_id, identity.tenant, identity.timeout_ms) == ("", "", None)


@pytest.mark.parametrize(
    "key",
    [
        "x-request-id",
        "x-session-id",
        "x-session-mode",
        "x-session-ordered",
        "x-tenant",
        "x-timeout-ms",
        "traceparent",
        "x-priority",
    ],
)
@pytest.mark.parametrize("value", ["x" * (VALUE_CHARACTERS + 1), "a\nb", "\x1b[2J", "a\x00", "ä", b"bytes"])
def test_no_value_that_could_hurt_a_log_or_a_trailer(key, value):
    error = refused((key, value))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_METADATA")
    assert [path for path, _ in error.violations] == [key]
    assert key in error.message


@pytest.mark.parametrize("value", ["", "1.5", "-1", "+1", "1e3", " 1", "soon", "1" * 13, "0x10"])
def test_timeouts_are_whole_milliseconds(value):
    error = refused(("x-timeout-ms", value))
    assert (error.reason, error.violations[0][0]) == ("BAD_METADATA", "x-timeout-ms")
    assert value in error.message


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("1", 1), ("999999999999", 999999999999), ("007", 7)])
def test_timeouts(value, expected):
    assert identify((("x-timeout-ms", value),)).timeout_ms == expected


@pytest.mark.parametrize(("value", "expected"), [("high", 1), ("normal", 0), ("low", -1)])
def test_priorities(value, expected):
    assert identify((("x-priority", value),)).priority == expected
    assert identify(()).priority == 0


@pytest.mark.parametrize("value", ["", "High", "1", "urgent"])
def test_other_priorities_are_refused(value):
    error = refused(("x-priority", value))
    assert (error.reason, error.violations[0][0]) == ("BAD_METADATA", "x-priority")
    assert "'high', 'normal' or 'low'" in error.message


def test_session_modes():
    assert identify((("x-session-mode", "hint"),)).session_mode == "hint"
    assert identify((("x-session-mode", "strict"),)).session_mode == "strict"
    assert identify(()).session_mode is None
    assert refused(("x-session-mode", "wild")).reason == "BAD_METADATA"


def test_session_order():
    assert [identify((("x-session-ordered", text),)).session_ordered for text in "01"] == [False, True]
    assert identify(()).session_ordered is None
    assert refused(("x-session-ordered", "yes")).reason == "BAD_METADATA"


def test_the_request_id_is_known_even_where_the_rest_is_refused():
    assert request_id_of((("x-tenant", "\n"), ("x-request-id", "r-9"))) == "r-9"
    made = request_id_of((("x-request-id", "\n"),))
    assert made
    assert made.isprintable()
    assert request_id_of(()) != request_id_of(())


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=300) | st.binary(max_size=30)), max_size=10))
def test_any_metadata_gives_an_identity_or_bad_metadata(metadata):
    reason, request_id = None, request_id_of(metadata)
    try:
        request_id = identify(metadata).request_id
    except BridgeError as error:
        reason = error.reason
    assert reason in {None, "BAD_METADATA"}
    assert request_id.isprintable()
    assert 0 < len(request_id) <= VALUE_CHARACTERS
