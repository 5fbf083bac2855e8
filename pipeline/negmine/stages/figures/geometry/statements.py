"""The statements of geometry: shapes, points that hang on them, circles, marks, and the layout.

Points are pairs of literals, x to the right and y upwards; angles are degrees, counter-clockwise. A statement may use
the points of those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from negmine.stages.figures.program import Names

Point = tuple[float, float]


# --- shapes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Triangle:
    """A triangle and its sides.

    Attributes:
        kind: ``equilateral``, ``isosceles``, ``right``, ``acute`` or ``obtuse`` (the last two scalene).
        apex: which of `points` has the apex, the right or the obtuse angle; 0 where none is special.
        at: corners.
    """

    points: Names
    kind: str
    apex: int
    at: tuple[Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Quadrilateral:
    """A quadrilateral and its sides, `points` in order round it; `kind` is one of `shapes`."""

    points: Names
    kind: str
    at: tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Regular:
    """A regular polygon without letters, first corner at `turn` degrees on a circle of this radius."""

    sides: int
    radius: float
    turn: float


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle; a circle without a letter has an undrawn centre."""

    centre: Names
    at: Point
    radius: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A line between two points."""

    ends: Names
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """Two new points and the line between them: `angle` degrees to the x axis, round the middle `at`."""

    ends: Names
    at: Point
    angle: float
    length: float


@dataclass(frozen=True, slots=True)
class Inclined:
    """Two new points and the line between them, at an angle to the line `to`: 0 parallel, 90 perpendicular."""

    ends: Names
    to: Names
    angle: float
    at: Point
    length: float


@dataclass(frozen=True, slots=True)
class Diagonals:
    """Which diagonals of a quadrilateral are drawn: ``none``, ``both``, ``first`` (of its first letter), ``second``."""

    points: Names
    drawn: str


# --- points ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Free:
    """A point by its coordinates, drawn as a dot or not at all."""

    point: Names
    at: Point
    dot: bool = True


@dataclass(frozen=True, slots=True)
class Divide:
    """A point that divides `ends`: 0.5 is the midpoint."""

    point: Names
    ends: Names
    ratio: float


@dataclass(frozen=True, slots=True)
class Median:
    """The midpoint of `ends`, and the line to it from `vertex`."""

    point: Names
    vertex: Names
    ends: Names


@dataclass(frozen=True, slots=True)
class Altitude:
    """The foot of the perpendicular from `vertex` on `ends`, and that perpendicular."""

    point: Names
    vertex: Names
    ends: Names


@dataclass(frozen=True, slots=True)
class Bisector:
    """Where the bisector of the angle at `vertex` meets `ends`, and that bisector."""

    point: Names
    vertex: Names
    ends: Names


@dataclass(frozen=True, slots=True)
class Meet:
    """Where the lines `one` and `other` meet."""

    point: Names
    one: Names
    other: Names


@dataclass(frozen=True, slots=True)
class Cut:
    """Two new points on two sides of `triangle` from its first letter, at these ratios, and the line between them.

    Equal ratios make it parallel to the third side.
    """

    points: Names
    triangle: Names
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class Polar:
    """A dot at `ratio` radii from the centre of a circle: below 1 inside, 1 on it, above 1 outside."""

    point: Names
    circle: Names
    ratio: float
    angle: float


# --- circles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chord:
    """Two new points on a circle, `span` degrees apart, and the line between them: 180 is a diameter."""

    ends: Names
    circle: Names
    angle: float
    span: float


@dataclass(frozen=True, slots=True)
class Touch:
    """A line `ends` through the point `touch` of a circle, `lean` degrees off the tangent there: 0 touches it."""

    ends: Names
    touch: Names
    circle: Names
    angle: float
    lean: float
    length: float


@dataclass(frozen=True, slots=True)
class Incircle:
    """The circle inside a triangle that touches its sides."""

    centre: Names
    triangle: Names


@dataclass(frozen=True, slots=True)
class Circumcircle:
    """The circle through the corners of a triangle."""

    centre: Names
    triangle: Names


@dataclass(frozen=True, slots=True)
class Second:
    """A circle beside, across or inside another one: its centre lies at this distance and angle.

    Attributes:
        relation: see `negmine.stages.figures.geometry.shapes.CIRCLE_PAIRS`.
    """

    centre: Names
    first: Names
    relation: str
    distance: float
    angle: float
    radius: float


# --- marks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Short strokes across the middle of a line: equal lengths carry equal numbers."""

    ends: Names
    count: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """Arrow heads on the middle of a line: parallel lines carry equal numbers."""

    ends: Names
    count: int


@dataclass(frozen=True, slots=True)
class Arc:
    """Arcs in the angle at `vertex` between the lines to `sides`."""

    vertex: Names
    sides: Names
    count: int


@dataclass(frozen=True, slots=True)
class RightMark:
    """The small square of a right angle."""

    vertex: Names
    sides: Names


@dataclass(frozen=True, slots=True)
class Length:
    """A number beside a line."""

    ends: Names
    value: float


@dataclass(frozen=True, slots=True)
class Angle:
    """A number of degrees in an angle."""

    vertex: Names
    sides: Names
    value: float


@dataclass(frozen=True, slots=True)
class Look:
    """How a side is drawn: solid or dashed."""

    ends: Names
    dashed: bool


@dataclass(frozen=True, slots=True)
class Shade:
    """Whether a polygon is filled; of the only polygon where it has no letters."""

    points: Names
    filled: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A claim that no other statement makes, about a figure that came from elsewhere.

    Attributes:
        what, value: of the claim: ``lies``, ``lines`` or ``place``.
    """

    what: str
    one: Names
    other: Names
    value: str


# --- layout ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the figure lies in its frame; always the last statement, and equal in a group.

    Attributes:
        turn: degrees.
        flip: mirrored first.
        scale: frame sides for a unit of the figure.
        shift: where the figure's origin lies in the frame.
        lettered: whether points carry their letters.
    """

    turn: float
    flip: bool
    scale: float
    shift: Point
    lettered: bool


STATEMENTS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Triangle,
        Quadrilateral,
        Regular,
        Circle,
        Segment,
        Line,
        Inclined,
        Diagonals,
        Free,
        Divide,
        Median,
        Altitude,
        Bisector,
        Meet,
        Cut,
        Polar,
        Chord,
        Touch,
        Incircle,
        Circumcircle,
        Second,
        Tick,
        Arrow,
        Arc,
        RightMark,
        Length,
        Angle,
        Look,
        Shade,
        Told,
        Layout,
    )
}
