"""Settings for a command: from its flags, the environment and the file, with mistakes as failures of the command.

Owns no state. The only place of the command line that reads the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.failures import ExitCode, Failure
from bridge.settings.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.config import Config

SHOWN_PROBLEMS = 50


def overrides(settings: Iterable[str], pools: Iterable[str], address: str | None) -> dict[str, str]:
    """Return dotted keys from `--set key=value`, `--pool NAME.key=value` and `--address`. Raises Failure."""
    found: dict[str, str] = {}
    pairs = [("--set", text, text) for text in settings]
    pairs += [("--pool", text, f"pools.{text}") for text in pools]
    for flag, text, pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or (flag == "--pool" and key.count(".") < 2):
            example = "general.size=4" if flag == "--pool" else "server.drain_timeout_s=10"
            raise Failure(ExitCode.USAGE, f"{flag} expects KEY=VALUE such as {example}, got {text!r}")
        found[key.strip()] = value
    if address is not None:
        found["server.address"] = address
    return found


def read(path: Path | None, changes: Mapping[str, Any]) -> Config:
    """Return the settings as they are now. Raises ConfigError."""
    from bridge.config import load_config

    return load_config(path, overrides=changes, environ=os.environ)


def load(path: Path | None, changes: Mapping[str, Any], *, secrets: bool = True) -> Config:
    """Return the settings. Raises Failure with one line for each mistake."""
    from bridge.config import load_config

    try:
        return load_config(path, overrides=changes, environ=os.environ, secrets=secrets)
    except ConfigError as error:
        raise to_failure(error) from None


def to_failure(error: ConfigError) -> Failure:
    """Return the failure for a configuration that can not be used."""
    lines = [str(problem) for problem in error.problems[:SHOWN_PROBLEMS]]
    if len(error.problems) > SHOWN_PROBLEMS:
        lines.append(f"and {len(error.problems) - SHOWN_PROBLEMS} more")
    problems = [
        {"file": item.file, "line": item.line, "column": item.column, "key": item.key, "message": item.message}
        for item in error.problems
    ]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return Failure(ExitCode.USAGE, f"the configuration has {count}", lines=tuple(lines), fields={"problems": problems})
