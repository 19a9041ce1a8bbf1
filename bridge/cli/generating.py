"""`bridge client gen`: writes typed code in a language. Owns nothing beyond one command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.exporting import lock_at, refuse, typed, write_files
from bridge.cli.failures import ExitCode
from bridge.cli.typed_catalogue import functions_of
from bridge.client_gen import elixir_code, go_code, python_code, typescript_code

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.cli.output import Output

_LANGUAGES = {
    "python": python_code.files,
    "typescript": typescript_code.files,
    "go": go_code.files,
    "elixir": elixir_code.files,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateOptions:
    """What was typed."""

    app: str | None
    lang: str
    out: Path
    package: str | None
    lock: Path
    check: bool
    config: Path | None
    address: str


def run(options: GenerateOptions, output: Output) -> int:
    """Write, or with `check` say what would be written. FAILED where that is something. Raises Failure."""
    functions = functions_of(options.app, options.config, options.address)
    api, _, problems = typed(functions, lock_at(options.lock), options.package)
    refuse(api, problems)
    made = _LANGUAGES[options.lang](api)
    files = {options.out / name: text.encode() for name, text in made.items()}
    stale = write_files(files, check=options.check)
    if output.machine:
        output.json({"language": options.lang, "written": [str(path) for path in stale]})
    else:
        verb = "would be written" if options.check else "written"
        for path in files:
            output.line(f"{path}: {verb if path in stale else 'up to date'}")
    return ExitCode.FAILED if options.check and stale else ExitCode.OK
