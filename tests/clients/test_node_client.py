"""The Node client against a real server: its own tests, its README's snippets and its demo.

Installs the client's packages on the first run (`npm ci`, which says what it does) and builds it. Without npm the tests
are skipped on a laptop and fail in CI.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients/typescript"
INSTALLED = CLIENT / "node_modules/.package-lock.json"
"""npm writes it last, so that an install that was interrupted is not taken for a finished one."""
INSTALL_S = 300.0
RUN_S = 240.0
OLDEST_NODE = 20

pytestmark = pytest.mark.timeout(INSTALL_S + 2 * RUN_S)


def run(*command: str, timeout_s: float = RUN_S, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the client's folder and returns it with its output, whatever its exit code."""
    return subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def succeed(*command: str, timeout_s: float = RUN_S, **environment: str) -> str:
    """Runs a command and returns its stdout; fails with all its output where its exit code is not 0."""
    done = run(*command, timeout_s=timeout_s, **environment)
    if done.returncode != 0:
        shown = f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        pytest.fail(f"{' '.join(command)} ended with exit code {done.returncode}:\n{shown}")
    return done.stdout


def skip_or_fail(reason: str) -> None:
    """What is missing may be missing on a laptop, never in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def node() -> str:
    """The node command, recent enough, with npm beside it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        skip_or_fail("node and npm are not installed")
    version = succeed("node", "--version").strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        skip_or_fail(f"expected Node {OLDEST_NODE} or later, got {version}")
    return "node"


def is_installed() -> bool:
    """Whether node_modules has what package-lock.json asks for."""
    if not INSTALLED.exists():
        return False
    wanted = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    present = json.loads(INSTALLED.read_text())["packages"]
    return all(
        present.get(name, {}).get("version") == package["version"]
        for name, package in wanted.items()
        if name and not package.get("optional")
    )


@pytest.fixture(scope="module")
def client(node: str, request: pytest.FixtureRequest) -> Path:
    """The client's folder, its packages installed and built."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n==> {text}", flush=True)

    if not is_installed():
        say("Installing the Node client's packages (npm ci in clients/typescript, once)")
        succeed("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout_s=INSTALL_S)
    say("Building the Node client (npm run build)")
    succeed("npm", "run", "build")
    return CLIENT


@pytest.fixture(scope="module")
def address(client: Path, request: pytest.FixtureRequest) -> str:
    """The shared server's address. Asked for late, so that what is missing is told before a server starts."""
    server: Any = request.getfixturevalue("server")
    return server.address


def test_the_copy_of_the_protos_is_up_to_date(node: str) -> None:
    assert "is up to date" in succeed(node, "scripts/protos.mjs", "--check")


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    assert len(packages) > 10
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_sources_and_tests_pass_the_compiler(client: Path) -> None:
    assert "error" not in succeed("npx", "tsc", "-p", "tsconfig.test.json")


def test_the_package_has_what_it_needs_at_run_time(client: Path, tmp_path: Path) -> None:
    succeed("npm", "pack", "--ignore-scripts", "--pack-destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert {"package/dist/index.js", "package/dist/index.d.ts", "package/proto/bridge/v1/invoke.proto"} <= names
    assert not any(name.startswith(("package/src", "package/test", "package/node_modules")) for name in names)


def test_the_clients_own_tests_pass_against_a_real_server(client: Path, address: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["--reporter=default", "--reporter=json", f"--outputFile.json={report}"]
    succeed("npx", "vitest", "run", *arguments, BRIDGE_ADDRESS=address)
    totals = json.loads(report.read_text())
    assert totals["success"] is True
    assert totals["numPassedTests"] > 80
    assert totals["numPendingTests"] == 0, "tests were skipped although there is a server"


def test_the_demo_shows_every_step(client: Path, node: str, address: str) -> None:
    shown = succeed(node, "examples/demo.mjs", address)
    lines = shown.splitlines()
    assert lines[-1] == "All steps did what they should."
    assert re.search(r"^  queue: (billing|technical|sales), urgency: \d+$", shown, re.MULTILINE)
    assert re.search(r"^  reasoning: .+$", shown, re.MULTILINE), "the streamed text is missing"
    assert re.search(r"^  [1-9]\d* deltas; bridge/test used [1-9]\d* \+ [1-9]\d* tokens$", shown, re.MULTILINE)
    assert "  384 dimensions: " in shown
    assert re.search(r"^  BLEU \d\d\.\d\d \(.*version:", shown, re.MULTILINE)
    assert "  2^53 + 1 = 9007199254740993, from worker " in shown
    assert "  INVALID_ARGUMENT SCHEMA_MISMATCH" in lines
    assert any(line.startswith("  - a: ") for line in lines)


def test_the_demo_fails_where_there_is_no_server(client: Path, node: str) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{reserved.getsockname()[1]}"
        done = run(node, "examples/demo.mjs", closed)
    assert done.returncode == 1
    assert f"UNAVAILABLE can not reach the bridge at {closed}; is it running there" in done.stderr


AGENT = """
import dspy

agent = dspy.ReAct("question -> answer", tools=[])
"""


def test_an_agent_calls_tools_of_a_node_program_and_a_cancel_reaches_them(
    client: Path, node: str, start_server: Any
) -> None:
    address = start_server(AGENT).address
    lines = succeed(node, "examples/tools.mjs", address, "agent").splitlines()
    assert lines[0] == "1. Hosting stock_of and reserve"
    assert "reserved bolts" in lines[1]
    assert lines[2:] == ["3. A cancelled run has reached its tool: CALLER_ENDED", "All steps did what they should."]
