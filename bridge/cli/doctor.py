"""`bridge doctor`: runs the checks of this machine and configuration and prints what they find, each with its fix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bridge.cli import settings
from bridge.cli.checks_doors import check_keys, check_open, check_socket, check_tls
from bridge.cli.checks_fronts import check_configured_fronts, check_running_fronts
from bridge.cli.checks_machine import check_limits, check_memory, check_platform, check_port, check_threads
from bridge.cli.checks_packages import check_extras, check_installation, check_packages
from bridge.cli.checks_pools import check_cgroups, check_configured, check_ends, check_running, running_server
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.findings import Finding
from bridge.cli.output import Output, clean
from bridge.cli.ways_in import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.cli.ways_in import WayIn
    from bridge.config import Config

_COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


def run(path: Path | None, changes: dict[str, str], output: Output, way_in: WayIn) -> int:
    """Print every finding; UNHEALTHY if something would stop a server."""
    found = list(findings(path, changes, way_in))
    problems = sum(item.level == "problem" for item in found)
    if output.machine:
        output.json({"ok": not problems, "findings": [item.as_fields() for item in found]})
    else:
        for item in found:
            _show(output, item)
        count = "1 problem" if problems == 1 else f"{problems} problems"
        output.line(f"\n{count} would stop a server" if problems else "\nready to serve")
    return ExitCode.UNHEALTHY if problems else ExitCode.OK


def findings(path: Path | None, changes: dict[str, str], way_in: WayIn) -> Iterator[Finding]:
    """Yield what all checks find."""
    yield check_platform()
    yield check_installation()
    yield from check_packages()
    yield from check_extras()
    yield from check_limits()
    yield from check_memory()
    yield check_threads(os.environ)
    config = None
    try:
        config = settings.load(path, changes, secrets=False)
        yield Finding("ok", "configuration", f"good; pools: {', '.join(config.pools)}")
    except Failure as failure:
        for line in failure.lines:
            yield Finding("problem", "configuration", line, "correct it; bridge config check shows when it is good")
    yield check_cgroups(config)
    yield from check_ends()
    if config is not None:
        yield from check_address(config, way_in)
        yield from check_open(config)
        yield from check_tls(config.server)
        yield from check_keys(config.keys)
        yield from check_metrics(config)
        yield from check_secrets(config)
        yield from check_models(config)
        yield check_created_programs(config)


def check_address(config: Config, way_in: WayIn) -> Iterator[Finding]:
    """Yield whether the address is free, and how workers start: as a server that holds it says, or as configured."""
    unix = config.server.unix_socket
    address = config.server.address or f"unix:{unix}"
    found = check_socket(str(unix)) if address.startswith("unix:") else check_port(address)
    running = running_server(Target(address, way_in)) if found.level == "problem" else None
    if running is None:
        yield found
        if unix is not None and config.server.address:
            yield check_socket(unix)
        yield check_configured_fronts(config.server.fronts, len(os.sched_getaffinity(0)))
        yield from check_configured(config)
    else:
        yield from check_running(address, list(running.pools))
        yield from check_running_fronts(list(running.fronts))


def check_metrics(config: Config) -> Iterator[Finding]:
    """Yield whether the metrics can be served, where they are configured."""
    from bridge.cli.checks_packages import is_installed

    address = config.metrics.address
    if address is None:
        return
    if is_installed("prometheus_client"):
        yield Finding("ok", "metrics", f"served at http://{address}/metrics")
    else:
        fix = "pip install 'polyglot-bridge[prometheus]', or remove the setting metrics.address"
        yield Finding("problem", "metrics", f"{address} is configured, and needs the extra 'prometheus'", fix)


def check_secrets(config: Config) -> Iterator[Finding]:
    """Yield whether each configured secret can be read, never the secret."""
    from bridge.settings.errors import ConfigError
    from bridge.settings.loading import secret_references
    from bridge.settings.secret_references import display, resolve_secret

    for key, reference in secret_references(config):
        title = f"secret {'.'.join(key)}"
        try:
            resolve_secret(reference, os.environ)
        except ConfigError as error:
            yield Finding("problem", title, error.problems[0].message, "set it, or remove the setting")
        else:
            yield Finding("ok", title, f"{display(reference)} can be read")


def check_created_programs(config: Config) -> Finding:
    """Return where programs that clients create are kept."""
    if config.programs.directory is None:
        fix = "set programs.directory to keep them"
        return Finding("note", "created programs", "kept in memory only: they are gone when the server stops", fix)
    return Finding("ok", "created programs", f"kept in {config.programs.directory}")


def check_models(config: Config) -> Iterator[Finding]:
    """Yield what is said of the configured models: none, the test model, or an extra that is missing."""
    from bridge.cli.checks_packages import is_installed

    if not config.models:
        yield Finding(
            "note",
            "models",
            "no language model is configured; programs and model calls will fail",
            'add [models.default] model = "bridge/test" to bridge.toml, or a real one',
        )
    for name, model in config.models.items():
        if model.model == "bridge/test":
            yield Finding("ok", f"model {name}", "bridge/test, the built-in test model (not a real one)")
        elif is_installed("litellm"):
            yield Finding("ok", f"model {name}", model.model)
        else:
            fix = "pip install 'polyglot-bridge[llm]'"
            yield Finding("note", f"model {name}", f"{model.model} needs the extra 'llm' (litellm)", fix)
    for name, embedding in config.embeddings.items():
        if is_installed("sentence_transformers"):
            yield Finding("ok", f"embedding model {name}", embedding.model)
        else:
            fix = "pip install 'polyglot-bridge[embeddings]'"
            yield Finding("note", f"embedding model {name}", f"{embedding.model} needs the extra 'embeddings'", fix)


def _show(output: Output, item: Finding) -> None:
    from rich.text import Text

    output.console.print(
        Text.assemble((f"{item.level:8}", _COLOURS[item.level]), f"{item.title}: {clean(item.detail)}"), soft_wrap=True
    )
    if item.fix:
        output.console.print(Text(f"        fix: {clean(item.fix)}"), soft_wrap=True)
