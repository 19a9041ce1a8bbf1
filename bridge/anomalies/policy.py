"""What is done about findings, and how often: one policy per pool. Pure.

Nothing is done twice within a cool-down, which doubles where an action did not help; no more workers of a pool are
replaced within one than a quarter. The same anomaly is told once in that time. Owns what was done and told, and when.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from bridge.anomalies.records import Anomaly, Finding, Mode, PoolSight, Rules
from pool.recycling import most_at_once

DOUBLINGS = 8
FORGIVEN = 4
"""So many cool-downs without an action, and the next one is as short as the first."""
OBSERVING = "the pool is only observed"


@dataclass(slots=True)
class _Episode:
    """Actions of one kind that follow each other."""

    cooldown_s: float
    """It has been doubled already, where they go on."""
    done: deque[float] = field(default_factory=deque)
    """When, within the cool-down."""
    last: float = -math.inf


class Policy:
    """What was done in one pool."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._episodes: dict[tuple[str, str], _Episode] = {}
        self._told: dict[tuple[str, str], float] = {}

    def decide(self, now: float, mode: Mode, finding: Finding, sight: PoolSight) -> Anomaly | None:
        """Return what is to be told, and done if it says that it `acted`; None where that was told lately."""
        if finding.action == "recycle" and any(one.id == finding.worker and one.recycle for one in sight.workers):
            return None
        held = ""
        if mode == "observe":
            held = OBSERVING
        elif finding.action != "none":
            held = self._wait(now, finding, sight)
        acted = not held and finding.action != "none"
        if not acted and now - self._told.get(finding.about, -1e18) < self._rules.cooldown_s:
            return None
        self._told = {about: at for about, at in self._told.items() if now - at < self._rules.cooldown_s}
        self._told[finding.about] = now
        return Anomaly(pool=sight.name, finding=finding, at=now, acted=acted, held=held)

    def _wait(self, now: float, finding: Finding, sight: PoolSight) -> str:
        """Return why an action has to wait; nothing where it has not, which counts it."""
        if finding.action == "scale_up":
            return ""
        if finding.kind == "memory_trend":
            key, cooldown_s, most_doublings = ("memory", ""), self._rules.window_s, 0
        elif finding.action == "recycle":
            key, cooldown_s, most_doublings = ("recycle", ""), self._rules.cooldown_s, DOUBLINGS
        else:
            key, cooldown_s, most_doublings = finding.about, self._rules.cooldown_s, 0
        most = most_at_once(sight.target) if finding.action == "recycle" else 1
        episode = self._episodes.get(key)
        if episode is None or now - episode.last >= episode.cooldown_s * FORGIVEN:
            episode = self._episodes[key] = _Episode(cooldown_s)
        while episode.done and now - episode.done[0] >= episode.cooldown_s:
            episode.done.popleft()
        if len(episode.done) >= most:
            ago_s, left_s = now - episode.last, episode.done[0] + episode.cooldown_s - now
            return f"the last action was {ago_s:.0f} s ago; the next may be in {left_s:.0f} s"
        if not episode.done and episode.last > -math.inf:
            episode.cooldown_s = min(episode.cooldown_s * 2, cooldown_s * 2**most_doublings)
        episode.done.append(now)
        episode.last = now
        return ""
