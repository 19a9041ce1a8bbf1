"""Writes every generated file (`--write`), or checks that the ones in the repository are what would be written.

To check, it copies the working tree, runs the generators in the copy and compares the two trees, so a generator only
needs to know how to write in place. It owns the list of generators and knows nothing of what they do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROTOC = "-m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. --grpc_python_out=."
"""Arguments of the interpreter, before the proto files. The generated grpc modules name the version of the generator,
so the development tools pin grpcio-tools exactly."""

GENERATORS = {
    "clients/python/generate.py": ("python", "clients/python/generate.py"),
    "clients/elixir/generate.py": ("python", "clients/elixir/generate.py"),
    "clients/go/generate.py": ("python", "clients/go/generate.py"),
    "clients/typescript/scripts/protos.mjs": ("node", "clients/typescript/scripts/protos.mjs"),
    "bridge/cli/reference.py": ("python", "-m", "bridge.cli.reference"),
}
"""By the file that must exist: the command, run from the root of the tree. They write in place."""


def tree_files(root: Path) -> list[str]:
    """The files that are or would be in the repository, relative to its root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def generate(root: Path) -> None:
    """Runs every generator in `root`; raises CalledProcessError when one fails."""
    for stale in (root / "bridge/v1").glob("*_pb2*"):
        stale.unlink()
    protos = sorted(str(path.relative_to(root)) for path in root.glob("proto/bridge/v1/*.proto"))
    commands = [("python", *PROTOC.split(), *protos)]
    commands += [words for needed, words in GENERATORS.items() if (root / needed).is_file()]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for tool, *words in commands:
        program = sys.executable if tool == "python" else shutil.which(tool)
        if program is None:
            if os.environ.get("CI") == "true":
                raise FileNotFoundError(f"{tool} is not installed, and {words[0]} needs it")
            print(f"    skipped {words[0]}: {tool} is not installed")
            continue
        subprocess.run([program, *words], cwd=root, check=True, env=environment, stdout=subprocess.DEVNULL)


def differences(before: Path, after: Path, names: set[str]) -> list[str]:
    """One line for each file that is missing on one side or differs."""
    lines = []
    for name in sorted(names):
        old, new = before / name, after / name
        if not new.is_file():
            lines.append(f"{name}: no longer generated; delete it")
        elif not old.is_file():
            lines.append(f"{name}: missing")
        elif old.read_bytes() != new.read_bytes():
            lines.append(f"{name}: out of date")
    return lines


def check() -> list[str]:
    """What `--write` would change."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        names = tree_files(ROOT)
        for name in names:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
        generate(copy)
        written = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
        return differences(ROOT, copy, written | set(names))


def main() -> int:
    """Returns the exit status: 1 where a check found differences."""
    parser = argparse.ArgumentParser(description="Check the generated files, or write them.")
    parser.add_argument("--write", action="store_true", help="write the files instead of checking them")
    if parser.parse_args().write:
        generate(ROOT)
        return 0
    lines = check()
    for line in lines:
        print(f"    {line}")
    if lines:
        print("    The fix: make proto")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
