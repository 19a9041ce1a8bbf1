"""Writes clients/go/bridgev1 from proto/: Go's messages and bare stubs. Run by `make proto`.

The two plugins of protoc are built from the sources that Debian packages, so that the output is the same on every
machine: protoc-gen-go of golang-google-protobuf-dev and protoc-gen-go-grpc of golang-google-grpc-dev. What an old
plugin writes works with old and new runtimes. Where they are missing nothing is written and stderr says why; in CI that
is an error, if CI_WITHOUT does not name Go.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = HERE / "bridgev1"
PACKAGE = "github.com/polyglot-bridge/polyglot-bridge/clients/go/bridgev1"
SOURCES = Path(os.environ.get("GO_CLIENT_SOURCES", "/usr/share/gocode"))
"""Where Debian puts Go's libraries."""
PLUGINS = {"protoc-gen-go": "google.golang.org/protobuf", "protoc-gen-go-grpc": "google.golang.org/grpc"}
"""Plugin -> the library that it is a command of."""
PINNED = "v1.28.1"
"""The version of protoc-gen-go; that of protoc-gen-go-grpc is not in what it writes."""


def missing() -> str:
    """What keeps the plugins from being built; empty where nothing does."""
    if shutil.which("go") is None:
        return "Go is not installed (Debian: apt-get install golang-go)"
    for plugin, library in PLUGINS.items():
        if not (SOURCES / "src" / library / "cmd" / plugin).is_dir():
            return f"{plugin} is not there (Debian: apt-get install golang-google-grpc-dev golang-google-protobuf-dev)"
    return ""


def build(folder: Path) -> None:
    """Builds the plugins into `folder`. Raises CalledProcessError."""
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(SOURCES), "GOFLAGS": ""}
    for plugin, library in PLUGINS.items():
        command = ["go", "build", "-o", str(folder / plugin), f"{library}/cmd/{plugin}"]
        subprocess.run(command, cwd=folder, env=environment, check=True)


def protoc(plugins: Path, out: Path) -> None:
    """Writes the Go files of every proto file into `out`. Raises CalledProcessError."""
    protos = sorted(path.relative_to(ROOT / "proto").as_posix() for path in (ROOT / "proto/bridge/v1").glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
    for plugin in PLUGINS:
        kind = plugin.removeprefix("protoc-gen-")
        command += [f"--plugin={plugin}={plugins / plugin}", f"--{kind}_out={out}", f"--{kind}_opt=module={PACKAGE}"]
        command += [f"--{kind}_opt=M{name}={PACKAGE};bridgev1" for name in protos]
    command.append("--go-grpc_opt=require_unimplemented_servers=false")
    subprocess.run([*command, *protos], check=True)


def checked_versions(out: Path) -> None:
    """Raises SystemExit where the messages were written by another plugin than the pinned one."""
    head = (out / "common.pb.go").read_text()[:400]
    found = re.search(r"protoc-gen-go (\S+)", head)
    if found is None or found[1] != PINNED:
        msg = f"expected protoc-gen-go {PINNED}, got {found and found[1]}: pin the version that is here"
        raise SystemExit(msg)


def main() -> int:
    """Returns the exit status."""
    if cause := missing():
        if os.environ.get("CI") == "true" and "go" not in os.environ.get("CI_WITHOUT", "").split():
            print(f"clients/go/bridgev1 can not be written: {cause}", file=sys.stderr)
            return 1
        print(f"    skipped clients/go/generate.py: {cause}", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as name:
        plugins, out = Path(name) / "plugins", Path(name) / "out"
        plugins.mkdir()
        out.mkdir()
        build(plugins)
        protoc(plugins, out)
        checked_versions(out)
        OUT.mkdir(exist_ok=True)
        for stale in OUT.glob("*.pb.go"):
            stale.unlink()
        for path in sorted(out.glob("*.pb.go")):
            shutil.copy2(path, OUT / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
