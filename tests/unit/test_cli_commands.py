"""Commands that need no server: their output, exit codes, and what they load."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli import doctor, reference
from bridge.cli.demo import app_path
from bridge.cli.exporting import protos
from bridge.cli.main import app
from bridge.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SECRET = "not-to-be-seen-anywhere-5531"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)


def run(*arguments, **environ):
    return CliRunner().invoke(app, list(arguments), prog_name="bridge", env={"NO_COLOR": "1", **environ})


def process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"},
        **options,
    )


@pytest.fixture
def busy_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class TestStart:
    @pytest.mark.parametrize("arguments", [["--help"], ["call", "--help"], ["--version"]])
    def test_help_loads_nothing_heavy(self, arguments):
        code = (
            "import sys; from bridge.cli.main import main\n"
            f"sys.argv[1:] = {arguments!r}\n"
            "try: main()\n"
            "except SystemExit as end: code = end.code\n"
            "heavy = {'grpc', 'google.protobuf', 'bridge.config', 'psutil', 'uvloop', 'msgspec', 'asyncio'}\n"
            "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stderr == "0 []\n"

    def test_help_names_every_command_and_the_exit_codes(self):
        text = run("--help").stdout
        for name in ("demo", "serve", "call", "ls", "describe", "status", "doctor", "config"):
            assert re.search(rf"\b{name}\b", text)
        assert "3 no connection" in " ".join(text.split())

    @pytest.mark.parametrize(
        "arguments", [["calls"], ["call"], ["ls", "--wat"], ["status", "--watch", "0"], ["call", "x", "--timeout", "y"]]
    )
    def test_wrong_usage_exits_2(self, arguments):
        assert run(*arguments).exit_code == 2


class TestConfig:
    def test_check_of_a_good_file(self):
        Path("bridge.toml").write_text("[models.default]\nmodel = 'bridge/test'")
        done = run("config", "check")
        assert (done.exit_code, done.stderr) == (0, "")
        assert "pools: general, llm, embeddings; models: default" in done.stdout

    def test_check_of_a_bad_file_exits_2_with_one_line_for_each_mistake(self):
        Path("bridge.toml").write_text(
            "[pools.general]\nsiez = 4\nsize = 'x'\n[models.a]\nmodel='b'\napi_key='env:NOPE'"
        )
        done = process("config", "check", cwd=Path.cwd())
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            "error: the configuration has 2 problems",
            "  bridge.toml:2:1: pools.general.siez: unknown key; did you mean 'size'?",
            "  bridge.toml:3:1: pools.general.size: expected a whole number, got 'x'",
        ]

    def test_missing_secret_exits_2_with_its_place(self):
        Path("bridge.toml").write_text("[models.a]\nmodel = 'b'\napi_key = 'env:NOPE'")
        done = run("config", "check")
        assert done.exit_code == 2
        assert "bridge.toml:3:1: models.a.api_key: the environment variable NOPE is not set" in done.stderr

    def test_json_errors_are_one_line(self):
        done = run("config", "check", "--config", "nope.toml", "--json")
        assert (done.exit_code, done.stdout) == (2, "")
        error = json.loads(done.stderr)["error"]
        assert error["exit_code"] == 2
        assert error["problems"][0]["file"] == "nope.toml"

    def test_thousands_of_mistakes_are_cut(self):
        Path("bridge.toml").write_text("".join(f"k{number} = 1\n" for number in range(2000)))
        lines = run("config", "check").stderr.splitlines()
        assert len(lines) == 52
        assert lines[-1].strip() == "and 1950 more"

    def test_show_is_a_file_that_gives_the_same_settings(self):
        Path("bridge.toml").write_text(
            "[pools.general]\nsize = 3\nmodules = ['a.py', \"it's \\\"b\\\".py\"]\nmemory_limit = '1GiB'\n"
            "[pools.general.env]\n'odd key' = \"x\\u007fy\\u0000z\"\n"
            "[models.default]\nmodel = 'm'\napi_key = 'env:K'\ntemperature = 0.5\n"
        )
        Path("bridge.toml").write_text(Path("bridge.toml").read_text().replace("\\u0000", ""))
        first = load_config(None, environ={}, secrets=False)
        Path("shown.toml").write_text(run("config", "show").stdout)
        assert load_config(Path("shown.toml"), environ={}, secrets=False) == first

    def test_show_prints_what_is_in_force(self):
        done = run("config", "show", "--set", "pools.llm.size=7", "--json", BRIDGE_LOG__LEVEL="debug")
        shown = json.loads(done.stdout)
        assert (shown["pools"]["llm"]["size"], shown["log"]["level"]) == (7, "debug")

    @pytest.mark.parametrize("flags", [[], ["--json"]])
    def test_show_prints_no_secret(self, flags):
        Path("bridge.toml").write_text(
            f"[models.a]\nmodel = 'm'\napi_key = 'literal:{SECRET}'\n[models.b]\nmodel = 'm'\napi_key = 'env:KEY'\n"
            f"[pools.general.env]\nTOKEN = 'literal:{SECRET}'\nOTHER = 'file:/x'\n"
        )
        done = run("config", "show", *flags, KEY=SECRET)
        assert done.exit_code == 0
        assert SECRET not in done.output
        for shown in ("literal:***", "env:KEY", "file:/x"):
            assert shown in done.stdout


class TestServe:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "nothing to serve; name a Python file: bridge serve app.py"),
            (["nope.py"], "nope.py: no such file"),
            (["ap.py"], "ap.py: no such file; did you mean app.py?"),
            (["nowhere/app.py"], "there is no directory nowhere"),
            (["notes.txt"], "notes.txt is not a Python file"),
            (["./folder"], "./folder is a directory; name a Python file in it, such as folder/app.py"),
            (["bridge.server"], "'bridge' is a package of the bridge; pass your module as a path"),
            (["handlers"], "'handlers' is a package of the bridge"),
            (["app"], "did you mean the file app.py?"),
            (["package.wat"], "no module named 'wat' in package"),
            (["no-module"], "neither a Python file nor the dotted name of a module"),
            (["app.py", "--pool", "size=4"], "--pool expects KEY=VALUE such as general.size=4, got 'size=4'"),
            (["app.py", "--set", "log.level"], "--set expects KEY=VALUE"),
            (["app.py", "--set", "log.level=loud"], "the configuration has 1 problem"),
            (["app.py", "--address", "nowhere"], "the configuration has 1 problem"),
        ],
    )
    def test_mistakes_are_found_before_anything_starts(self, arguments, message, monkeypatch):
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
        Path("app.py").write_text("raise SystemExit('the front imported user code')")
        Path("notes.txt").write_text("")
        Path("folder").mkdir()
        Path("package").mkdir()
        Path("package/__init__.py").write_text("raise SystemExit('the front imported user code')")
        if arguments == ["app"]:
            Path("app.py").rename("app_.py")
            Path("app.py").symlink_to("nowhere.py")
            message = "no module named 'app'"
        done = run("serve", *arguments)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_port_in_use_says_who_holds_it(self, busy_port):
        Path("app.py").write_text("")
        done = run("serve", "app.py", "--address", f"127.0.0.1:{busy_port}", "--json")
        assert done.exit_code == 1
        error = json.loads(done.stderr)["error"]
        assert f"can not listen on 127.0.0.1:{busy_port}: process {os.getpid()}" in error["message"]
        assert error["pid"] == os.getpid()

    def test_an_address_of_another_machine(self):
        Path("app.py").write_text("")
        done = run("serve", "app.py", "--address", "192.0.2.1:50051", "--insecure")
        assert done.exit_code == 1
        assert "can not listen on 192.0.2.1:50051: Cannot assign requested address" in done.stderr

    @pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:0", "192.0.2.1:50051", "bridge.example:50051"])
    def test_what_other_machines_reach_is_refused(self, address):
        Path("app.py").write_text("")
        done = run("serve", "app.py", "--address", address, "--json")
        (problem,) = json.loads(done.stdout or done.stderr)["error"]["problems"]
        assert done.exit_code == 2
        assert problem["key"] == "server.address"
        assert all(word in problem["message"] for word in (address, "no TLS", "no keys", "--insecure"))


class TestDoctor:
    def test_a_good_machine(self):
        Path("bridge.toml").write_text("[server]\naddress = '127.0.0.1:0'\n[models.default]\nmodel = 'bridge/test'")
        done = run("doctor", "--json")
        found = {item["title"]: item for item in json.loads(done.stdout)["findings"]}
        assert done.exit_code == 0, [item for item in found.values() if item["level"] == "problem"]
        assert found["platform"]["detail"].startswith("Python 3.")
        assert "not a real one" in found["model default"]["detail"]

    def test_metrics_without_their_extra_stop_a_server(self, monkeypatch):
        Path("bridge.toml").write_text("[server]\naddress = '127.0.0.1:0'\n[metrics]\naddress = '127.0.0.1:9464'")
        assert "ok      metrics: served at http://127.0.0.1:9464/metrics" in run("doctor").stdout
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        done = run("doctor")
        assert done.exit_code == 5
        assert "problem metrics: 127.0.0.1:9464 is configured, and needs the extra 'prometheus'" in done.stdout

    def test_every_problem_has_a_fix_and_exits_5(self, busy_port):
        Path("bridge.toml").write_text(
            f"[server]\naddress = '127.0.0.1:{busy_port}'\n[models.a]\nmodel = 'm'\napi_key = 'env:NOPE'\n"
            "[models.b]\nmodel = 'm'\napi_key = 'env:YES'"
        )
        done = run("doctor", "--json", YES=SECRET)
        assert done.exit_code == 5
        findings = json.loads(done.stdout)["findings"]
        problems = {item["title"]: item for item in findings if item["level"] == "problem"}
        assert set(problems) == {"address", "secret models.a.api_key"}
        assert all(item["fix"] for item in findings if item["level"] != "ok")
        assert SECRET not in done.output

    def test_a_bad_configuration_is_a_problem(self):
        Path("bridge.toml").write_text("[log]\nlevel = 1")
        done = run("doctor")
        assert done.exit_code == 5
        assert "bridge.toml:2:1: log.level" in done.stdout
        assert "1 problem would stop a server" in done.stdout

    def test_packages_of_another_installation_are_a_problem(self, monkeypatch, tmp_path):
        (tmp_path / "pool").mkdir()
        (tmp_path / "pool/__init__.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "pool", raising=False)
        found = doctor.check_installation()
        assert found.level == "problem"
        assert str(tmp_path) in found.detail


def test_reference_is_up_to_date(capsys):
    assert reference.main(["--check"]) == 0, capsys.readouterr().err


def test_the_demo_app_and_the_protos_are_found_and_go_into_the_wheel():
    assert app_path() == ROOT / "examples/demo_app.py"
    assert app_path().exists()
    assert protos() == ROOT / "proto"
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["force-include"] == {
        "examples/demo_app.py": "bridge/cli/demo_app.py",
        "proto/bridge": "bridge/cli/protos/bridge",
    }
    assert "/examples/demo_app.py" in targets["sdist"]["include"]
