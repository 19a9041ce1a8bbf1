"""When a process gives back the memory that it has kept: idle, and grown since the last time.

Owns what the process held when it last did. Imported by the child: standard library and own modules only.
"""

from __future__ import annotations

from pool import heap
from pool.own_memory import PAGE_BYTES, rss_pages

_WORTH_PAGES = heap.WORTH_BYTES // PAGE_BYTES


class KeptMemory:
    """What this process holds beyond what it needs, as far as its size tells. `statm` is `own_memory.rss_reader()`."""

    __slots__ = ("_settled", "_statm")

    def __init__(self, statm: int) -> None:
        self._statm = statm
        self._settled = rss_pages(statm)

    def worth(self, pages: int) -> bool:
        """Return whether a process of that size, in pages, should give memory back once it is idle."""
        return pages - self._settled > _WORTH_PAGES

    def give_back(self) -> int:
        """Give it back; return the pages that the process has then."""
        heap.give_back()
        self._settled = rss_pages(self._statm)
        return self._settled
