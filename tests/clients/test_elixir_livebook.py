"""The Elixir client's notebook, cell by cell, with a server that its own cells start."""

from __future__ import annotations

from pathlib import Path

import pytest

RUN_S = 200.0
NOTEBOOK = "livebooks/first_calls.livemd"
RUNNER = Path(__file__).parent / "elixir/livebook.exs"

pytestmark = [pytest.mark.timeout(3 * RUN_S), pytest.mark.slow]


def test_every_cell_gives_what_it_shows(mix):
    with mix("run", "--no-compile", str(RUNNER), NOTEBOOK) as running:
        output, errors = running.communicate(timeout=RUN_S)
    assert running.returncode == 0, f"{output}\n{errors}"
    assert output.endswith("9 cells\n")
