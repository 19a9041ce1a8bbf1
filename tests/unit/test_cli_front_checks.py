"""What `bridge doctor` says of fronts: of a configuration, and of a server that runs."""

import pytest
from google.protobuf.duration_pb2 import Duration

from bridge.cli.checks_fronts import check_configured_fronts, check_running_fronts
from bridge.v1 import pool_pb2


@pytest.mark.parametrize(
    ("fronts", "processors", "level"), [(1, 1, "ok"), (2, 4, "ok"), (2, 3, "note"), (8, 4, "note")]
)
def test_fronts_need_processors_beside_main_and_workers(fronts, processors, level):
    found = check_configured_fronts(fronts, processors)
    assert found.level == level
    assert (f"at most {max(1, processors - 2)}" in found.fix) is (level == "note")


def front(**more):
    return pool_pb2.Front(id="front-1", state=pool_pb2.FRONT_STATE_SERVING, calls=7, **more)


@pytest.mark.parametrize(
    ("told", "level", "detail"),
    [
        (front(), "ok", "7 calls"),
        (front(restarts=2), "note", "2 before it in its place ended"),
        (front(loop_lag=Duration(seconds=1)), "note", "late by 1"),
        (pool_pb2.Front(id="front-1", state=pool_pb2.FRONT_STATE_STARTING), "note", "takes no connections"),
    ],
)
def test_a_front_that_runs(told, level, detail):
    (found,) = check_running_fronts([told])
    assert (found.level, found.title) == (level, "front front-1")
    assert detail in found.detail


def test_a_server_without_fronts_needs_no_word():
    assert list(check_running_fronts([])) == []
