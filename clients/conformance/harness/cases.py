"""The cases: how they are read, checked and made ready to send. Owns nothing; reads files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from harness.profiles import PROFILES

FOLDER = Path(__file__).resolve().parent.parent
TIMEOUT_S = 60.0

CALL = {
    "connection", "timeout_ms", "metadata", "request_id", "idempotency_key", "session", "budget", "retries",
    "receipt", "digest", "patience_ms", "background",
}  # fmt: skip
"""What every call takes."""
RUN = CALL | {"program", "inputs", "tools", "server_tools"}
OPS: dict[str, set[str]] = {
    "connect": {"name", "connect"},
    "close": {"connection"},
    "call": CALL | {"function", "arguments"},
    "stream": CALL | {"function", "arguments", "take"},
    "cancel": {"name"},
    "join": {"name"},
    "open_session": CALL | {"name", "mode", "ttl_ms", "id", "ordered"},
    "session_info": CALL | {"name"},
    "close_session": CALL | {"name"},
    "run_program": RUN,
    "stream_program": RUN | {"take", "all_events", "resumable", "disconnect"},
    "resume_program": CALL | {"from", "after", "take"},
    "cancel_run": CALL | {"from"},
    "generate": CALL | {"prompt", "model", "max_tokens"},
    "embed": CALL | {"texts", "model"},
    "score": CALL | {"metric", "prediction", "references"},
    "health": CALL | {"service"},
    "list_functions": CALL | {"prefix"},
    "describe": CALL | {"function"},
    "list_pools": CALL,
    "host_tools": {"connection", "name", "tools", "visibility", "session", "metadata"},
    "tool_calls": {"name", "wait_for", "within_ms"},
    "unhost_tools": {"name"},
    "harness": {"do"},
}
"""Each operation with the fields that a step of it may have."""
DO = {"kill_server", "restart_server", "stop_server", "start_server", "kill_workers"}
BEHAVIOURS = {"echo", "add", "fail", "abort", "wait"}
CASE = {"name", "about", "profile", "not_for", "timeout_s", "connect", "steps"}
_PLACE = re.compile(r"\$\{(\w+)\}")


class BadCase(ValueError):
    """A case that can not be read; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what is sent, and the pattern that its result must fit."""

    message: dict[str, Any]
    expect: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case."""

    name: str
    """The family and its own name, such as ``unary/sum``."""
    about: str
    profile: str
    steps: tuple[Step, ...]
    not_for: dict[str, str] = field(default_factory=dict)
    """Language -> why it does not apply."""
    connect: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than the profile says, such as a key that is none."""
    timeout_s: float = TIMEOUT_S


def load(folder: Path = FOLDER / "cases") -> list[Case]:
    """All cases, in the order of the files' names. Raises BadCase."""
    found = [case for path in sorted(folder.glob("*.yaml")) for case in _family(path)]
    names = [case.name for case in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"expected names that differ, got {', '.join(twice)} more than once"
        raise BadCase(msg)
    return found


def select(cases: list[Case], patterns: list[str]) -> list[Case]:
    """The cases whose names fit one of the patterns, such as ``streams/*``; all where there are none."""
    if not patterns:
        return cases
    for pattern in patterns:
        if not any(fnmatchcase(case.name, pattern) for case in cases):
            msg = f"no case fits {pattern!r}; --list shows all"
            raise BadCase(msg)
    return [case for case in cases if any(fnmatchcase(case.name, pattern) for pattern in patterns)]


def fill(value: Any, facts: dict[str, str]) -> Any:
    """The same with `${name}` in texts replaced. Raises BadCase for a name that is not known."""
    if isinstance(value, dict):
        return {key: fill(one, facts) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, facts) for one in value]
    if not isinstance(value, str):
        return value
    try:
        return _PLACE.sub(lambda match: facts[match[1]], value)
    except KeyError as error:
        msg = f"expected one of {', '.join(sorted(facts))} in ${{...}}, got {error.args[0]!r}"
        raise BadCase(msg) from None


def _family(path: Path) -> list[Case]:
    try:
        read = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        msg = f"{path.name}: {error}"
        raise BadCase(msg) from error
    _expect(isinstance(read, dict) and read.get("family") == path.stem, path.name, "family must be the file's name")
    _expect(set(read) <= {"family", "profile", "cases"}, path.name, "only family, profile and cases at the top")
    _expect(isinstance(read.get("cases"), list), path.name, "cases must be a list")
    return [_case(one, path.stem, read.get("profile", "plain")) for one in read["cases"]]


def _case(read: Any, family: str, profile: str) -> Case:
    _expect(isinstance(read, dict) and isinstance(read.get("name"), str), family, "a case needs a name")
    name = f"{family}/{read['name']}"
    _expect(set(read) <= CASE, name, f"unknown fields {sorted(set(read) - CASE)}")
    _expect(bool(read.get("about")), name, "about must say what the case shows")
    _expect(bool(read.get("steps")) and isinstance(read["steps"], list), name, "steps must be a list")
    known = read.get("profile", profile) in PROFILES
    _expect(known, name, f"profile must be one of {', '.join(PROFILES)}")
    not_for = read.get("not_for", {})
    _expect(all(isinstance(why, str) and len(why) > 10 for why in not_for.values()), name, "not_for needs reasons")
    return Case(
        name=name,
        about=read["about"],
        profile=read.get("profile", profile),
        steps=tuple(_step(step, f"{name}, step {index}") for index, step in enumerate(read["steps"])),
        not_for=not_for,
        connect=read.get("connect", {}),
        timeout_s=float(read.get("timeout_s", TIMEOUT_S)),
    )


def _step(read: Any, at: str) -> Step:
    _expect(isinstance(read, dict) and read.get("op") in OPS, at, f"op must be one of {', '.join(OPS)}")
    message = {key: value for key, value in read.items() if key != "expect"}
    unknown = set(message) - OPS[read["op"]] - {"op"}
    _expect(not unknown, at, f"unknown fields {sorted(unknown)} of {read['op']}")
    _expect(read["op"] != "harness" or read.get("do") in DO, at, f"do must be one of {', '.join(sorted(DO))}")
    for tool in message.get("tools", ()) if read["op"] == "host_tools" else ():
        _expect(tool.get("behaviour") in BEHAVIOURS, at, f"behaviour must be one of {', '.join(sorted(BEHAVIOURS))}")
    expect = read.get("expect")
    _expect(expect is None or isinstance(expect, dict), at, "expect must be an object")
    return Step(message=message, expect=expect)


def _expect(fits: bool, at: str, wanted: str) -> None:
    if not fits:
        msg = f"{at}: {wanted}"
        raise BadCase(msg)
