"""What is done about findings, and how often: one policy per pool. Pure.

Nothing is done twice within a cool-down, which doubles where an action did not help; no more workers of a pool are
replaced within one than a quarter. The same anomaly is told once in that time. Owns what was done and told, and when.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.anomalies.records import Anomaly, Finding, Mode, PoolSight, Rules
from pool.recycling import most_at_once

DOUBLINGS = 8
FORGIVEN = 4
"""So many cool-downs without an action, and the next one is as short as the first."""
OBSERVING = "the pool is only observed"


@dataclass(slots=True)
class _Episode:
    """Actions of one kind, close to each other."""

    began: float
    doublings: int
    count: int = 1


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
        if episode is None or now - episode.began >= cooldown_s * 2**episode.doublings * FORGIVEN:
            self._episodes[key] = _Episode(now, 0)
            return ""
        left_s = episode.began + cooldown_s * 2**episode.doublings - now
        if left_s <= 0:
            self._episodes[key] = _Episode(now, min(most_doublings, episode.doublings + 1))
            return ""
        if episode.count < most:
            episode.count += 1
            return ""
        return f"the last action was {now - episode.began:.0f} s ago; the next may be in {left_s:.0f} s"
