"""Runs cases: opens servers and runners as they are needed, compares, and keeps the outcomes.

Owns at most one server and one runner per language at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from harness import matchers
from harness.cases import BadCase, Case, Step, fill
from harness.languages import Language
from harness.mirror import Mirror
from harness.runner import Runner, RunnerFailed
from harness.servers import Server, ServerFailed, open_server

FIRST_S = 120.0
"""What a runner's first case may take longer: some languages start slowly."""

GIVEN_UP_AFTER = 3
"""Runners of a language that failed one after the other, with no answer between: no other is started."""
CRASH_SHOWN = 1500
"""Characters of what a runner tells of its own failure; the last ones say most."""

OutcomeKind = Literal["passed", "failed", "skipped", "not_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a case has ended for a language."""

    kind: OutcomeKind
    detail: str = ""
    seconds: float = 0.0


def verdict(case: Case, steps: list[Step], answer: dict[str, Any]) -> Outcome:
    """What an answer to a case is worth."""
    if "crash" in answer:
        return Outcome(kind="failed", detail=f"the runner crashed: {str(answer['crash'])[-CRASH_SHOWN:]}")
    if "skip" in answer:
        return Outcome(kind="failed", detail=f"the runner skips it, and the case does not say so: {answer['skip']}")
    results = answer["steps"]
    for index, (step, result) in enumerate(zip(steps, results, strict=True)):
        told = _told(step, result, results[:index])
        if told is not None:
            return Outcome(kind="failed", detail=f"step {index} ({step.message['op']}): {told}")
    return Outcome(kind="passed")


def _told(step: Step, result: dict[str, Any], earlier: list[dict[str, Any]]) -> str | None:
    """What is wrong with a result."""
    if not isinstance(result.get("elapsed_ms"), int):
        return f"expected elapsed_ms, an integer, got {result.get('elapsed_ms')!r}"
    if step.expect is not None:
        wrong = matchers.mismatch(step.expect, result, earlier, open_ended=True)
        whole = set(step.expect) <= set(matchers.MATCHERS)  # a matcher for the whole result sees errors itself
        if wrong is None and "error" in result and "error" not in step.expect and not whole:
            wrong = "expected no error"
        return wrong and f"{wrong}{_error_of(result)}"
    return f"expected no error{_error_of(result)}" if "error" in result else None


def _error_of(result: dict[str, Any]) -> str:
    error = result.get("error")
    if not isinstance(error, dict):
        return ""
    return f"; it failed with {error.get('code')} {error.get('reason')}: {error.get('message')}"


class Suite:
    """The cases' servers and runners. A context manager: at its end all of them are closed."""

    def __init__(self, servers: Callable[[str], Server | Mirror] = open_server) -> None:
        self._open_server = servers
        self._server: Server | Mirror | None = None
        self._broken: dict[str, str] = {}
        """Profiles whose servers do not start, and why: they are not tried again for each case."""
        self._runners: dict[str, Runner] = {}
        self._failures: dict[str, int] = {}
        """Languages whose runners have failed, and how often in a row."""

    def run(self, case: Case, language: Language) -> Outcome:
        """Run one case for one language. Raises BadCase where the case itself is wrong."""
        if language.name in case.not_for:
            return Outcome(kind="not_for", detail=case.not_for[language.name])
        failures = self._failures.get(language.name, 0)
        if failures >= GIVEN_UP_AFTER:
            return Outcome(kind="failed", detail=f"not run: {failures} runners have failed one after the other")
        started = time.monotonic()
        try:
            outcome = self._run(case, language)
            self._failures.pop(language.name, None)
        except RunnerFailed as failed:
            self._runners.pop(language.name, None)
            self._failures[language.name] = failures + 1
            outcome = Outcome(kind="failed", detail=str(failed))
        except ServerFailed as failed:
            self._broken.setdefault(case.profile, f"the server of the profile {case.profile!r} has failed before")
            outcome = Outcome(kind="failed", detail=str(failed))
        except matchers.BadPattern as wrong:
            msg = f"{case.name}: {wrong}"
            raise BadCase(msg) from wrong
        return Outcome(kind=outcome.kind, detail=outcome.detail, seconds=time.monotonic() - started)

    def _run(self, case: Case, language: Language) -> Outcome:
        server = self._serving(case.profile)
        facts = server.facts
        steps = [Step(message=fill(one.message, facts), expect=fill(one.expect, facts)) for one in case.steps]
        own = fill(server.profile.connect, facts)
        for step in steps:  # a `connect` step says what is otherwise than the profile's
            if step.message["op"] == "connect":
                step.message["connect"] = _overlaid(own, step.message.get("connect", {}))
        message = {
            "case": case.name,
            "connect": _overlaid(own, fill(case.connect, facts)),
            "steps": [step.message for step in steps],
        }
        first = language.name not in self._runners
        if first:
            self._runners[language.name] = language.start()
        answer = self._runners[language.name].ask(message, case.timeout_s + (FIRST_S if first else 0.0), server.do)
        return verdict(case, steps, answer)

    def _serving(self, profile: str) -> Server | Mirror:
        """The profile's server, running; the one of another profile is closed."""
        if profile in self._broken:
            raise ServerFailed(self._broken[profile])
        if self._server is not None and self._server.profile.name != profile:
            self._server.close()
            self._server = None
        if self._server is None:
            self._server = self._open_server(profile)
        elif not self._server.is_running():  # a case has failed between stopping and starting it
            self._server.start()
        return self._server

    def close(self) -> dict[str, int | None]:
        """Close everything; return the runners' exit statuses, None for one that had to be killed."""
        statuses = {name: runner.close() for name, runner in self._runners.items()}
        self._runners = {}
        if self._server is not None:
            self._server.close()
            self._server = None
        return statuses

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _overlaid(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """The base with what is given instead; what is given as null is left out."""
    return {key: value for key, value in {**base, **over}.items() if value is not None}
