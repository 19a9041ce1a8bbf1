"""The samples in Java, Ruby and C++ compile and do what they say against a real server.

What was compiled is kept in .cache/samples, in a folder named by all that goes into it, so that it is compiled again
only where the sample, the protos or the compilers have changed. A language whose tools are missing is skipped, with
their names.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "clients/samples"
CACHE = ROOT / ".cache/samples"
JARS = Path("/usr/share/java")
BUILD_S = 400.0
RUN_S = 60.0
SHOWN = re.compile(
    r"add: 3\n"
    r"receipt: sample-call ran in pool general on worker general-\d+, [1-9]\d* us\n"
    r"count: 1 2 3\n"
    r"error: (3|INVALID_ARGUMENT) SCHEMA_MISMATCH\n"
    r"  a: expected an integer, got the string 'one'\n"
    r"receipt of the failure: sample-failure\n"
)

pytestmark = pytest.mark.timeout(BUILD_S + 2 * RUN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A sample: what it needs, and how it is run once it is built."""

    name: str
    tools: tuple[str, ...]
    packages: tuple[str, ...]
    """Those of pkg-config, of Ruby or of Java that it needs besides."""
    command: tuple[str, ...]
    """`{out}` is the folder that it was built in, `{sample}` that of its sources."""

    def missing(self) -> list[str]:
        """What is not installed, by name."""
        return [tool for tool in self.tools if shutil.which(tool) is None] or [
            package for package in self.packages if not self._has(package)
        ]

    def _has(self, package: str) -> bool:
        if self.name == "java":
            return (JARS / f"{package}.jar").exists()
        question = (
            ["ruby", "-e", f"require '{package}'"] if self.name == "ruby" else ["pkg-config", "--exists", package]
        )
        return subprocess.run(question, capture_output=True, check=False).returncode == 0


LANGUAGES = {
    "cpp": Language(
        name="cpp",
        tools=("g++", "pkg-config", "protoc", "grpc_cpp_plugin"),
        packages=("grpc++", "protobuf"),
        command=("{out}/sample",),
    ),
    "java": Language(
        name="java",
        tools=("java", "javac", "protoc", "grpc_java_plugin"),
        packages=("grpc-netty", "protobuf", "netty-codec-http2", "perfmark-api", "geronimo-annotation-1.3-spec"),
        command=("{out}/sample",),
    ),
    "ruby": Language(
        name="ruby",
        tools=("ruby", "protoc", "grpc_ruby_plugin"),
        packages=("grpc", "google/rpc/error_details_pb"),
        command=("ruby", "-W:no-deprecated", "-I", "{out}", "{sample}/sample.rb"),
    ),
}


def inputs_digest(language: Language) -> str:
    """Names what a build depends on: the sample, the protos, and the tools."""
    digest = hashlib.sha256()
    sources = [*(SAMPLES / language.name).glob("*.*"), *(ROOT / "proto").rglob("*.proto")]
    sources += (ROOT / "clients/typescript/proto/google").rglob("*.proto")
    for path in sorted(sources):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    for tool in language.tools:
        found = Path(shutil.which(tool) or tool).resolve()
        digest.update(f"{found}\0{found.stat().st_size}\0{found.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def build(language: Language) -> Path:
    """The folder of the built sample; built elsewhere and moved there, so that half a build is never taken for one."""
    folder = CACHE / f"{language.name}-{inputs_digest(language)}"
    if folder.exists():
        return folder
    for stale in CACHE.glob(f"{language.name}-*"):
        shutil.rmtree(stale)
    half = CACHE / f"building-{language.name}-{os.getpid()}"
    half.mkdir(parents=True)
    try:
        built = subprocess.run(
            ["sh", str(SAMPLES / language.name / "build.sh"), str(half)],
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert built.returncode == 0, f"{built.stdout[-3000:]}\n{built.stderr[-6000:]}"
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


@pytest.fixture(scope="session", params=LANGUAGES)
def command(request: pytest.FixtureRequest) -> list[str]:
    """How a sample is run."""
    language = LANGUAGES[request.param]
    if missing := language.missing():
        pytest.skip(f"not installed: {', '.join(missing)} (clients/samples/README.md names Debian's packages)")
    places = {"out": str(build(language)), "sample": str(SAMPLES / language.name)}
    return [word.format(**places) for word in language.command]


@pytest.fixture
def closed_address() -> Iterator[str]:
    """An address that nobody listens at, reserved for the test."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


def run(command: list[str], address: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, address],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def test_a_sample_calls_streams_and_reads_details_and_receipts(
    command: list[str], request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("server").address  # late, so that what is missing is told before a server starts
    done = run(command, address)
    assert done.returncode == 0, done.stderr
    assert SHOWN.fullmatch(done.stdout), done.stdout


def test_a_sample_calls_with_a_key_and_over_tls(command: list[str], request: pytest.FixtureRequest) -> None:
    plain = "java" in command[0]  # clients/samples/README.md says why
    server = request.getfixturevalue("keyed" if plain else "guarded")
    tls = {} if plain else {"BRIDGE_TLS_CA": str(server.ca)}
    done = run(command, server.address, BRIDGE_KEY=server.key, **tls)
    assert done.returncode == 0, done.stderr
    assert SHOWN.fullmatch(done.stdout), done.stdout
    refused = run(command, server.address, BRIDGE_KEY="bk_no_key", **tls)
    assert refused.returncode != 0
    assert "add:" not in refused.stdout


def test_a_sample_fails_where_no_server_answers(command: list[str], closed_address: str) -> None:
    done = run(command, closed_address)
    assert done.returncode != 0
    assert "add:" not in done.stdout
    assert done.stderr.strip()


def test_the_readme_names_the_packages_that_the_build_scripts_name() -> None:
    readme = (SAMPLES / "README.md").read_text()
    for language in LANGUAGES:
        script = (SAMPLES / language / "build.sh").read_text().replace("\\\n#", "")
        (line,) = re.findall(r"^# Debian: apt-get install (.*)$", script, re.MULTILINE)
        assert " ".join(line.split()) in readme
