"""How the front's memory grows with the calls that it has answered. Owns nothing; knows nothing of other figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
from results import Value
from scenarios import FIGURES, SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from generators import Generator
    from targets import Target

SETTLED = 10_000
"""Calls after which the front holds what it needs."""
CALLS = {"front_memory": 1_000_000, "front_memory_100k": 100_000}
CONCURRENCY = 16
SLICE_S = 2.0


def measure(name: str, target: Target, generator: Generator, say: Callable[[str], None]) -> Value:
    """Returns the front's resident memory after all calls of the figure `name`, divided by that after 10,000."""
    request, reply = target.contender.request(SMALL_BYTES), target.contender.response(SMALL_BYTES)
    front = psutil.Process(target.pid)
    done, settled = 0, 0
    while done < CALLS[name]:
        done += generator.run(target.address, request, len(reply), CONCURRENCY, SLICE_S).calls
        if not settled and done >= SETTLED:
            settled = front.memory_info().rss
    now = front.memory_info().rss
    say(f"{name}: {settled >> 10:,} KiB after {SETTLED:,} calls, {now >> 10:,} KiB after {done:,}")
    ratio = round(now / settled, 4)
    limit = next(figure.target for figure in FIGURES if figure.name == name)
    return Value(value=ratio, low=ratio, high=ratio, target=limit)
