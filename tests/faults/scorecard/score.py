"""From results to a card: scorecard.json, and the same as a Markdown table.

Owns the form of the file: `servers` maps a server's name to its title and its `faults`, which maps a fault's name to
`{"expected", "seen", "pass", "seconds"}`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faults import FAULTS

BEGIN, END = "<!-- scorecard -->", "<!-- /scorecard -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one fault did to one server."""

    expected: str
    seen: str
    passed: bool
    seconds: float

    def record(self) -> dict[str, Any]:
        record = asdict(self)
        return {
            "expected": self.expected,
            "seen": self.seen,
            "pass": record["passed"],
            "seconds": round(self.seconds, 2),
        }


Card = dict[str, Any]


def make_card(titles: dict[str, str], results: dict[str, dict[str, Result]], machine: str) -> Card:
    """The content of scorecard.json."""
    order = [fault.name for fault in FAULTS]
    return {
        "machine": machine,
        "servers": {
            server: {
                "title": title,
                "faults": {name: results[server][name].record() for name in order if name in results[server]},
            }
            for server, title in titles.items()
        },
    }


def table(card: Card) -> str:
    """Who passed what, as a Markdown table: a row per fault, a column per server."""
    servers = card["servers"].values()
    lines = ["| fault | " + " | ".join(server["title"] for server in servers) + " |", "|---|" + "---|" * len(servers)]
    for fault in FAULTS:
        cells = [_cell(server["faults"].get(fault.name)) for server in servers]
        if any(cells):
            lines.append(f"| {fault.injected} | " + " | ".join(cells) + " |")
    lines.append("| **passed** | " + " | ".join(f"**{_sum(server['faults'])}**" for server in servers) + " |")
    return "\n".join(lines)


def expectations() -> str:
    """The table of faults, as Markdown."""
    rows = [f"| {fault.injected} | {fault.expected} |" for fault in FAULTS]
    return "\n".join(["| fault | expected |", "|---|---|", *rows])


def _cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return ""
    return "yes" if record["pass"] else "**no**"


def _sum(faults: dict[str, Any]) -> str:
    return f"{sum(record['pass'] for record in faults.values())} of {len(faults)}"


def details(card: Card) -> str:
    """What was expected and what was seen, in words: a table of the faults, then one per server."""
    parts = [f"Measured with {card['machine']}.\n\n## The faults\n\n{expectations()}"]
    for server in card["servers"].values():
        rows = [
            f"| {fault.injected} | {'yes' if record['pass'] else '**no**'} | {_plain(record['seen'])} |"
            for fault in FAULTS
            if (record := server["faults"].get(fault.name))
        ]
        parts.append("\n".join([f"## {server['title']}", "", "| fault | passed | seen |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """Text for a table's cell: what a server says may have anything in it."""
    return re.sub(r"([|<>\[\]*_`\\])", r"\\\1", " ".join(text.split()))


def write(path: Path, card: Card) -> None:
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Card:
    return json.loads(path.read_text())


def put_between(text: str, inside: str) -> str:
    """Replace what stands between the markers. Raises ValueError where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{inside}\n\n{END}{after}"


def between(text: str) -> str:
    """What stands between the markers."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()
