"""Checks of fronts for `bridge doctor`: whether the machine has processors for them, and how those of a server do.

Owns nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.findings import Finding
from bridge.cli.output import duration
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE_S = 0.5
"""A front whose event loop was later than this has too little processor time."""


def check_configured_fronts(fronts: int, processors: int) -> Finding:
    """Say whether so many fronts have room beside the main process."""
    if fronts == 1:
        return Finding("ok", "fronts", "1: the main process takes gRPC by itself")
    detail = f"{fronts} processes that take gRPC, beside the main process, on {processors} processors"
    if fronts + 1 < processors:
        return Finding("ok", "fronts", detail)
    fix = f"set server.fronts to at most {max(1, processors - 2)}: workers need processors too"
    return Finding("note", "fronts", detail, fix)


def check_running_fronts(fronts: list[pool_pb2.Front]) -> Iterator[Finding]:
    """Say how the fronts of a running server do; nothing where it has none."""
    for front in fronts:
        lag_s = front.loop_lag.ToTimedelta().total_seconds()
        detail = f"{front.calls} calls, event loop late by {duration(lag_s)} at most"
        if front.state != pool_pb2.FRONT_STATE_SERVING:
            yield Finding("note", f"front {front.id}", "takes no connections", "look into the server's log")
        elif front.restarts:
            yield Finding(
                "note",
                f"front {front.id}",
                f"{detail}; {front.restarts} before it in its place ended",
                "look into the server's log for the causes",
            )
        elif lag_s >= LATE_S:
            fix = "give the server more processors, or use fewer fronts"
            yield Finding("note", f"front {front.id}", detail, fix)
        else:
            yield Finding("ok", f"front {front.id}", detail)
