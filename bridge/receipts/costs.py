"""What calls have used of language models, by tenant, function and model.

Owns the sums, since the server's start. Their number is bounded: beyond it everything new counts together. Sums are of
what receipts tell, so that they add up to these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from handlers.contract import UsageRecord
from handlers.usage import total

if TYPE_CHECKING:
    from bridge.call import Call

MOST = 10_000
OTHER = "(other)"


class Spender(NamedTuple):
    """Who has used what."""

    tenant: str
    function: str
    model: str


_REST = Spender(OTHER, OTHER, OTHER)


class Costs:
    """The sums of one server."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sums: dict[Spender, UsageRecord] = {}

    def add(self, call: Call) -> None:
        """Take in a call that has ended, without what it has called: that is counted by itself."""
        for use in call.meta.usage:
            function = call.function or call.method
            spender = Spender(call.identity.tenant, function, use.model)
            old = self._sums.get(spender)
            if old is None and len(self._sums) >= self._most:
                spender = _REST
                old = self._sums.get(spender)
            self._sums[spender] = use if old is None else total(use.model, (old, use))

    def rows(self, tenant: str = "", function: str = "") -> Iterator[tuple[Spender, UsageRecord]]:
        """Yield the sums, the dearest first; with a tenant, or a function, only its own."""
        found = (
            (spender, use)
            for spender, use in self._sums.items()
            if (not tenant or (spender.tenant == tenant and spender != _REST))
            and (not function or spender.function == function)
        )
        yield from sorted(found, key=lambda row: (-(row[1].cost_usd or 0.0), row[0]))

    def top(self, count: int) -> Mapping[Spender, UsageRecord]:
        """Return so many sums, the dearest, and all others together."""
        rows = list(self.rows())
        kept = dict(rows[:count])
        if rest := [use for _, use in rows[count:]]:
            known = [kept[_REST]] if _REST in kept else []
            kept[_REST] = total(OTHER, known + rest)
        return kept
