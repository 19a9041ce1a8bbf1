"""Whether an address is free to listen on, and if not, who holds it."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.failures import ExitCode, Failure

if TYPE_CHECKING:
    import psutil

FRONT_MODULE = "bridge.fronts.process"
COMMAND_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on an address."""

    pid: int
    command: str


def check_free(address: str) -> None:
    """Raise Failure if a server can not listen on `address`; for a port in use, with the process that holds it."""
    problem = bind_error(address)
    if problem is None:
        return
    if problem.errno != errno.EADDRINUSE:
        reason = problem.strerror or str(problem)
        raise Failure(ExitCode.FAILED, f"can not listen on {address}: {reason}", fields={"address": address})
    holder = find_holder(address)
    who = f"process {holder.pid} ({holder.command}) holds it" if holder else "a process of another user holds it"
    raise Failure(
        ExitCode.FAILED,
        f"can not listen on {address}: {who}",
        lines=("stop that process, or listen elsewhere: --address 127.0.0.1:0 takes any free port",),
        fields={"address": address, "pid": holder.pid if holder else None},
    )


def bind_error(address: str) -> OSError | None:
    """Return why `address` can not be listened on, or None. The address has the form HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        candidates = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return error
    for family, kind, protocol, _, target in candidates:
        with socket.socket(family, kind, protocol) as probe:
            # As a server does it, so that connections that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(target)
                probe.listen(1)
            except OSError as error:
                return error
    return None


def find_holder(address: str) -> Holder | None:
    """Return the process that listens on the port of `address`; None where it may not be seen."""
    import psutil

    port = int(address.rpartition(":")[2])
    try:
        for connection in psutil.net_connections(kind="tcp"):
            is_listening = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if is_listening and connection.pid is not None:
                return _holder(psutil.Process(connection.pid))
    except (psutil.Error, OSError):
        return None
    return None


def _holder(process: psutil.Process) -> Holder:
    """Return the process, or of a front of a server the server."""
    words = process.cmdline()
    if FRONT_MODULE in words and (parent := process.parent()) is not None:
        process, words = parent, parent.cmdline()
    command = " ".join(words)
    return Holder(
        process.pid, command if len(command) <= COMMAND_CHARACTERS else command[: COMMAND_CHARACTERS - 3] + "..."
    )
