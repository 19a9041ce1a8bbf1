"""Which pools are made, what each is told, and what is said of those that are not."""

import json

import msgspec
import pytest

from bridge import pools
from bridge.config import load_config
from handlers.contract import CallMeta, EntryOptions

APPS = ("app.py",)


@pytest.fixture
def make(tmp_path):
    def plan(text="", environ=None):
        path = tmp_path / "bridge.toml"
        path.write_text(text)
        environ = environ or {}
        return pools.plan(load_config(path, environ=environ), APPS, environ)

    return plan


@pytest.fixture(autouse=True)
def hide(monkeypatch):
    """`hide(*libraries)`: they are not installed. Any other is, whatever this environment has."""

    def hide_them(*libraries):
        monkeypatch.setattr(pools, "find_spec", lambda name: None if name in libraries else name)

    hide_them()
    return hide_them


def by_name(plan):
    return {options.name: options for options in plan.pools}


def entry(options):
    return msgspec.json.decode(options.entry_options, type=EntryOptions)


def test_the_default_pools(make):
    plan = make()
    made = by_name(plan)
    assert list(made) == ["general", "llm", "embeddings"]
    assert (plan.missing, plan.off) == ({}, ())
    assert [options.size for options in made.values()] == [2, 1, 1]
    assert made["llm"].concurrency > 1 == made["general"].concurrency
    assert entry(made["general"]).builtins == ("core", "metrics")
    assert entry(made["llm"]).builtins == ("core", "models")
    assert entry(made["embeddings"]).builtins == ("core", "embeddings", "metrics")


def test_the_app_is_imported_where_its_functions_and_programs_run(make):
    made = by_name(make('[pools.other]\n[pools.mine]\nmodules = ["a.py", "b"]\n'))
    assert {name: entry(options).modules for name, options in made.items()} == {
        "general": APPS,
        "llm": APPS,
        "embeddings": (),
        "other": (),
        "mine": ("a.py", "b"),
    }
    assert entry(made["mine"]).builtins == ("core",)


def test_no_modules_is_not_the_same_as_none_named(make):
    assert entry(by_name(make("[pools.general]\nmodules = []\n"))["general"]).modules == ()


def test_a_pool_of_size_zero_is_not_made(make):
    plan = make("[pools.embeddings]\nsize = 0\n")
    assert "embeddings" not in by_name(plan)
    assert plan.off == ("embeddings",)
    assert plan.off_functions["bridge.embeddings."] == "embeddings"
    assert plan.missing_functions == {}


@pytest.mark.parametrize(
    ("libraries", "missing"),
    [
        (("sentence_transformers",), {"embeddings": "embeddings"}),
        (("dspy",), {}),
        (("litellm",), {}),
        (("dspy", "litellm"), {"llm": "dspy"}),
        (("dspy", "litellm", "sentence_transformers"), {"llm": "dspy", "embeddings": "embeddings"}),
    ],
)
def test_a_pool_whose_libraries_are_missing_is_not_made(make, hide, libraries, missing):
    hide(*libraries)
    plan = make()
    assert plan.missing == missing
    assert set(by_name(plan)) == {"general", "llm", "embeddings"} - set(missing)


def test_the_functions_of_a_missing_pool_are_known(make, hide):
    hide("sentence_transformers", "dspy", "litellm")
    assert make().missing_functions == {
        "bridge.models.": "llm",
        "bridge.embeddings.": "embeddings",
        "bridge.metrics.semantic_similarity": "embeddings",
    }


def test_a_pool_that_is_off_is_not_missing(make, hide):
    hide("sentence_transformers")
    plan = make("[pools.embeddings]\nsize = 0\n")
    assert (plan.missing, plan.off) == ({}, ("embeddings",))


def test_a_pool_of_ones_own_needs_no_extra(make, hide):
    hide("sentence_transformers", "dspy", "litellm")
    assert "mine" in by_name(make("[pools.mine]\n"))


def test_settings_reach_the_pool(make):
    text = """
    [server]
    max_message_bytes = "1MiB"
    [pools.general]
    size = 3
    concurrency = 5
    queue_limit = 7
    memory_limit = "64MiB"
    grace_s = 0.5
    start_timeout_s = 9.0
    nice = 4
    threads = 2
    env = { PLAIN = "value", OMP_NUM_THREADS = "8" }
    """
    options = by_name(make(text))["general"]
    assert (options.size, options.concurrency, options.queue_limit, options.nice) == (3, 5, 7, 4)
    assert (options.memory_limit_bytes, options.grace_s, options.start_timeout_s) == (64 << 20, 0.5, 9.0)
    assert options.max_frame_bytes >= 1 << 20
    assert options.env["PLAIN"] == "value"
    assert options.env["OMP_NUM_THREADS"] == "8", "what the operator says wins"
    assert options.env["MKL_NUM_THREADS"] == "2"


def test_secrets_are_resolved_for_the_workers_and_shown_nowhere_else(make, tmp_path):
    (tmp_path / "token").write_text("file-secret\n")
    text = f"""
    [models.default]
    model = "openai/gpt-4o-mini"
    api_key = "env:MY_KEY"
    [pools.llm]
    env = {{ HF_TOKEN = "file:{tmp_path}/token", LITERAL = "literal:env:x" }}
    """
    plan = make(text, {"MY_KEY": "env-secret"})
    llm = by_name(plan)["llm"]
    assert entry(llm).models["default"].api_key == "env-secret"
    assert (llm.env["HF_TOKEN"], llm.env["LITERAL"]) == ("file-secret", "env:x")
    assert "env-secret" not in repr(entry(llm).models)


def test_keys_of_models_go_only_to_pools_that_may_use_them(make):
    text = """
    [models.default]
    model = "openai/gpt-4o-mini"
    api_key = "env:MY_KEY"
    [pools.own]
    modules = ["own.py"]
    [pools.bare]
    """
    made = by_name(make(text, {"MY_KEY": "env-secret"}))
    with_key = {name for name, options in made.items() if b"env-secret" in options.entry_options}
    assert with_key == {"llm", "own"}


def test_the_fronts_own_entry_has_no_models_and_no_secrets(make, tmp_path):
    path = tmp_path / "bridge.toml"
    path.write_text('[models.default]\nmodel = "x/y"\napi_key = "env:MY_KEY"\n')
    config = load_config(path, environ={"MY_KEY": "env-secret"})
    options = pools.entry_options("general", ("app.py",), config, {"MY_KEY": "env-secret"}, native_only=True)
    assert options.native_only
    assert options.models == {}
    assert options.builtins == ("core", "metrics")
    assert "env-secret" not in json.dumps(msgspec.to_builtins(options))


def test_the_canary_goes_the_way_of_a_call(make):
    canary = by_name(make())["general"].canary
    assert canary.function == "bridge.canary"
    assert msgspec.msgpack.decode(canary.meta, type=CallMeta).method == "InvokeService/Call"
    assert b"bridge.canary" in canary.body
