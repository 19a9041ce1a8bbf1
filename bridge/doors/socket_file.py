"""The file of a unix socket: whose it is, and that it can be had. A file that nobody listens on is a crashed server's.

Owns nothing: who listens owns the file, and removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.doors.failures import ListenFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER_ONLY = 0o600
EVERYBODY = 0o666
_BACKLOG = 512
_TRIES, _PAUSE_S = 40, 0.05


@contextmanager
def claimed(path: str, mode: int = OWNER_ONLY) -> Iterator[None]:
    """Let the body bind `path`: nobody listens there, no other server tries meanwhile, and the file gets `mode`.

    Raises ListenFailed where somebody listens, for what is no socket, and for what may not be written.
    """
    try:
        folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ListenFailed(f"can not listen on {path}: its directory: {error.strerror or error}") from None
    try:
        _lock(folder, path)
        if look(path):
            remove(path)
        before = os.umask(0o777 & ~mode)  # so that there is no moment at which others may connect
        try:
            yield
        finally:
            os.umask(before)
    except OSError as error:
        raise ListenFailed(f"can not listen on {path}: {error.strerror or error}") from None
    finally:
        os.close(folder)


def _lock(folder: int, path: str) -> None:
    """Keep others that do the same out for a moment; no longer is waited, as whoever reads a directory may lock it."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise ListenFailed(
                    f"can not listen on {path}: a process keeps its directory locked (flock); end that, or use another"
                ) from None
            time.sleep(_PAUSE_S)
        else:
            return


def listen(path: str) -> socket.socket:
    """Return a socket that listens on `path`, to which everybody may connect. Raises ListenFailed."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with claimed(path, EVERYBODY):
            listening.bind(path)
            listening.listen(_BACKLOG)
    except ListenFailed:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def remove(path: str) -> None:
    """Remove the file of a socket that is listened on no more."""
    Path(path).unlink(missing_ok=True)


def look(path: str) -> bool:
    """Return whether there is the file of a socket on which nobody listens. Raises ListenFailed for any other file."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ListenFailed(f"can not listen on {path}: {error.strerror or error}") from None
    if not stat.S_ISSOCK(kind):
        raise ListenFailed(f"can not listen on {path}: there is something that is no socket; remove it, or set another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        found = probe.connect_ex(path)
    if found not in (errno.ECONNREFUSED, errno.ENOENT):  # a full queue, or no permission, is somebody
        raise ListenFailed(
            f"can not listen on {path}: another server listens there; stop it, or choose another with --unix"
        )
    return found == errno.ECONNREFUSED
