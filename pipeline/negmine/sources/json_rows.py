"""One JSON document of captions: an array of objects (LLaVA, TextCaps, RedCaps, BLIP), or a list a column (SBU)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import ClassVar, Final

from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.sources.columns import WithColumns, has_images, is_talk, no_caption_column
from negmine.sources.json_stream import SAMPLE, Outline, all_entries, entries, names_in, outline
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, excerpt
from negmine.store import input_files as files

_HEAD_BYTES: Final = 1024 * 1024
"""As much of a file as its columns are chosen by, if they show there."""


@dataclass(frozen=True)
class Json(WithColumns):
    """The array may stand alone or under any name; its columns are the names in its first objects. Where several hold
    captions, as of one split each, all are read."""

    name: ClassVar[str] = "json"
    endings: ClassVar[tuple[str, ...]] = (".json",)
    holds_images: ClassVar[bool] = False

    def recognises(self, path: str, head: bytes) -> bool:
        """An array of objects, or lists of captions and images; no object that is a row itself."""
        seen = outline(head)
        if seen is None:
            return False
        array = self._array(seen)
        if self._is_row(seen):
            return array is not None and has_images(seen.names(array))
        is_all = seen.is_whole or not files.HEAD_BYTES <= len(head) < files.MAX_LINE_BYTES
        return self._has_rows(seen) or (is_all and any(map(seen.objects, seen.arrays)))

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path):
            yield from self._read(file)

    def _read(self, file: files.File) -> Iterator[Row | Rejected | Noted]:
        with file.open() as stream:
            for head in files.heads_of(stream, _HEAD_BYTES):
                seen = outline(head)
                if seen is None or self._has_rows(seen):
                    break
        if seen is None:
            raise InputError(
                "this is not one JSON document",
                where=file.path,
                fix="leave out --format, or say --format jsonl if it is one object a line",
            )
        array = self._array(seen)
        if array is not None or None in seen.arrays:
            yield from self._objects(file, array, seen.names(array))
        elif self._is_columns(seen):
            yield from self._lists(file, [name for name in seen.arrays if name is not None])
        else:
            inner = [name for array in seen.arrays for name in seen.names(array)]
            raise no_caption_column(file.path, list(dict.fromkeys(inner)) or [*seen.values, *map(str, seen.arrays)])

    def _objects(self, file: files.File, array: str | None, names: list[str]) -> Iterator[Row | Rejected | Noted]:
        """The rows of an array, and of others that have its columns, or captions and images of their own."""
        first = self.columns.choose(names, file.path)
        number = 0
        for name, group in groupby(all_entries(file), key=itemgetter(0)):
            rows = (entry for _, entry in group)
            head = [] if name == array else list(islice(rows, SAMPLE))
            found = names if name == array else names_in(head)
            own = self.columns.image is None and self.has_captions(found) and has_images(found)
            if not (own or first.is_in(found)):
                continue
            choice = self.columns.choose(found, file.path)
            yield choice.noted(found)
            for number, entry in enumerate(chain(head, rows), number + 1):  # noqa: B020  goes on with the next array
                if isinstance(entry, dict):
                    yield from choice.rows(number, file.name, entry)
                else:
                    yield Unusable("not_an_object", f"{excerpt(entry)} is no object").rejected(number, file.name)

    def _lists(self, file: files.File, names: list[str]) -> Iterator[Row | Rejected | Noted]:
        choice = self.columns.choose(names, file.path)
        yield choice.noted(names)
        wanted = [name for name in names if name in choice.names]
        columns = (entries(file, name) for name in wanted)
        try:
            for cells in zip(*columns, strict=True):
                values: dict[str, object] = {name: value for name, (_, value) in zip(wanted, cells, strict=True)}
                yield from choice.rows(cells[0][0], file.name, values)
        except ValueError:
            raise files.damaged(file.path, f"the lists {', '.join(wanted)} differ in length") from None

    def _has_rows(self, seen: Outline) -> bool:
        """Whether captions show: in the document's own objects, in an array's, or as a list."""
        alone = None in seen.arrays and bool(seen.objects(None))
        return alone or self._array(seen) is not None or self._is_columns(seen)

    def _array(self, seen: Outline) -> str | None:
        """The name of the array whose objects have captions, and images if any has both."""
        named = [name for name in seen.arrays if name is not None and self.has_captions(seen.names(name))]
        return next((name for name in named if has_images(seen.names(name))), next(iter(named), None))

    def _is_row(self, seen: Outline) -> bool:
        """Whether the document is one line of a JSONL file."""
        names = [name for name in seen.arrays if name is not None]
        return self.has_captions(seen.values) or has_images(seen.values) or is_talk(names)

    def _is_columns(self, seen: Outline) -> bool:
        names = [name for name in seen.arrays if name is not None]
        return self.has_captions(names) and (has_images(names) or self.columns.image is not None)
