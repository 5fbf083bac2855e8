"""What a claim without letters may be about: the letters of everything drawn that it could mean."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

from negmine.stages.figures.geometry.figure import Figure


def _turned(figure: Figure, sides: int | None) -> Iterator[tuple[str, ...]]:
    for outline in figure.outlines:
        if sides is None or len(outline) == sides:
            for n in range(len(outline)):
                yield (outline[n:] + outline[:n],)


def triangles(figure: Figure) -> Iterator[tuple[str, ...]]:
    return _turned(figure, 3)


def quadrilaterals(figure: Figure) -> Iterator[tuple[str, ...]]:
    return _turned(figure, 4)


def polygons(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((outline,) for outline in figure.outlines)


def sides(figure: Figure) -> Iterator[tuple[str, ...]]:
    return (("".join(sorted(side)),) for side in figure.segments)


def corners(figure: Figure) -> Iterator[tuple[str, ...]]:
    for vertex, sides in {*figure.arcs, *figure.rights, *figure.angles}:
        yield vertex, "".join(sorted(sides))


def dividers(figure: Figure) -> Iterator[tuple[str, ...]]:
    for side in figure.segments:
        for point in figure.points:
            if point not in side:
                yield from ((point, *ends) for ends in permutations(sorted(side)))


def cevians(figure: Figure) -> Iterator[tuple[str, ...]]:
    for (outline,) in triangles(figure):
        for point in figure.points:
            if point not in outline:
                yield outline[0], point, outline[1], outline[2]


def line_pairs(figure: Figure) -> Iterator[tuple[str, ...]]:
    for one, other in combinations(figure.segments, 2):
        if not one & other:
            yield "".join(sorted(one)), "".join(sorted(other))


def crossings(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((point, *pair) for pair in line_pairs(figure) for point in figure.points)


def dots_and_circles(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((point, circle) for point in figure.points for circle in figure.circles)


def points_and_sides(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((point, side) for point in figure.points for (side,) in sides(figure))


def sides_and_circles(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((side, circle) for (side,) in sides(figure) for circle in figure.circles)


def circles_and_triangles(figure: Figure) -> Iterator[tuple[str, ...]]:
    return ((circle, outline) for circle in figure.circles for outline in figure.outlines if len(outline) == 3)


def circle_pairs(figure: Figure) -> Iterator[tuple[str, ...]]:
    return iter(permutations(figure.circles, 2))
