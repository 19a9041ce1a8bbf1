"""The command of the conformance suite: runs cases for languages, prints a table, and tells by its status."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import cases as reading
from harness.languages import Language, PrepareFailed, load
from harness.report import Report
from harness.suite import Suite

USAGE, ABSENT = 2, 3


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        found = reading.select(reading.load(), options.case)
        languages = _languages(options)
    except (reading.BadCase, ValueError) as error:
        print(error, file=sys.stderr)
        return USAGE
    if options.list:
        for case in found:
            print(f"{case.name:40} {case.profile:12} {case.about}")
        return 0
    report = Report(found, verbose=options.verbose)
    present = _present(languages, report)
    absent = [name for name in options.require if report.missing.get(name)]
    if absent or not present:
        report.write(options.json)
        print(f"Missing: {', '.join(absent) or 'every language'}", file=sys.stderr)
        return ABSENT
    with Suite() as suite:
        for case in sorted(found, key=lambda case: case.profile):
            for language in present:
                report.add(case, language.name, suite.run(case, language))
    report.write(options.json)
    report.show()
    return 1 if report.failed else 0


def _languages(options: argparse.Namespace) -> list[Language]:
    overrides = {}
    for given in options.runner:
        name, found, command = given.partition("=")
        if not found:
            msg = f"expected --runner LANGUAGE=COMMAND, got {given!r}"
            raise ValueError(msg)
        overrides[name] = command
    known = load(overrides)
    for name in [*options.language, *options.require, *overrides]:
        if name not in known:
            msg = f"expected a language of {', '.join(known)}, got {name!r}"
            raise ValueError(msg)
    return [known[name] for name in options.language or known]


def _present(languages: list[Language], report: Report) -> list[Language]:
    """Those that can be run; the report is told about the others."""
    present = []
    for language in languages:
        try:
            why = language.missing()
        except PrepareFailed as error:
            report.broken(language.name, str(error))
            continue
        if why is None:
            present.append(language)
        report.has(language.name, why)
    return present


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("--language", action="append", default=[], help="only this one (may be repeated)")
    parser.add_argument("--case", action="append", default=[], help="only cases like this, such as 'streams/*'")
    parser.add_argument("--require", action="append", default=[], help="fail where this language is missing")
    parser.add_argument("--runner", action="append", default=[], metavar="LANGUAGE=COMMAND", help="another runner")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--list", action="store_true", help="show the cases and end")
    parser.add_argument("--verbose", action="store_true", help="a line per case, also where it passed")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    sys.exit(main())
