"""When a failed call is made again. How it is made again, against servers, is in the conformance suite's `retries`."""

import time

import bridge_client
import pytest
from bridge_client.options import CallOptions
from bridge_client.retrying import tries_of

MAY_RETRY = bridge_client.Unavailable("not yet", retry_after_s=0.5)


def tries(**options):
    return tries_of(CallOptions(**{"retries": 2, "idempotency_key": "k", **options}))


@pytest.mark.parametrize("options", [{"retries": 0}, {"idempotency_key": None}])
def test_nothing_is_repeated_that_its_caller_has_not_allowed(options):
    assert tries(**options) is None


def test_as_often_as_allowed_and_as_the_server_says():
    found = tries()
    assert [found.wait_s(MAY_RETRY) for _ in range(3)] == [0.5, 0.5, None]
    assert tries().wait_s(bridge_client.Unavailable("no")) is None


def test_never_beyond_the_deadline():
    assert tries(timeout=0.5).wait_s(MAY_RETRY) is None
    assert tries(timeout=5).wait_s(MAY_RETRY) == 0.5
    assert tries(timeout=None).wait_s(bridge_client.Unavailable("later", retry_after_s=1e6)) == 1e6


def test_all_tries_have_one_request_id_and_one_deadline():
    found = tries(timeout=5)
    first = found.begin()
    time.sleep(0.002)
    second = found.begin()
    assert first.request_id == second.request_id
    assert 4 < second.timeout < first.timeout <= 5


@pytest.mark.parametrize("retries", [-1, 1.5, True])
def test_wrong_settings_are_refused(retries):
    with pytest.raises(ValueError, match="whole number"):
        CallOptions(retries=retries)
