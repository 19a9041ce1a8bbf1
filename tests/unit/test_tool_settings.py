"""The settings of MCP servers: one way to reach each, secrets by reference, and the pool that they need."""

import pytest

from bridge.config import ConfigError, load_config
from bridge.pools import plan


def load(tmp_path, text, **environ):
    path = tmp_path / "bridge.toml"
    path.write_text(text)
    return load_config(path, environ=environ)


def test_a_server_brings_its_pool_and_its_secrets_go_there_alone(tmp_path):
    text = '[tools.files]\ncommand = ["files"]\nenv = { FILES_TOKEN = "env:A_TOKEN" }\n'
    environ = {"A_TOKEN": "kept-from-others"}
    config = load(tmp_path, text, **environ)
    assert (config.pools["mcp"].size, config.pools["mcp"].concurrency) == (1, 64)
    pools = {pool.name: pool.entry_options for pool in plan(config, (), environ).pools}
    assert {name for name, options in pools.items() if b"kept-from-others" in options} == {"mcp"}
    assert "A_TOKEN" not in repr(config)


def test_without_servers_there_is_no_such_pool(tmp_path):
    assert "mcp" not in load(tmp_path, "").pools


def test_the_pool_may_be_set_as_any(tmp_path):
    config = load(tmp_path, '[tools.files]\ncommand = ["files"]\n[pools.mcp]\nsize = 2\n')
    assert (config.pools["mcp"].size, config.pools["mcp"].concurrency) == (2, 64)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tools.a]\n", "expected command or url"),
        ('[tools.a]\ncommand = ["x"]\nurl = "http://127.0.0.1/mcp"\n', "expected command or url"),
        ('[tools.a]\nurl = "ftp://x"\n', "expected a URL"),
        ('[tools.a]\ncommand = ["x"]\nheaders = { A = "b" }\n', "headers belong to a server with a url"),
        ('[tools.a]\nurl = "http://x/mcp"\ncwd = "/"\n', "env and cwd belong to a server with a command"),
        ('[tools.a]\ncommand = ["x"]\nenv = { API_KEY = "plain" }\n', "API_KEY looks like a secret"),
        ('[tools.a]\ncommand = ["x"]\n[pools.mcp]\nconcurrency = 1\n', "must be 2 or more"),
    ],
)
def test_mistakes_are_told(tmp_path, text, problem):
    with pytest.raises(ConfigError, match=problem):
        load(tmp_path, text)
