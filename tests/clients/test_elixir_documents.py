"""The Elixir client's notebook, with a server that its own cells start, and its README, with the demo's server."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CELLS = Path(__file__).parent / "elixir/cells.exs"
RUN_S = 200.0

pytestmark = [pytest.mark.timeout(3 * RUN_S), pytest.mark.slow]


def run(mix, *words):
    with mix("run", "--no-compile", str(CELLS), *words) as running:
        output, errors = running.communicate(timeout=RUN_S)
    assert running.returncode == 0, f"{output}\n{errors}"
    return output.splitlines()[-1]


def test_every_cell_of_the_notebook_gives_what_it_shows(mix):
    assert run(mix, "livebooks/first_calls.livemd") == "9 cells"


def test_the_snippets_of_the_readme_run_one_after_another(mix, start_shared_server):
    server = start_shared_server(ROOT / "examples/demo_app.py")
    assert run(mix, "README.md", server.address) == "3 cells"
