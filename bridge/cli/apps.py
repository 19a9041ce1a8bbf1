"""Whether an APP argument names something that can be served. Looks at files only: nothing of the user is imported."""

from __future__ import annotations

import difflib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from bridge.cli.failures import ExitCode, Failure

OUR_PACKAGES = ("bridge", "handlers", "pool")


def check_app(app: str) -> None:
    """Raise Failure, with the fix, unless `app` is a Python file or the dotted name of a module."""
    path = Path(app).expanduser()
    if path.suffix == ".py" or "/" in app or path.is_file():
        _check_file(app, path)
    else:
        _check_module(app)


def _check_file(app: str, path: Path) -> None:
    if path.is_dir():
        raise _usage(f"{app} is a directory; name a Python file in it, such as {Path(app) / 'app.py'}")
    if not path.exists():
        raise _usage(f"{app}: no such file{_similar(path)}")
    if path.suffix != ".py":
        raise _usage(f"{app} is not a Python file (its name does not end in .py)")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise _usage(f"{app} can not be read: {error.strerror or error}") from None


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".py"]
    except OSError:
        return f"; there is no directory {path.parent}"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _check_module(name: str) -> None:
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise _usage(f"{name!r} is neither a Python file nor the dotted name of a module")
    if parts[0] in OUR_PACKAGES:
        raise _usage(f"'{parts[0]}' is a package of the bridge; pass your module as a path, such as ./{parts[0]}.py")
    search: list[str] | None = [str(Path.cwd()), *sys.path]
    for number, part in enumerate(parts, 1):
        # Found by PathFinder and not by find_spec, which would import the parents: user code stays out of the front.
        spec = PathFinder.find_spec(".".join(parts[:number]) if search is None else part, search)
        if spec is None:
            inside = f" in {'.'.join(parts[: number - 1])}" if number > 1 else ""
            raise _usage(f"no module named '{part}'{inside}{_file_hint(name)}")
        search = list(spec.submodule_search_locations or [])


def _file_hint(name: str) -> str:
    path = Path(f"{name}.py")
    return f"; did you mean the file {path}?" if path.exists() else "; it is looked for here and where Python looks"


def _usage(message: str) -> Failure:
    return Failure(ExitCode.USAGE, message)
