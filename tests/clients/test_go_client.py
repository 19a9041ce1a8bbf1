"""The Go client: go vet, its own tests against a real server, and that it is formatted as gofmt does.

It is built with the grpc-go that is here: Debian's packages, or what GO_CLIENT_MODFILE names. Without them the tests
are skipped on a laptop and fail in CI. The race detector watches where there is a C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients/go"
CONFORMANCE = ROOT / "clients/conformance"
PACKAGES = (".", "./bench/overhead", "./conformance", "./internal/msgpack")
MISSING = 3
"""What tool.sh ends with where something is missing."""
BUILD_S, RUN_S = 400.0, 120.0
CONFIG = f"""
[pools.general]
size = 2
grace_s = 0.5
[pools.llm]
size = 1
modules = ["{CONFORMANCE / "conformance_programs.py"}"]
[pools.embeddings]
size = 0
[models.default]
model = "bridge/test"
"""

pytestmark = pytest.mark.timeout(BUILD_S + RUN_S)


def run(*command: str, timeout_s: float = BUILD_S, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the client's folder and returns it with its output, whatever its exit code."""
    return subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def go(*words: str) -> None:
    """Runs `go` on the client; fails with its output, or says what is missing."""
    done = run("sh", "tool.sh", *words)
    shown = f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    if done.returncode == MISSING:
        if os.environ.get("CI") == "true" and "go" not in os.environ.get("CI_WITHOUT", "").split():
            pytest.fail(f"{shown.strip()}; CI must have it")
        pytest.skip(shown.strip())
    if done.returncode != 0:
        pytest.fail(f"go {' '.join(words)} ended with {done.returncode}:\n{shown}")


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's tests as a program."""
    made = tmp_path_factory.mktemp("go") / "client.test"
    watched = ["-race"] if shutil.which("gcc") else []
    go("test", *watched, "-c", "-o", str(made), ".")
    return made


def test_go_vet_finds_nothing() -> None:
    go("vet", *PACKAGES)


def test_the_values_have_tests_of_their_own() -> None:
    go("test", "./internal/msgpack")


def test_the_client_calls_a_server(binary: Path, start_shared_server: Any, tmp_path: Path) -> None:
    server = start_shared_server(CONFORMANCE / "conformance_app.py", CONFIG, {"CONFORMANCE_FOLDER": str(tmp_path)})
    done = run(str(binary), "-test.v", timeout_s=RUN_S, GO_CLIENT_ADDRESS=str(server.address))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    assert "--- SKIP" not in done.stdout
    assert done.stdout.count("--- PASS") >= 27


def test_files_are_as_gofmt_writes_them() -> None:
    if shutil.which("gofmt") is None:
        pytest.skip("gofmt is not installed (Debian: apt-get install golang-go)")
    written = [str(path) for path in CLIENT.rglob("*.go") if "bridgev1" not in path.parts]
    assert written
    assert run("gofmt", "-l", *written).stdout == ""
