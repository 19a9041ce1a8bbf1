"""Checks of the installed packages for `bridge doctor`. Nothing heavy is imported: versions come from metadata."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

DISTRIBUTION = "polyglot-bridge"
EXTRAS = ("dspy", "llm", "embeddings", "metrics", "mcp", "prometheus")

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*([^;]*)(?:;\s*(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def is_installed(module: str) -> bool:
    """Return whether a top-level module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def check_installation() -> Finding:
    """Check that `bridge`, `handlers` and `pool` come from one installation: their names are common ones."""
    places = {name: _folder(name) for name in ("bridge", "handlers", "pool")}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        return Finding("problem", "installation", f"no package {', '.join(missing)}", f"pip install {DISTRIBUTION}")
    if len(set(places.values())) > 1:
        detail = "; ".join(f"{name} comes from {place}" for name, place in places.items())
        return Finding("problem", "installation", detail, "remove or rename the packages that are not the bridge's")
    # As a worker is started: without the working directory on its path.
    child = subprocess.run([sys.executable, "-P", "-c", "import pool.child"], capture_output=True, check=False)
    if child.returncode != 0:
        detail = "a worker process can not import 'pool.child'; the bridge runs from a source tree and is not installed"
        return Finding("problem", "installation", detail, "pip install -e . in the source tree")
    return Finding("ok", "installation", f"{DISTRIBUTION} {installed_version(DISTRIBUTION) or '(not installed)'}")


def check_packages() -> Iterator[Finding]:
    """Check the packages that the server itself needs."""
    found, wrong = _requirements("")
    for name, problem in wrong:
        yield Finding("problem", f"package {name}", problem, f"pip install --upgrade {DISTRIBUTION}")
    shown = [f"{name} {found[name]}" for name in ("grpcio", "protobuf", "pydantic", "uvloop") if name in found]
    yield Finding("ok", "packages", ", ".join(shown) or "no metadata: run from a source tree")
    yield _generated_code()


def check_extras() -> Iterator[Finding]:
    """Say which extras are installed, with versions."""
    for extra in EXTRAS:
        found, wrong = _requirements(extra)
        install = f"pip install '{DISTRIBUTION}[{extra}]'"
        if not found and not wrong:
            continue
        if wrong:
            detail = "; ".join(f"{name} {problem}" for name, problem in wrong)
            yield Finding("note", f"extra {extra}", detail, install)
        else:
            yield Finding("ok", f"extra {extra}", ", ".join(f"{name} {number}" for name, number in found.items()))


def _folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution; empty if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _requirements(extra: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the versions of what an extra ("" for none) requires, and what is missing or too old."""
    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}, []
    found: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    for line in lines:
        match = _REQUIREMENT.match(line)
        assert match is not None, line
        name, wanted, marker = match[1], (match[2] or "").strip(), match[3] or ""
        condition = _EXTRA.search(marker)
        if (condition[1] if condition else "") != extra:
            continue
        number = installed_version(name)
        if not number:
            wrong.append((name, "is not installed"))
        elif not _satisfies(number, wanted):
            wrong.append((name, f"is {number}, needs {wanted}"))
        else:
            found[name] = number
    return found, wrong


def _satisfies(number: str, wanted: str) -> bool:
    """Return whether a version meets simple conditions: `>=`, `<` and `==` of numbers, which is all that we declare."""
    for condition in filter(None, (part.strip() for part in wanted.split(","))):
        match = re.match(r"(>=|<=|==|<|>|!=|~=)\s*(.+)", condition)
        if match is None:
            continue
        have, limit = _numbers(number), _numbers(match[2])
        ordered = (have > limit) - (have < limit)
        holds = {">=": ordered >= 0, "<=": ordered <= 0, "==": ordered == 0, "<": ordered < 0, ">": ordered > 0}
        if not holds.get(match[1], True):
            return False
    return True


def _numbers(text: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _generated_code() -> Finding:
    """Check that the generated messages load with the installed protobuf; they refuse an older one."""
    from google.protobuf.runtime_version import VersionError

    try:
        importlib.import_module("bridge.v1.common_pb2")
    except (ImportError, VersionError) as error:
        return Finding("problem", "generated messages", str(error), f"pip install --upgrade {DISTRIBUTION} protobuf")
    return Finding("ok", "generated messages", f"load with protobuf {installed_version('protobuf')}")
