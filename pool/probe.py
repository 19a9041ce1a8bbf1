"""What the evidence about a worker means: pure, fed with sights and times.

Time counts only as far as the judge was awake to see it pass: a machine that was suspended, or a front that was
starved, gives nobody the blame. Nor does time count against a worker in which it waited for a processor, or in which a
debugger held it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

STOPPED_S = 2.0
"""A process that is stopped, as by SIGSTOP, for longer is killed."""
SUSPECT_S = 0.3
"""A process that is stopped for longer is given no calls."""
MOST_TICKS = 2.0
"""Of the time between two looks, no more counts than so many usual ones."""


class SeenTime:
    """A clock that goes on only while somebody looks: a long gap between two looks counts as a short one."""

    def __init__(self, now: float, tick_s: float) -> None:
        self._last = now
        self._most_s = tick_s * MOST_TICKS
        self.seconds = 0.0

    def look(self, now: float) -> float:
        """Take note of a look; return the seconds that count since the last one."""
        passed = min(max(0.0, now - self._last), self._most_s)
        self._last = now
        self.seconds += passed
        return passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long what may last, in seconds; `concurrent` is whether the worker answers while other calls run."""

    interval_s: float
    timeout_s: float
    concurrent: bool
    stopped_s: float = STOPPED_S
    suspect_s: float = SUSPECT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A worker at one look. `excused_s` is how much of the time since the last look was not its own to use."""

    answered: int
    """Calls that it has ended, canaries included."""
    others: int
    """Calls that it runs, canaries not included."""
    room: bool
    """Whether it could be given a call."""
    stopped: bool = False
    excused_s: float = 0.0


class Verdict(Enum):
    """What is to be done about a worker."""

    FINE = "fine"
    ASK = "ask"
    """It has not answered for a while: send a canary."""
    SUSPEND = "suspend"
    """It is stopped: give it no calls."""
    RESUME = "resume"
    """It goes on."""
    STOPPED = "stopped"
    """It was stopped for too long: kill it."""
    HUNG = "hung"
    """It has nothing to do and does not answer: kill it."""
    WEDGED = "wedged"
    """It answers nothing while calls run: replace it, and end it when that hurts no call."""


class Probe:
    """What is known of one worker, and what follows. `look` is called at every tick; times are as `SeenTime` has it."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._answered = -1
        self._quiet_s = 0.0
        self._waited_s: float | None = None
        self._stopped_s: float | None = None
        self._suspended = False

    @property
    def waits(self) -> bool:
        """Whether a canary is on its way."""
        return self._waited_s is not None

    def asked(self) -> None:
        """Take note that a canary was sent."""
        self._waited_s = 0.0

    def told(self) -> None:
        """Take note that the canary has come back, well or not."""
        self._waited_s = None
        self._quiet_s = 0.0

    def look(self, sight: Sight, passed_s: float) -> Verdict:
        """Judge a worker as it stands, `passed_s` after the last look."""
        if sight.answered != self._answered:
            self._answered = sight.answered
            self._quiet_s = 0.0
            if self._waited_s is not None:
                self._waited_s = 0.0  # it answers: its canary gets its time anew
        if sight.stopped or self._stopped_s is not None:
            return self._look_at_stopped(sight, passed_s)
        self._quiet_s += passed_s
        if self._waited_s is not None:
            self._waited_s += max(0.0, passed_s - sight.excused_s)
            if self._waited_s < self._patience.timeout_s:
                return Verdict.FINE
            return Verdict.WEDGED if sight.others else Verdict.HUNG
        due = self._quiet_s >= self._patience.interval_s and sight.room
        return Verdict.ASK if due and (self._patience.concurrent or not sight.others) else Verdict.FINE

    def _look_at_stopped(self, sight: Sight, passed_s: float) -> Verdict:
        if not sight.stopped:
            self._stopped_s, suspended = None, self._suspended
            self._suspended = False
            self._quiet_s = 0.0
            if self._waited_s is not None:
                self._waited_s = 0.0
            return Verdict.RESUME if suspended else Verdict.FINE
        self._stopped_s = 0.0 if self._stopped_s is None else self._stopped_s + passed_s
        if self._stopped_s >= self._patience.stopped_s:
            return Verdict.STOPPED
        if self._stopped_s >= self._patience.suspect_s and not self._suspended:
            self._suspended = True
            return Verdict.SUSPEND
        return Verdict.FINE
