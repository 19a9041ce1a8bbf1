"""Files that only their owner reads, and that a crash leaves old or new but never half. Owns no state."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(directory: Path) -> None:
    """Make a directory, and those above it, for its owner alone; what is there is left as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a file beside itself and put it in place. Raises OSError.

    A `lasting` one is there after the machine has lost its power, which takes milliseconds.
    """
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
    beside.rename(path)
    if lasting:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make what was renamed in a directory last. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
