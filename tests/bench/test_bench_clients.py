"""The benchmark of the clients: it believes no program that prints something else, and measures the Python clients."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent
CLIENTS = BENCH.parents[1] / "clients"


@pytest.fixture
def bench(monkeypatch):
    """The module, which runs as a script and so is in no package."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module("clients_bench")
    sys.modules.pop("clients_bench", None)


def test_both_medians_are_read_from_a_programs_last_line(bench):
    assert bench.ratio('{"client_p50_ms": 0.6, "stub_p50_ms": 0.5}', "x") == (0.6, 0.5)


@pytest.mark.parametrize(
    "line",
    ["", "0.6", "[]", "{}", '{"client_p50_ms": 1}', '{"client_p50_ms": 1, "stub_p50_ms": 0}',
     '{"client_p50_ms": NaN, "stub_p50_ms": 1}', '{"client_p50_ms": null, "stub_p50_ms": 1}'],
)  # fmt: skip
def test_another_line_is_an_error(bench, line):
    with pytest.raises(bench.TargetError, match=r"^x: expected"):
        bench.ratio(line, "x")


def test_a_program_that_fails_is_an_error_with_its_words(bench, tmp_path):
    words = (sys.executable, "-c", "import sys; print('told why'); sys.exit(3)")
    with pytest.raises(bench.TargetError, match=r"ended with 3:\ntold why"):
        bench.execute(bench.PROGRAMS[0], words, tmp_path, 60)


@pytest.mark.parametrize("status", [0, 1, 3])
def test_what_can_not_be_built_for_want_of_something_is_left_out(bench, tmp_path, status):
    step = (sys.executable, "-c", f"import sys; print('working'); print('the compiler'); sys.exit({status})")
    program = dataclasses.replace(bench.PROGRAMS[0], build=(step,))
    if status == 1:
        with pytest.raises(bench.TargetError, match="ended with 1"):
            bench.built(program, tmp_path)
    else:
        assert bench.built(program, tmp_path) == ("the compiler" if status else "")


def test_every_program_that_a_client_has_is_measured(bench):
    present = {path.parent.parent.name for path in CLIENTS.glob("*/bench/overhead*")}
    assert "python" in present
    sources = {program.language: program.source for program in bench.PROGRAMS}
    assert [language for language in present if not (CLIENTS / language / sources[language]).exists()] == []


def test_the_python_clients_are_measured_against_their_stubs(tmp_path):
    out = tmp_path / "bench.json"
    options = ["--language", "python", "--rounds", "1", "--calls", "40", "--out", str(out)]
    command = [sys.executable, str(BENCH / "clients_bench.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())["figures"]
    assert figures.keys() == {"client_python_p50", "client_python_async_p50"}
    assert all(figure["value"] > 0 and figure["target"] == 1.3 for figure in figures.values())
