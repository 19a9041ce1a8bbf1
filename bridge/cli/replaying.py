"""`bridge replay`: runs a saved call again without a network, and says whether it ends as it did then. Owns nothing."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.failures import ExitCode, Failure
from bridge.cli.options import Json, finish

if TYPE_CHECKING:
    from bridge.cli.output import Output
    from handlers.replay.record import SavedCall


def replay(
    file: Annotated[Path, typer.Argument(help="A call that a server has saved; see [replay] of the configuration.")],
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="The file that defines it, where that is elsewhere here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a saved call again, offline, with the models' recorded replies; exit code 1 if it ends otherwise."""
    finish(as_json, lambda output: run(file, app, output))


def run(file: Path, app: str | None, output: Output) -> int:
    """Run a saved call again. Raises Failure where it can not be."""
    from handlers.replay.comparing import end_in_words
    from handlers.replay.offline import Offline
    from handlers.replay.record import ReplayError, decode
    from handlers.replay.running import replay as run_again

    offline = Offline()
    try:
        saved = decode(file.read_bytes(), str(file))
        offline.begin()
        with redirect_stdout(sys.stderr):  # what the user's code prints
            found = run_again(saved, app)
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"{file} can not be read: {error.strerror or error}") from None
    except ReplayError as error:
        raise Failure(ExitCode.USAGE, str(error)) from None
    remarks = [*found.remarks, *(f"wanted to reach {where}" for where in dict.fromkeys(offline.refused))]
    if output.machine:
        ends = {"then": end_in_words(saved.outcome), "now": end_in_words(found.outcome)}
        output.json({"same": found.same, **ends, "differences": found.differences, "remarks": remarks})
    else:
        _show(saved, end_in_words(found.outcome), found.differences, remarks, output)
    return ExitCode.OK if found.same else ExitCode.FAILED


def _show(saved: SavedCall, now: str, differing: list[str], remarks: list[str], output: Output) -> None:
    from bridge.cli.output import clean
    from handlers.replay.comparing import end_in_words

    def line(text: Any) -> None:
        output.line(clean(str(text)))

    count = sum(one.kind in ("lm", "model") for one in saved.exchanges)
    line(f"{saved.program.name} ({saved.method}), request {saved.request_id}, saved {saved.saved_at} ({saved.why})")
    line(f"{count} replies of models, {len(saved.exchanges) - count} other answers were recorded")
    for remark in remarks:
        line(f"  {remark}")
    if not differing:
        line(f"same: {now}")
        return
    line("different:")
    line(f"  then: {end_in_words(saved.outcome)}")
    line(f"  now:  {now}")
    for one in differing:
        if not one.startswith(("then: ", "now: ")):
            line(f"  {one}")
