"""Readers of PAIRS: one file a format, one entry in `SOURCES`.

A source turns its format into `Row`s and `Rejected`s, streaming; it cleans no text and opens no image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from negmine.base import lfs
from negmine.base.addresses import without_query
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.sources.coco import Coco
from negmine.sources.columns import Columns, WithColumns
from negmine.sources.digest import digest
from negmine.sources.flickr import Flickr
from negmine.sources.folder import Folder
from negmine.sources.json_rows import Json
from negmine.sources.json_stream import is_spread, outline
from negmine.sources.jsonl import Jsonl
from negmine.sources.karpathy import Karpathy
from negmine.sources.noted import Noted
from negmine.sources.parquet import Parquet
from negmine.sources.row import Row, Source
from negmine.sources.table import Delimited
from negmine.sources.tars import Tars
from negmine.store import input_files as files

__all__ = ["SOURCES", "Columns", "Noted", "Row", "Source", "digest", "image_root", "open_source"]

_ALL: tuple[Source, ...] = (
    Tars(),
    Folder(),
    Parquet(),
    Karpathy(),
    Coco(),
    Json(),
    Jsonl(),
    Flickr(),
    Delimited("tsv", (".tsv", ".tab"), "\t"),
    Delimited("csv", (".csv",), ",;|"),
)

SOURCES: Final[Mapping[str, Source]] = MappingProxyType({source.name: source for source in _ALL})
"""Format name to reader, in the order in which they are asked."""

_FOREIGN: Final = (
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it first (gunzip)"),
    (b"PK\x03\x04", "it is a zip archive (or an Excel workbook)", "unpack it, or export it as CSV"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it first (unzstd)"),
    (b"\xff\xfe", "it is UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16 text", "save it as UTF-8"),
    (b"\xff\xd8\xff", "it is a JPEG image", "name a file of captions, or a folder of images with .txt files"),
    (b"\x89PNG", "it is a PNG image", "name a file of captions, or a folder of images with .txt files"),
    (b"<", "it is a web page or XML", "check the download"),
)
"""What people give that is no input: first bytes, what it is, what to do."""


_TABLES: Final = (
    "metadata.jsonl",
    "metadata.csv",
    "metadata.parquet",
    "captions.jsonl",
    "captions.json",
    "captions.csv",
)
"""Files of captions that people put into a folder of images, those of Hugging Face's imagefolder first."""


def open_source(
    path: str, format: str | None = None, columns: Columns | None = None, images: str | None = None
) -> Source:
    """The reader for an input.

    Args:
        path: file, folder, pattern or URL.
        format: a name in `SOURCES`; None to recognise it, by content first and by the ending if that is not enough.
        columns: what the user says of the columns, in formats that have some.
        images: root of the images, if the user names one.

    Raises:
        UsageError: no such file, no such format, none recognises it, or it has no columns to name.
        InputError: the file is empty.
    """
    if format is not None:
        pick("format", format, SOURCES)
    said = columns or Columns()
    asked = [_told(source, said, images) for source in _ALL]
    for head in files.heads(path):
        fits = (one for one in asked if (one.recognises(path, head) if format is None else one.name == format))
        if source := next(fits, None):
            break
    if source is None and not _foreign(head):
        source = next((source for source in asked if head and files.has_ending(path, source.endings)), None)
        if source is None and (said.delimiter or not said.header):
            tabs = said.delimiter is None and b"\t" in head.partition(b"\n")[0]
            source = next(source for source in asked if source.name == ("tsv" if tabs else "csv"))
    if source is None:
        raise _unknown(path, head)
    if said != Columns() and not isinstance(source, WithColumns):
        raise UsageError(
            f"the format {source.name} has no columns that could be named",
            where=path,
            fix="leave out --caption-column, --image-column, --key-column, --delimiter and --no-header",
        )
    return replace(source, holds_images=source.looks_inside(path)) if isinstance(source, Parquet) else source


def _told(source: Source, columns: Columns, images: str | None) -> Source:
    """A reader of its own, with what the user says."""
    if isinstance(source, Coco):
        return replace(source, images=images)
    return replace(source, columns=columns) if isinstance(source, WithColumns) else source


def image_root(source: Source, path: str) -> str | None:
    """The folder that a source's own images are relative to; None where the input only names them.

    Raises:
        UsageError: they could not be found again: the address ends in a query, which is stored nowhere.
    """
    if source.holds_images and without_query(path) != path:
        raise UsageError(
            "images behind an address with a query are not found again", where=path, fix="download the archive first"
        )
    return files.root(path) if source.holds_images else None


def _foreign(head: bytes) -> tuple[str, str] | None:
    """What an input is that none of the readers reads, and what to do."""
    if lfs.is_pointer(head):
        return lfs.POINTER, lfs.PULL
    if is_spread(head):
        return "it is one JSON object after the other, spread over several lines each", (
            "write one object a line: jq -c . FILE > NEW.jsonl"
        )
    if (seen := outline(head)) and None in seen.arrays:
        if seen.is_whole or seen.arrays[None]:
            return "it is a JSON array, but not of objects", "write one object a line, each with a caption"
        return f"its first object is broken, cut, or longer than {files.MAX_LINE_BYTES:,} bytes", (
            "look at the first lines; write one object a line, each with a caption"
        )
    text = head.removeprefix(files.BOM).lstrip()
    return next(((what, fix) for magic, what, fix in _FOREIGN if text.startswith(magic)), None)


def _unknown(path: str, head: bytes) -> UsageError:
    fix = f"name the format with --format ({', '.join(SOURCES)}); docs/formats.md shows an example of each"
    if not head:
        why = "it holds no .tar files, no .parquet files, and no image has a .txt of its name beside it"
        fix = _file_in(path) or "name the file of captions in it, or put a .txt beside each image"
    elif foreign := _foreign(head):
        why, fix = foreign
    else:
        why = f"it begins with {head[:60]!r}"
    return UsageError("this input has no format that is known here", where=path, why=why, fix=fix)


def _file_in(folder: str) -> str | None:
    """What to name in place of a folder: the table of captions in it, or a folder of Parquet files."""
    for inner, names in files.walk(folder):
        at = f"{folder.rstrip('/')}/{inner}".rstrip("/")
        if table := next((name for name in _TABLES if name in names), None):
            return f"name the file of captions in it: {at}/{table}"
        if any(name.endswith(Parquet.endings) for name in names):
            return f"name the folder of the Parquet files: {at}"
    return None
