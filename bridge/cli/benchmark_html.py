"""The report of a benchmark: one HTML file with its plots as inline SVG, which needs nothing from anywhere.

Pure. Everything that comes from a server or a command line is escaped.
"""

from __future__ import annotations

import json
import platform
from html import escape
from math import log10
from typing import TYPE_CHECKING, Any

from bridge.cli.benchmark_figures import PERCENTILES, shown_parts
from bridge.cli.benchmark_plots import COLOURS, Series, bars, lines
from bridge.cli.output import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.cli.benchmark_figures import Step

NINES = ("0 %", "90 %", "99 %", "99.9 %", "99.99 %")
CLIENT_LIMIT = "At some loads this client was the limit, not the server: it may do more. "
STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #667085; --line: #d8dde6; --ground: #fff; --card: #f7f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf1; --soft: #9aa4b5; --line: #353d4b; --ground: #14181f; --card: #1b212b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 36px 0 8px; }
p { margin: 4px 0 12px; color: var(--soft); }
.big { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.big div { background: var(--card); border-radius: 10px; padding: 12px 18px; }
.big b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; }
.big span { color: var(--soft); font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 20px; }
figure { margin: 0; background: var(--card); border-radius: 10px; padding: 14px 16px; min-width: 0; }
figcaption { font-weight: 600; margin-bottom: 2px; } figcaption small { color: var(--soft); font-weight: 400; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); stroke-width: 1; }
.keys { font-size: 12px; color: var(--soft); } .keys i { display: inline-block; width: 10px; height: 10px;
  border-radius: 3px; margin: 0 5px 0 12px; } .keys i:first-child { margin-left: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 7px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
@media (max-width: 520px) { .plots { grid-template-columns: 1fr; } }
"""


def page(report: Mapping[str, Any], found: Mapping[str, Sequence[Step]]) -> str:
    """Return the whole page. `report` is what `--json` prints, `found` the steps by target."""
    title = f"{report['function']}: {report['loop']} loop"
    what = f"{report['request_bytes']:,} bytes a request, {platform.system()} {platform.machine()}"
    sections = [
        f"<h1>{escape(title)}</h1><p>{escape(' against '.join(found))}; {escape(what)}</p>",
        _numbers(report),
        '<div class="plots">' + "".join(_plots(found)) + "</div>",
        *(_table(name, steps) for name, steps in found.items()),
        "<p>Queue and worker are from the receipts of calls; front is the rest of the time in the server, the way to "
        "the worker and back included; transfer is what the client waited beyond that, its own work included. "
        + (CLIENT_LIMIT if any(step.limited_by_client for steps in found.values() for step in steps) else "")
        + ("Latency counts from when a call was due.</p>" if report["loop"] == "open" else "</p>"),
    ]
    data = json.dumps(report).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(sections)}</main>"
        f'<script type="application/json" id="report">{data}</script></body></html>'
    )


def _numbers(report: Mapping[str, Any]) -> str:
    boxes = []
    for target in report["targets"]:
        best = max(target["steps"], key=lambda step: float(step["calls_per_s"]))
        boxes.append((f"{best['calls_per_s']:,.0f}", f"calls/s at most, {target['address']}"))
        boxes.append((duration(target["steps"][0]["p50_ms"] / 1000), "median at the lowest load"))
        if point := target["saturation"]:
            load = f"{point['rate']:g}/s" if point["rate"] is not None else f"{point['concurrency']} at a time"
            boxes.append((load, "where it is saturated"))
    return (
        '<div class="big">'
        + "".join(f"<div><b>{escape(number)}</b><span>{escape(text)}</span></div>" for number, text in boxes)
        + "</div>"
    )


def _plots(found: Mapping[str, Sequence[Step]]) -> list[str]:
    first = next(iter(found.values()))
    labels = [step.label.removesuffix(" at a time").removesuffix("/s") for step in first]
    load = "by calls a second that came" if first[0].rate is not None else "by calls at a time"
    parts = shown_parts([step for steps in found.values() for step in steps])
    goodput = [Series(name, [(x, step.goodput) for x, step in enumerate(steps)]) for name, steps in found.items()]
    plots = [_figure("Calls per second", load, lines(goodput, labels=labels), goodput)]
    for name, steps in found.items():
        by_load = [Series(f"p{percent:g}", _percentiles(steps, percent)) for percent in PERCENTILES]
        plots.append(_figure("Latency", f"{load}, {name}", lines(by_load, labels=labels, seconds=True), by_load))
        if any(step.split.count for step in steps):
            layers = [Series(part, _means(steps, part)) for part in parts]
            plots.append(_figure("Where the time goes", f"mean of a call, {name}", bars(layers, labels), layers))
            inside = layers[:-1]
            plots.append(_figure("The same, in the server", f"without transfer, {name}", bars(inside, labels), inside))
        shown = dict.fromkeys((0, len(steps) // 2, len(steps) - 1))
        curves = [Series(steps[index].label, _tail(steps[index])) for index in shown if steps[index].goodput]
        plot = lines(curves, labels=NINES, seconds=True, marks=False)
        plots.append(_figure("Latency by percentile", name, plot, curves))
    return plots


def _percentiles(steps: Sequence[Step], percent: float) -> list[tuple[float, float]]:
    return [(index, step.latencies.percentile(percent)) for index, step in enumerate(steps) if step.goodput]


def _means(steps: Sequence[Step], part: str) -> list[tuple[float, float]]:
    return [(index, (step.split.means() or {}).get(part, 0.0)) for index, step in enumerate(steps)]


def _tail(step: Step) -> list[tuple[float, float]]:
    """Return a step's percentiles as (how many nines, seconds)."""
    count = step.latencies.count
    curve = [(seconds, below) for seconds, below in step.latencies.curve() if below < count]
    points = [(-log10(1 - below / count), min(seconds, step.latencies.max_s)) for seconds, below in curve]
    return [point for point in points if point[0] < len(NINES)] or [(0.0, step.latencies.max_s)]


def _figure(title: str, what: str, svg: str, series: Sequence[Series]) -> str:
    keys = "".join(
        f'<i style="background:{COLOURS[index % len(COLOURS)]}"></i>{escape(one.name)}'
        for index, one in enumerate(series)
    )
    caption = f"<figcaption>{escape(title)} <small>{escape(what)}</small></figcaption>"
    return f'<figure>{caption}{svg}<div class="keys">{keys}</div></figure>'


def _table(name: str, steps: Sequence[Step]) -> str:
    parts = shown_parts(list(steps))
    heads = ["load", "calls", "calls/s", *(f"p{percent:g}" for percent in PERCENTILES), "longest", *parts, "errors"]
    rows = []
    for step in steps:
        means = step.split.means()
        errors = ", ".join(f"{count} {reason}" for reason, count in step.errors.most_common()) or "none"
        cells = [step.label, f"{step.latencies.count:,}", f"{step.goodput:,.0f}"]
        times = [*(step.latencies.percentile(percent) for percent in PERCENTILES), step.latencies.max_s]
        cells += [duration(seconds) if step.latencies.count else "-" for seconds in times]
        cells += [duration(means[part]) if means else "-" for part in parts] + [errors]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>{escape(name)}</h2><div class="wide">{body}</div>'
