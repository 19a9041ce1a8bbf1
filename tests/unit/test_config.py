"""The configuration: its defaults, the order of its sources, and the text and place of every mistake."""

import os
from pathlib import Path

import pytest

from bridge.config import Config, ConfigError, load_config, parse_size, resolve_secret
from bridge.settings.loading import secret_references

KEY = "sk-abcdefghijklmnop1234"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes) -> Path:
    path = Path("bridge.toml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(text: str | bytes = "", overrides=None, secrets=True, **environ: str) -> Config:
    return load_config(write(text), overrides=overrides, environ=environ, secrets=secrets)


def problems(text: str | bytes = "", overrides=None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, overrides, **environ)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    return lines


class TestDefaults:
    def test_no_file_gives_the_defaults(self):
        config = load_config(None, environ={})
        assert config == Config()
        assert config.server.address == "127.0.0.1:50051"
        assert config.server.max_message_bytes == 64 * 1024 * 1024
        assert not config.server.expose_tracebacks
        assert {name: (pool.size, pool.concurrency) for name, pool in config.pools.items()} == {
            "general": (2, 1),
            "llm": (1, 64),
            "embeddings": (1, 1),
        }
        assert config.models == {}

    def test_an_empty_file_gives_the_defaults(self):
        assert load("") == Config()
        assert load("# nothing\n\n") == Config()

    def test_the_file_of_the_working_directory_is_read(self):
        write("[log]\nlevel = 'debug'")
        assert load_config(None, environ={}).log.level == "debug"

    def test_a_pool_table_changes_only_what_it_names(self):
        pools = load("[pools.llm]\nsize = 3\n[pools.extra]\nmemory_limit = '2GiB'\nmodules = ['a.py']").pools
        assert (pools["llm"].size, pools["llm"].concurrency) == (3, 64)
        assert (pools["extra"].size, pools["extra"].memory_limit, pools["extra"].modules) == (2, 2 << 30, ("a.py",))
        assert set(pools) == {"general", "llm", "embeddings", "extra"}

    def test_the_tree_is_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            Config().server.address = "x"


class TestPrecedence:
    TEXT = "[pools.general]\nsize = 3\nthreads = 5\nqueue_limit = 7"

    def test_flag_over_environment_over_file_over_default(self):
        overrides = {"pools.general.size": "9"}
        config = load(self.TEXT, overrides, BRIDGE_POOLS__GENERAL__SIZE="8", BRIDGE_POOLS__GENERAL__THREADS="6")
        pool = config.pools["general"]
        assert (pool.size, pool.threads, pool.queue_limit, pool.concurrency) == (9, 6, 7, 1)

    def test_flags_take_values_as_well_as_texts(self):
        config = load("", {"pools.general.size": 5, "server.reflection": False, "health.max_age_s": "30"})
        assert (config.pools["general"].size, config.server.reflection, config.health.max_age_s) == (5, False, 30.0)

    @pytest.mark.parametrize(
        ("name", "text", "read", "value"),
        [
            ("BRIDGE_SERVER__REFLECTION", "false", lambda config: config.server.reflection, False),
            ("BRIDGE_SERVER__REFLECTION", "1", lambda config: config.server.reflection, True),
            ("BRIDGE_SERVER__MAX_MESSAGE_BYTES", "1MiB", lambda config: config.server.max_message_bytes, 1 << 20),
            ("BRIDGE_SERVER__DRAIN_TIMEOUT_S", "1.5", lambda config: config.server.drain_timeout_s, 1.5),
            ("BRIDGE_POOLS__BIG__MEMORY_LIMIT", "2GiB", lambda config: config.pools["big"].memory_limit, 2 << 30),
            ("BRIDGE_POOLS__GENERAL__MODULES", '["a","b"]', lambda c: c.pools["general"].modules, ("a", "b")),
            ("BRIDGE_POOLS__GENERAL__ENV__HF_HOME", "/x", lambda c: c.pools["general"].env, {"HF_HOME": "/x"}),
            ("BRIDGE_POOLS__GENERAL__ENV__A__B", "1", lambda c: c.pools["general"].env, {"A__B": "1"}),
            ("BRIDGE_MODELS__DEFAULT__MODEL", "12", lambda config: config.models["default"].model, "12"),
            ("BRIDGE_MODELS", '{"a": {"model": "b"}}', lambda config: config.models["a"].model, "b"),
        ],
    )
    def test_environment(self, name, text, read, value):
        assert read(load("", **{name: text})) == value

    def test_variables_that_are_no_settings_are_left_alone(self):
        links = {
            "BRIDGE_SERVICE_HOST": "10.0.0.1",
            "BRIDGE_SERVICE_PORT": "50051",
            "BRIDGE_SERVICE_PORT_GRPC": "50051",
            "BRIDGE_PORT": "tcp://10.0.0.1:50051",
            "BRIDGE_PORT_50051_TCP_ADDR": "10.0.0.1",
        }
        assert load("", **links, BRIDGE_ADDRESS="a:1", BRIDGE_CONFIG="x", PATH="/bin") == Config()


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[pools.general]\n  siez = 4", "bridge.toml:2:3: pools.general.siez: unknown key; did you mean 'size'?"),
            ("[wat]", "bridge.toml:1:1: wat: unknown key; the keys here are: server, keys, pools,"),
            ("[pools.general]\nsize = '4'", "bridge.toml:2:1: pools.general.size: expected a whole number, got '4'"),
            ("pools.general.size = 4.5", "bridge.toml:1:1: pools.general.size: expected a whole number, got 4.5"),
            ("[pools.general]\nsize = true", "2:1: pools.general.size: expected a whole number, got True"),
            ("[pools.general]\nthreads = 0", "2:1: pools.general.threads: expected greater than or equal to 1, got 0"),
            ("[server]\naddress = 1", "bridge.toml:2:1: server.address: expected a text, got 1"),
            ("[server]\naddress = 'x'", "2:1: server.address: expected HOST:PORT such as"),
            ("[server]\naddress = 'x:99999'", "2:1: server.address: expected HOST:PORT such as"),
            ("[server]\nreflection = 'yes'", "2:1: server.reflection: expected true or false, got 'yes'"),
            ("[server]\nmax_message_bytes = '3 potatoes'", "expected a size such as '512MiB', '2GiB'"),
            ("[server]\ndrain_timeout_s = nan", "server.drain_timeout_s: expected"),
            ("[server]\ndrain_timeout_s = -1", "server.drain_timeout_s: expected greater than 0, got -1"),
            ("[server]\ndefault_timeout_s = 7200", "1:1: server: default_timeout_s is 7200, more than max_timeout_s"),
            ("[health]\ninterval_s = 10", "health: interval_s is 10; it must be less than max_age_s"),
            ("pools = 3", "bridge.toml:1:1: pools: expected a table, got 3"),
            ("[pools]\ngeneral = 3", "bridge.toml:2:1: pools.general: expected a table, got 3"),
            ("[pools.Big]", "bridge.toml:1:1: pools.Big: expected a name of small letters"),
            ("[pools.general]\nmodules = 'a.py'", "2:1: pools.general.modules: expected a list, got 'a.py'"),
            ("[pools.general]\nmodules = [\n'a',\n 3]", "4:2: pools.general.modules.1: expected a text, got 3"),
            ("[models.x]", "bridge.toml:1:1: models.x.model: missing; LiteLLM's name"),
            ("[models.x]\nmodel='a'\napi_base='ftp://x'", "3:1: models.x.api_base: expected a URL such as"),
            ("[log]\nlevel = 'loud'", "log.level: expected 'debug', 'info', 'warning' or 'error', got 'loud'"),
        ],
    )
    def test_values(self, text, expected):
        (line,) = problems(text)
        assert expected in line
        assert line.startswith("bridge.toml:")

    def test_all_mistakes_of_all_sources_at_once(self):
        lines = problems(
            "[server]\nadress = 'a:1'\n[pools.general]\nsize = 'x'",
            {"log.format": "yaml"},
            BRIDGE_NATIVE__CONCURRENCY="many",
        )
        assert lines == [
            "command line: log.format: expected 'auto', 'human' or 'json', got 'yaml'",
            "environment variable BRIDGE_NATIVE__CONCURRENCY: native.concurrency: expected a whole number, got 'many'",
            "bridge.toml:2:1: server.adress: unknown key; did you mean 'address'?",
            "bridge.toml:4:1: pools.general.size: expected a whole number, got 'x'",
        ]

    def test_the_stronger_source_is_blamed(self):
        (line,) = problems("[pools.general]\nsize = 2", {"pools.general.size": "x"})
        assert line.startswith("command line: pools.general.size: ")

    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({"BRIDGE_POOLS__GENERAL__SIEZ": "4"}, "BRIDGE_POOLS__GENERAL__SIEZ: pools.general.siez: unknown key; did"),
            ({"BRIDGE_LOG_LEVEL": "debug"}, "did you mean BRIDGE_LOG__LEVEL?"),
            ({"BRIDGE_FOO": "1"}, "environment variable BRIDGE_FOO: "),
            ({"BRIDGE_": "1"}, "environment variable BRIDGE_: "),
            ({"BRIDGE_POOLS____SIZE": "1"}, "a part of the name is empty"),
            ({"BRIDGE_POOLS__GENERAL__MODULES": "a.py"}, """expected JSON such as ["a", "b"], got 'a.py'"""),
            ({"BRIDGE_POOLS__GENERAL": "[" * 100_000}, "expected JSON such as"),
            ({"BRIDGE_POOLS__GENERAL__SIZE": "9" * 5000}, "expected a whole number"),
            ({"BRIDGE_SERVER__ADDRESS__X": "1"}, "server.address: expected a text"),
        ],
    )
    def test_environment(self, environ, expected):
        assert expected in "\n".join(problems("", **environ))

    @pytest.mark.parametrize("key", ["", ".", "server.", ".address", "server..address"])
    def test_override_without_a_name(self, key):
        assert "a part of the name is empty" in problems("", {key: "1"})[0]


class TestFiles:
    def test_missing(self):
        with pytest.raises(ConfigError, match=r"^nope\.toml: can not read the configuration: no such file$"):
            load_config(Path("nope.toml"), environ={})

    def test_directory(self, tmp_path):
        with pytest.raises(ConfigError, match="expected a file, got a directory"):
            load_config(tmp_path, environ={})

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_not_readable(self):
        write("").chmod(0)
        with pytest.raises(ConfigError, match="Permission denied"):
            load_config(Path("bridge.toml"), environ={})

    @pytest.mark.parametrize(
        "data",
        [
            b"\xef\xbb\xbf[log]\nlevel = 'debug'",
            b"[log]\r\nlevel = 'debug'\r\n",
            b"\t[log]\n\tlevel\t=\t'debug'\t# why\n",
        ],
        ids=["byte order mark", "CRLF", "tabs"],
    )
    def test_accepted(self, data):
        assert load(data).log.level == "debug"

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"\xef\xbb\xbf[log]\nlevle = 1", "bridge.toml:2:1: log.levle: unknown key"),
            (b"[log]\r\n\r\nlevle = 1\r\n", "bridge.toml:3:1: log.levle: unknown key"),
            (b"[log]\n\tlevle = 1", "bridge.toml:2:2: log.levle: unknown key"),
            (b"[log]\nlevel = 'info'\nlevel = 'debug'", "3:1: log.level: given twice; the first is in line 2"),
            (b"[log]\n[server]\n[log]", "bridge.toml:3:1: log: given twice; the first is in line 1"),
            (b"log = {level='info', level='debug'}", "1:22: log.level: given twice; the first is in line 1"),
            (b"[log]\nlevel = ", "bridge.toml:2:9: not TOML: Invalid value"),
            (b"[log\n", "bridge.toml:1:5: not TOML: "),
            (b"a = 'b\x00'", "bridge.toml:1:7: not TOML: "),
            (b"\n\nx = [1,", "bridge.toml:3:8: not TOML: Invalid value"),
            (b"a = 1\n# caf\xe9", "bridge.toml:2:6: expected UTF-8, got the byte 0xe9"),
            ("[log]".encode("utf-16"), "bridge.toml:1:1: expected UTF-8, got UTF-16"),
            (b"x = " + b"[" * 5000, "bridge.toml:1:1: nested too deeply"),
        ],
    )
    def test_refused(self, data, expected):
        (line,) = problems(data)
        assert expected in line

    def test_a_huge_file_is_refused_before_it_is_read(self):
        path = Path("bridge.toml")
        with path.open("wb") as stream:
            stream.truncate(100 << 20)
        with pytest.raises(ConfigError, match=r"expected at most 1048576 bytes, got 104857600"):
            load_config(path, environ={})

    def test_a_file_full_of_mistakes_is_answered_quickly(self):
        lines = problems("".join(f"key{number} = 1\n" for number in range(20_000)))
        assert len(lines) == 20_000
        assert lines[-1].startswith("bridge.toml:20000:1: key19999: ")


class TestSecrets:
    MODEL = "[models.default]\nmodel = 'openai/x'\napi_key = 'env:THE_KEY'"

    def test_reference_to_a_variable(self):
        config = load(self.MODEL, THE_KEY=KEY)
        assert config.models["default"].api_key == "env:THE_KEY"
        assert resolve_secret("env:THE_KEY", {"THE_KEY": KEY}) == KEY

    def test_missing_variable_is_found_at_load_with_its_place(self):
        (line,) = problems(self.MODEL)
        assert line == (
            "bridge.toml:3:1: models.default.api_key: the environment variable THE_KEY is not set; "
            "set it: export THE_KEY=..."
        )
        assert "THE_KEY is empty" in problems(self.MODEL, THE_KEY="")[0]

    def test_missing_variable_is_no_mistake_where_secrets_are_not_needed(self):
        assert load(self.MODEL, secrets=False).models["default"].api_key == "env:THE_KEY"

    def test_file(self, tmp_path):
        path = tmp_path / "key"
        path.write_text(f"{KEY}\n")
        assert resolve_secret(f"file:{path}", {}) == KEY

    @pytest.mark.parametrize(
        ("content", "expected"),
        [(None, "No such file"), (b"", "the file is empty"), (b"\xff", "not UTF-8"), (b"x" * 70_000, "larger than")],
    )
    def test_unusable_file(self, tmp_path, content, expected):
        path = tmp_path / "key"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=expected):
            resolve_secret(f"file:{path}", {})

    @pytest.mark.parametrize("text", [KEY, "", "env:", "file:", "literal:", "vault:x"])
    def test_a_plain_key_is_refused_and_not_shown(self, text):
        (line,) = problems(f"[models.default]\nmodel = 'x'\napi_key = '{text}'")
        assert "bridge.toml:3:1: models.default.api_key: expected a reference to a secret, 'env:NAME'" in line
        assert KEY not in line
        with pytest.raises(ConfigError, match="expected a reference"):
            resolve_secret(text, {})

    @pytest.mark.parametrize("setting", [f"OPENAI_API_KEY = '{'x' * 8}'", f"OTHER = '{KEY}'"])
    def test_a_plain_key_in_a_pools_environment_is_refused(self, setting):
        (line,) = problems(f"[pools.general.env]\n{setting}")
        assert "looks like a secret" in line
        assert KEY not in line

    def test_plain_values_of_a_pools_environment_are_accepted(self):
        text = "[pools.general.env]\nHF_HOME = '/models'\nAPI_KEY = 'env:K'\nTOKEN = 'literal:t'"
        config = load(text, K="v")
        assert dict(secret_references(config)) == {
            ("pools", "general", "env", "API_KEY"): "env:K",
            ("pools", "general", "env", "TOKEN"): "literal:t",
        }

    def test_no_secret_in_a_repr_or_an_error(self):
        text = f"[models.default]\nmodel = 'x'\napi_key = 'literal:{KEY}'\n[pools.general.env]\nTOKEN='literal:{KEY}'"
        assert KEY not in repr(load(text)) + str(load(text))
        assert KEY not in "".join(problems(f"{text}\nOTHER = 1\n[models.default.api_base]\nkey = '{KEY}'"))
        assert KEY not in "".join(problems("", BRIDGE_MODELS__DEFAULT__API_KEY=KEY))


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), ("10 B", 10), ("1KiB", 1024), ("1.5 GiB", 3 << 29), ("2g", 2 << 30), ("500MB", 500_000_000), (7, 7)],
)
def test_sizes(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "1 GiBs", "-1", "1e9", "1,5GiB"])
def test_texts_that_are_no_sizes(text):
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


def test_every_setting_is_documented():
    def undocumented(model, path):
        for name, field in model.model_fields.items():
            if not field.description:
                yield f"{path}.{name}"
            for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(inner, "model_fields"):
                    assert inner.__doc__
                    yield from undocumented(inner, f"{path}.{name}")

    assert list(undocumented(Config, "config")) == []
