"""What ``negmine import`` is told of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated

from negmine.base.options import Option, check
from negmine.store.options import DATA
from negmine.store.places import image_root
from negmine.store.texts import check_name


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How a table is read; columns that are not named are recognised (`negmine.stages.texts.columns`)."""

    path: str = field(default="", kw_only=False)
    name: Annotated[str, Option("of the texts: their folder in --work, and their rule", panel=DATA)]
    caption_column: Annotated[str | None, Option("column of the captions", panel=DATA)] = None
    negative_column: Annotated[
        tuple[str, ...], Option("columns of false texts, by comma", typed=str, parser=_names, unset="known", panel=DATA)
    ] = ()
    positive_column: Annotated[
        tuple[str, ...], Option("columns of true texts, by comma", typed=str, parser=_names, unset="known", panel=DATA)
    ] = ()
    image_column: Annotated[str | None, Option("column of the images' names", panel=DATA)] = None
    negative_image_column: Annotated[
        str | None, Option("column of pictures that the caption is false of", panel=DATA)
    ] = None
    negative_images: Annotated[
        str | None,
        Option("root of these pictures; folder or URL", parser=image_root, unset="the table's folder", panel=DATA),
    ] = None
    key_column: Annotated[str | None, Option("column of the pairs' keys", panel=DATA)] = None
    kind_column: Annotated[str | None, Option("column that says what a text differs in", panel=DATA)] = None
    score_column: Annotated[str | None, Option("column of a judge's score", panel=DATA)] = None
    delimiter: Annotated[str | None, Option("between cells: a character", panel=DATA)] = None

    def __post_init__(self) -> None:
        check(self)
        check_name(self.name)

    def chosen(self) -> dict[str, object]:
        """What changes the result, apart from the table itself."""
        return {name: value for name, value in asdict(self).items() if name not in ("path", "negative_images")}
