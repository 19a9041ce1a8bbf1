"""How this process collects garbage once it serves: seldom, and without what start-up has made."""

from __future__ import annotations

import gc

THRESHOLDS = (4_000, 10, 10)
"""Allocations, young collections and middle ones until the next collection of each generation.

grpcio leaves a cycle with every call. Those in flight when a young collection comes grow old with their calls' objects:
with a full collection every 80,000 calls they take half a megabyte, with one in millions several. It takes about a
millisecond, and CPython leaves it out where little has come since the last one, in proportion to what that one left.
"""


def settle() -> None:
    """Leave what start-up made out of every later collection, and collect less often: calls leave few cycles."""
    gc.collect()
    gc.freeze()
    gc.collect()  # else what is frozen still counts as left by the last full collection, and the next is put off
    gc.set_threshold(*THRESHOLDS)
