"""The outcomes of a run: a line for what fails at once, a table at the end, and JSON. Owns the outcomes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from harness.cases import Case
from harness.suite import Outcome

SIGNS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "not_for": "-"}


class Report:
    """What has come of it so far."""

    def __init__(self, cases: list[Case], *, verbose: bool = False) -> None:
        self._cases = cases
        self._verbose = verbose
        self.missing: dict[str, str | None] = {}
        """Language -> why it is missing; None where it is not."""
        self._broken: dict[str, str] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = {}

    def has(self, language: str, why: str | None) -> None:
        """Take note of a language, and why it is missing."""
        self.missing[language] = why
        self._outcomes[language] = {}
        if why is not None:
            print(f"{language:16} missing: {why}", flush=True)

    def broken(self, language: str, why: str) -> None:
        """Take note of a language whose runner can not be made."""
        self.has(language, None)
        self._broken[language] = why
        print(f"{language:16} FAILED: its runner can not be made: {why}", flush=True)

    def add(self, case: Case, language: str, outcome: Outcome) -> None:
        """Take note of an outcome."""
        self._outcomes[language][case.name] = outcome
        if self._verbose or outcome.kind == "failed":
            detail = f"\n    {outcome.detail}" if outcome.detail else ""
            print(f"{language:16} {case.name:36} {SIGNS[outcome.kind]:8} {outcome.seconds:6.2f} s{detail}", flush=True)

    @property
    def failed(self) -> bool:
        """Whether anything has failed."""
        kinds = {outcome.kind for cases in self._outcomes.values() for outcome in cases.values()}
        return bool(self._broken) or "failed" in kinds

    def show(self) -> None:
        """Print the table: a line per family, a column per language."""
        languages = [name for name, why in self.missing.items() if why is None and name not in self._broken]
        families: dict[str, list[str]] = {}
        for case in self._cases:
            families.setdefault(case.name.partition("/")[0], []).append(case.name)
        print(f"\n{'':16}" + "".join(f"{name:>16}" for name in languages))
        for family, names in families.items():
            print(f"{family:16}" + "".join(f"{self._cell(language, names):>16}" for language in languages))
        everything = [case.name for case in self._cases]
        print(f"{'all':16}" + "".join(f"{self._cell(language, everything):>16}" for language in languages))

    def _cell(self, language: str, names: list[str]) -> str:
        counts = Counter(outcome.kind for name in names if (outcome := self._outcomes[language].get(name)))
        total = counts["passed"] + counts["failed"] + counts["skipped"]
        return f"{counts['passed']}/{total}" + (f" (-{counts['not_for']})" if counts["not_for"] else "")

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "languages": {
                language: {
                    "missing": why,
                    "broken": self._broken.get(language),
                    "cases": {
                        name: {"outcome": one.kind, "detail": one.detail, "seconds": round(one.seconds, 3)}
                        for name, one in self._outcomes[language].items()
                    },
                }
                for language, why in self.missing.items()
            }
        }

    def write(self, path: Path | None) -> None:
        """Write it to a file, where one is asked for."""
        if path is not None:
            path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n")
