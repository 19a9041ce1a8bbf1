"""What several tests of clients need. The Elixir client is compiled once, where there is all that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ELIXIR = ROOT / "clients/elixir"
PREPARE_S = 400.0
MISSING_STATUS = 3

Mix = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def mix() -> Mix:
    """Starts `mix` in the Elixir client's folder, compiled; skips where something is missing, and says what."""
    prepared = subprocess.run(
        ["sh", "conformance/prepare.sh"], cwd=ELIXIR, capture_output=True, text=True, timeout=PREPARE_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if prepared.returncode == MISSING_STATUS:
        pytest.skip(f"missing: {prepared.stdout.splitlines()[-1]}")
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # `bridge` is there

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["mix", *words],
            cwd=ELIXIR,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MIX_QUIET": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
