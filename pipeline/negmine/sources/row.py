"""One caption as the input has it, or the reason why it cannot be used."""

from __future__ import annotations

import math
import re
import reprlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, Protocol

from negmine.contract.records import Rejected
from negmine.sources.noted import Noted

IMAGE_COLUMNS: Final = (
    "image",
    "filepath",
    "file_name",
    "filename",
    "image_path",
    "image_file",
    "image_name",
    "image_filename",
    "img_path",
    "img",
    "images",
    "path",
    "file",
    "image_url",
    "image_urls",
    "url",
)
CAPTION_COLUMNS: Final = (
    "caption",
    "title",
    "text",
    "captions",
    "raw_caption",
    "caption_str",
    "alt_text",
    "alttext",
    "description",
    "comment",
    "prompt",
    "sentence",
    "raw",
    "sentences",
    "sentences_raw",
    "txt",
)
"""Names a column may have, first choice first: ours, open_clip's CSV, the image folders of Hugging Face, and those of
data sets (LAION, RedCaps, TextCaps, SBU, Flickr30k). Names are compared without case."""

TALKS: Final = ("conversations", "messages")
"""Columns of whole conversations, LLaVA's and ShareGPT4V's; the caption is the model's first answer."""

_MISSING: Final = frozenset(
    {
        "nan",
        "none",
        "null",
        "n/a",
        "na",
        "<na>",
        "<null>",
        "(null)",
        "\\n",
        "undefined",
        "#n/a",
        "#name?",
        "#value!",
        "#ref!",
        "#null!",
    }
)
"""What a missing value looks like once somebody has made text of it: pandas, databases (`\\N`), JavaScript, Excel."""

MAX_TEXT: Final = 16 * 1024 * 1024
"""Characters of a text; longer ones are rejected. As much as a line may have bytes."""

_LARGEST_ID: Final = 2**64
_FEW_CHARACTERS: Final = 20
_WORD = re.compile(r"[^\W_]")

Reason = Literal[
    "json_syntax",  # not JSON
    "csv_syntax",  # quotes that do not match, or a quote left open
    "line_syntax",  # not of the form `image#number<TAB>caption`
    "line_too_long",
    "column_count",  # more or fewer cells than the header
    "not_an_object",  # JSON, but no object
    "not_utf8",
    "no_caption",
    "no_image",
    "caption_not_text",
    "image_not_text",
    "bad_key",  # neither text nor a whole number
    "bad_image_id",
    "unknown_image",  # an annotation of an image that is not listed
    "several_images",  # which one does the caption describe?
    "unsafe_path",  # absolute, or leaves the folder
    "not_a_regular_file",  # link, device, sparse file in a tar
    "dotted_key",  # `img_1.5.jpg`: readers disagree where the key ends
    "duplicate_member",
    "members_not_adjacent",  # a key comes back later in its tar
    "member_too_large",
    "missing_archive",  # a tar that is named and not there
    "empty_archive",
    "damaged_archive",  # a tar, or a stretch of one, that is cut or broken
]
"""Why a source refuses a row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One caption as the input has it; nothing is cleaned and no image was opened.

    Attributes:
        row: counts from 1 in `source`: line, array entry or tar member.
        source: file name relative to the input's root.
        image: path as the input names it, relative to the image root; ``archive.tar::member`` in tars; None if the
            input names none.
        caption: any text, also an empty one.
        key: given by the input, else None; ingest checks its characters.
        image_id: given by the input, else None.
        image_offset: byte position of a tar member's content in its archive.
        image_bytes: length of that content.
    """

    row: int | None
    source: str
    image: str | None
    caption: str
    key: str | None
    image_id: str | None
    image_offset: int | None = None
    image_bytes: int | None = None


class Source(Protocol):
    """Reads one format. Streams: what it holds does not grow with the number of captions."""

    @property
    def name(self) -> str:
        """What ``--format`` calls it."""

    @property
    def holds_images(self) -> bool:
        """Whether the input itself holds the images; else it only names them."""

    @property
    def endings(self) -> tuple[str, ...]:
        """File name endings, asked only when no source knows the content."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Whether a file that begins with `head` has this format; `head` is empty for a folder."""

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        """Rows in the input's order.

        Raises:
            InputError: the file is cut or damaged, or has no caption column.
        """


class Unusable(Exception):
    """A row cannot be used. Never leaves this package: it becomes a `Rejected`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail

    def rejected(self, row: int | None, source: str, key: str | None = None) -> Rejected:
        return Rejected(row, source, key, self.reason, self.detail)


def make_row(
    row: int | None,
    source: str,
    *,
    image: object,
    caption: object,
    key: object = None,
    image_id: object = None,
    image_offset: int | None = None,
    image_bytes: int | None = None,
) -> Row | Rejected:
    """A `Row` out of values whose types are the input's, or the reason why not."""
    usable_key = None
    try:
        usable_key = identifier(key, "bad_key")
        return Row(
            row,
            source,
            _image(image),
            _caption(caption),
            usable_key,
            identifier(image_id, "bad_image_id"),
            image_offset,
            image_bytes,
        )
    except Unusable as problem:
        return problem.rejected(row, source, usable_key)


def excerpt(value: object) -> str:
    """A value for a message: short, and safe to print."""
    return reprlib.repr(value)


def identifier(value: object, reason: Reason) -> str | None:
    """Text as it is, a whole number without its ``.0``, None for nothing.

    Raises:
        Unusable: with `reason`, or ``not_utf8``.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if -_LARGEST_ID < value < _LARGEST_ID and value == int(value):  # false for NaN and infinity
            return str(int(value))
        raise Unusable(reason, f"{excerpt(value)} is no whole number of 64 bits")
    return _text(value, reason)


def _caption(value: object) -> str:
    if _is_missing(value):
        raise Unusable("no_caption", "the caption is missing or null")
    text = _text(value, "caption_not_text")
    if _says_nothing(text):
        raise Unusable("no_caption", f"{excerpt(text)} is what is written where there is no caption")
    return text


def _image(value: object) -> str | None:
    return None if _is_missing(value) or value == "" else _text(value, "image_not_text")


def _is_missing(value: object) -> bool:
    """Null, or the NaN that stands for it in tables."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _says_nothing(text: str) -> bool:
    """Whether text is a name of nothing, or marks alone; what is blank is left to cleaning."""
    if len(text) < _FEW_CHARACTERS and text.strip().casefold() in _MISSING:
        return True
    if _WORD.search(text):
        return False
    kinds = {unicodedata.category(character)[0] for character in text} - {"Z", "C"}
    return bool(kinds) and kinds.isdisjoint("LNS")


def _text(value: object, reason: Reason) -> str:
    if not isinstance(value, str):
        raise Unusable(reason, f"{excerpt(value)} is {type(value).__name__}, not text")
    if len(value) > MAX_TEXT:
        raise Unusable("line_too_long", f"{excerpt(value)} has {len(value):,} characters, the limit is {MAX_TEXT:,}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unusable("not_utf8", f"{excerpt(value)}: character {error.start + 1} is no character") from None
    return value
