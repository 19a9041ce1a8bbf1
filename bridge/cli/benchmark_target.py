"""What `bridge bench` measures: a running server, or an app that it serves for as long as it takes.

Owns the server that it has started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.failures import ExitCode, Failure
from bridge.cli.ways_in import UNIX, Target, way_in_of

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 120.0
STOP_S = 30.0
_COMMAND = "import sys; from bridge.cli.main import main; sys.exit(main())"


def is_address(target: str) -> bool:
    """Return whether HOST:PORT or unix:PATH is meant, not a file or a module."""
    if target.startswith(UNIX):
        return True
    host, colon, port = target.rpartition(":")
    return bool(colon and host) and port.isdigit() and not Path(target).exists()


@contextmanager
def served(target: str, config: Path | None, *settings: str) -> Iterator[str]:
    """Yield the address of a server: the target itself, or one that serves the app with `settings`. Raises Failure."""
    if is_address(target):
        yield target
        return
    arguments = ["serve", target, "--address", "127.0.0.1:0", "--json"]
    arguments += ["--config", str(config)] if config is not None else []
    arguments += [word for setting in settings for word in ("--set", setting)]
    environ = {**os.environ, "BRIDGE_LOG__LEVEL": os.environ.get("BRIDGE_LOG__LEVEL", "warning")}
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments], stdout=subprocess.PIPE, env=environ, text=True
    ) as server:
        watchdog = threading.Timer(START_S, server.kill)
        watchdog.start()
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            watchdog.cancel()
            yield Target(_address(line, target), way_in_of(target))
        finally:
            watchdog.cancel()
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()


def _address(line: str, target: str) -> str:
    try:
        said: dict[str, Any] = json.loads(line)
        return str(said["address"])
    except (ValueError, KeyError, TypeError):
        raise Failure(ExitCode.FAILED, f"'bridge serve {target}' did not start; what it wrote is above") from None
