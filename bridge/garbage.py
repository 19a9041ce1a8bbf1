"""How this process collects garbage once it serves: seldom, and without what start-up has made."""

from __future__ import annotations

import gc

ALLOCATIONS = 20_000


def settle() -> None:
    """Leave what start-up made out of every later collection, and collect less often: calls leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 20, 50)
