"""docs/reference/errors.md and the code have the same reasons, with the same codes.

Reads the source for every way in which a reason is written down. Knows nothing of what raises it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/errors.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_, ]+) \|(.+)\|(.+)\|$", re.MULTILINE)
REASON = re.compile(r"[A-Z][A-Z_]+")
CODES = {code.name for code in grpc.StatusCode}
RAISED_BY_POSITION = {"BridgeError": 1, "DeadlineExceeded": 1, "_unknown": 1}
"""Calls whose reason is an argument without a name, by its place."""


def rows() -> dict[str, set[str]]:
    """The page's reasons, each with its codes."""
    found = ROW.findall(PAGE.read_text())
    assert len(found) == len({reason for reason, *_ in found}), "a reason stands twice"
    return {reason: set(codes.replace(" ", "").split(",")) for reason, codes, *_ in found}


def text_of(node: ast.expr | None, constants: dict[str, str]) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return constants.get(node.id, "") if isinstance(node, ast.Name) else ""


def code_of(call: ast.Call) -> str:
    """The code that stands beside a reason, where it stands there by name."""
    for keyword in call.keywords:
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    first = call.args[0] if call.args else None
    return first.attr if isinstance(first, ast.Attribute) and isinstance(first.value, ast.Name) else ""


def reasons(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The reasons in a module, each with the code beside it or an empty text."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            place = RAISED_BY_POSITION.get(name)
            given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            given += node.args[place : place + 1] if place is not None else []
            yield from ((text_of(value, constants), code_of(node)) for value in given)
        elif isinstance(node, ast.ClassDef):
            fixed = {
                statement.targets[0].id: text_of(statement.value, constants)
                for statement in node.body
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            }
            yield fixed.get("reason", ""), fixed.get("code", "")


def raised() -> dict[str, set[str]]:
    """The reasons in the code, each with the codes that are known to go with it."""
    found: dict[str, set[str]] = {}
    for package in ("bridge", "handlers", "pool"):
        for path in (ROOT / package).rglob("*.py"):
            for reason, code in reasons(ast.parse(path.read_text())):
                if REASON.fullmatch(reason):
                    found.setdefault(reason, set()).update({code} & CODES)
    return found


def test_the_page_has_every_reason_and_no_other():
    assert sorted(rows()) == sorted(raised())


def test_codes_on_the_page_are_those_of_the_code():
    page = rows()
    assert {code for codes in page.values() for code in codes} <= CODES
    missing = {reason: codes - page[reason] for reason, codes in raised().items() if codes - page[reason]}
    assert missing == {}


def test_every_row_says_what_it_means_and_what_to_do():
    empty = [
        reason
        for reason, _, meaning, advice in ROW.findall(PAGE.read_text())
        if not meaning.strip() or not advice.strip()
    ]
    assert empty == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("BridgeError(Code.ABORTED, 'SOME_REASON', 'm')", {("SOME_REASON", "ABORTED")}),
        ("Unknown('m', reason='SOME_REASON')", {("SOME_REASON", "")}),
        ("HandlerError('m', code='NOT_FOUND', reason='SOME_REASON')", {("SOME_REASON", "NOT_FOUND")}),
        ("R = 'SOME_REASON'\nHandlerError('m', reason=R)", {("SOME_REASON", "")}),
        ("class E(X):\n    code = 'INTERNAL'\n    reason = 'SOME_REASON'", {("SOME_REASON", "INTERNAL")}),
        ("DeadlineExceeded(pool, 'IN_THERE')", {("IN_THERE", "")}),
    ],
)
def test_every_way_to_write_a_reason_is_seen(source, expected):
    assert {pair for pair in reasons(ast.parse(source)) if pair[0]} == expected
