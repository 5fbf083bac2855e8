"""Items out of the rows of any table: the shapes to which the field's test sets reduce.

What a row means is a `Layout`: columns that the user names, or those of a public set (`ahnpl.evaluation.sets`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Any, Final

from negmine.base.console import note
from negmine.base.errors import InputError, UsageError
from negmine.images.locate import content_hash
from negmine.sources.captions_in_value import captions_in
from negmine.sources.row import Unusable

from ahnpl.evaluation.columns import Columns, Shape
from ahnpl.evaluation.files import ImageFolder, Row, find_files, open_image_folder
from ahnpl.evaluation.items import Box, Foil, Item, Twin
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.settings import Settings
from ahnpl.evaluation.tables import SUFFIXES, cell, read_table
from ahnpl.evaluation.tasks import CaptionBenchmark
from ahnpl.model.clip import ClipModel

ALL: Final = "all"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the files of a test set hold.

    Attributes:
        columns: of each row.
        files: patterns of the files in its folder.
        kind_is_file: whether the kind of an item is its file, where no column holds it.
        file_names: whether of an image's path only the last part counts: the rest is a path of its authors' machine.
        box: columns of left, top, width and height, in pixels, where a part of the image is meant.
        prompt: what is made of a caption.
        together: rows that make one item, a list then.
        beside: two folders with files of the same names; each row of the first is a list with that of the second.
    """

    columns: Columns
    files: tuple[str, ...] = tuple(f"*{suffix}" for suffix in SUFFIXES)
    kind_is_file: bool = False
    file_names: bool = False
    box: tuple[str, str, str, str] | None = None
    prompt: str = "{}"
    together: int = 1
    beside: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Mean:
    """An average that a set's authors print.

    Attributes:
        name: theirs.
        measure: ours (see `ahnpl.evaluation.run`).
        over_kinds: whether it is the mean over kinds, not over items.
    """

    name: str
    measure: str
    over_kinds: bool = False


@dataclass(frozen=True, kw_only=True)
class RowSet:
    """A test set that is a table; of a public one all is known.

    Attributes:
        title: as its authors call it.
        layout: what its files hold; None: the user's columns say it.
        counts: items that it has, by the name of a file without its ending; ``""`` is all files together.
        means: what its authors print.
        ties: what a tie is in their script. It is wrong here.
        licence: of the annotations.
        source: where they are.
        beware: what one must know.
    """

    title: str
    layout: Layout | None = None
    counts: Mapping[str, int] | None = None
    means: tuple[Mean, ...] = ()
    ties: str = ""
    licence: str = ""
    source: str = ""
    beware: str = ""

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report:
        """Raises: see `read` and `CaptionBenchmark.score`."""
        read = partial(self.read, columns=settings.columns)
        retrieval = self._layout(settings.columns).columns.shape is Shape.RETRIEVAL
        return CaptionBenchmark(read, self._authors, retrieval).score(path, images, model, settings)

    def read(
        self, path: Path, images: Path | None, dropped: Counter[str], columns: Columns = Columns()
    ) -> Iterator[Item]:
        """Items of a file or folder, one at a time. Another number than the official one is told at the end.

        Args:
            images: the folder of the images, where the table names them; for JSON, CSV and TSV the file's own folder
                is the default.
            dropped: nothing is.
            columns: the user's; they go before those of a public set.

        Raises:
            UsageError: no such path or column, no `images`, or columns of no shape.
            InputError: a file that is damaged, or a row that is none of this set.
        """
        layout = self._layout(columns)
        make = _SHAPES[layout.columns.shape]
        counted: Counter[str] = Counter()
        opened = _OpenedImages(images, layout.file_names)
        for file in _files(layout, path, self.title):
            kind = _kind(layout, file, path)
            for row in _rows(layout, file, self.title):
                for item in make(_Reader(layout, opened, row, kind)):
                    yield item
                    counted[file.stem] += 1
        self._tell(path, counted)

    def _layout(self, columns: Columns) -> Layout:
        """That of the set, with the columns that the user names in place of its own."""
        if self.layout is None:
            return Layout(columns=columns)
        given = {name: value for name, value in vars(columns).items() if value}
        return replace(self.layout, columns=replace(self.layout.columns, **given))

    def _tell(self, path: Path, counted: Counter[str]) -> None:
        for stem, official in (self.counts or {}).items():
            found = counted[stem] if stem else counted.total()
            if found != official and (not stem or stem in counted):
                which = f"{self.title}'s {stem}" if stem else self.title
                note(f"{path}: {found:,} items; {which} has {official:,}, do not compare the numbers with papers")

    def _authors(self, report: Report) -> dict[str, float]:
        measures = {mean.name: (report.measure(mean.measure), mean.over_kinds) for mean in self.means}
        return {
            name: measure.macro if over_kinds else measure.micro.share
            for name, (measure, over_kinds) in measures.items()
            if measure.kinds
        }


ROWS: Final = RowSet(title="test set")
"""``--benchmark rows:FILE``: a table of which the user names the columns."""


def _kind(layout: Layout, file: Path, path: Path) -> str:
    """Of the items of a file where no column holds it."""
    if not layout.kind_is_file:
        return ALL
    inside = path.is_dir() and layout.beside is None
    return file.relative_to(path).with_suffix("").as_posix() if inside else file.stem


def _files(layout: Layout, path: Path, title: str) -> list[Path]:
    """The files of the set, those of the first folder where they lie in two."""
    patterns = layout.files
    if layout.beside is not None:
        if path.is_dir():
            patterns = tuple(f"{layout.beside[0]}/{pattern}" for pattern in patterns)
        elif path.parent.name != layout.beside[0]:
            first, second = layout.beside
            raise UsageError(
                f"{title} is in two folders", where=str(path), fix=f"name the folder that holds {first}/ and {second}/"
            )
    return find_files(path, title, *patterns)


def _rows(layout: Layout, file: Path, title: str) -> Iterator[Row]:
    """The rows of a file, put together where several make one item."""
    wanted = frozenset({*layout.columns.names, *(layout.box or ())})
    rows = read_table(file, title, wanted)
    if layout.beside is not None:
        other = file.parent.parent / layout.beside[1] / file.name
        yield from _joined(rows, read_table(find_files(other, title)[0], title, wanted), layout, f"{file}; {other}")
    elif layout.together > 1:
        for row in rows:
            further = [next(rows, None) for _ in range(layout.together - 1)]
            if None in further:
                raise row.error(f"{layout.together} rows make one item, and after this one there are too few")
            yield replace(row, value=[row.value, *(one.value for one in further if one is not None)])
    else:
        yield from rows


def _joined(rows: Iterator[Row], others: Iterator[Row], layout: Layout, where: str) -> Iterator[Row]:
    """Each row in a list with that of the other file.

    Raises:
        InputError: one file has more rows, or the two rows are of different images.
    """
    for row, other in zip_longest(rows, others):
        if row is None or other is None:
            raise InputError("these files do not belong together", where=where, why="one of them has more rows")
        _, _, image = _named(layout.columns.image_column).partition(".")
        if cell(row, image) != cell(other, image):
            raise InputError(
                "these files do not belong together", where=where, why=f"their rows {row.key} are of two images"
            )
        yield replace(row, value=[row.value, other.value])


class _OpenedImages:
    """The images of a set: inside its tables, or in folders, each opened when the first image in it is named."""

    def __init__(self, images: Path | None, file_names: bool) -> None:
        self._images, self._file_names = images, file_names
        self._folders: dict[Path, ImageFolder] = {}

    def read(self, row: Row, column: str) -> tuple[str, bytes | None]:
        """What stands for the image, equal for equal images, and its bytes; None where it is missing."""
        found = _filled(row, column) if "{" in column else cell(row, column)
        if isinstance(found, Mapping):  # Hugging Face's
            found = found.get("bytes") or found.get("path")
        match found:
            case bytes():
                return f"{content_hash(found):016x}", found
            case None | "":
                return row.where, None
            case str() | int():
                name = PurePosixPath(str(found)).name if self._file_names else str(found)
                known_as = name if self._images else str(row.file.parent / name)
                return known_as, self._open(row.file).read(name)
        raise row.error(f"{column!r} should be an image or its name and is {str(found)[:80]!r}")

    def _open(self, file: Path) -> ImageFolder:
        if self._images is None and file.suffix.lower() in (".parquet", ".arrow"):
            raise UsageError(
                "this table holds no images", where=str(file), why="it names them", fix="give --images DIR"
            )
        root = self._images or file.parent
        if root not in self._folders:
            self._folders[root] = open_image_folder(root, file)
        return self._folders[root]


def _filled(row: Row, pattern: str) -> str:
    return "".join(
        text + ("" if column is None else format(str(cell(row, column)), spec or ""))
        for text, column, spec, _ in Formatter().parse(pattern)
    )


@dataclass(frozen=True)
class _Reader:
    """One row and how it is read."""

    layout: Layout
    opened: _OpenedImages
    row: Row
    file_kind: str

    @property
    def kind(self) -> str:
        column = self.layout.columns.kind_column
        return self.file_kind if column is None else str(cell(self.row, column))

    def image_of(self, column: str | None) -> tuple[str, bytes | None]:
        name, content = self.opened.read(self.row, _named(column))
        return (name if self.box is None else f"{name} {self.box}"), content

    @property
    def box(self) -> Box | None:
        if self.layout.box is None:
            return None
        left, top, width, height = (self.number(column) for column in self.layout.box)
        return left, top, left + width, top + height

    def text(self, column: str | None) -> str:
        return self._caption(cell(self.row, _named(column)), column)

    def texts(self, columns: tuple[str, ...]) -> list[str]:
        """The captions of some columns, of which each holds one or a list."""
        found = []
        for name in columns:
            value = cell(self.row, name)
            try:
                some = [] if value == "[]" else captions_in(value)
            except Unusable:
                some = []
            if not some:
                raise self.row.error(f"{name!r} holds an empty list")
            found += [self._caption(one, name) for one in some]
        return found

    def number(self, column: str) -> int:
        found: Any = cell(self.row, column)  # float says which kinds are numbers
        try:
            number = float(found)
            if isinstance(found, bool) or number != int(number):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise self.row.error(f"{column!r} should be a whole number and is {found!r}") from None
        return int(number)

    def _caption(self, found: object, column: str | None) -> str:
        if not isinstance(found, str) or not found.strip():
            raise self.row.error(f"{column!r} should be text and is {str(found)[:80]!r}")
        return self.layout.prompt.format(found)


def _named(column: str | None) -> str:
    assert column is not None, "the shape has this column"
    return column


def _foils(row: _Reader) -> Iterator[Item]:
    columns = row.layout.columns
    image_id, image = row.image_of(columns.image_column)
    foils = tuple(Foil(text, row.kind) for text in row.texts(columns.foil_column))
    yield Item(image_id, image, row.text(columns.caption_column), foils, row.row.where, box=row.box)


def _choices(row: _Reader) -> Iterator[Item]:
    columns = row.layout.columns
    image_id, image = row.image_of(columns.image_column)
    choices = row.texts(columns.choice_column)
    index = 0 if columns.index_column is None else row.number(columns.index_column)
    if len(choices) < 2 or not 0 <= index < len(choices):
        raise row.row.error(f"there are {len(choices)} choices, and number {index} (from 0) should be the true one")
    foils = tuple(Foil(text, row.kind) for place, text in enumerate(choices) if place != index)
    yield Item(image_id, image, choices[index], foils, row.row.where, box=row.box)


def _pair(row: _Reader) -> Iterator[Item]:
    columns = row.layout.columns
    image_id, image = row.image_of(columns.image_column)
    twin = Twin(row.image_of(columns.second_image_column)[1], row.text(columns.second_caption_column), row.kind)
    yield Item(image_id, image, row.text(columns.caption_column), (), row.row.where, (twin,))


def _positives(row: _Reader) -> Iterator[Item]:
    for item in _foils(row):
        if len(item.foils) != 1:
            raise row.row.error(f"there are {len(item.foils)} false captions, and there should be one")
        yield replace(item, paraphrase=row.text(row.layout.columns.paraphrase_column))


def _captions(row: _Reader) -> Iterator[Item]:
    columns = row.layout.columns
    image_id, image = row.image_of(columns.image_column)
    for text in row.texts((_named(columns.caption_column),)):
        yield Item(image_id, image, text, (), row.row.where, box=row.box)


_SHAPES: Final = {
    Shape.FOILS: _foils,
    Shape.CHOICES: _choices,
    Shape.PAIRS: _pair,
    Shape.POSITIVES: _positives,
    Shape.RETRIEVAL: _captions,
}
