"""The repository as a whole: its top level, names that would shadow others, and what no file may contain.

Looks at what git tracks. Knows nothing of what the files do.
"""

from __future__ import annotations

import ipaddress
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
FIXED = {"pyproject.toml", "proto", "bridge", "handlers", "pool", "clients", "tests", "README.md"}
ALLOWED = FIXED | {"docs", "examples", "deploy", "CHANGELOG.md", "LICENSE", "Makefile", "constraints.txt"}
IMPORT_NAMES = {"grpc", "google", "torch", "dspy", "yaml", "numpy", "mcp", "ray", "optuna", "fastapi"}
"""Names that we or our users import and that differ from, or are missing in, the names of pyproject.toml."""

MACHINE_PATH = re.compile(r"(?<![\w./<>-])/(?:work|root|home|opt|Users|mnt)/[\w.-]+")
REGISTRY_HOSTS = (
    "registry." + "npmjs.org",
    "files." + "pythonhosted.org",
    "pypi." + "org",
    "npmjs." + "com",
    "download." + "pytorch.org",
    "index-" + "url",
    "find-" + "links",
)
"""Where packages come from is the business of the machine that installs them; a lock file that names a host fails
where that host is not reachable."""


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for name in tracked():
        try:
            found[name] = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
    return found


def requirements() -> set[str]:
    """The names of what pyproject.toml asks for, in the form of constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[^\w-]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    return names - {project["name"]}


def test_the_top_level_is_the_agreed_one():
    names = {name.split("/")[0] for name in tracked()}
    assert {name for name in names if not name.startswith(".")} - ALLOWED == set()
    assert FIXED - names == set()


def test_no_folder_of_tests_or_protos_is_a_package():
    """`proto/__init__.py` would shadow google's proto-plus; test packages would need one namespace for all."""
    assert [name for name in tracked() if re.fullmatch(r"(proto|tests)/(.*/)?__init__\.py", name)] == []


def test_test_files_have_unique_names():
    files = [name for name in tracked() if re.search(r"(^|/)test_\w+\.py$", name)]
    names = [name.rsplit("/", 1)[1] for name in files]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_no_module_is_named_like_another_one():
    """A script's own folder comes first on sys.path, so `logging.py` beside it replaces the standard library's."""
    theirs = {name.replace("-", "_") for name in requirements()}
    taken = set(sys.stdlib_module_names) | theirs | IMPORT_NAMES
    ours = [name for name in tracked() if name.endswith(".py") and not name.endswith(("__init__.py", "__main__.py"))]
    assert [name for name in ours if Path(name).stem in taken] == []


def test_no_file_names_a_path_of_one_machine():
    found = {name: match.group() for name, text in texts().items() if (match := MACHINE_PATH.search(text))}
    assert found == {}


def test_no_file_names_a_package_registry():
    found = {name: host for name, text in texts().items() for host in REGISTRY_HOSTS if host in text}
    assert found == {}


def test_every_pin_is_exact_and_every_dependency_is_pinned():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    pinned = {line.split("==")[0] for line in lines}
    assert requirements() - pinned == set()


def test_a_default_server_listens_on_loopback_only(server):
    hosts = {
        ipaddress.ip_address(connection.laddr.ip)
        for process in server.processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert hosts
    plain = {getattr(host, "ipv4_mapped", None) or host for host in hosts}
    assert [str(host) for host in plain if not host.is_loopback] == []


@pytest.mark.parametrize("text", ["see /" + "home/me/x", "cd /" + "root/project", "/" + "opt/wheels"])
def test_machine_paths_are_recognised(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["#!/usr/bin/env bash", "https://host/home/page", "docs/home/index.md", "/tmp/x"])
def test_other_paths_are_left_alone(text):
    assert not MACHINE_PATH.search(text)
