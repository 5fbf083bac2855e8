"""Scenes: coloured things and where they are, in the everyday language of captions."""

from __future__ import annotations

from typing import Final

from negmine.stages.figures.domain import Domain
from negmine.stages.figures.program import Program
from negmine.stages.figures.scenes.claims import TEMPLATES, claims, converse
from negmine.stages.figures.scenes.edits import editors
from negmine.stages.figures.scenes.figure import draw_scene, realise, scene_style
from negmine.stages.figures.scenes.oracle import judge
from negmine.stages.figures.scenes.sample import LEVELS, sample
from negmine.stages.figures.scenes.statements import ATTRIBUTES, STATEMENTS, Tell, Thing


def skeleton(program: Program) -> str:
    """What a scene is made of, whoever has which of it: two scenes that differ by a swap lie on one side of a split."""
    things = [one for one in program if isinstance(one, Thing)]
    parts = [" ".join(sorted(getattr(thing, name) for thing in things)) for name in ATTRIBUTES]
    told = sorted(one.what for one in program if isinstance(one, Tell))
    return "; ".join([*parts, " ".join(told)])


SCENES: Final = Domain(
    name="scenes",
    levels=LEVELS,
    sample=sample,
    editors=editors,
    realise=realise,
    claims=claims,
    judge=judge,
    drawing=draw_scene,
    templates=TEMPLATES,
    skeleton=skeleton,
    style=scene_style,
    statements=STATEMENTS,
    converse=converse,
)
