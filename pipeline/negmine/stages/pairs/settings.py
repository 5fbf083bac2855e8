"""How PAIRS are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Final

from negmine.base.options import Option, check
from negmine.images.decode import MAX_PIXELS
from negmine.store.options import DATA, Images, MaxBad, MaxPixels, delimiter_named

if TYPE_CHECKING:
    from negmine.sources import Columns


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """How PAIRS are read; `path` is a file, folder, pattern or URL. Without `images` no image is looked at, but for
    sources that hold images themselves. The pairs of one image stay together in a part.
    """

    path: str = field(default="", kw_only=False)
    images: Images = None
    format: Annotated[str | None, Option("name of the input's format", panel=DATA)] = None
    caption_column: Annotated[
        str | None, Option("column of the captions, where its name is not a usual one", panel=DATA)
    ] = None
    image_column: Annotated[str | None, Option("column of the images, or a pattern: '{image_id}.jpg'", panel=DATA)] = (
        None
    )
    key_column: Annotated[str | None, Option("column of the keys; else `key`", panel=DATA)] = None
    delimiter: Annotated[
        str | None, Option("between columns: a character, or tab", parser=delimiter_named, panel=DATA)
    ] = None
    header: Annotated[bool, Option("the first line is a row; columns are 1, 2, ...", panel=DATA)] = True
    limit: Annotated[int | None, Option("rows to read", least=1, panel=DATA)] = None
    max_bad: MaxBad = 0.01
    max_pixels: MaxPixels = MAX_PIXELS
    max_caption: int = 2_000
    """Characters kept of a caption."""
    part_size: int = 4_096
    """Pairs in a part."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def columns(self) -> Columns:
        """What the user says of the input's columns."""
        from negmine.sources import Columns

        return Columns(self.caption_column, self.image_column, self.key_column, self.delimiter, self.header)

    def says_how(self) -> bool:
        """Whether anything is said that only an input could be read by."""
        names = ("images", "format", "limit", *COLUMNS)
        plain = {one.name: one.default for one in fields(self)}
        return any(getattr(self, name) != plain[name] for name in names)

    def chosen(self) -> dict[str, object]:
        """What changes the result, apart from the input itself; of the columns only what the user says."""
        columns = self.columns
        said = {one.name: value for one in fields(columns) if (value := getattr(columns, one.name)) != one.default}
        apart = ("path", "images", "max_bad", *COLUMNS)
        others = {name: value for name, value in asdict(self).items() if name not in apart}
        return others | ({"columns": said} if said else {})


COLUMNS: Final = ("caption_column", "image_column", "key_column", "delimiter", "header")
"""Settings that name columns."""
