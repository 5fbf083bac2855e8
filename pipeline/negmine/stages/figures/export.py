"""Drawings as text: SVG, and a matplotlib script that draws them (the form in which MMCLIP's figures are kept).

One line a mark, so that what an edit leaves alone does not differ. The program itself is shorter still, one line a
statement: `negmine.stages.figures.program.to_code`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from negmine.base.errors import explain_os_error
from negmine.contract.records import FigureRow, MemberRow
from negmine.stages.figures.canvas import Area, Disc, Drawing, Mark, Stroke, Style, dashes
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.program import from_json, to_code
from negmine.store import load_manifest, read_part, write_text

POINTS: Final = 3.0
"""Inches a side of matplotlib's figure; a font of the style's height is so many points."""


# --- SVG -------------------------------------------------------------------------------------------------------------


def to_svg(drawing: Drawing, style: Style, size: int = 512) -> str:
    """The drawing as an SVG document of `size` units a side."""
    body = "\n".join(line for mark in drawing.marks for line in _svg(mark, style, size))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}">\n'
        f'<rect width="{size}" height="{size}" fill="{style.paper}"/>\n{body}\n</svg>\n'
    )


def _svg(mark: Mark, style: Style, size: int) -> Iterator[str]:
    line = style.line * size
    if isinstance(mark, Stroke):
        width, colour = f"{line * mark.width:.2f}", mark.colour or style.ink
        common = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
        if mark.dashed:
            steps = " ".join(
                f"M{_pair(a, style, size)} L{_pair(b, style, size)}" for a, b in dashes(mark.points, style.dash)
            )
            yield f'<path d="{steps}" {common}/>'
        else:
            yield f'<polyline points="{_pairs(mark.points, style, size)}" {common} stroke-linecap="round"/>'
    elif isinstance(mark, Area):
        yield f'<polygon points="{_pairs(mark.points, style, size)}" fill="{mark.fill}"/>'
    elif isinstance(mark, Disc):
        at = style.moved(mark.centre) * size
        edge = f' stroke="{style.ink}" stroke-width="{line:.2f}"' if mark.outlined else ""
        fill = mark.fill or "none"
        yield f'<circle cx="{at.real:.2f}" cy="{at.imag:.2f}" r="{mark.radius * size:.2f}" fill="{fill}"{edge}/>'
    else:
        at = style.moved(mark.at) * size
        font = f'font-family={quoteattr("DejaVu Sans, sans-serif")} font-size="{style.font * mark.size * size:.2f}"'
        place = f'x="{at.real:.2f}" y="{at.imag:.2f}" text-anchor="middle" dominant-baseline="central"'
        yield f'<text {place} {font} fill="{style.ink}">{escape(mark.text)}</text>'


def _pair(point: complex, style: Style, size: int) -> str:
    at = style.moved(point) * size
    return f"{at.real:.2f},{at.imag:.2f}"


def _pairs(points: tuple[complex, ...], style: Style, size: int) -> str:
    return " ".join(_pair(point, style, size) for point in points)


# --- matplotlib ------------------------------------------------------------------------------------------------------

_SCRIPT: Final = """import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Circle, Polygon

side = {inches}  # inches
figure = plt.figure(figsize=(side, side), facecolor="{paper}")
axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(1, 0))
axes.axis("off")
ink, line, font = "{ink}", {line:.4f} * side * 72, {font:.4f} * side * 72  # points

{body}
figure.savefig("figure.png", dpi=128 / side, facecolor=figure.get_facecolor())
"""


def to_matplotlib(drawing: Drawing, style: Style) -> str:
    """A script that draws the drawing to ``figure.png``, 128 pixels a side."""
    body = "\n".join(_plotted(mark, style) for mark in drawing.marks)
    return _SCRIPT.format(inches=POINTS, paper=style.paper, ink=style.ink, line=style.line, font=style.font, body=body)


def _plotted(mark: Mark, style: Style) -> str:
    if isinstance(mark, Stroke):
        colour = repr(mark.colour) if mark.colour else "ink"
        look = f'color={colour}, linewidth={mark.width:g} * line, solid_capstyle="round"'
        if mark.dashed:
            pieces = ", ".join(_axes_lists((a, b), style) for a, b in dashes(mark.points, style.dash))
            return f"axes.plot({pieces}, {look.replace('round', 'butt')})"
        return f"axes.plot({_axes_lists(mark.points, style)}, {look})"
    if isinstance(mark, Area):
        corners = ", ".join(_coordinates(point, style) for point in mark.points)
        return f'axes.add_patch(Polygon([{corners}], facecolor={mark.fill!r}, edgecolor="none"))'
    if isinstance(mark, Disc):
        edge = "edgecolor=ink, linewidth=line" if mark.outlined else 'edgecolor="none"'
        fill = repr(mark.fill) if mark.fill else '"none"'
        at = _coordinates(mark.centre, style)
        return f"axes.add_patch(Circle({at}, {mark.radius:.4f}, facecolor={fill}, {edge}))"
    centre = style.moved(mark.at)
    look = f'color=ink, fontsize={mark.size:g} * font, ha="center", va="center_baseline"'
    return f"axes.text({centre.real:.4f}, {centre.imag:.4f}, {mark.text!r}, {look})"


def _coordinates(point: complex, style: Style) -> str:
    at = style.moved(point)
    return f"({at.real:.4f}, {at.imag:.4f})"


def _axes_lists(points: tuple[complex, ...], style: Style) -> str:
    moved = [style.moved(point) for point in points]
    across, down = (
        ", ".join(f"{value:.4f}" for value in values) for values in zip(*((p.real, p.imag) for p in moved), strict=True)
    )
    return f"[{across}], [{down}]"


# --- a folder of figures ---------------------------------------------------------------------------------------------


def write_code(figures: Path, out: Path, most: int) -> int:
    """Write the members of the first groups: ``KEY.N.svg``, ``KEY.N.py`` (matplotlib), ``KEY.N.txt`` (the program).

    Args:
        figures: a finished ``work/figures``.
        most: groups.

    Returns:
        The number of members written.
    """
    manifest, written = load_manifest(figures), 0
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, str(out)) from error
    for part in manifest.parts:
        for row in read_part(figures, part.index, ["key", "domain", "style", "members"]).to_pylist()[:most]:
            for number, member in enumerate(row["members"]):
                for suffix, text in texts_of(row, member).items():
                    write_text(out, f"{row['key']}.{number}.{suffix}", text)
                written += 1
            most -= 1
        if most <= 0:
            break
    return written


def texts_of(record: FigureRow, member: MemberRow) -> dict[str, str]:
    """A member of a record of `negmine.contract.records.FIGURES` by the endings of its files."""
    domain, style = DOMAINS[record["domain"]], Style(**json.loads(record["style"]))
    program = from_json(json.loads(member["program"]), domain.statements)
    drawing = domain.drawing(domain.realise(program), style)
    return {"svg": to_svg(drawing, style), "py": to_matplotlib(drawing, style), "txt": to_code(program)}
