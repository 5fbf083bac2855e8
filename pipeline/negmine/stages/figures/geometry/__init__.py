"""Geometry: textbook figures with letters and marks."""

from __future__ import annotations

from typing import Final

from negmine.stages.figures.canvas import drawn_style
from negmine.stages.figures.domain import Domain
from negmine.stages.figures.geometry.claims import TEMPLATES, claims
from negmine.stages.figures.geometry.drawing import draw_figure
from negmine.stages.figures.geometry.edits import editors
from negmine.stages.figures.geometry.families import LEVELS, sample
from negmine.stages.figures.geometry.figure import realise
from negmine.stages.figures.geometry.oracle import judge
from negmine.stages.figures.geometry.statements import STATEMENTS
from negmine.stages.figures.program import Program

_NUMBERS: Final = ("length", "angle")


def skeleton(program: Program) -> str:
    """What a figure is made of, without names and numbers."""
    return "; ".join(
        claim.what if claim.what in _NUMBERS else f"{claim.what} {claim.value}" for claim in claims(program)
    )


GEOMETRY: Final = Domain(
    name="geometry",
    levels=LEVELS,
    sample=sample,
    editors=editors,
    realise=realise,
    claims=claims,
    judge=judge,
    drawing=draw_figure,
    templates=TEMPLATES,
    skeleton=skeleton,
    style=drawn_style,
    statements=STATEMENTS,
)
