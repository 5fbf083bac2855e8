"""Which column of a table is what: chosen once a file, by the user or from the names that people give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from string import Formatter
from typing import Final

from negmine.base.errors import InputError, UsageError
from negmine.contract.records import Rejected
from negmine.sources.captions_in_value import captions_in
from negmine.sources.noted import Noted
from negmine.sources.row import CAPTION_COLUMNS, IMAGE_COLUMNS, TALKS, Row, Unusable, identifier, make_row

KEY_COLUMNS: Final = ("key",)
IMAGE_ID_COLUMNS: Final = ("image_id",)

_SEPARATORS = re.compile(r"[\s-]+")
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Columns:
    """What the user says about the columns of the input.

    Attributes:
        caption: name of the column of captions; None to choose it from `CAPTION_COLUMNS`.
        image: name of the column of images, or a pattern of columns such as ``{image_id}.jpg`` or
            ``{image_id:0>12}.jpg``; None to choose it from `IMAGE_COLUMNS`.
        key: name of the column of keys; None for ``key``.
        delimiter: of a table in text, one character; None to find it in the header.
        header: whether the first line of a table in text names its columns; else their numbers do, from 1.
    """

    caption: str | None = None
    image: str | None = None
    key: str | None = None
    delimiter: str | None = None
    header: bool = True

    def __post_init__(self) -> None:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(f"{self.delimiter!r} cannot separate columns", fix="give one character, or the word tab")
        if self.image is not None and "{" in self.image:
            _parts(self.image)

    def choose(self, names: Sequence[str], where: str, images: Sequence[str] = ()) -> Choice:
        """The columns of one file.

        Args:
            names: all that the file has, as it spells them.
            where: the file, for messages.
            images: those of `names` that hold images themselves; they go before columns that name some.

        Raises:
            UsageError: a column that the user names is not there.
            InputError: no column holds captions, or two have the chosen name.
        """
        table = _Names(names, where)
        caption = table.named(self.caption) if self.caption else table.known((*CAPTION_COLUMNS, *TALKS))
        if caption is None:
            raise no_caption_column(where, names)
        if self.image is not None and "{" in self.image:
            image: str | Pattern | None = Pattern(
                self.image,
                tuple((text, column and table.named(column), spec) for text, column, spec in _parts(self.image)),
            )
        elif self.image is not None:
            image = table.named(self.image)
        else:
            image = table.known(images) or table.known(IMAGE_COLUMNS)
        key = table.named(self.key) if self.key else table.known(KEY_COLUMNS)
        return Choice(caption, image, key, table.known(IMAGE_ID_COLUMNS))


@dataclass(frozen=True)
class Pattern:
    """A path made of columns: ``{image_id}.jpg``."""

    text: str
    parts: tuple[tuple[str, str | None, str], ...]

    def fill(self, values: Mapping[str, object]) -> str | None:
        """The path; None where a column has no value."""
        path = ""
        for text, column, spec in self.parts:
            path += text
            if column is not None:
                value = identifier(values.get(column), "image_not_text")
                if value is None:
                    return None
                path += format(value, spec)
        return path


@dataclass(frozen=True)
class Choice:
    """The columns of one file, by the names that the file has for them."""

    caption: str
    image: str | Pattern | None
    key: str | None
    image_id: str | None

    @cached_property
    def names(self) -> frozenset[str]:
        """All columns that are read."""
        parts = self.image.parts if isinstance(self.image, Pattern) else (("", self.image, ""),)
        return frozenset(
            name for name in (self.caption, self.key, self.image_id, *(part[1] for part in parts)) if name is not None
        )

    def is_in(self, names: Iterable[str]) -> bool:
        """Whether a table with these columns has the captions, and the images if this one has any."""
        return self.names - {self.key, self.image_id} <= set(names)

    def noted(self, names: Sequence[str]) -> Noted:
        """The choice, to be said aloud.

        Args:
            names: all that the file has.
        """
        others = f" (among {_listed(names)})" if self.image is None and len(names) > 1 else ""
        return Noted("columns", detail=f"{self}{others}")

    def __str__(self) -> str:
        image = self.image.text if isinstance(self.image, Pattern) else self.image
        said = [f"caption <- {self.caption}", f"image <- {image}" if image else "no column names the images"]
        return ", ".join([*said, f"key <- {self.key}"] if self.key else said)

    def rows(self, number: int, source: str, values: Mapping[str, object]) -> Iterator[Row | Rejected]:
        """What one row of the file gives: a row for each of its captions."""
        try:
            image = (
                self.image.fill(values) if isinstance(self.image, Pattern) else _single(values.get(self.image or ""))
            )
            captions = captions_in(values.get(self.caption))
            key, image_id = (values.get(name) if name else None for name in (self.key, self.image_id))
            if len(captions) > 1:
                key = identifier(key, "bad_key")
        except Unusable as problem:
            yield problem.rejected(number, source)
            return
        for place, caption in enumerate(captions):
            own = f"{key}-{place}" if len(captions) > 1 and key is not None else key
            yield make_row(number, source, image=image, caption=caption, key=own, image_id=image_id)


@dataclass(frozen=True, kw_only=True)
class WithColumns:
    """A source whose columns have names.

    Attributes:
        columns: what the user says of them.
    """

    columns: Columns = Columns()

    def has_captions(self, names: Iterable[str]) -> bool:
        """Whether one of these columns holds captions."""
        wanted = (self.columns.caption,) if self.columns.caption else (*CAPTION_COLUMNS, *TALKS)
        return not {_fold(name) for name in wanted}.isdisjoint(map(_fold, names))


def has_images(names: Iterable[str]) -> bool:
    """Whether one of these columns has a name that columns of images have."""
    return not set(IMAGE_COLUMNS).isdisjoint(map(_fold, names))


def is_talk(names: Iterable[str]) -> bool:
    """Whether one of these columns is a conversation."""
    return not set(TALKS).isdisjoint(map(_fold, names))


def no_caption_column(where: str, names: Iterable[str], hint: str = "") -> InputError:
    return InputError(
        "this table has no caption column",
        where=where,
        why=f"its columns are: {_listed(names)}",
        fix=hint
        + "name it with --caption-column, and that of the images with --image-column; known without are "
        + ", ".join(CAPTION_COLUMNS),
    )


class _Names:
    """The names of a file's columns, compared without case, blanks and hyphens."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        self._names, self._where = names, where

    def named(self, name: str) -> str:
        """The column that the user names."""
        found = [own for own in self._names if own == name] or self._alike(name)
        if not found:
            raise no_such_column(name, self._names, self._where)
        return self._only(found)

    def known(self, names: Iterable[str]) -> str | None:
        """The first of `names` that is there."""
        return next((self._only(found) for name in names if (found := self._alike(name))), None)

    def _alike(self, name: str) -> list[str]:
        return [own for own in self._names if _fold(own) == _fold(name)]

    def _only(self, found: list[str]) -> str:
        if len(found) > 1:
            raise InputError(
                "two columns have one name",
                where=self._where,
                why=f"both may be meant: {_listed(map(repr, found))}",
                fix="rename one of them, or name the right one exactly with --caption-column, --image-column or "
                "--key-column",
            )
        return found[0]


def no_such_column(name: str, names: Sequence[str], where: str) -> UsageError:
    """That the user names a column which a file has not."""
    close = get_close_matches(name, names, n=1)
    return UsageError(
        f"there is no column {name!r}" + (f"; did you mean {close[0]}?" if close else ""),
        where=where,
        why=f"the columns are: {_listed(names)}",
        fix="name one of these",
    )


def _fold(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().casefold())


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN])[:500] + (f", ... ({len(shown)})" if len(shown) > _SHOWN else "")


def _parts(pattern: str) -> list[tuple[str, str | None, str]]:
    """Text, column and format of each piece; formats are those of text."""
    try:
        parts = [(text, column, spec or "") for text, column, spec, _ in Formatter().parse(pattern)]
        for _, column, spec in parts:
            if column == "":
                raise ValueError("a column without a name")
            format("", spec)
    except ValueError as error:
        raise UsageError(
            f"{pattern!r} is no pattern of columns", why=str(error), fix="write it as '{image_id}.jpg'"
        ) from None
    return parts


# --- values ----------------------------------------------------------------------------------------------------------


def _single(value: object) -> object:
    """An image of a row, also out of a list of one, or of Hugging Face's structure of ``bytes`` and ``path``."""
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    return one["path"] if isinstance(one, Mapping) and isinstance(one.get("path"), str) else one
