"""Imports a user's code, by file path or by dotted name.

A file becomes a module under a private name, so that no user's file can stand in for one of ours, and its directory is
appended to `sys.path`, never inserted. Owns the entries that it adds to `sys.modules` and `sys.path`; knows nothing of
what the code defines.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import types
    from collections.abc import Mapping

_EXTRAS = {
    "dspy": "dspy",
    "litellm": "llm",
    "instructor": "llm",
    "sentence_transformers": "embeddings",
    "sacrebleu": "metrics",
    "rouge_score": "metrics",
}
"""Our extras by the modules that they bring: users' code imports these too."""
_OURS = frozenset({"bridge", "handlers", "pool"})
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_MAX_FRAMES = 8
_MAX_CHARACTERS = 4000
_HERE = str(Path(__file__).resolve().parent) + os.sep


class LoadFailed(Exception):
    """A user's code can not be served; the message says why, `detail` where, in the user's own frames."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


def load_module(source: str) -> types.ModuleType:
    """Import a user's module: a path of a .py file or of a package's directory, or a dotted name.

    Loading a path twice returns the module that is there. Raises LoadFailed; nothing stays in `sys.modules` then.
    """
    if source.endswith(".py") or os.sep in source or source.startswith("."):
        return _load_path(source)
    return _load_dotted(source)


def _load_path(source: str) -> types.ModuleType:
    path = Path(source).expanduser().resolve()
    if path.is_dir():
        path /= "__init__.py"
    if not path.is_file():
        raise LoadFailed(
            f"Expected a Python file, got {source!r}, which does not exist (working directory: {Path.cwd()})"
        )
    name = private_name(path)
    if name in sys.modules:
        return sys.modules[name]
    package = path.name == "__init__.py"
    _append_to_path(path.parent.parent if package else path.parent)
    search = [str(path.parent)] if package else None
    loader = _FromSource(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise LoadFailed(f"Expected a Python file whose name ends in .py, got {source!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look a class's module up while it is being defined
    with _Importing(source, name):
        spec.loader.exec_module(module)
    return module


class _FromSource(SourceFileLoader):
    """Reads no cached bytecode, which stays the same where a file of the same length changes within a second."""

    def path_stats(self, path: str) -> Mapping[str, int]:
        """Raise OSError: without the file's time and size Python neither reads nor writes a cache."""
        raise OSError(f"no cache for {path}")


def _load_dotted(source: str) -> types.ModuleType:
    if not _DOTTED.match(source):
        raise LoadFailed(f"Expected a path such as ./app.py or a dotted name such as shop.app, got {source!r:.200}")
    if source.partition(".")[0] in _OURS:
        path = "./" + source.replace(".", "/") + ".py"
        raise LoadFailed(
            f"Expected user code, got {source!r}: names that start with bridge, handlers or pool are the server's own. "
            f"Pass the path instead, such as {path}"
        )
    _append_to_path(Path.cwd())
    with _Importing(source, None):
        return importlib.import_module(source)


def private_name(path: Path) -> str:
    """Return the name under which a file is imported: the same for the same file, and nobody else's."""
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"bridge_app_{re.sub(r'[^A-Za-z0-9_]', '_', stem)}_{digest}"


def _append_to_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.append(str(directory))


class _Importing:
    """Turns whatever stops an import, SystemExit too, into LoadFailed; KeyboardInterrupt passes."""

    def __init__(self, source: str, added: str | None) -> None:
        self._source = source
        self._added = added

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        if self._added is not None:
            sys.modules.pop(self._added, None)
        if isinstance(error, KeyboardInterrupt):
            return
        raise LoadFailed(_message(self._source, error), user_traceback(error)) from error


def user_traceback(error: BaseException) -> str:
    """Return an exception's traceback without the frames of the import system and of this package."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ") and not frame.filename.startswith(_HERE)
    ]
    lines = traceback.format_list(frames[-_MAX_FRAMES:]) + traceback.format_exception_only(error)
    return "".join(lines)[-_MAX_CHARACTERS:]


def _message(source: str, error: BaseException) -> str:
    what = f"{source} can not be imported: {type(error).__name__}"
    detail = str(error).partition("\n")[0][:300]
    if isinstance(error, ModuleNotFoundError) and error.name == source.partition(".")[0] and source.count(os.sep) == 0:
        return f"{what}: {detail}. Pass the path of a file, such as ./{source}.py, or install the package"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        package = f": pip install 'polyglot-bridge[{extra}]'" if extra else " into the server's environment"
        return f"{what}: {detail}. Install it{package}"
    if isinstance(error, SystemExit):
        return f"{what}: it ends the process when imported; put that under `if __name__ == '__main__':`"
    return f"{what}: {detail}" if detail else what
