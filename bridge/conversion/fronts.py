"""Front processes as the API's messages: pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.conversion.calls import set_duration
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from bridge.fronts.front import Front

_STATES = {
    "starting": pool_pb2.FRONT_STATE_STARTING,
    "serving": pool_pb2.FRONT_STATE_SERVING,
    "stopping": pool_pb2.FRONT_STATE_STOPPING,
}


def front_message(front: Front) -> pool_pb2.Front:
    """Describe a front; what it tells of itself is up to a second old."""
    message = pool_pb2.Front(
        id=front.name,
        pid=front.pid,
        state=_STATES[front.state],
        open_calls=front.open_calls,
        calls=front.calls,
        restarts=front.earlier_ends,
    )
    set_duration(message.age, time.monotonic() - front.started_at)
    if (figures := front.figures) is not None:
        message.rss_bytes = figures.rss_bytes
        set_duration(message.cpu, figures.cpu_s)
        set_duration(message.loop_lag, figures.loop_lag_s)
        set_duration(message.link_delay, front.link_delay_s)
    return message
