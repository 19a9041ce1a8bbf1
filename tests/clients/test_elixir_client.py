"""The Elixir client's core on the Elixir that is there: compiled without warnings, formatted, and its own tests.

The core (`clients/elixir/core`) needs no package. The client itself needs the hex packages grpc and protobuf and a
newer Elixir than Debian's: clients/elixir/README.md says with which versions its tests were run. Where these are there,
all of its tests run here too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENT = Path(__file__).resolve().parents[2] / "clients/elixir"
RUN_S = 300.0

pytestmark = pytest.mark.timeout(3 * RUN_S)


def run(*command: str, **environment: str) -> str:
    """Runs a command in the client's folder and returns what it wrote; fails where its exit code is not 0."""
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, "MIX_ENV": "test", "LANG": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    written = done.stdout + done.stderr
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with exit code {done.returncode}:\n{written[-8000:]}")
    return written


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the core alone is built, in a folder of its own."""
    if shutil.which("mix") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("elixir is not installed; CI must have it")
        pytest.skip("elixir is not installed")
    return {"BRIDGE_CORE_ONLY": "1", "MIX_BUILD_ROOT": str(tmp_path_factory.mktemp("elixir"))}


def test_the_core_compiles_without_packages_and_warnings(core: dict[str, str]) -> None:
    assert "Generated bridge_client app" in run("mix", "compile", "--warnings-as-errors", **core)


def test_the_core_passes_its_tests(core: dict[str, str]) -> None:
    found = re.search(r"(\d+) doctests?, (\d+) tests?, 0 failures", written := run("mix", "test", **core))
    assert found, written[-2000:]
    assert int(found[2]) >= 45


def test_all_of_the_client_is_formatted(core: dict[str, str]) -> None:
    run("mix", "format", "--check-formatted", **core)


def test_the_client_passes_its_tests_where_its_packages_are(mix) -> None:
    with mix("test", MIX_ENV="test") as running:
        written, errors = running.communicate(timeout=RUN_S)
    assert running.returncode == 0, f"{written[-8000:]}\n{errors[-2000:]}"
    assert ", 0 failures" in written
    assert "excluded" not in written.splitlines()[-1], "the tests against a server were left out"
