"""`bridge serve`: checks what can be checked, starts the server, says when it is ready and what it serves.

Owns nothing: the server is `bridge.process`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bridge.cli import settings
from bridge.cli.apps import check_app
from bridge.cli.arguments import command
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean, duration
from bridge.cli.ports import check_free
from bridge.cli.stdin_end import end_with_stdin
from bridge.settings.door_tables import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from bridge.config import Config
    from bridge.ready import Ready
    from handlers.contract import FunctionSpec

DEFAULT_ADDRESS = "127.0.0.1:50051"
SHOWN_FUNCTIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What was typed."""

    apps: tuple[str, ...]
    config: Path | None
    address: str | None
    fronts: int | None
    doors: Mapping[str, str | None]
    """Settings that have flags of their own."""
    exit_with_stdin: bool
    pools: tuple[str, ...]
    settings: tuple[str, ...]


def run(options: ServeOptions, output: Output) -> int:
    """Serve until a signal ends it. Raises Failure."""
    changes = settings.overrides(options.settings, options.pools, options.address)
    if options.fronts is not None:
        changes["server.fronts"] = str(options.fronts)
    changes |= {key: value for key, value in options.doors.items() if value is not None}
    config = settings.load(options.config, changes)
    for app in options.apps:
        check_app(app)
    _check_something_to_serve(options.apps, config)
    if options.exit_with_stdin:
        end_with_stdin()
    if config.server.address:
        check_free(config.server.address)
    pools = ", ".join(f"{name} ({_workers(pool.size)})" for name, pool in config.pools.items())
    what = ", ".join(options.apps) or "built-in functions"
    output.note(f"starting {what}; the pools import what they serve: {pools}")
    for line in warnings(config):
        output.note(f"warning: {line}")

    def say(ready: Ready) -> None:
        from bridge.telemetry import log

        try:
            announce(ready, output)
        except OSError as error:  # a full disk, a reader that has left: no reason not to serve
            output.give_up()
            log(logging.WARNING, f"could not write to stdout that the server is ready on {ready.address}: {error}")
        if not config.models and any(spec.kind == "program" for spec in ready.functions):
            output.note(
                "no language model is configured: a program that has none of its own will fail; "
                'add [models.default] to bridge.toml (model = "bridge/test" needs no key)'
            )

    teller = Teller(say)
    code = start(config, options.apps, teller.tell, partial(settings.read, options.config, changes))
    if teller.is_stuck:
        os._exit(code)  # nobody reads what was said; Python would wait for that before it ends
    return code


class Teller:
    """Says something in a thread: whoever does not read it, or has closed what it is written to, stops no server."""

    def __init__(self, say: Callable[[Ready], None]) -> None:
        self._say = say
        self._thread: threading.Thread | None = None

    def tell(self, ready: Ready) -> None:
        """Begin to say it; returns at once."""
        self._thread = threading.Thread(target=self._run, args=(ready,), name="ready", daemon=True)
        self._thread.start()

    def _run(self, ready: Ready) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._say(ready)

    @property
    def is_stuck(self) -> bool:
        """Whether it is still being said."""
        return self._thread is not None and self._thread.is_alive()


def warnings(config: Config) -> Iterator[str]:
    """Yield what is open although it need not be."""
    server = config.server
    if server.address and not is_loopback(server.address):
        missing = [] if server.tls_certificate else ["no TLS"]
        missing += [] if config.keys.file else ["no keys"]
        danger = "read what is sent" if config.keys.file else "run your functions"
        if missing:
            what = " and ".join(missing)
            yield f"{server.address} is not a loopback address, and there are {what}: whoever reaches it can {danger}"


def start(
    config: Config, apps: tuple[str, ...], ready: Callable[[Ready], None], read: Callable[[], Config] | None = None
) -> int:
    """Run the server; a start that fails becomes a Failure. `ready` must return at once, `read` is for reloads."""
    from bridge.app import StartFailed
    from bridge.process import run

    try:
        return run(config, apps, ready, read)
    except StartFailed as error:
        detail = str(error.detail or "").strip("\n")
        raise Failure(
            ExitCode.FAILED, error.message, lines=tuple(detail.splitlines()), fields={"detail": detail}
        ) from None


def announce(ready: Ready, output: Output) -> None:
    """Say that the server is ready: one line of JSON, or a panel with the next command."""
    if output.machine:
        names = [spec.name for spec in ready.functions]
        output.json(
            {"event": "ready", "address": ready.address, "functions": names, "pools": dict(ready.pools)}
            | {"seconds": round(ready.seconds, 3)}
            | ({"fronts": ready.fronts} if ready.fronts > 1 else {})
            | ({"unix": ready.unix} if ready.unix else {})
        )
        return
    from rich.panel import Panel
    from rich.text import Text

    fronts = f" with {ready.fronts} fronts" if ready.fronts > 1 else ""
    beside = f" and unix:{ready.unix}" if ready.unix and not ready.address.startswith("unix:") else ""
    lines = [f"listening on {ready.address}{fronts}{beside} after {duration(ready.seconds)}", ""]
    lines += function_lines(ready.functions)
    lines += ["", *(f"pool {name}: {clean(state)}" for name, state in ready.pools)]
    if next_command := suggest(ready):
        lines += ["", "try it:", f"  {next_command}"]
    output.show(Panel(Text("\n".join(lines)), title="bridge is ready", expand=False))
    output.note("Ctrl-C stops it")


def function_lines(functions: tuple[FunctionSpec, ...]) -> list[str]:
    """Return what is served, the user's own first and by name, built-ins as a count."""
    lines = []
    for kind, title in (("function", "functions"), ("program", "programs")):
        names = [spec.name for spec in functions if spec.kind == kind]
        if names:
            more = f" and {len(names) - SHOWN_FUNCTIONS} more" if len(names) > SHOWN_FUNCTIONS else ""
            lines.append(f"{title}: {', '.join(map(clean, names[:SHOWN_FUNCTIONS]))}{more}")
    builtins = sum(spec.kind == "builtin" for spec in functions)
    if builtins:
        lines.append(f"built in: {builtins} functions (bridge ls bridge.)")
    return lines


def suggest(ready: Ready) -> str:
    """Return the command that calls something of the user, or the echo; empty where nothing is served."""
    own = [spec for spec in ready.functions if spec.kind != "builtin"]
    chosen = own or [spec for spec in ready.functions if spec.name == "bridge.echo"]
    if not chosen:
        return ""
    spec = chosen[0]
    line = clean(command(spec.name, spec.example, spec.arguments_schema, ready.address, DEFAULT_ADDRESS))
    tls = " --tls-ca CA.pem" if ready.tls and not ready.address.startswith("unix:") else ""
    return line + (" --key KEY" if ready.wants_key else "") + tls


def _check_something_to_serve(apps: tuple[str, ...], config: Config) -> None:
    has_modules = any(pool.modules for pool in config.pools.values())
    if not apps and not has_modules and not config.models and not config.embeddings:
        raise Failure(
            ExitCode.USAGE,
            "nothing to serve; name a Python file: bridge serve app.py",
            lines=("or name a model in bridge.toml ([models.default]) to serve the built-in functions alone",),
        )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
