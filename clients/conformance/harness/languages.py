"""Languages: how each one's runner is found, made and started. Reads languages.yaml; runs what makes runners."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.runner import Runner

ROOT = Path(__file__).resolve().parents[3]
FILE = Path(__file__).resolve().parent.parent / "languages.yaml"
MISSING_STATUS = 3
"""What a command under `prepare` ends with where something is missing; its last line says what."""
PREPARE_S = 600.0
LAST_LINES = 30


class PrepareFailed(RuntimeError):
    """A runner could not be made, though nothing seems to be missing."""


@dataclass(kw_only=True)
class Language:
    """One client, and how its runner is made."""

    name: str
    folder: Path
    command: list[str]
    needs: list[str] = field(default_factory=list)
    """Commands that must be there."""
    prepare: list[list[str]] = field(default_factory=list)
    may_be_missing_in_ci: str = ""
    """Why CI may go on without it; empty where it must not."""
    readme: Path

    @property
    def is_written(self) -> bool:
        """Whether the repository has a runner for it."""
        return (self.folder / "conformance").is_dir() or (self.folder / "runners").is_dir()

    def missing(self) -> str | None:
        """What is missing; None where the runner can be made and started. Makes it. Raises PrepareFailed."""
        if not self.is_written:
            return f"{self.folder.relative_to(ROOT)} has no runner"
        for command in self.needs:
            if shutil.which(command) is None:
                return f"the command {command} is not installed"
        for command in self.prepare:
            if (why := self._prepare(command)) is not None:
                return why
        return None

    def _prepare(self, command: list[str]) -> str | None:
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=PREPARE_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            msg = f"{shlex.join(command)}: {error}"
            raise PrepareFailed(msg) from error
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        if done.returncode == MISSING_STATUS:
            return lines[-1] if lines else f"{shlex.join(command)} says that something is missing"
        if done.returncode != 0:
            shown = "\n".join(lines[-LAST_LINES:])
            msg = f"{shlex.join(command)} ended with status {done.returncode}:\n{shown}"
            raise PrepareFailed(msg)
        return None

    def start(self) -> Runner:
        """Start its runner."""
        return Runner(self.command, self.folder, environment())


def environment() -> dict[str, str]:
    """What runners see: this environment, with the Python client where it is not installed."""
    path = os.pathsep.join([str(ROOT / "clients/python"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}


def load(overrides: dict[str, str] | None = None) -> dict[str, Language]:
    """All languages by name. An override is a shell-like command line, started in the client's folder as it is."""
    read: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())
    found = {}
    for name, entry in read.items():
        given = (overrides or {}).get(name)
        folder = ROOT / entry["folder"]
        command = shlex.split(given) if given else entry["command"]
        found[name] = Language(
            name=name,
            folder=folder,
            command=[sys.executable if word == "{python}" else word for word in command],
            needs=[] if given else entry.get("needs", []),
            prepare=[] if given else entry.get("prepare", []),
            may_be_missing_in_ci=entry.get("may_be_missing_in_ci", ""),
            readme=ROOT / entry.get("readme", f"{entry['folder']}/README.md"),
        )
    return found
