"""What imports what: the contracts of pyproject.toml, and what fresh interpreters really load.

Import contracts are read from source and can not see what a parent package or a library brings with it; the tests
with a fresh interpreter can.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "dspy", "litellm", "nltk", "numpy", "openai", "transformers", "sentence_transformers", "instructor"}
CHILD_MODULES = {
    "pool",
    "pool.child",
    "pool.frames",
    "pool.errors",
    "pool.tokens",
    "pool.entry",
    "pool.own_memory",
    "pool.startup",
}
CHILD_MODULES |= {f"pool.{name}" for name in ("asking", "chunked", "packed", "reader", "exact", "heap", "idle")}
TEMPLATE_MODULES = {
    f"pool.{name}" for name in ("environ_block", "fork_safety", "forked", "forking", "sources", "template_child")
}
LOADED = """
import json, sys
before = set(sys.modules)
import importlib
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(*names: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after it has imported `names`."""
    command = [sys.executable, "-P", "-c", LOADED.format(names=names)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def front_modules() -> list[str]:
    """Every module of `bridge`, since any of them may come to run in the front."""
    paths = sorted((ROOT / "bridge").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_contracts_hold():
    start = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", start, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_child_loads_only_its_own_modules():
    loaded = loaded_by("pool.child")
    others = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert others == CHILD_MODULES & others
    assert "pool.child" in others
    assert "asyncio" not in loaded, "asyncio costs every worker 8 MB"


def test_a_template_loads_little_more_than_a_child():
    """Whatever it has loaded, every worker that is forked from it has."""
    loaded = loaded_by("pool.template_child")
    others = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert others - CHILD_MODULES == TEMPLATE_MODULES
    assert {"asyncio", "subprocess", "threading"} & loaded == {"threading"}


def test_the_front_loads_nothing_heavy():
    roots = {name.split(".")[0] for name in loaded_by(*front_modules())}
    assert roots & HEAVY == set()
    assert "grpc" in roots, "the check has not imported the server"


@pytest.mark.parametrize("family", ["models", "embeddings", "metrics"])
def test_opening_a_family_loads_nothing_heavy(family):
    """Heavy libraries are imported by a family's first call or warm-up, not by listing what it offers."""
    roots = {name.split(".")[0] for name in loaded_by(f"handlers.{family}.service")}
    assert roots & HEAVY == set()


def test_the_entry_loads_no_grpc():
    """A worker speaks frames; grpc would cost each one 11 MB and can not be forked."""
    assert "grpc" not in {name.split(".")[0] for name in loaded_by("handlers.entry")}
