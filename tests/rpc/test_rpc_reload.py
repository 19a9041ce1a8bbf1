"""A reload by SIGHUP: new code and settings without a failed call, and the old ones where the new can not be served."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest

from bridge.v1 import invoke_pb2

Code = grpc.StatusCode
APP = """
from bridge import function
import neighbour

def version() -> str:
    return "{version}"

def neighbours() -> str:
    return neighbour.VERSION

@function(placement="native")
def native_version() -> str:
    return "{version}" + neighbour.VERSION
"""
CONFIG = """
[pools.general]
size = {size}
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[log]
level = "{level}"
"""


class Reloaded:
    """An app that can be changed, its server, and the config file of that."""

    def __init__(self, folder, start_server, connect):
        self._app, self._neighbour = folder / "app.py", folder / "neighbour.py"
        self.write("old")
        self.server = start_server(self._app, self.config())
        self.client = connect(self.server.address)

    def config(self, size=2, level="info", more=""):
        return CONFIG.format(size=size, level=level) + more

    def write(self, version, more="", neighbour=None):
        self._neighbour.write_text(f"VERSION = '{neighbour or version}'\n")
        self._app.write_text(APP.format(version=version) + more)
        later = time.time() + {"old": 0, "new": 10}.get(version, 20)  # Python's cache of the neighbour looks at seconds
        os.utime(self._neighbour, (later, later))

    def configure(self, **changes):
        self.server.config.write_text(self.config(**changes))

    def hang_up(self):
        self.server.process.send_signal(signal.SIGHUP)

    def reload(self):
        """Reloads and returns the line that says so."""
        self.hang_up()
        line = self.server.stderr.wait(lambda line: "reloaded after" in line or "not reloaded" in line, 60)
        assert line, self.server.stderr.text
        return line


@pytest.fixture
def reloaded(tmp_path, start_server, connect, eventually):
    one = Reloaded(tmp_path, start_server, connect)
    eventually(lambda: len(one.client.workers("general")) == 2, "both workers")
    return one


class Callers:
    """Calls all the time, and what came back."""

    def __init__(self, client, functions, threads=3):
        self.values, self.failures = [], []
        self._client, self._functions, self._over = client, functions, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self._over.is_set():
            for name in self._functions:
                outcome = self._client.call(name)
                (self.values if outcome.code is Code.OK else self.failures).append(outcome)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def of(self, value):
        return sum(outcome.value == value for outcome in list(self.values))


class TestNewCode:
    def test_no_call_fails_and_results_change(self, reloaded, eventually):
        before = reloaded.client.workers("general")
        with Callers(reloaded.client, ["version", "native_version", "neighbours"]) as callers:
            eventually(lambda: callers.of("old") and callers.of("oldold"), "old answers")
            reloaded.write("new")
            assert "reloaded after" in reloaded.reload()
            seen = callers.of("new")
            eventually(lambda: callers.of("new") > seen + 20, "new answers")
            eventually(lambda: callers.of("newnew"), "new native answers")
        assert [outcome.message for outcome in callers.failures] == []
        assert {outcome.value for outcome in callers.values} <= {"old", "new", "oldold", "newnew"}
        assert {reloaded.client.call(name).value for name in ("version", "neighbours")} == {"new"}
        assert not set(before.values()) & set(reloaded.client.workers("general").values())

    def test_functions_come_and_go(self, reloaded, eventually):
        more = "\ndef extra(a: int) -> int:\n    return a\n"
        reloaded.write("new", more)
        reloaded.reload()
        assert reloaded.client.call("extra", a=4).value == 4
        reloaded.write("newer")
        reloaded.hang_up()
        eventually(lambda: reloaded.client.call("version").value == "newer", "the second reload", 30)
        eventually(lambda: reloaded.server.stderr.text.count("reloaded after") == 2, "its end", 30)
        assert reloaded.client.call("extra", a=1).reason == "UNKNOWN_FUNCTION"
        request = invoke_pb2.ListFunctionsRequest()
        listed = reloaded.client.unary("InvokeService/ListFunctions", request, invoke_pb2.ListFunctionsResponse)
        assert "extra" not in {one.name for one in listed.value.functions}

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ("raise ValueError('not like this')\n", "ValueError: not like this"),
            ("def broken(:\n", "SyntaxError"),
            ("import os\nif 'BRIDGE_WORKER_ID' not in os.environ: raise ValueError('not here')\n", "not here"),
            ("@function(pool='gpu')\ndef far() -> int: return 1\n", "asks for the pool 'gpu'"),
        ],
    )
    def test_code_that_can_not_be_served(self, reloaded, more, said):
        before = reloaded.client.workers("general")
        reloaded.write("new", more)
        assert "not reloaded, the server goes on as it was" in (line := reloaded.reload())
        assert said in line
        assert reloaded.client.call("version").value == "old"
        assert reloaded.client.call("native_version").value == "oldold"
        assert reloaded.client.workers("general") == before
        reloaded.write("newer")
        reloaded.hang_up()
        reloaded.server.wait_for_log("reloaded after", 60)
        assert reloaded.client.call("version").value == "newer"
        assert reloaded.client.call("native_version").value == "newernewer"


class TestNewSettings:
    def test_size_pools_and_log(self, reloaded, eventually):
        extra = "\n[pools.more]\nsize = 1\n"
        reloaded.configure(size=1, level="debug", more=extra)
        line = reloaded.reload()
        assert "log.level" in line
        assert "pools.general.size" in line
        eventually(lambda: len(reloaded.client.workers("general")) == 1, "one worker fewer")
        eventually(lambda: len(reloaded.client.workers("more")) == 1, "the new pool")
        reloaded.client.call("version")
        reloaded.server.wait_for_log('"message": "call"')
        reloaded.configure(size=2)
        reloaded.hang_up()
        reloaded.server.wait_for_log("pool removed", 30)
        eventually(lambda: len(reloaded.client.workers("general")) == 2, "two workers again")
        assert reloaded.client.call("version").value == "old"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[pools.general]\nsiz = 2\n", "bridge.toml:2:1"),
            ("[pools.general\n", "bridge.toml:1:"),
            ('[models.default]\nmodel = "x"\napi_key = "env:NOT_SET_ANYWHERE"\n', "NOT_SET_ANYWHERE"),
        ],
    )
    def test_a_configuration_that_can_not_be_used(self, reloaded, text, said):
        before = reloaded.client.workers("general")
        reloaded.server.config.write_text(text)
        assert "not reloaded" in reloaded.reload()
        reloaded.server.wait_for_log(said)
        reloaded.server.wait_for_log("goes on with the configuration that it has")
        assert reloaded.client.workers("general") == before
        assert reloaded.client.call("version").value == "old"

    def test_what_needs_a_restart_is_said(self, reloaded):
        reloaded.configure(
            more='\n[server]\nmax_message_bytes = "1MiB"\ncgroups = "off"\n\n[metrics]\naddress = "127.0.0.1:0"\n'
        )
        reloaded.reload()
        reloaded.server.wait_for_log("server.max_message_bytes has changed: that needs a restart")
        reloaded.server.wait_for_log("server.cgroups has changed: that needs a restart")
        reloaded.server.wait_for_log("metrics.address has changed: that needs a restart")

    def test_a_pool_that_is_removed_ends_its_calls(self, tmp_path, start_server, connect, gate):
        app = tmp_path / "slow.py"
        app.write_text(
            "import socket\ndef slow(port: int) -> str:\n"
            "    with socket.create_connection(('127.0.0.1', port)) as held:\n"
            "        held.sendall(b'1\\n')\n        held.recv(1)\n    return 'done'\n"
        )
        more = f'\n[pools.more]\nsize = 1\nmodules = ["{app}"]\n'
        config = CONFIG.format(size=1, level="info")
        server = start_server("def f() -> int:\n    return 1\n", config + more)
        client = connect(server.address)
        call = client.start("slow", port=gate.port)
        held = gate.entered()
        server.config.write_text(config)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("reloaded after", 30)
        assert client.call("slow", port=1).reason == "UNKNOWN_FUNCTION"
        held.release()
        assert call.outcome().value == "done"
        server.wait_for_log("pool removed", 30)


class TestSignals:
    def test_a_second_one_during_a_reload_is_queued(self, reloaded, gate, eventually):
        wait = (
            f"import socket\nwith socket.create_connection(('127.0.0.1', {gate.port})) as held:\n"
            "    held.sendall(b'1\\n')\n    held.recv(1)\n"
        )
        reloaded.write("new", wait)
        reloaded.hang_up()
        held = gate.entered()
        reloaded.write("newer")
        for _ in range(3):
            reloaded.hang_up()
        held.release()
        eventually(lambda: reloaded.client.call("version").value == "newer", "the second reload", 60)
        eventually(lambda: reloaded.server.stderr.text.count("reloaded after") == 2, "its end", 30)

    @pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGCHLD])
    def test_a_storm_of_signals_that_mean_nothing(self, reloaded, number):
        for _ in range(200):
            reloaded.server.process.send_signal(number)
        assert reloaded.client.call("version").value == "old"
        assert reloaded.server.process.poll() is None

    def test_sigterm_during_a_reload(self, reloaded, gate):
        reloaded.write(
            "new",
            f"import socket\nheld = socket.create_connection(('127.0.0.1', {gate.port}))\nheld.sendall(b'1\\n')\n"
            "held.recv(1)\n",
        )
        reloaded.hang_up()
        gate.entered()
        assert reloaded.server.terminate() == 0

    def test_sighup_during_the_start_reloads_afterwards(self, launch, gate):
        app = (
            f"import socket\nwith socket.create_connection(('127.0.0.1', {gate.port})) as held:\n"
            "    held.sendall(b'1\\n')\n    held.recv(1)\ndef f() -> int: return 1\n"
        )
        starting = launch(app, CONFIG.format(size=1, level="info"))
        held = gate.entered()
        starting.process.send_signal(signal.SIGHUP)
        held.release()
        gate.entered().release()  # the reload's trial
        starting.process.send_signal(signal.SIGTERM)
        starting.process.send_signal(signal.SIGTERM)
        assert starting.wait() == 0

    def test_a_terminal_that_goes_takes_the_server_with_it(self, tmp_path):
        app = tmp_path / "app.py"
        app.write_text("def f() -> int:\n    return 1\n")
        (tmp_path / "bridge.toml").write_text(CONFIG.format(size=1, level="info"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        pid, terminal = pty.fork()
        if pid == 0:
            command = [sys.executable, "-m", "bridge.cli", "serve", str(app), "--address", f"127.0.0.1:{port}"]
            os.execv(sys.executable, [*command, "--config", str(tmp_path / "bridge.toml")])
        shown = ""
        with contextlib.suppress(OSError):
            while "bridge is ready" not in shown:
                shown += os.read(terminal, 4096).decode(errors="replace")
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def notified(listening):
    return listening.recv(4096).decode().splitlines()


def test_what_a_service_manager_hears(tmp_path, start_server, connect, process, eventually):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(30)
        listening.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        app = "import os\ndef seen() -> list[str]:\n    return [name for name in os.environ if 'NOTIFY' in name]\n"
        config = CONFIG.format(size=1, level="info") + "\n[health]\ninterval_s = 0.2\nmax_age_s = 1.0\n"
        server = start_server(app, config, environment)
        assert notified(listening) == ["READY=1", f"STATUS=serving on {server.address}"]
        assert notified(listening) == ["WATCHDOG=1"]
        client = connect(server.address)
        assert client.call("seen").value == [], "a worker must not speak for the server"
        server.process.send_signal(signal.SIGHUP)
        told = []
        while not told or told[-1][0] != "READY=1":
            told.append(notified(listening))
        assert "RELOADING=1" in [one[0] for one in told]
        flood = [client.start("seen") for _ in range(5)]
        assert [call.outcome().value for call in flood] == [[]] * 5
        server.process.send_signal(signal.SIGTERM)
        while notified(listening)[0] != "STOPPING=1":
            pass
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("address", ["/no/such/socket", "nonsense", "@"])
def test_a_service_manager_that_is_not_there(start_server, connect, address):
    server = start_server(
        "def f() -> int:\n    return 1\n", CONFIG.format(size=1, level="info"), {"NOTIFY_SOCKET": address}
    )
    assert connect(server.address).call("f").value == 1


class TestOutput:
    def run(self, redirect, tmp_path):
        """Serves with a shell's redirections until it is told to stop; returns its exit status."""
        app = tmp_path / "app.py"
        app.write_text("def f() -> int:\n    return 1\n")
        (tmp_path / "bridge.toml").write_text(CONFIG.format(size=1, level="debug"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = (
            f'exec "{sys.executable}" -m bridge.cli serve {app} --config {tmp_path}/bridge.toml '
            f"--address {address} {redirect}"
        )
        return address, subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL)

    @pytest.mark.parametrize("redirect", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "2> log; rm log", "> /dev/full"])
    def test_closed_and_full(self, redirect, tmp_path, connect):
        if redirect.startswith("2> log"):
            redirect = f"2> {tmp_path}/log"
        address, process = self.run(redirect, tmp_path)
        try:
            client = connect(address)
            assert client.call("f").value == 1
            (tmp_path / "log").unlink(missing_ok=True)
            assert client.call("f").value == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()

    @pytest.mark.parametrize("stream", ["1", "2", "1-2"])
    def test_a_pipe_that_is_full_and_that_nobody_reads(self, stream, tmp_path, connect):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        redirect = {"1": f">&{writer} 2>/dev/null", "2": f"2>&{writer} >/dev/null", "1-2": f">&{writer} 2>&{writer}"}
        app = tmp_path / "app.py"
        app.write_text("def f() -> int:\n    return 1\n")
        (tmp_path / "bridge.toml").write_text(CONFIG.format(size=1, level="debug"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = (
            f'exec "{sys.executable}" -m bridge.cli serve {app} --json --config {tmp_path}/bridge.toml '
            f"--address {address} {redirect[stream]}"
        )
        process = subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, pass_fds=(writer,))
        try:
            client = connect(address)
            assert client.call("f").value == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
            os.close(reader)
            os.close(writer)
