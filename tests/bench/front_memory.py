"""How the front's memory grows with the calls that it has answered. Owns nothing; knows nothing of other figures.

It has a server of its own: what large messages or many connections left behind in another would be in the comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
from results import Value
from scenarios import SMALL_BYTES
from targets import targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from generators import Generator

SETTLED = 10_000
"""Calls after which the front holds what it needs."""
CALLS = {"front_memory": 1_000_000, "front_memory_100k": 100_000}
CONCURRENCY = 16
SLICE_S = 4.0
FIRST_SLICE_S = 0.5


def measure(name: str, generator: Generator, say: Callable[[str], None], *, workers: int) -> Value:
    """Returns the front's resident memory after all calls of the figure `name`, divided by that after 10,000.

    `high` has the most that was seen on the way, after the first 10,000 calls.
    """
    with targets(workers, {"pooled"}, calibrate=False) as by_name:
        target = by_name["pooled"]
        request, reply = target.contender.request(SMALL_BYTES), target.contender.response(SMALL_BYTES)
        front = psutil.Process(target.pid)
        done, settled, seen = 0, 0, [0]
        while done < CALLS[name]:
            seconds = SLICE_S if settled else FIRST_SLICE_S
            done += generator.run(target.address, request, len(reply), CONCURRENCY, seconds).calls
            now = front.memory_info().rss
            if settled:
                seen.append(now)
            elif done >= SETTLED:
                settled, began = now, done
    say(f"{name}: {settled >> 10:,} KiB after {began:,} calls, {now >> 10:,} KiB after {done:,}")
    return Value(
        value=round(now / settled, 4), low=round(min(seen[1:]) / settled, 4), high=round(max(seen) / settled, 4)
    )
