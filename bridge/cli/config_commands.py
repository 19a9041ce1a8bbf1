"""`bridge config show` and `bridge config check`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bridge.cli import settings
from bridge.cli.failures import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.cli.output import Output
    from bridge.config import Config


def run_show(path: Path | None, changes: dict[str, str], output: Output) -> int:
    """Print the settings in force, as TOML or JSON; secrets as their references. Raises Failure."""
    config = settings.load(path, changes, secrets=False)
    values = shown(config)
    if output.machine:
        output.json(values)
    else:
        output.line("\n".join(to_toml(values)))
    return ExitCode.OK


def run_check(path: Path | None, changes: dict[str, str], output: Output) -> int:
    """Say whether the settings can be used, secrets included. Raises Failure with every problem."""
    config = settings.load(path, changes)
    if output.machine:
        output.json({"ok": True, "pools": list(config.pools), "models": list(config.models)})
    else:
        models = ", ".join(config.models) or "none"
        output.line(f"the configuration is good; pools: {', '.join(config.pools)}; models: {models}")
    return ExitCode.OK


def shown(config: Config) -> dict[str, Any]:
    """Return the settings as plain values in which no secret can be read."""
    from bridge.settings.secret_references import display

    values: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    for model in values["models"].values():
        if "api_key" in model:
            model["api_key"] = display(model["api_key"])
    if "tls_key" in values["server"]:
        values["server"]["tls_key"] = display(values["server"]["tls_key"])
    for pool in values["pools"].values():
        pool["env"] = {name: display(value) for name, value in pool["env"].items()}
    return values


def to_toml(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the lines of a TOML file with these values; tables come after the keys of their parent."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (plain or not table):
        yield f"[{path}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    if path and (plain or not table):
        yield ""
    for key, value in table.items():
        if isinstance(value, dict) and (value or path == ""):
            yield from to_toml(value, f"{path}.{_key(key)}" if path else _key(key))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's texts, numbers and booleans are TOML too, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
