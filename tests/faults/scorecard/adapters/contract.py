"""What an adapter tells of its server: how to install and start it, and how to make a client of it."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from calling import Client

SUITE = Path(__file__).resolve().parents[1]
ROOT = SUITE.parents[2]
APPS = SUITE / "apps"
ENVIRONMENTS = ROOT / ".cache/scorecard"


def pinned(requirements: str, package: str) -> str:
    """The version of a package in one of the files in requirements/."""
    lines = (SUITE / "requirements" / requirements).read_text().splitlines()
    return next(line.removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}=="))


class Adapter:
    """One server. A subclass says what differs; its app stands in apps/."""

    name: str
    """What SERVERS=... calls it."""
    title: str
    """What the card calls it, with its version."""
    start_limit_s = 60.0
    requirements: str | None = None
    """The file in requirements/ that its own environment is made from; None where this environment has all it needs."""

    @property
    def python(self) -> str:
        """The interpreter that runs the server."""
        return str(self.environment_path / "bin/python") if self.requirements else sys.executable

    @property
    def environment_path(self) -> Path:
        return ENVIRONMENTS / self.name

    def installed(self) -> bool:
        """Whether its environment is complete and of the versions that are pinned now."""
        if self.requirements is None:
            return True
        done = self.environment_path / "installed.txt"
        return done.exists() and done.read_text() == self._pins()

    def install(self) -> None:
        """Make its environment, with pip and the pinned versions. Raises CalledProcessError."""
        venv.create(self.environment_path, with_pip=True, clear=True)
        file = SUITE / "requirements" / str(self.requirements)
        subprocess.run([self.python, "-m", "pip", "install", "--quiet", "-r", str(file)], check=True)
        (self.environment_path / "installed.txt").write_text(self._pins())

    def _pins(self) -> str:
        return (SUITE / "requirements" / str(self.requirements)).read_text()

    def environment(self) -> dict[str, str]:
        """Environment variables of the server's processes."""
        return {"PYTHONPATH": str(APPS)}

    def command(self, port: int) -> list[str]:
        """What starts the server; `port` is free, for servers that can not choose one themselves."""
        raise NotImplementedError

    async def client(self, output: Path, port: int, limit_s: float) -> Client:
        """Return a client once the server says where it listens."""
        raise NotImplementedError
