"""What `router_bench` serves: four pieces of text work, each under three names that differ in where they run.

`slug` is a trifle; `statistics` grows with its text, `distance` with the square of it; `report` is always heavy. All of
it is Python that computes, as an app has it: nothing sleeps.
"""

from __future__ import annotations

import types
import unicodedata
from collections import Counter

from bridge import function


def slug(text: str) -> str:
    """Letters and digits in small, words joined by '-'."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join("".join(c for c in word if c.isalnum()) for word in plain.split())


def statistics(text: str) -> dict[str, float]:
    """Words, different words, their mean length, the share of the most frequent one."""
    words = [word.strip(".,;:!?").lower() for word in text.split()]
    counts = Counter(words)
    most = counts.most_common(1)[0][1] if counts else 0
    length = sum(map(len, words)) / max(1, len(words))
    return {"words": len(words), "different": len(counts), "length": length, "share": most / max(1, len(words))}


def distance(left: str, right: str) -> int:
    """The edit distance (Levenshtein)."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def report(text: str) -> dict[str, int]:
    """How often each pair of neighbouring words comes, over many passes."""
    words = text.lower().split()
    pairs: Counter[tuple[str, str]] = Counter()
    for step in range(1, 300):
        pairs.update(zip(words, words[step:], strict=False))
    return {" ".join(pair): count for pair, count in pairs.most_common(20)}


def _declared(work: types.FunctionType, placement: str) -> types.FunctionType:
    """A copy of a function that is served by a name and in a place of its own."""
    copy = types.FunctionType(work.__code__, work.__globals__, work.__name__)
    copy.__annotations__, copy.__doc__ = work.__annotations__, work.__doc__
    name = f"{work.__name__}_{placement}"
    return function(name=name, placement=placement, pure=True, thread_safe=True)(copy)  # type: ignore[call-overload]


__all__ = [
    f"{name}_{place}" for name in ("slug", "statistics", "distance", "report") for place in ("native", "pooled", "auto")
]
for _work in (slug, statistics, distance, report):
    for _place in ("native", "pooled", "auto"):
        globals()[f"{_work.__name__}_{_place}"] = _declared(_work, _place)
