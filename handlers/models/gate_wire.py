"""What workers ask the front before a request goes out to a model, and tell it after: the records, and no more.

Bodies are MessagePack arrays, whose end may be missing where it holds nothing but defaults. Shared with
`bridge.gateway.gateway`.
"""

from __future__ import annotations

import msgspec

BEGIN, END = "model.begin", "model.end"
TOKENS, DOLLARS = 1, 2
"""The bits of `CallMeta.budget` and `ModelOptions.reserve`."""


class Begin(msgspec.Struct, frozen=True, array_like=True):
    """May a request go out? Nothing of it is in here but its size and a digest."""

    model: str
    """As the configuration names it."""
    within: int = 0
    """For a nested call that runs in its caller's worker: the number by which the front knows it there."""
    tokens: int = 0
    """What it will use at most, as far as that is known: to be reserved."""
    usd: float = 0.0
    digest: bytes = b""
    """Of all that its answer depends on; empty where it is not to be answered out of the cache, nor kept there."""
    flight: int = 0
    """The number of the attempt before this one, which has failed: others may wait for its answer."""
    passed: tuple[tuple[str, str], ...] = ()
    """Models that were asked before this one, or passed over, each with the reason of its failure."""
    last: bool = True
    """Whether nothing stands behind it, so that it is asked even where it has failed lately."""


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """It may; or it need not, as here is its answer."""

    number: int = 0
    """To be told with its end; 0 where nothing is to be told."""
    answer: bytes | None = None


class End(msgspec.Struct, frozen=True, array_like=True):
    """How an attempt has ended."""

    number: int
    sound: bool | None = None
    """Whether its provider is sound; None where the attempt says nothing of it."""
    known: bool = True
    """Whether it is known what it has used; if not, what was reserved counts."""
    tokens: int = 0
    usd: float = 0.0
    answer: bytes = b""
    """To be kept, and given to who waits for it."""
    failure: bytes = b""
    """An ErrorRecord as JSON, where it has failed."""
    again: bool = False
    """Whether it is tried again."""
    model: str = ""
    """Of an attempt that has not asked, so that its number is 0: as the configuration names it."""
