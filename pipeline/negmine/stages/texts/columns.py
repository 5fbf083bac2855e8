"""Which column of somebody's table is what, by the names that released tables have, and what a row of it offers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.language.kinds import named_kind
from negmine.sources.captions_in_value import captions_in
from negmine.sources.columns import no_such_column
from negmine.sources.records import Cell, Record
from negmine.sources.row import Row, Unusable, make_row
from negmine.stages.texts.settings import ImportSettings

CAPTION: Final = ("caption", "title", "anchor", "true_caption", "text", "sentence", "query", "captions")
NEGATIVE: Final = (
    "negative_caption",
    "negative_captions",
    "neg_caption",
    "neg_captions",
    "negative",
    "negatives",
    "hard_negative",
    "hard_negatives",
    "hard_negative_caption",
    "false_caption",
    "false_captions",
    "foil",
    "foils",
    "foil_caption",
    "counterfactual_caption",
)
SLOTS: Final = (
    ("relation", "attribute", "object", "action"),
    ("relation_aug_caption", "adj_swap_aug_caption", "adj_aug_caption", "noun_aug_caption", "verb_aug_caption"),
    ("relation_aug_caption", "adj_aug_caption", "noun_aug_caption", "verb_aug_caption"),
)
"""CE-CLIP's columns of negatives, as `negmine export` writes them, AHNPL's, and CE-CLIP's own."""

POSITIVE: Final = (
    "positive",
    "positives",
    "positive_caption",
    "positive_captions",
    "pos_caption",
    "hard_positive",
    "hard_positives",
    "swap_positive_caption",
    "replace_positive_caption",
    "paraphrase",
    "paraphrases",
    "caption2",
)
IMAGE: Final = ("image", "filename", "filepath", "file_name", "image_path", "image_file", "img", "path", "image_id")
NEGATIVE_IMAGE: Final = (
    "negative_image",
    "hard_negative_image",
    "counterfactual_image",
    "edited_image",
    "negative_image_path",
    "neg_image_path",
)
"""Of pictures that the row's false text is true of; NegCLIP's ``neg_image`` holds numbers of rows."""

KEY: Final = ("key",)
KIND: Final = ("kind", "type", "category", "negative_type")
SUBTYPE: Final = "subtype"
SCORE: Final = ("score",)
VALID: Final = ("valid", "valid_caption")
"""Flags of slots: one a slot, or one more for the caption before them."""

_NUMBER = re.compile(r"_?\d+$")
_SEPARATORS = re.compile(r"[\s\-.]+")
_NOTHING: Final = frozenset({"", "[]", "###"})
"""What stands where there is no text: an empty list, and CE-CLIP's mark."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A text that a row offers, and what says for which pair.

    Attributes:
        text: as the row has it.
        kind: by the source's own name of it; None where it has none that is known.
        key, image, caption: what the row names; not all of them are None.
        picture: where a picture lies that this text is true of, and the pair's caption false.
    """

    row: int
    source: str
    text: str
    is_true: bool
    kind: str | None
    score: float | None
    key: str | None
    image: str | None
    caption: str | None
    picture: str | None = None


@dataclass(frozen=True)
class Columns:
    """The columns of one table, by its own names for them; `slots` are all of `negatives`, or none."""

    caption: str | None
    negatives: tuple[str, ...]
    positives: tuple[str, ...]
    images: tuple[str, ...]
    key: str | None
    kinds: tuple[str, ...]
    score: str | None
    slots_valid: str | None
    picture: str | None = None

    def __str__(self) -> str:
        said = {
            "caption": (self.caption,),
            "false": self.negatives,
            "true": self.positives,
            "image": self.images[:1],
            "picture": (self.picture,),
            "key": (self.key,),
            "kind": self.kinds,
            "score": (self.score,),
        }
        return ", ".join(f"{what} <- {' + '.join(filter(None, names))}" for what, names in said.items() if any(names))

    def offers(self, record: Record) -> Iterator[Offer | Rejected]:
        """The texts of a row, each as it stands there, or why it offers none."""
        values, row, source = record.values, record.row, record.source
        said = values.get(self.caption) if self.caption else None
        whole = make_row(
            row,
            source,
            image=next((name for one in self.images if (name := _image(values.get(one))) is not None), None),
            caption="" if said is None else said,
            key=values.get(self.key) if self.key else None,
        )
        if isinstance(whole, Rejected):
            yield whole
            return
        if not (whole.key or whole.image or whole.caption):
            yield Rejected(row, source, None, "names_no_pair", "neither key nor image nor caption")
            return
        kind = named_kind(" ".join(str(values.get(name) or "") for name in self.kinds)) if self.kinds else None
        kind = kind or named_kind(PurePosixPath(source).stem)
        offered, picture = 0, _place(values.get(self.picture)) if self.picture else None
        for text, is_true in self._texts(values):
            found = make_row(row, source, image=None, caption=text)
            offered += 1
            if isinstance(found, Rejected):
                yield found
            else:
                score = _number(values.get(self.score)) if self.score else None
                own = None if is_true else picture
                picture = picture if is_true else None  # it is of the row's first false text
                yield _offer(whole, found.caption, is_true, kind, score, own)
        if not offered:
            yield Rejected(row, source, whole.key, "no_text", "the columns of texts are empty")

    def _texts(self, values: dict[str, object]) -> Iterator[tuple[object, bool]]:
        valid = values.get(self.slots_valid) if self.slots_valid else None
        flags = list(valid)[-len(self.negatives) :] if isinstance(valid, list) else [1] * len(self.negatives)
        for name, flag in zip(self.negatives, flags, strict=False):
            if flag:
                yield from ((text, False) for text in _texts_in(values.get(name)))
        for name in self.positives:
            yield from ((text, True) for text in _texts_in(values.get(name)))


def _offer(whole: Row, text: str, is_true: bool, kind: str | None, score: float | None, picture: str | None) -> Offer:
    assert whole.row is not None  # records are numbered
    caption = whole.caption or None
    return Offer(whole.row, whole.source, text, is_true, kind, score, whole.key, whole.image, caption, picture)


def _texts_in(value: object) -> list[object]:
    try:
        found = captions_in(value)
    except Unusable:  # an empty list
        return []
    return [text for text in found if text is not None and not (isinstance(text, str) and text.strip() in _NOTHING)]


def _image(value: object) -> object:
    if isinstance(value, Cell):
        return value.path
    if isinstance(value, list):
        return value[0] if len(value) == 1 else None
    if isinstance(value, int | float) and value == int(value):  # COCO's ids
        return str(int(value))
    return None if value == "" else value


def _place(value: object) -> str | None:
    """Where a picture lies; None where there is none."""
    if isinstance(value, Cell):
        return value.place
    return value if isinstance(value, str) and value.strip() not in _NOTHING else None


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def choose_columns(names: Sequence[str], where: str, said: ImportSettings) -> Columns:
    """The columns of a table, out of all that it has.

    Raises:
        UsageError: a column that is named is not there.
        InputError: no column holds texts, or none says which pair they are for.
    """
    table = _Names(names, where)
    slots = next((found for one in SLOTS if len(found := table.known(one)) == len(one)), ())
    negatives = table.named(said.negative_column) or slots or table.numbered(NEGATIVE)
    positives = table.named(said.positive_column) or table.numbered(POSITIVE)
    taken = {*negatives, *positives}
    known_images = table.known(IMAGE) if said.image_column is None else table.named([said.image_column])
    columns = Columns(
        table.one(said.caption_column, CAPTION, taken),
        tuple(negatives),
        tuple(positives),
        tuple(name for name in known_images if name not in taken),
        table.one(said.key_column, KEY, taken),
        tuple(table.named([said.kind_column])) if said.kind_column else _kinds(table),
        table.one(said.score_column, SCORE, taken),
        next(iter(table.known(VALID)), None) if negatives == slots else None,
        table.one(said.negative_image_column, NEGATIVE_IMAGE, taken),
    )
    if not (columns.negatives or columns.positives):
        raise InputError(
            "this table has no column of texts",
            where=where,
            why=f"its columns are: {_listed(names)}",
            fix="name it with --negative-column, or --positive-column if the texts are true; known without are "
            f"{', '.join(NEGATIVE[:4])}, ..., {', '.join(POSITIVE[:4])}, ...",
        )
    if not (columns.caption or columns.images or columns.key):
        raise InputError(
            "no column of this table says which pairs its texts are for",
            where=where,
            why=f"its columns are: {_listed(names)}",
            fix="name one of them with --caption-column, --image-column or --key-column",
        )
    return columns


def _kinds(table: _Names) -> tuple[str, ...]:
    """The column of kinds, with that which says more of them: BiVLC's ``type`` and ``subtype``."""
    first = table.known(KIND)[:1]
    return (*first, *table.known([SUBTYPE])) if first else ()


class _Names:
    """The names of a table's columns, compared without case, blanks, dots and hyphens."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        self._where, self._names = where, tuple(names)

    def named(self, names: Iterable[str]) -> tuple[str, ...]:
        """The columns that the user names."""
        return tuple(map(self._named, names))

    def _named(self, name: str) -> str:
        if name in self._names:
            return name
        found = [own for own in self._names if _fold(own) == _fold(name)]
        if not found:
            raise no_such_column(name, self._names, self._where)
        return found[0]

    def known(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that are there, in this order."""
        return tuple(own for name in names for own in self._names if _fold(own) == name)

    def numbered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that are there, also with a number behind: ``negative_1``, ``negative_2``."""
        wanted = frozenset(names)
        exact = self.known(names)
        return exact or tuple(own for own in self._names if _NUMBER.sub("", _fold(own)) in wanted)

    def one(self, said: str | None, names: Iterable[str], taken: Iterable[str]) -> str | None:
        if said is not None:
            return self._named(said)
        return next((own for own in self.known(names) if own not in set(taken)), None)


def _fold(name: str) -> str:
    return _SEPARATORS.sub("_", name.strip().casefold())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20])) + (f", ... ({len(names)})" if len(names) > 20 else "")
