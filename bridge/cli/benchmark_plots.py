"""Plots as SVG text: lines and stacked bars. Pure; knows nothing of what is plotted."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from bridge.cli.output import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COLOURS = ("#2f6fde", "#e07b39", "#2a9d74", "#b4558f", "#8a7a2e")
WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 30


class Series(NamedTuple):
    """One line, or one layer of the bars."""

    name: str
    points: Sequence[tuple[float, float]]
    """(x, y); x is the place of a label, from 0."""


def lines(series: Sequence[Series], *, labels: Sequence[str], seconds: bool = False, marks: bool = True) -> str:
    """Return a plot of lines; seconds are on a logarithmic scale, everything else starts at 0."""
    values = [y for one in series for _, y in one.points if y > 0] or [1.0]
    place, ticks = _logarithmic(min(values), max(values)) if seconds else _linear(max(values))
    parts = [*_frame(place, ticks, labels, seconds=seconds, between=False)]
    for index, one in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        points = [(_across(x, len(labels)), place(y), y) for x, y in one.points if y > 0 or not seconds]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        if marks:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
                f"<title>{_said(one.name, value, seconds)}</title></circle>"
                for x, y, value in points
            ]
    return _svg(parts)


def bars(layers: Sequence[Series], labels: Sequence[str]) -> str:
    """Return stacked bars of seconds, one for each label."""
    heights = [sum(layer.points[index][1] for layer in layers) for index in range(len(labels))]
    place, ticks = _linear(max(heights) or 1.0)
    parts = [*_frame(place, ticks, labels, seconds=True, between=True)]
    step = (WIDTH - LEFT - RIGHT) / len(labels)
    for index in range(len(labels)):
        below = 0.0
        for number, layer in enumerate(layers):
            value = layer.points[index][1]
            top, bottom = place(below + value), place(below)
            parts.append(
                f'<rect x="{LEFT + step * (index + 0.2):.1f}" y="{top:.1f}" width="{step * 0.6:.1f}" '
                f'height="{max(0.0, bottom - top):.1f}" fill="{COLOURS[number % len(COLOURS)]}">'
                f"<title>{_said(layer.name, value, True)}</title></rect>"
            )
            below += value
    return _svg(parts)


def _svg(parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _said(name: str, value: float, seconds: bool) -> str:
    return escape(f"{name}: {duration(value) if seconds else f'{value:,.0f}'}")


def _across(x: float, count: int, *, between: bool = False) -> float:
    space = WIDTH - LEFT - RIGHT
    if between:
        return LEFT + space * (x + 0.5) / count
    return LEFT + (space * x / (count - 1) if count > 1 else space / 2)


def _frame(
    place: Callable[[float], float], ticks: Sequence[float], labels: Sequence[str], *, seconds: bool, between: bool
) -> list[str]:
    parts = []
    for tick in ticks:
        y = place(tick)
        text = duration(tick) if seconds and tick else f"{tick:,.4g}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    every = math.ceil(len(labels) / 12)
    for index, label in enumerate(labels[::every]):
        x = _across(index * every, len(labels), between=between)
        anchor = "middle" if between or 0 < index * every < len(labels) - 1 else "start" if not index else "end"
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{escape(label)}</text>')
    return parts


def _linear(most: float) -> tuple[Callable[[float], float], list[float]]:
    power = 10.0 ** math.floor(math.log10(most))
    step = next(power * factor for factor in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5) if most / (power * factor) <= 5)
    top = math.ceil(most / step) * step
    ticks = [step * index for index in range(round(top / step) + 1)]
    return lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top), ticks


def _logarithmic(least: float, most: float) -> tuple[Callable[[float], float], list[float]]:
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    high = max(high, low + 1)
    ticks = [10.0**power for power in range(low, high + 1)]

    def place(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    return place, ticks
