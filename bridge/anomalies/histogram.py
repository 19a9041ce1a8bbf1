"""Service times as counts by logarithmic buckets, and how two sets of them are compared. Pure.

Two sets are compared by ranks, so that no single slow call weighs more than any other, and stratum by stratum, so that
a worker that had other work than its siblings is not taken for a slow one: the stratified test of Wilcoxon, Mann and
Whitney (P. van Elteren, "On the combination of independent two-sample tests of Wilcoxon", 1960), with its correction
for ties, which the buckets make many of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PER_OCTAVE = 8
"""Buckets in a factor of two: a median is right to within nine percent."""
LEAST_S = 1e-6

Counts = Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the left sides of some strata compare with the right sides."""

    score: float
    """How many standard deviations the left's ranks are above what equal sets would have."""
    ratio: float
    """The left's median in units of the right's, a mean over strata."""
    left: float
    """Samples."""
    right: float
    stratum: int
    """The index of the pair that weighs most,"""
    left_s: float
    """and its medians in seconds."""
    right_s: float


def bucket(seconds: float) -> int:
    """Return the bucket of a time."""
    return math.floor(math.log2(max(seconds, LEAST_S)) * PER_OCTAVE)


def add(into: dict[int, float], counts: Counts, factor: float = 1.0) -> None:
    """Add counts to others."""
    for key, count in counts.items():
        into[key] = into.get(key, 0.0) + count * factor


def median_s(counts: Counts) -> float:
    """Return the median in seconds; 0 of nothing."""
    return 2.0 ** (_median(counts) / PER_OCTAVE) if counts else 0.0


def _median(counts: Counts) -> float:
    """Return the median as a place among the buckets, between the bounds of its bucket."""
    half, below = sum(counts.values()) / 2, 0.0
    key = 0
    for key in sorted(counts):
        if below + counts[key] >= half:
            return key + (half - below) / counts[key]
        below += counts[key]
    return key + 1.0


def compare(pairs: Iterable[tuple[Counts, Counts]]) -> Comparison | None:
    """Compare left and right of each stratum; None where no stratum has both."""
    above = variance = shift = weights = heaviest = left_n = right_n = 0.0
    stratum, medians = -1, (0.0, 0.0)
    for index, (left, right) in enumerate(pairs):
        m, n = sum(left.values()), sum(right.values())
        if m < 1 or n < 1:
            continue
        left_n, right_n = left_n + m, right_n + n
        rank, spread = _ranks(left, right, m, n)
        above += rank / (m + n + 1)
        variance += spread / (m + n + 1) ** 2
        weight = m * n / (m + n)
        places = _median(left), _median(right)
        shift += weight * (places[0] - places[1])
        weights += weight
        if weight > heaviest:
            heaviest, stratum, medians = weight, index, places
    if stratum < 0:
        return None
    return Comparison(
        score=above / math.sqrt(variance) if variance > 0 else 0.0,
        ratio=2.0 ** (shift / weights / PER_OCTAVE),
        left=left_n,
        right=right_n,
        stratum=stratum,
        left_s=2.0 ** (medians[0] / PER_OCTAVE),
        right_s=2.0 ** (medians[1] / PER_OCTAVE),
    )


def _ranks(left: Counts, right: Counts, m: float, n: float) -> tuple[float, float]:
    """Return by how much the left's rank sum is above what is expected, and the variance of that."""
    below = wins = ties = 0.0
    for key in sorted({*left, *right}):
        a, b = left.get(key, 0.0), right.get(key, 0.0)
        wins += a * (below + b / 2)
        below += b
        tied = a + b
        ties += max(0.0, tied**3 - tied)
    total = m + n
    spread = m * n / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    return wins - m * n / 2, spread


def excess(groups: Iterable[tuple[float, float, float, float]]) -> float:
    """Return how many standard deviations more of the left's calls failed than chance would give it.

    Each group has (left calls, left failures, right calls, right failures); the test is that of N. Mantel and
    W. Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease", 1959.
    """
    more = variance = 0.0
    for m, failed, n, others in groups:
        total, bad = m + n, failed + others
        if m <= 0 or n <= 0 or total <= 1:
            continue
        more += failed - m * bad / total
        variance += m * n * bad * (total - bad) / (total * total * (total - 1))
    return more / math.sqrt(variance) if variance > 0 else 0.0
