"""Histograms and curves as SVG: coloured by the page's styles, told in words to a screen reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from negmine.outputs.report.measure import Histogram, shares

WIDTH: Final = 420
HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 10, 26
SPIKE: Final = 0.5
"""A bin with more than this share of its series does not set the scale: it is cut at the top."""
POINTS: Final = 240
"""Most points drawn of a curve."""


@dataclass(frozen=True)
class Curve:
    """A line: its place in the legend, and points (x, y) in the order of x."""

    number: int
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Scale:
    """From values to pixels of the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        low, high = self.x
        return round(_LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT), 1)

    def down(self, value: float) -> float:
        low, high = self.y
        return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)


def draw_histogram(data: Histogram) -> Markup:
    """Each series as an outline of its own shares, so that small ones are seen beside large ones."""
    heights = [shares(series) for series in data.series]
    most = max((height for share in heights for height in share if height <= SPIKE), default=0) or 1
    scale = _Scale((data.edges[0], data.edges[-1]), (0, most * 1.08))
    outlines = [
        Markup('<path class="s{}" d="{}"/>').format(number, _outline(share, data.edges, scale))
        for number, share in enumerate(heights)
    ]
    told = ", ".join(f"{series.name}: {series.total:,}" for series in data.series)
    axes = _axes(scale, percent=True)
    return _svg(f"{data.title}. {told}", [axes, *outlines, *_tips(data, scale)])


def _outline(share: Sequence[float], edges: Sequence[float], scale: _Scale) -> str:
    steps = [f"M{scale.across(edges[0])} {scale.down(0)}"]
    for height, right in zip(share, edges[1:], strict=True):
        steps.append(f"V{scale.down(min(height, scale.y[1]))}H{scale.across(right)}")
    return "".join([*steps, f"V{scale.down(0)}Z"])


def _tips(data: Histogram, scale: _Scale) -> list[Markup]:
    """A column over each bin that tells its counts."""
    tips = []
    for number, (low, high) in enumerate(zip(data.edges, data.edges[1:], strict=False)):
        bounds = _whole(low, high) if data.whole else f"{low:.3g} to {high:.3g}"
        told = ", ".join(f"{series.name} {series.counts[number]:,}" for series in data.series)
        left, right = scale.across(low), scale.across(high)
        tips.append(
            Markup('<rect class="tip" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                left, _TOP, round(right - left, 1), HEIGHT - _TOP - _BOTTOM, f"{bounds}: {told}"
            )
        )
    return tips


def _whole(low: float, high: float) -> str:
    return f"{low:.0f}" if high - low == 1 else f"{low:.0f} to {high - 1:.0f}"


def draw_curves(title: str, curves: Sequence[Curve], *, percent: bool) -> Markup:
    """Lines over steps.

    Args:
        percent: values are shares, 0 to 1.
    """
    points = [point for curve in curves for point in curve.points]
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = max(0.06 * (high - low), 0.01 if percent else abs(high) * 1e-3, 1e-9)
    bounds = (max(low - room, -0.01), min(high + room, 1.01)) if percent else (low - room, high + room)
    last = max(x for x, _ in points)
    scale = _Scale((0, last or 1), bounds)
    lines = [_line(curve, scale) for curve in curves]
    told = ", ".join(f"{curve.name}: last {_value(curve.points[-1][1], percent)}" for curve in curves if curve.points)
    axes = _axes(scale, percent=percent)
    box = f"{_LEFT} {WIDTH - _RIGHT} {_TOP} {HEIGHT - _BOTTOM}"
    data = Markup(' data-box="{}" data-x="0 {}" data-y="{} {}" data-percent="{:d}"').format(
        box, last or 1, *bounds, percent
    )
    return _svg(f"{title}. {told}", [axes, *lines], data)


def _value(value: float, percent: bool) -> str:
    return f"{value:.1%}" if percent else f"{value:.4g}"


def _line(curve: Curve, scale: _Scale) -> Markup:
    points = thinned(curve.points)
    path = " ".join(f"{scale.across(x)},{scale.down(y)}" for x, y in points)
    line = Markup('<polyline class="r{}" data-name="{}" points="{}"/>').format(curve.number, curve.name, path)
    few = points if len(points) <= 12 else ()
    dots = (
        Markup('<circle class="r{}" cx="{}" cy="{}" r="2.6"/>').format(curve.number, scale.across(x), scale.down(y))
        for x, y in few
    )
    return line + Markup().join(dots)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about `POINTS` points: means of runs of neighbours, and the last point as it is."""
    width = -(-len(points) // POINTS)
    if width <= 1:
        return list(points)
    groups = [points[i : i + width] for i in range(0, len(points) - 1, width)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def _axes(scale: _Scale, *, percent: bool) -> Markup:
    """Grid lines with their values on the left, values of x below."""
    parts, marks = [], ticks(*scale.y, 4)
    decimals = 0 if all(round(100 * mark, 6).is_integer() for mark in marks) else 1
    for value in marks:
        at, text = scale.down(value), f"{value:.{decimals}%}" if percent else f"{value:.4g}"
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" class="left">{}</text>'
            ).format(_LEFT, WIDTH - _RIGHT, at, at, _LEFT - 6, at + 4, text)
        )
    for value in ticks(*scale.x, 6):
        parts.append(
            Markup('<text x="{}" y="{}" class="below">{}</text>').format(
                scale.across(value), HEIGHT - 8, f"{value:,.10g}"
            )
        )
    return Markup().join(parts)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, not many more than `about`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg(label: str, parts: Sequence[Markup], data: str = "") -> Markup:
    opening = Markup('<svg role="img" viewBox="0 0 {} {}" aria-label="{}"{}>').format(WIDTH, HEIGHT, label, data)
    return opening + Markup("").join(map(escape, parts)) + Markup("</svg>")
