"""Counters of routes: attempts, retries, hedges, fallbacks and copies.

Owned by the attempts' runner; `prometheus` reads them. Labels are names from the configuration, so there are few.
"""

from __future__ import annotations

from collections import Counter


class RouteCounters:
    """By route and alternative, and for each what became of it."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, ...]] = Counter()
        """(route, alternative, `ok`, `failed`, `refused` by a breaker, or `cancelled`)"""
        self.retries: Counter[tuple[str, ...]] = Counter()
        """(route, `made`, or `over_budget`)"""
        self.hedges: Counter[tuple[str, ...]] = Counter()
        """(route, `won` by the second attempt, `lost`, or `over_budget`)"""
        self.fallbacks: Counter[tuple[str, ...]] = Counter()
        """(route, alternative)"""
        self.copies: Counter[tuple[str, ...]] = Counter()
        """(route, alternative, `equal`, `different`, `failed`, or `dropped`)"""
