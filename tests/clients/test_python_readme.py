"""Every Python snippet of the client's README runs against the demo app, as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "clients/python/README.md"
BLOCK = re.compile(r"^## (?P<heading>[^\n]+)$|^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:50051"
EXPECTED = {
    "Quick start 1": ["3", "{'lines': 1, 'total': 8.1}", "1", "2", "3"],
    "Quick start 3": ["[1, 2, 3]", "1", "2", "3"],
    "Options of a call 1": ["order-77 "],
    "Errors 1": ["a ", "UNKNOWN_FUNCTION "],
}
"""How the lines that a snippet prints begin, for those whose text says what they print."""


def snippets():
    """Each Python block as (heading and number, code)."""
    heading, number = "", 0
    for block in BLOCK.finditer(README.read_text()):
        if block["heading"]:
            heading, number = block["heading"], 0
        else:
            number += 1
            yield f"{heading} {number}", block["code"]


SNIPPETS = dict(snippets())


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs(name, server):
    code = SNIPPETS[name]
    assert ADDRESS in code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace(ADDRESS, server.address)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    printed = done.stdout.splitlines()
    assert printed or name.startswith("Streams")
    for line, start in zip(printed, EXPECTED.get(name, []), strict=False):
        assert line.startswith(start)
    assert len(printed) >= len(EXPECTED.get(name, []))


def test_all_snippets_were_found():
    assert len(SNIPPETS) == README.read_text().count("```python")
    assert EXPECTED.keys() <= SNIPPETS.keys()
