"""Every client passes every case of the conformance suite: a test per case and language.

What a language needs and is not there is skipped on a laptop and fails in CI, unless CI could not install it, which
.ci/run says in CI_WITHOUT, or languages.yaml says why CI goes on without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "clients/conformance"))

from harness import cases as reading  # noqa: E402
from harness.languages import Language, PrepareFailed, load  # noqa: E402
from harness.suite import Suite  # noqa: E402

CASES = sorted(reading.load(), key=lambda case: case.profile)
"""By profile, so that each server is started once."""
LANGUAGES = load()

pytestmark = pytest.mark.timeout(900)  # the first case of a language makes its runner


@pytest.fixture(scope="module")
def suite() -> Iterator[Suite]:
    with Suite() as opened:
        yield opened


class Present:
    """Which languages are there. Each is looked for, and its runner made, once."""

    def __init__(self) -> None:
        self._found: dict[str, str | None] = {}

    def check(self, language: Language) -> None:
        """Skips or fails where the language is missing, or its runner can not be made."""
        if language.name not in self._found:
            try:
                self._found[language.name] = language.missing()
            except PrepareFailed as failed:
                self._found[language.name] = f"FAILED: {failed}"
        why = self._found[language.name]
        if why is None:
            return
        if why.startswith("FAILED") or not may_be_missing(language):
            pytest.fail(f"{language.name}: {why}", pytrace=False)
        pytest.skip(f"{language.name}: {why}")


def may_be_missing(language: Language) -> bool:
    if os.environ.get("CI") != "true" or language.may_be_missing_in_ci:
        return True
    return language.name in os.environ.get("CI_WITHOUT", "").split()


@pytest.fixture(scope="module")
def present() -> Present:
    return Present()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_clients_pass(case: reading.Case, language: str, suite: Suite, present: Present) -> None:
    found = LANGUAGES[language]
    if language in case.not_for:
        pytest.skip(f"does not apply: {case.not_for[language]}")
    present.check(found)
    outcome = suite.run(case, found)
    assert outcome.kind == "passed", f"{language}, {case.name}: {outcome.detail}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_does_not_apply_stands_in_the_readme(language: str) -> None:
    """So that people see it who have not read the cases, and so that nothing is left out in silence."""
    readme = LANGUAGES[language].readme
    reasons = {case.name: case.not_for[language] for case in CASES if language in case.not_for}
    if not reasons:
        return
    text = " ".join(readme.read_text().split())
    missing = {name: why for name, why in reasons.items() if name not in text or " ".join(why.split()) not in text}
    assert not missing, f"{readme.relative_to(ROOT)} does not have, word for word: {missing}"


def test_reasons_name_languages_that_there_are() -> None:
    assert {name for case in CASES for name in case.not_for} - set(LANGUAGES) == set()


def test_ci_goes_on_without_a_language_only_where_that_is_said() -> None:
    assert {name for name, language in LANGUAGES.items() if language.may_be_missing_in_ci} <= {"elixir"}
