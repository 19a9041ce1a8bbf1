"""Runs what docs/reference/faults.md names, at full length, and prints its table with what was seen.

`python tests/faults/run.py [arguments of pytest]`; beside the named tests it runs all of tests/faults, tests/process
and tests/soak. The exit status is pytest's.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/faults.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\*|\w+)`")
FOLDERS = ("tests/faults", "tests/process", "tests/soak")
WIDTH = 78


class Seen:
    """The outcomes of all tests, by file and function."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a test's call, and of what went wrong around it."""
        if report.when == "call" or report.outcome != "passed":
            file, _, rest = report.nodeid.partition("::")
            function = rest.rpartition("::")[2].partition("[")[0]
            for name in (function, "*"):
                self.outcomes[file.removeprefix("tests/"), name].add(report.outcome)

    def of(self, shown: str) -> str:
        """Return one word for all tests that a row names."""
        found = [self.outcomes.get(key, {"not run"}) for key in NAMED.findall(shown)]
        words = set().union(*found)
        return next((word for word in ("failed", "not run", "skipped") if word in words), "passed")


def rows() -> list[tuple[str, str]]:
    """Return each row's fault and tests, headings with no tests."""
    found = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            found.append((line[3:], ""))
        elif line.startswith("| ") and NAMED.search(line):
            found.append((line.strip("| ").split(" | ")[0], line))
    return found


def node_id(file: str, test: str) -> str:
    """Return how pytest calls a test, with the class that it is in."""
    path = f"tests/{file}"
    if test == "*":
        return path
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef) and any(getattr(inner, "name", "") == test for inner in node.body):
            return f"{path}::{node.name}::{test}"
    return f"{path}::{test}"


def targets() -> list[str]:
    """Return what is run, each test once."""
    named = {node_id(file, test) for file, test in NAMED.findall(PAGE.read_text())}
    inside = tuple(f"{folder}/" for folder in FOLDERS)
    return [*FOLDERS, *sorted(name for name in named if not name.startswith(inside))]


def main(arguments: list[str]) -> int:
    """Run and print."""
    os.environ["TEST_LENGTH"] = "long"
    os.chdir(ROOT)
    seen = Seen()
    status = int(pytest.main(["-q", "--durations=5", *targets(), *arguments], plugins=[seen]))
    print("\nfaults and what was seen (docs/reference/faults.md says what is expected)")
    for fault, shown in rows():
        print(f"  {fault[:WIDTH]:{WIDTH}} {seen.of(shown)}" if shown else f"\n{fault}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
