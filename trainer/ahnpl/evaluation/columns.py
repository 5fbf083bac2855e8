"""Which column of a table is what, for ``--benchmark rows:FILE``; the shape of the items follows from it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from string import Formatter
from typing import Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.options import Option

_PANEL: Final = "Columns of --benchmark rows:FILE"


class Shape(StrEnum):
    """What an item is made of, in the words of the docs."""

    FOILS = "image, caption, foils"
    CHOICES = "image, choices, index"
    PAIRS = "two images, two captions"
    POSITIVES = "image, two true, one false"
    RETRIEVAL = "image, captions"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns. A dot leads inside: ``json.caption``; columns of a row that is a list are ``1``, ``2``, ..."""

    image_column: Annotated[
        str | None,
        Option("Images: bytes, names below --images, or a pattern of columns as '{id:0>12}.jpg'.", panel=_PANEL),
    ] = None
    caption_column: Annotated[
        str | None,
        Option("True captions; with --image-column alone, one or a list, among which is searched.", panel=_PANEL),
    ] = None
    foil_column: Annotated[
        tuple[str, ...], Option("False captions, or lists of them; may be given again.", panel=_PANEL)
    ] = ()
    paraphrase_column: Annotated[str | None, Option("A second true caption.", panel=_PANEL)] = None
    choice_column: Annotated[
        tuple[str, ...], Option("Captions of which one is true, or lists of them; may be given again.", panel=_PANEL)
    ] = ()
    index_column: Annotated[str | None, Option("Which choice is true, from 0; without it the first.", panel=_PANEL)] = (
        None
    )
    second_image_column: Annotated[str | None, Option("The other image.", panel=_PANEL)] = None
    second_caption_column: Annotated[str | None, Option("Its caption.", panel=_PANEL)] = None
    kind_column: Annotated[str | None, Option("Kinds, by which accuracies are told.", panel=_PANEL)] = None

    @property
    def shape(self) -> Shape:
        """What the given columns make.

        Raises:
            UsageError: they are those of no shape, or of several.
        """
        given = {one.name for one in fields(self) if getattr(self, one.name)} - {"kind_column"}
        for shape, (needed, allowed) in _NEEDED.items():
            if needed <= given <= needed | allowed:
                return shape
        shapes = "; or ".join(
            " ".join(f"--{name.replace('_', '-')}" for name in sorted(needed)) for needed, _ in _NEEDED.values()
        )
        said = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given)) or "none"
        raise UsageError("these columns are those of no items", why=f"given are: {said}", fix=f"give {shapes}")

    @property
    def names(self) -> list[str]:
        """All columns that are read, those of patterns too."""
        given = [getattr(self, one.name) for one in fields(self)]
        each = [name for value in given for name in ((value,) if isinstance(value, str) else value or ())]
        return [column for name in each for column in in_pattern(name)]


_NEEDED: Final = {
    Shape.FOILS: ({"image_column", "caption_column", "foil_column"}, set[str]()),
    Shape.CHOICES: ({"image_column", "choice_column"}, {"index_column"}),
    Shape.PAIRS: ({"image_column", "caption_column", "second_image_column", "second_caption_column"}, set[str]()),
    Shape.RETRIEVAL: ({"image_column", "caption_column"}, set[str]()),
    Shape.POSITIVES: ({"image_column", "caption_column", "paraphrase_column", "foil_column"}, set[str]()),
}
"""The columns that make a shape, and those that it may have."""


def in_pattern(name: str) -> list[str]:
    """The columns of a pattern such as ``{id:0>12}.jpg``; of a plain name itself.

    Raises:
        UsageError: a brace is not closed, a column has no name, or a format is none of text.
    """
    if "{" not in name:
        return [name]
    try:
        parts = [(column, spec or "") for _, column, spec, _ in Formatter().parse(name) if column is not None]
        for column, spec in parts:
            if not column:
                raise ValueError("a column without a name")
            format("", spec)  # the formats of text
    except ValueError as error:
        raise UsageError(f"{name!r} is no pattern of columns", why=str(error), fix="write it as '{id}.jpg'") from None
    return [column for column, _ in parts]
