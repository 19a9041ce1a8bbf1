"""`bridge keys ...`: the API keys in a key file. A running server sees by itself what changes there. Owns nothing."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bridge.cli import settings
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, table
from bridge.keys import key as key_module
from bridge.keys import key_file
from bridge.keys.key import ROLE_NAMES, Key, KeyProblem, RoleName
from bridge.keys.key_file import KeyFileProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def place(file: Path | None, config: Path | None) -> Path:
    """Return the key file: the one that was named, else that of the configuration. Raises Failure."""
    if file is not None:
        return file
    configured = settings.load(config, {}, secrets=False).keys.file
    if configured is None:
        message = "which key file? There is none in the configuration ([keys] file); name one with --file"
        raise Failure(ExitCode.USAGE, message)
    return Path(configured)


def run_create(name: str, roles: Sequence[str], tenant: str | None, path: Path, output: Output) -> int:
    """Make a key, and print what its callers send. Raises Failure."""
    wrong = [role for role in roles if role not in ROLE_NAMES]
    if wrong:
        raise Failure(ExitCode.USAGE, f"there is no role {wrong[0]!r}; there are {' and '.join(ROLE_NAMES)}")
    try:
        made, text = key_module.make(name, cast("tuple[RoleName, ...]", tuple(roles)), tenant)
    except KeyProblem as problem:
        raise Failure(ExitCode.USAGE, str(problem)) from None
    with _changing(path) as keys:
        if any(one.name == name and one.revoked is None for one in keys):
            raise Failure(ExitCode.FAILED, f"there is a key '{name}' in {path}; revoke it first, or take another name")
        keys.append(made)
    if output.machine:
        output.json({"key": text, **_fields(made), "file": str(path)})
    else:
        output.line(text)
        output.note(f"key '{name}' with the role {_roles(made)} is in {path}; nobody can show it again")
    return ExitCode.OK


def run_list(path: Path, output: Output) -> int:
    """Show the keys. Raises Failure."""
    try:
        keys = key_file.read(path)
    except KeyFileProblem as problem:
        raise Failure(ExitCode.FAILED, str(problem)) from None
    if output.machine:
        output.json({"keys": [_fields(one) for one in keys], "file": str(path)})
    elif keys:
        columns = ("NAME", "ID", "ROLES", "TENANT", "CREATED", "REVOKED")
        output.show(table(columns, [_row(one) for one in keys]))
    else:
        output.note(f"there is no key in {path}")
    return ExitCode.OK


def run_revoke(name: str, path: Path, output: Output) -> int:
    """Revoke a key by its name or its id. Raises Failure."""
    with _changing(path, must_exist=True) as keys:
        found = [at for at, one in enumerate(keys) if name in (one.name, one.id)]
        valid = [at for at in found if keys[at].revoked is None]
        if not valid:
            why = "is revoked already" if found else "is not there; bridge keys list shows what is"
            raise Failure(ExitCode.FAILED, f"a key '{name}' {why} ({path})")
        revoked = keys[valid[0]] = key_module.revoked(keys[valid[0]], key_module.now())
    if output.machine:
        output.json({**_fields(revoked), "file": str(path)})
    else:
        output.line(f"key '{revoked.name}' ({revoked.id}) is revoked")
    return ExitCode.OK


@contextmanager
def _changing(path: Path, *, must_exist: bool = False) -> Iterator[list[Key]]:
    try:
        if must_exist:
            key_file.stamp(path)
        with key_file.changing(path) as keys:
            yield keys
    except KeyFileProblem as problem:
        raise Failure(ExitCode.FAILED, str(problem)) from None


def _fields(key: Key) -> dict[str, Any]:
    """Return what may be shown of a key: all but its hash."""
    return {
        "id": key.id,
        "name": key.name,
        "roles": list(key.roles),
        "tenant": key.tenant,
        "created": key.created,
        "revoked": key.revoked,
    }


def _row(key: Key) -> tuple[str, ...]:
    return (key.name, key.id, _roles(key), key.tenant or "", key.created, key.revoked or "")


def _roles(key: Key) -> str:
    return ", ".join(key.roles)
