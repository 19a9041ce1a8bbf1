"""The file that keys are kept in: JSON, replaced as a whole, and read by nobody but who runs the server.

A change holds a lock on the file's folder, so that two at a time lose nothing. Knows nothing of servers.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bridge.keys.key import Key, KeyProblem, check

VERSION = 1
MOST_BYTES = 4 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH

Stamp = tuple[int, ...]
"""What changes when a file does."""


class KeyFileProblem(Exception):
    """A key file can not be used; the message says why, and the fix."""


class _Kept(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int
    keys: tuple[Key, ...]


def stamp(path: Path) -> Stamp:
    """Return what tells one state of the file from another. Raises KeyFileProblem."""
    found = _status(path)
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode)


def read(path: Path) -> tuple[Key, ...]:
    """Return the keys of a file. Raises KeyFileProblem, also where others could change it."""
    found = _status(path)
    if found.st_uid not in (0, os.geteuid()):
        raise KeyFileProblem(
            f"the key file {path} belongs to the user with the id {found.st_uid}, who could add keys; it must be the "
            f"server's own: chown {os.geteuid()} {path}"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise KeyFileProblem(
            f"others may write to the key file {path} (its mode is {_mode(found)}), and could add keys; the fix: "
            f"chmod 600 {path}"
        )
    if found.st_size > MOST_BYTES:
        raise KeyFileProblem(f"the key file {path} has {found.st_size} bytes, more than {MOST_BYTES}")
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except OSError as error:
        raise KeyFileProblem(f"the key file {path} can not be read: {error.strerror or error}") from None
    except msgspec.DecodeError as error:
        raise KeyFileProblem(f"the key file {path} is not as `bridge keys create` writes it: {error}") from None
    _check_all(path, kept)
    return kept.keys


def is_readable_by_others(path: Path) -> str:
    """Return the file's mode where others than its owner may read it, else nothing. Raises KeyFileProblem."""
    found = _status(path)
    return _mode(found) if found.st_mode & _OTHERS_READ else ""


@contextmanager
def changing(path: Path) -> Iterator[list[Key]]:
    """Give the keys of a file, none where it does not exist, and write what was made of them. Raises KeyFileProblem.

    Where the block raises, nothing is written.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyFileProblem(f"the folder {path.parent} can not be opened: {error.strerror or error}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = list(read(path)) if path.exists() else []
        yield keys
        _write(path, tuple(keys), folder)
    finally:
        os.close(folder)


def _write(path: Path, keys: tuple[Key, ...], folder: int) -> None:
    """Put another file in the place of this one, on the disk before anybody sees it; its mode is 0600."""
    kept = _Kept(version=VERSION, keys=keys)
    _check_all(path, kept)
    data = msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n"
    target = path.resolve()
    try:
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(made).replace(target)
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise
        os.fsync(folder)
    except OSError as error:
        raise KeyFileProblem(f"the key file {path} can not be written: {error.strerror or error}") from None


def _check_all(path: Path, kept: _Kept) -> None:
    if kept.version != VERSION:
        raise KeyFileProblem(f"the key file {path} has version {kept.version}, this bridge knows version {VERSION}")
    ids: set[str] = set()
    valid: set[str] = set()
    for key in kept.keys:
        try:
            check(key)
        except KeyProblem as problem:
            raise KeyFileProblem(f"the key file {path} can not be used: {problem}") from None
        if key.id in ids or (key.revoked is None and key.name in valid):
            raise KeyFileProblem(f"the key file {path} has two keys {json.dumps(key.name)}; revoke or remove one")
        ids.add(key.id)
        if key.revoked is None:
            valid.add(key.name)


def _status(path: Path) -> os.stat_result:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise KeyFileProblem(
            f"there is no key file {path}; the fix: bridge keys create NAME --role call --file {path}"
        ) from None
    except OSError as error:
        raise KeyFileProblem(f"the key file {path} can not be read: {error.strerror or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileProblem(f"the key file {path} is no file")
    return found


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"
