"""Captions of diagrams: what may be exchanged, and what may not because it stays true."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from negmine.stages.negatives.rules import DEFAULT_RULES, GEOMETRY
from negmine.stages.negatives.rules.geometry import same_polygon

Produced = Callable[..., set[str]]

CAPTION = "In triangle ABC, D lies on BC and AD = 5. Line DE is parallel to line AC."


@pytest.mark.parametrize(
    ("rule", "caption", "negative"),
    [
        (
            "geometry_name",
            "Quadrilateral ABCD is inscribed in circle O.",
            "Quadrilateral BACD is inscribed in circle O.",
        ),
        ("geometry_name", "Angle ABC is 40 degrees in the figure.", "Angle BAC is 40 degrees in the figure."),
        ("geometry_name", CAPTION, CAPTION.replace("AD", "AE")),
        ("geometry_shape", "ABCD is a trapezoid with sides AB and CD.", "ABCD is a rectangle with sides AB and CD."),
        ("geometry_shape", "Triangle ABC is an obtuse triangle.", "Triangle ABC is a right triangle."),
        ("geometry_shape", "ABC is a right triangle.", "ABC is an obtuse triangle."),
        ("geometry_relation", CAPTION, CAPTION.replace("parallel", "perpendicular")),
        ("geometry_relation", "AB is a diameter of circle O.", "AB is a radius of circle O."),
        (
            "geometry_relation",
            "In triangle ABC the line AD is a median.",
            "In triangle ABC the line AD is an altitude.",
        ),
        ("geometry_value", CAPTION, CAPTION.replace("5", "7")),
        ("geometry_value", "Angle ABC is 40 degrees.", "Angle ABC is 55 degrees."),
    ],
)
def test_what_is_proposed(produced: Produced, rule: str, caption: str, negative: str) -> None:
    assert negative in produced(caption, rules=[rule])


@pytest.mark.parametrize(
    ("rule", "caption", "why"),
    [
        ("geometry_name", "In triangle ABC the angles add up.", "any order of letters is the same triangle"),
        ("geometry_name", "ABCD is a square and AB = 4.", "all its sides are as long"),
        ("geometry_name", "In the isosceles triangle ABC, AB = 4 and BC = 3.", "another side may be as long"),
        ("geometry_name", "A man from the UK watches TV.", "no geometry"),
        ("geometry_name", "A red line is painted on a road.", "no names"),
        ("geometry_shape", "ABCD is a quadrilateral.", "nothing excludes it"),
        ("geometry_shape", "A square is drawn on the wall.", "no names"),
        ("geometry_shape", "Pentagon ABCDE is shown.", "five letters would give it away"),
        ("geometry_relation", "Triangle ABC is similar to triangle DEF.", "congruent triangles are similar"),
        ("geometry_relation", "Triangle ABC is congruent to triangle DEF.", "congruent triangles are similar"),
        ("geometry_relation", "In the isosceles triangle ABC, AD is a median.", "there it is an altitude as well"),
        ("geometry_relation", "AB is a chord of circle O.", "it may be a diameter"),
        ("geometry_value", "Triangle ABC has 3 sides.", "no length or angle of a named thing"),
        ("geometry_value", "Lines AB and CD meet, and 5 points are drawn.", "the number is of something else"),
    ],
)
def test_what_is_refused(produced: Produced, rule: str, caption: str, why: str) -> None:
    assert produced(caption, rules=[rule]) == set(), why


def test_a_stronger_class_never_becomes_a_weaker_one(produced: Produced) -> None:
    weaker = {
        "square": ("rectangle", "rhombus", "parallelogram", "kite", "quadrilateral"),
        "rectangle": ("parallelogram", "quadrilateral"),
        "rhombus": ("parallelogram", "kite", "quadrilateral"),
    }
    for shape, others in weaker.items():
        found = produced(f"ABCD is a {shape} with side AB.", rules=["geometry_shape"])
        assert found
        assert not [text for text in found for other in others if other in text]
    found = produced("ABC is an equilateral triangle.", rules=["geometry_shape"])
    assert found
    assert not [text for text in found if "isosceles" in text or "acute" in text]


def test_renamed_polygons_are_other_polygons(produced: Produced) -> None:
    found = produced("The polygon has vertices, and quadrilateral ABCD is drawn.", rules=["geometry_name"])
    names = {text.split("quadrilateral ")[1].split()[0] for text in found}
    assert names
    edges = {frozenset(pair) for pair in ("AB", "BC", "CD", "DA")}
    for name in names:
        assert {frozenset(name[n - 1] + name[n]) for n in range(4)} != edges


def test_same_polygon_is_the_same_set_of_edges() -> None:
    for order in map("".join, itertools.permutations("ABCD")):
        edges = {frozenset(order[n - 1] + order[n]) for n in range(4)}
        assert same_polygon(order, "ABCD") == (edges == {frozenset(p) for p in ("AB", "BC", "CD", "DA")})


def test_captions_of_photos_are_left_alone(produced: Produced) -> None:
    for caption in ("A dog chases a cat past a square table.", "A TV on a parallel shelf in the UK", "Two BMW cars"):
        assert produced(caption, rules=GEOMETRY) == set()
    assert not set(GEOMETRY) & set(DEFAULT_RULES)
