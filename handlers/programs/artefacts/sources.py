"""What a program's state was made with: hashes of the files that define the program, versions of libraries.

Owns no state; imports nothing heavy.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGES = ("dspy", "litellm", "instructor", "openai", "pydantic", "msgspec", "numpy", "polyglot-bridge")
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def lock() -> dict[str, str]:
    """Return the versions that are installed here."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def lock_changes(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return how the versions here differ from those of an artefact, in words."""
    return [
        f"{name} was {saved.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in sorted({*saved, *now})
        if saved.get(name) != now.get(name)
    ]


def source_of(program: Any, app: Path) -> dict[str, str]:
    """Return hashes of the app's file and of every other file of the user's that defines a part of the program.

    The keys are paths from the app's folder, so that they mean the same on another machine.
    """
    files = {app.resolve()}
    for _, part in program.named_sub_modules():
        files |= set(_files(type(part)))
        signature = getattr(part, "signature", None)
        if isinstance(signature, type):
            files |= set(_files(signature))
    return {os.path.relpath(file, app.resolve().parent): digest(file) for file in sorted(files)}


def digest(file: Path) -> str:
    """Return the hash of a file. Raises OSError."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def source_changes(saved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return which files differ, in words."""
    found = [f"{name} is not there any more" for name in saved if name not in now]
    found += [f"{name} was not there" for name in now if name not in saved]
    return found + [f"{name} has changed" for name in saved if name in now and saved[name] != now[name]]


def _files(cls: type) -> Iterator[Path]:
    for base in cls.__mro__:
        name = getattr(sys.modules.get(base.__module__), "__file__", None)
        if not isinstance(name, str) or not name.endswith(".py"):
            continue
        path = Path(name).resolve()
        is_library = path.is_relative_to(Path(os.__file__).resolve().parent) or not _INSTALLED.isdisjoint(path.parts)
        if not is_library:
            yield path
