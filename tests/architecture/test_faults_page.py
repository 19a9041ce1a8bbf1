"""docs/reference/faults.md names tests that exist, and every fault has one or says why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/faults.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\*|\w+)`")
MISSING = "not applicable yet, because "


def rows() -> list[tuple[str, str, str]]:
    """Each row's fault, outcome and tests."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    found = [tuple(cell.strip() for cell in row) for row in cells if row[0].strip() != "fault"]
    assert all(len(row) == 3 for row in found), [row for row in found if len(row) != 3]
    return found


def functions_of(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def test_every_named_test_exists():
    missing = []
    for file, test in NAMED.findall(PAGE.read_text()):
        path = ROOT / "tests" / file
        if not path.exists() or (test != "*" and test not in functions_of(path)):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_every_fault_has_a_test_or_says_why_not():
    assert len(rows()) > 60
    bare = [fault for fault, seen, shown in rows() if not NAMED.search(shown) and not seen.startswith(MISSING)]
    assert bare == []
