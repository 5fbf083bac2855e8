"""The contract between the stages: what a row of each table is. Nothing else lives here.

Tables are Parquet with exactly these Arrow schemas; the classes are the same rows for code that looks at one row at a
time, as it is read (``...Row``) or as it is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

import pyarrow as pa

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA_VERSION: Final = 1

KEY_PATTERN: Final = re.compile(r"[0-9A-Za-z_-]+")

IMAGE_EXTENSIONS: Final = ("jpg", "jpeg", "png", "webp")
"""Of the images in tars, ours and others'."""

MAX_MEMBER_BYTES: Final = 256 * 1024 * 1024
"""Larger members of a tar are not read."""

THUMBNAIL: Final = (12, 4)
"""Pixels a side of an image's thumbnail, which is two in one: in grey, and after it in RGB; rows first."""

THUMBNAIL_BYTES: Final = THUMBNAIL[0] ** 2 + 3 * THUMBNAIL[1] ** 2

KINDS: Final = (
    "swap_object",
    "swap_attribute",
    "swap_relation",
    "swap_phrase",
    "replace_object",
    "replace_attribute",
    "replace_relation",
    "replace_action",
    "replace_count",
    "negate",
    "add_object",
    "add_attribute",
    "reorder",
    "geometry_name",
    "geometry_shape",
    "geometry_relation",
    "geometry_value",
    "geometry_mark",
    "geometry_style",
    "retrieved",
    "rewrite",
)
"""How a negative differs from the truth; a `rewrite` in more than one thing, or in what cannot be told."""

POSITIVE_KINDS: Final = ("shorter", "phrase", "order", "word", "number", "form", "voice", "negate", "offered")
"""How a positive says what a caption says: less of it, one phrase of it, in another order, by another word, ...;
``negate`` says what is not there, ``offered`` is a text by others."""

DIRECTIONS: Final = ("i2i", "i2t", "t2i", "t2t")
"""Retrieval directions, query first: ``t2i`` finds images for a caption."""


def _schema(*fields: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    columns = [pa.field(name, kind, nullable=bool(rest and rest[0])) for name, kind, *rest in fields]
    return pa.schema(columns, metadata={"negmine.schema_version": str(SCHEMA_VERSION)})


PAIRS: Final = _schema(
    ("key", pa.string()),
    ("image_id", pa.string()),
    ("image", pa.string(), True),
    ("image_offset", pa.int64(), True),
    ("image_bytes", pa.int64(), True),
    ("caption", pa.string()),
    ("width", pa.int32(), True),
    ("height", pa.int32(), True),
    ("signature", pa.uint64(), True),
    ("thumbnail", pa.binary(THUMBNAIL_BYTES), True),
    ("content", pa.uint64(), True),
    ("source", pa.string()),
)

_EDITS: Final = pa.list_(
    pa.struct([("start", pa.int32()), ("end", pa.int32()), ("old", pa.string()), ("new", pa.string())])
)

NEGATIVES: Final = _schema(
    ("key", pa.string()),
    ("image_id", pa.string()),
    ("caption", pa.string()),
    ("negative", pa.string()),
    ("kind", pa.string()),
    ("rule", pa.string()),
    ("edits", _EDITS),
    ("score", pa.float32(), True),
    ("slot", pa.int32()),
)

POSITIVES: Final = _schema(
    ("key", pa.string()),
    ("image_id", pa.string()),
    ("caption", pa.string()),
    ("positive", pa.string()),
    ("kind", pa.string()),
    ("rule", pa.string()),
    ("edits", _EDITS),
    ("slot", pa.int32()),
)

TEXTS: Final = _schema(
    ("key", pa.string()),
    ("image_id", pa.string()),
    ("caption", pa.string()),
    ("text", pa.string()),
    ("is_true", pa.bool_()),
    ("kind", pa.string()),
    ("rule", pa.string()),
    ("edits", _EDITS),
    ("score", pa.float32(), True),
)
"""Texts that others wrote for captions (`Text`), in the order of the pairs; no rule and no guard has seen them."""

JUDGED: Final = _schema(
    ("key", pa.string()),
    ("caption", pa.string()),
    ("text", pa.string()),
    ("is_true", pa.bool_()),
    ("kind", pa.string()),
    ("still_true", pa.float32(), True),
    ("plausible", pa.float32(), True),
)
"""What a language model says of texts, row by row beside theirs: how probable it is that a text is true of what its
caption is true of, and that it may be a caption, 0 to 1; null where there was no answer."""

NEIGHBOURS: Final = _schema(
    ("key", pa.string()),
    ("neighbour_key", pa.string()),
    ("direction", pa.string()),
    ("rank", pa.int32()),
    ("score", pa.float32()),
    ("positive_score", pa.float32()),
    ("keep", pa.bool_()),
    ("reason", pa.string(), True),
    ("selected", pa.bool_()),
)

BATCHES: Final = _schema(
    ("key", pa.string()),
    ("part", pa.int32()),
    ("batch", pa.int32(), True),
    ("slot", pa.int32(), True),
)
"""A batch plan: which part of the pairs a key lies in, its batch and its place there; null for pairs in no batch."""

REJECTED: Final = _schema(
    ("row", pa.int64(), True),
    ("source", pa.string()),
    ("key", pa.string(), True),
    ("reason", pa.string()),
    ("detail", pa.string(), True),
)

ANSWERS: Final = _schema(
    ("question", pa.string()),
    ("prompt", pa.string()),
    ("caption", pa.string()),
    ("text", pa.string(), True),
    ("answer", pa.string()),
    ("model", pa.string()),
    ("served", pa.string(), True),
    ("form", pa.string()),
    ("tokens_in", pa.int32()),
    ("tokens_out", pa.int32()),
)
"""What a language model answered: ``question`` is the sha256 of model, prompt, parameters, caption and, where it was
asked about one, another text; ``form`` is how the answer was bound; tokens of failed tries are counted too."""

FAILED_ANSWERS: Final = _schema(
    ("question", pa.string()),
    ("prompt", pa.string()),
    ("caption", pa.string()),
    ("text", pa.string(), True),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("tries", pa.int32()),
    ("tokens_in", pa.int32()),
    ("tokens_out", pa.int32()),
)
"""Questions without an answer that can be used, and why; ``tries`` in all, and what they cost."""

_MEMBER: Final = pa.struct(
    [
        ("program", pa.string()),
        ("caption", pa.string()),
        ("claims", pa.string()),
        ("templates", pa.list_(pa.int32())),
        ("image", pa.string()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
_FIGURE_EDIT: Final = pa.struct(
    [
        ("type", pa.string()),
        ("kind", pa.string()),
        ("tier", pa.int32()),
        ("slot", pa.string()),
        ("old", pa.string()),
        ("new", pa.string()),
        ("claims_removed", pa.string()),
        ("claims_added", pa.string()),
        ("pixels_changed", pa.int32()),
    ]
)

FIGURES: Final = _schema(
    ("key", pa.string()),
    ("origin", pa.string()),
    ("seed", pa.int64()),
    ("domain", pa.string()),
    ("version", pa.int32()),
    ("style", pa.string()),
    ("unit", pa.string()),
    ("members", pa.list_(_MEMBER)),
    ("edits", pa.list_(_FIGURE_EDIT)),
    ("matrix", pa.list_(pa.list_(pa.bool_()))),
)
"""Groups of figures: ``members[0]`` is the base, ``edits[k]`` what ``members[k + 1]`` differs by; programs, claims and
style are JSON; ``image``, ``offset`` and ``bytes`` name the image in the part's tar; ``matrix[i][j]`` says whether
image i makes caption j true."""

PICTURES: Final = _schema(
    ("key", pa.string()),
    ("image", pa.string()),
    ("content", pa.uint64()),
    ("caption", pa.string()),
    ("kind", pa.string()),
    ("rule", pa.string()),
)
"""Pictures that others made for captions which are false of them, beside the texts (``pictures-00000.parquet``): the
pair's key, where the picture lies below its source's root, what its bytes are, and its own caption."""

TEXTS_FOLDER: Final = "texts"
"""Around the folders of texts, one a source: ``work/texts/NAME``."""

ANSWERS_FOLDER: Final = "answers"
"""Around the folders of what a language model answered, one for each name of texts: ``work/answers/NAME``."""

JUDGED_FOLDER: Final = "judged"
"""Around the folders of what is said of texts: ``work/judged/NAME``."""

TABLES: Final = {
    "pairs": PAIRS,
    "negatives": NEGATIVES,
    "positives": POSITIVES,
    "neighbours": NEIGHBOURS,
    "figures": FIGURES,
    TEXTS_FOLDER: TEXTS,
    JUDGED_FOLDER: JUDGED,
    ANSWERS_FOLDER: ANSWERS,
}
"""What the parts in a stage's folder are, by its name; of texts, judgements and answers by the folder around it."""

MEMBER_MARK: Final = "::"
"""In a pair's image, between an archive and its member."""

SPLIT_MARK: Final = "~"
"""In an image id ``unit~rest``: images of one unit lie on one side of a split into training and held-out images."""


class PairRow(TypedDict, total=False):
    """One image and one caption of it, with those columns that were read.

    Attributes:
        key: unique and stable, matches `KEY_PATTERN`; never derived from a row number.
        image_id: shared by all captions of one image.
        image: path relative to the image root, or ``archive.tar::member``; None when the source names no image.
        image_offset: byte position of a tar member's content in its archive; None for plain files.
        image_bytes: length of that content in bytes; None for plain files.
        caption: NFC text without control characters.
        width, height: pixels; these and the next three are None where images were not read.
        signature: 64-bit perceptual hash.
        thumbnail: `THUMBNAIL_BYTES` that confirm what the signature says.
        content: 64-bit hash of the encoded image.
        source: the file the row came from, relative to the input.
    """

    key: str
    image_id: str
    image: str | None
    image_offset: int | None
    image_bytes: int | None
    caption: str
    width: int | None
    height: int | None
    signature: int | None
    thumbnail: bytes | None
    content: int | None
    source: str


class Edit(NamedTuple):
    """Replace ``caption[start:end]``, which is ``old``, by ``new``. Offsets count characters."""

    start: int
    end: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Negative:
    """A caption that is false of the image. ``apply_edits(caption, edits) == negative``, byte for byte."""

    key: str
    image_id: str
    caption: str
    negative: str
    kind: str
    rule: str
    edits: tuple[Edit, ...]
    slot: int
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Positive:
    """A text that stays true of the image. ``apply_edits(caption, edits) == positive``, byte for byte.

    Attributes:
        kind: of `POSITIVE_KINDS`.
        rule: that proves it.
    """

    key: str
    image_id: str
    caption: str
    positive: str
    kind: str
    rule: str
    edits: tuple[Edit, ...]
    slot: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text that others offer for a caption. ``apply_edits(caption, edits) == text``, byte for byte.

    Attributes:
        is_true: whether it is offered as true of the image; false for a negative.
        kind: of `KINDS`.
        rule: the name of its source.
        score: what a judge gave; its meaning is the judge's.
    """

    key: str
    image_id: str
    caption: str
    text: str
    is_true: bool
    kind: str
    rule: str
    edits: tuple[Edit, ...]
    score: float | None = None


class EditRow(TypedDict):
    """An `Edit` in a table of negatives, positives or texts."""

    start: int
    end: int
    old: str
    new: str


class NegativeRow(TypedDict, total=False):
    """A negative as a table has it, with those columns that were read."""

    key: str
    image_id: str
    caption: str
    negative: str
    kind: str
    rule: str
    edits: list[EditRow]
    score: float | None
    slot: int


class TextRow(TypedDict, total=False):
    """A `Text` as a table has it, with those columns that were read."""

    key: str
    image_id: str
    caption: str
    text: str
    is_true: bool
    kind: str
    rule: str
    edits: list[EditRow]
    score: float | None


class NeighbourRow(TypedDict, total=False):
    """A mined candidate, kept or refused with the filter's name as the reason, with those columns that were read."""

    key: str
    neighbour_key: str
    direction: str
    rank: int
    score: float
    positive_score: float
    keep: bool
    reason: str | None
    selected: bool


class BatchRow(TypedDict):
    """A pair of a batch plan as a table has it."""

    key: str
    part: int
    batch: int
    slot: int


class MemberRow(TypedDict):
    """A figure of a group, in a table of figures."""

    program: str
    caption: str
    claims: str
    templates: list[int]
    image: str
    offset: int
    bytes: int


class FigureEditRow(TypedDict):
    """What a figure of a group differs by from its base, in a table of figures."""

    type: str
    kind: str
    tier: int
    slot: str
    old: str
    new: str
    claims_removed: str
    claims_added: str
    pixels_changed: int


class FigureRow(TypedDict):
    """A group of figures as a table has it."""

    key: str
    origin: str
    seed: int
    domain: str
    version: int
    style: str
    unit: str
    members: list[MemberRow]
    edits: list[FigureEditRow]
    matrix: list[list[bool]]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input row that went no further, and why. ``row`` counts from 1 in ``source``; None if it has no number."""

    row: int | None
    source: str
    key: str | None
    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class TextNegative:
    """A false caption inside a shard sample."""

    slot: int
    text: str
    kind: str
    rule: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class TextPositive:
    """A true text inside a shard sample, beside its caption."""

    text: str
    kind: str
    rule: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture by others that the caption of pair `key` is false of.

    Attributes:
        image: as in `PairRow`, below the root that the manifest of its texts names.
        content: 64-bit hash of the encoded image.
        caption: its own.
    """

    key: str
    image: str
    content: int
    caption: str
    kind: str
    rule: str


@dataclass(frozen=True, slots=True)
class ImageNegative:
    """An image for which the sample's caption is false, with that image's own caption and its text negatives."""

    member: str
    caption: str
    kind: str
    rule: str
    score: float | None = None
    negatives: tuple[TextNegative, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One shard sample (see ``negmine.contract.shard_format`` for its members).

    Attributes:
        image: encoded bytes.
        extension: of the image, without a dot: ``jpg png jpeg webp``.
        captions: all captions of the image, the sample's own included.
        negatives: at most K; readers pad and mask.
        image_negative_bytes: encoded images, one for each of ``image_negatives``.
        neighbours: keys of mined samples.
        positives: texts that are true as well, the best first; at most P.
    """

    key: str
    image_id: str
    caption: str
    image: bytes
    extension: str
    captions: tuple[str, ...]
    negatives: tuple[TextNegative, ...] = ()
    image_negatives: tuple[ImageNegative, ...] = ()
    image_negative_bytes: tuple[bytes, ...] = field(default=(), repr=False)
    neighbours: tuple[str, ...] = ()
    positives: tuple[TextPositive, ...] = ()


def apply_edits(caption: str, edits: Sequence[Edit]) -> str:
    """Apply edits (in any order, never overlapping) to a caption.

    Raises:
        ValueError: an edit does not match the caption, or two overlap.
    """
    text, position = "", 0
    for start, end, old, new in sorted(edits):
        if start < position or caption[start:end] != old:
            raise ValueError(f"{Edit(start, end, old, new)} does not fit {caption!r}")
        text += caption[position:start] + new
        position = end
    return text + caption[position:]


def edits_column(rows: Sequence[Sequence[Edit]]) -> pa.ListArray:
    """The edits of negatives as a column of `NEGATIVES` or `TEXTS`."""
    kind = _EDITS
    flat = [edit for edits in rows for edit in edits]
    columns = list(zip(*flat, strict=True)) or [()] * len(Edit._fields)
    structs = pa.StructArray.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, kind.value_type, strict=True)],
        fields=list(kind.value_type),
    )
    return pa.ListArray.from_arrays(pa.array([0, *accumulate(map(len, rows))], pa.int32()), structs, kind)


def to_table(rows: Sequence[DataclassInstance], schema: pa.Schema) -> pa.Table:
    """Rows (dataclasses with the schema's field names) as an Arrow table."""
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    if "edits" in columns:
        columns["edits"] = edits_column(columns["edits"])
    return pa.table(columns, schema=schema)
