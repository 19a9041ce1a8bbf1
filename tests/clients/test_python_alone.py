"""The Python client needs nothing of the server: its files, and what pyproject.toml asks for, are enough to call one.

The modules that it may import are those of its requirements; every other one is hidden from a fresh interpreter, which
then calls a real server, blocking and with asyncio.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "clients/python"
IMPORTED = {"grpcio": ["grpc", "typing_extensions"], "protobuf": ["google"], "msgspec": ["msgspec"]}
"""By the name of the package that a requirement asks for: the modules that it brings, its own requirements included."""
PROGRAM = """
import asyncio
import importlib.abc
import sys

folder, address, *allowed = sys.argv[1:]


class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        if first not in {*sys.stdlib_module_names, *allowed, "bridge_client"}:
            raise ModuleNotFoundError(f"{name} is no requirement of the client", name=name)
        return None


sys.meta_path.insert(0, Hidden())
sys.path.insert(0, folder)

from bridge_client import Final, NotFound, connect, connect_async

with connect(address) as client:
    assert client.call("add", a=1, b=2) == 3
    assert list(client.stream("count", to=3)) == [1, 2, 3]
    assert isinstance(list(client.programs.stream("triage", ticket="I was charged twice"))[-1], Final)
    try:
        client.call("no such")
    except NotFound as error:
        print(error.reason)


async def main():
    async with connect_async(address) as client:
        print(await client.call("add", a=20, b=22))


asyncio.run(main())
"""


def test_the_client_calls_a_server_with_its_own_requirements_alone(server, tmp_path):
    shutil.copytree(CLIENT / "bridge_client", tmp_path / "bridge_client")
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    asked = [re.split(r"[^\w-]", requirement)[0] for requirement in project["dependencies"]]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    allowed = [module for name in asked for module in IMPORTED[name]]
    command = [sys.executable, "-P", str(program), str(tmp_path), server.address, *allowed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path, env={"PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["UNKNOWN_FUNCTION", "42"]
