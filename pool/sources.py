"""Whether the code that a process has loaded has changed on disk since: the files of its modules, by time and size.

The standard library and installed packages are left out: they change with an installation, and are many. Imported by
the template: standard library only.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator

INSTALLED = ("site-packages", "dist-packages")


class Sources:
    """The files of the modules that are loaded at this moment."""

    def __init__(self, files: Iterable[str] | None = None) -> None:
        self._seen = {file: _look(file) for file in (loaded_files() if files is None else files)}

    def changed(self) -> str | None:
        """Return a file that is not as it was, or None."""
        return next((file for file, seen in self._seen.items() if _look(file) != seen), None)


def loaded_files() -> Iterator[str]:
    """Return the files of the loaded modules that are neither of the standard library nor of an installed package."""
    library = {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or any(f"{os.sep}{name}{os.sep}" in file for name in INSTALLED):
            continue
        path = os.path.realpath(file)
        if not any(path.startswith(folder) for folder in library):
            yield file


def _look(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - before each fork, for every file
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
