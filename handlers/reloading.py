"""Imports a user's code anew in a process that has imported it before: the front does so for native functions.

Owns nothing that lasts. Modules that were imported before live on in whatever still uses them; only their names are
free again. What is installed (the standard library, site-packages) and compiled extensions are left as they are.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import types

_OURS = frozenset({"bridge", "handlers", "pool", "__main__"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_LIBRARY = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))


@contextmanager
def fresh_imports() -> Iterator[None]:
    """Let the imports of the block read user code from its files; where the block fails, all is as it was before."""
    before = _user_modules()
    for name in before:
        del sys.modules[name]
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name in _user_modules():
            del sys.modules[name]
        sys.modules.update(before)
        raise


def _user_modules() -> dict[str, types.ModuleType]:
    return {name: module for name, module in list(sys.modules.items()) if _is_users(name, module)}


def _is_users(name: str, module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py") or name.partition(".")[0] in _OURS:
        return False
    return not file.startswith(_LIBRARY) and _INSTALLED.isdisjoint(Path(file).parts)
