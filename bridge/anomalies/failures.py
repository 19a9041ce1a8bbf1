"""Who fails: a worker where its siblings succeed, a function on every worker, or a provider of models. Pure.

Only failures count that are nobody's input: who feeds the samples leaves out what a caller can mend. An anomaly is a
change, so a function that has always failed is none; and what fails for one tenant alone is that tenant's input, for
which nobody else is to be refused. Owns the counts of one pool and the suspicions.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from bridge.anomalies.histogram import excess
from bridge.anomalies.history import FADE, SLOTS
from bridge.anomalies.records import Action, Finding, Kind, Rules, Sample
from bridge.anomalies.views import FEW, SPANS

HOLD = 3
"""Looks in a row, before a suspicion is believed."""
SCORE = 4.0
"""Standard deviations by which more of a worker's calls fail than of its siblings'."""
LEAST_RATE, LEAST_FACTOR = 0.2, 3.0
"""A sick worker fails this share of its calls, and so many times its siblings' share."""
LATE_FACTOR = 4.0
"""A deadline counts as a failure where the call had so many times what is usual, not where the caller was impatient."""
PROVIDERS = 0.8
"""Of the failures, this share makes it the provider's."""
FUNCTIONS = 256
TENANTS = 64
"""That are told apart; the others count as one."""
WEIGHT = 0.02

OK, FAILED = "", "failed"


class Key(NamedTuple):
    """Calls that count together. `outcome` is OK, FAILED, or the name of the provider that has failed, with a slash."""

    worker: str
    bound: bool
    """To a session: it was no chance which worker they got."""
    tenant: str
    outcome: str


class Record:
    """The calls of one function."""

    __slots__ = ("_failed", "_slots", "_turned", "_usual", "past_calls", "past_failed")

    def __init__(self, number: int) -> None:
        self._slots: deque[tuple[int, Counter[Key]]] = deque()
        self._failed = 0
        """Calls that have failed in the window."""
        self._turned = number
        self.past_calls = self.past_failed = 0.0
        self._usual: tuple[int, float] = (0, 0.0)
        """Samples, and the mean logarithm of what they took."""

    def add(self, number: int, sample: Sample, tenant: str) -> None:
        """Count a call."""
        if sample.late and not self._too_late(sample.seconds):
            return
        failed = sample.failed or sample.late
        if not failed and sample.seconds > 0:
            count, mean = self._usual
            weight = max(WEIGHT, 1 / (count + 1))
            self._usual = count + 1, mean + weight * (math.log(sample.seconds) - mean)
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append((number, Counter()))
        outcome = OK if not failed else f"/{sample.provider}" if sample.provider else FAILED
        self._failed += failed
        self._slots[-1][1][Key(sample.worker, sample.bound, tenant, outcome)] += 1

    def _too_late(self, seconds: float) -> bool:
        count, mean = self._usual
        return count >= FEW and seconds >= LATE_FACTOR * math.exp(mean)

    def turn(self, number: int) -> None:
        """Let the past fade, and let what is older than a window become a part of it."""
        fade = FADE ** max(0, number - self._turned)
        self._turned = max(number, self._turned)
        self.past_calls *= fade
        self.past_failed *= fade
        while self._slots and self._slots[0][0] <= number - SLOTS:
            _, counts = self._slots.popleft()
            self.past_calls += counts.total()
            failed = sum(count for key, count in counts.items() if key.outcome != OK)
            self.past_failed += failed
            self._failed -= failed

    def recent(self, number: int, slots: int) -> Counter[Key]:
        """Return the counts of the last slots."""
        found: Counter[Key] = Counter()
        for slot, counts in self._slots:
            if slot > number - slots:
                found.update(counts)
        return found

    @property
    def troubled(self) -> bool:
        """Whether any call has failed in the window."""
        return self._failed > 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self._slots and self.past_calls < 1


class Rate(NamedTuple):
    """Calls and how many of them failed."""

    calls: float
    failed: float

    @property
    def share(self) -> float:
        """Of the calls, those that failed."""
        return self.failed / self.calls if self.calls else 0.0


NONE = Rate(0, 0)


def total(rates: Iterable[Rate]) -> Rate:
    """Return the sum."""
    calls = failed = 0.0
    for rate in rates:
        calls, failed = calls + rate.calls, failed + rate.failed
    return Rate(calls, failed)


def _rates(counts: Counter[Key], name: Callable[[Key], str | None]) -> dict[str, Rate]:
    """Return the rates by what `name` says of each key; where that is None, it does not count."""
    found: dict[str, Rate] = {}
    for key, count in counts.items():
        if (of := name(key)) is not None:
            before = found.get(of, NONE)
            found[of] = Rate(before.calls + count, before.failed + count * (key.outcome != OK))
    return found


def _by_chance(key: Key) -> str | None:
    """Name the worker of a call that could have had any; nobody where a provider failed, who is no worker's fault."""
    return None if key.bound or key.outcome not in (OK, FAILED) else key.worker


class Failures:
    """The counts and suspicions of one pool."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._records: dict[str, Record] = {}
        self._tenants: set[str] = set()
        self._held: Counter[tuple[str, str]] = Counter()

    def add(self, number: int, sample: Sample) -> None:
        """Count a call."""
        record = self._records.get(sample.function)
        if record is None:
            if len(self._records) >= FUNCTIONS:
                return
            record = self._records[sample.function] = Record(number)
        if len(self._tenants) < TENANTS:
            self._tenants.add(sample.tenant)
        record.add(number, sample, sample.tenant if sample.tenant in self._tenants else "others")

    def turn(self, number: int) -> None:
        """Begin a slot."""
        for record in self._records.values():
            record.turn(number)
        self._records = {name: record for name, record in self._records.items() if not record.empty}
        if len(self._tenants) >= TENANTS:
            self._tenants.clear()

    def look(self, number: int, ages: Mapping[str, int]) -> list[Finding]:
        """Return who fails; at every look. `ages` has the slots for which each worker has been ready."""
        found: list[Finding | None] = []
        if any(record.troubled for record in self._records.values()):
            spans = [{name: one.recent(number, span) for name, one in self._records.items()} for span in SPANS]
            sick = self._sick_worker(spans, ages)
            found.append(sick)
            for name, record in self._records.items():
                if record.troubled:
                    found.append(self._function(name, record, [span[name] for span in spans], sick, spans[-1]))
        findings = [finding for finding in found if finding is not None]
        self._held = Counter({one.about: self._held[one.about] + 1 for one in findings})
        return [finding for finding in findings if self._held[finding.about] >= HOLD]

    # -- workers -----------------------------------------------------------------------------------------------------

    def _sick_worker(self, spans: list[dict[str, Counter[Key]]], ages: Mapping[str, int]) -> Finding | None:
        """Return the worker that fails most where its siblings do not."""
        by_span = [{name: _rates(counts, _by_chance) for name, counts in span.items()} for span in spans]
        found = [self._worker(worker, by_span) for worker in ages]
        if len(ages) == 1:
            found.append(self._only_worker(next(iter(ages)), by_span))
        return max((one for one in found if one is not None), key=lambda one: one.numbers["error_rate"], default=None)

    def _worker(self, worker: str, by_span: list[dict[str, dict[str, Rate]]]) -> Finding | None:
        least = self._rules.min_samples
        for rates in by_span:
            own = {name: by[worker] for name, by in rates.items() if worker in by}
            others = {name: total(rate for who, rate in rates[name].items() if who != worker) for name in own}
            mine, theirs = total(own.values()), total(others.values())
            if min(mine.calls, theirs.calls) < least:
                continue
            if mine.failed < FEW or mine.share < max(LEAST_RATE, LEAST_FACTOR * theirs.share):
                return None
            score = excess((*own[name], *others[name]) for name in own)
            if score < SCORE:
                return None
            worst = max(own, key=lambda name: own[name].failed)
            cause = (
                f"{mine.failed:.0f} of its {mine.calls:.0f} calls failed, {theirs.failed:.0f} of its siblings' "
                f"{theirs.calls:.0f} (most in '{worst}')"
            )
            return _finding("failing_worker", "recycle", cause, mine, theirs.share, worker=worker, function=worst)
        return None

    def _only_worker(self, worker: str, by_span: list[dict[str, dict[str, Rate]]]) -> Finding | None:
        """The only worker fails in all that it does, and did not before: a new one may do better."""
        for rates in by_span:
            if any(rate.calls >= FEW for by in rates.values() for who, rate in by.items() if who != worker):
                return None  # the one before it was called too: what fails on both is no worker's fault
            own = {name: by[worker] for name, by in rates.items() if worker in by}
            mine = total(own.values())
            if mine.calls < self._rules.min_samples:
                continue
            judged = [name for name, rate in own.items() if rate.calls >= FEW]
            if not all(own[name].share >= self._rules.error_rate and self._was_fine(name) for name in judged):
                return None
            worst = max(own, key=lambda name: own[name].failed)
            before = total(Rate(self._records[name].past_calls, self._records[name].past_failed) for name in own).share
            cause = (
                f"{mine.failed:.0f} of its {mine.calls:.0f} calls failed, {before:.1%} did before (most in '{worst}'); "
                "there is no other worker to compare it with"
            )
            return _finding("failing_worker", "recycle", cause, mine, before, worker=worker, function=worst)
        return None

    # -- functions ---------------------------------------------------------------------------------------------------

    def _was_fine(self, function: str) -> bool:
        record = self._records[function]
        before = Rate(record.past_calls, record.past_failed)
        return before.calls >= self._rules.min_samples and before.share <= self._rules.error_rate / 2

    def _function(
        self,
        name: str,
        record: Record,
        spans: list[Counter[Key]],
        sick: Finding | None,
        window: Mapping[str, Counter[Key]],
    ) -> Finding | None:
        if not self._was_fine(name):
            return None
        for counts in spans:
            by = _rates(counts, lambda key: None if sick is not None and key.worker == sick.worker else key.worker)
            all_, error_rate = total(by.values()), self._rules.error_rate
            if all_.calls < self._rules.min_samples:
                continue
            if all_.share < error_rate or not self._every_tenant(counts):
                return None
            before = record.past_failed / record.past_calls
            cause = f"{all_.failed:.0f} of its {all_.calls:.0f} calls failed, {before:.1%} did before"
            if provider := _provider(counts):
                cause = f"{cause}, most by provider '{provider}'"
                return _finding(
                    "failing_provider", "open_breaker", cause, all_, before, function=name, provider=provider
                )
            if not self._every_worker(name, by, window):
                return None
            return _finding("failing_function", "open_breaker", cause, all_, before, function=name)
        return None

    def _every_tenant(self, counts: Counter[Key]) -> bool:
        """Whether it fails for all who call it: else it is somebody's input."""
        rates = [rate for rate in _rates(counts, lambda key: key.tenant).values() if rate.calls >= FEW]
        return all(rate.share >= self._rules.error_rate for rate in rates)

    def _every_worker(self, name: str, by: Mapping[str, Rate], window: Mapping[str, Counter[Key]]) -> bool:
        """Whether it fails on all workers, of which there were two, or on one on which another function is fine."""
        rates = {worker: rate for worker, rate in by.items() if rate.calls >= FEW}
        if not rates or any(rate.share < self._rules.error_rate / 2 for rate in rates.values()):
            return False
        if len(rates) > 1:
            return True
        others = (_rates(counts, lambda key: key.worker) for other, counts in window.items() if other != name)
        (worker,) = rates
        return any(
            rate.calls >= self._rules.min_samples and rate.share < self._rules.error_rate / 2
            for rate in (found.get(worker, NONE) for found in others)
        )


def _provider(counts: Counter[Key]) -> str:
    """Return the provider that most failures are of; nothing where there is none."""
    failed = {outcome: rate.failed for outcome, rate in _rates(counts, lambda key: key.outcome).items()}
    most = max(failed, key=lambda outcome: failed[outcome])
    return most[1:] if most not in (OK, FAILED) and failed[most] >= PROVIDERS * sum(failed.values()) else ""


def _finding(kind: Kind, action: Action, cause: str, rate: Rate, usual: float, **about: str) -> Finding:
    numbers = {
        "error_rate": round(rate.share, 4),
        "usual_error_rate": round(usual, 4),
        "calls": rate.calls,
        "failed": rate.failed,
    }
    return Finding(
        kind=kind,
        action=action,
        cause=cause,
        worker=about.get("worker", ""),
        function=about.get("function", ""),
        provider=about.get("provider", ""),
        numbers=numbers,
    )
