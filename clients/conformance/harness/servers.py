"""Servers for cases: real ones, started by `bridge serve`. Owns their processes and folders."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from harness.mirror import Mirror
from harness.profiles import FOLDER, PROFILES, Profile

ROOT = FOLDER.parent.parent
READY_S = 120.0
EXIT_S = 30.0
MARK = "CONFORMANCE_FOLDER"
"""Every process of a server has it in its environment, so that none is left behind."""


class ServerFailed(RuntimeError):
    """A server did not start, or not end."""


class Server:
    """One server at an address of its own, which it keeps over restarts."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._temporary = tempfile.TemporaryDirectory(prefix="bridge-conformance-")
        self.folder = Path(self._temporary.name)
        self.marks = self.folder / "marks"
        self.marks.mkdir()
        self.address = f"127.0.0.1:{_free_port()}"
        self._made = profile.prepare(self.folder)
        (self.folder / "bridge.toml").write_text(profile.config.replace("{folder}", str(self.folder)))
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def facts(self) -> dict[str, str]:
        """What cases may write as `${name}`."""
        return {
            "address": self.address,
            "folder": str(self.folder),
            "run": uuid.uuid4().hex[:12],
            **self._made,
        }

    def start(self) -> None:
        """Start it and wait until it is ready."""
        start = "import sys; from bridge.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", start, "serve", str(FOLDER / "conformance_app.py")]
        command += ["--config", str(self.folder / "bridge.toml"), "--json", "--exit-with-stdin"]
        if self.profile.has_port:
            command += ["--address", self.address]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"NO_COLOR": "1", "PYTHONPATH": path}
        with (self.folder / "stderr").open("a") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **own, MARK: str(self.marks), **self.profile.environment},
                stdin=subprocess.PIPE,  # it ends with this process, however that ends
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._await_ready(self._process)

    def _await_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        if select.select([process.stdout], [], [], READY_S)[0]:
            line = process.stdout.readline()
            with suppress(ValueError):
                if json.loads(line).get("event") == "ready":
                    # what else it says is read away, so that it never waits for a reader
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    return
        said = self.said()
        self.kill()
        msg = f"the server {self.profile.name!r} was not ready within {READY_S:g} s; it said:\n{said}"
        raise ServerFailed(msg)

    def said(self) -> str:
        """The end of what it has written to its standard error."""
        return (self.folder / "stderr").read_text()[-4000:]

    def do(self, step: dict[str, Any]) -> None:
        """Carry out a `harness` step."""
        match step["do"]:
            case "kill_server":
                self.kill()
                self.start()
            case "restart_server":
                self.stop()
                self.start()
            case "stop_server":
                self.stop()
            case "start_server":
                self.start()
            case "kill_workers":
                self._kill_workers()
            case other:
                msg = f"the harness can not do {other!r}"
                raise RuntimeError(msg)

    def _kill_workers(self) -> None:
        workers = [one for one in self._processes() if "BRIDGE_WORKER_ID" in one.environ()]
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        _gone, alive = psutil.wait_procs(workers, timeout=EXIT_S)
        if alive:
            msg = f"{len(alive)} workers live on after SIGKILL"
            raise ServerFailed(msg)

    def stop(self) -> None:
        """End it by SIGTERM: it drains."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            msg = f"the server {self.profile.name!r} still ran {EXIT_S:g} s after SIGTERM"
            raise ServerFailed(msg) from None

    def kill(self) -> None:
        """End it by SIGKILL, with all that it has started."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(EXIT_S)
        end = time.monotonic() + EXIT_S
        while (left := self._processes()) and time.monotonic() < end:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=1)

    def _processes(self) -> list[psutil.Process]:
        """All living processes of this server, however far they have moved from it."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.marks) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End it for good."""
        try:
            self.stop()
        finally:
            self.kill()
            self._temporary.cleanup()


def open_server(profile: str) -> Server | Mirror:
    """The server of a profile. Raises ServerFailed."""
    return Mirror(PROFILES[profile]) if profile == "mirror" else Server(PROFILES[profile])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
