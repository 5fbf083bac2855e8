"""One function a format: captions with their negatives in, lines of text out. And the list of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SLOTS: Final[Mapping[str, str]] = {
    "relation": "swap_object swap_relation swap_phrase replace_relation reorder",
    "attribute": "swap_attribute replace_attribute replace_count add_attribute",
    "object": "replace_object add_object",
    "action": "replace_action negate",
}
"""CE-CLIP's four slots of a caption, and the kinds that may fill each."""

SUGARCREPE: Final[Mapping[str, str]] = {
    "swap_object": "swap_obj",
    "swap_attribute": "swap_att",
    "replace_object": "replace_obj",
    "replace_attribute": "replace_att",
    "replace_count": "replace_att",
    "replace_relation": "replace_rel",
    "replace_action": "replace_rel",
    "add_object": "add_obj",
    "add_attribute": "add_att",
}
"""SugarCrepe's names of the kinds it has."""


@dataclass(frozen=True, slots=True)
class Foil:
    """A false text."""

    text: str
    kind: str
    rule: str


@dataclass(frozen=True, slots=True)
class Record:
    """A caption of an image with its negatives, in the order of their slots; there may be none.

    Attributes:
        image: path or name of the image; its id where the pairs name no image.
    """

    key: str
    image_id: str
    image: str
    caption: str
    negatives: tuple[Foil, ...]


Lines = Iterator[tuple[str, int]]
"""Pieces of the file, each with the number of rows (of the format's own kind) in it."""


def jsonl(records: Iterable[Record]) -> Lines:
    """An object a negative, which `negmine audit --negatives` reads back."""
    for record in records:
        for one in record.negatives:
            row = {
                "key": record.key,
                "image_id": record.image_id,
                "image": record.image,
                "caption": record.caption,
                "negative": one.text,
                "kind": one.kind,
                "rule": one.rule,
            }
            yield _line(row), 1


def negclip(records: Iterable[Record]) -> Lines:
    """NegCLIP's table: a row a caption, its negatives as a list in Python's notation.

    The first column is the row's number, as in the released file; ``neg_image`` is an empty list, for negmine's image
    neighbours are not part of it.
    """
    yield _row(["", "title", "filepath", "neg_caption", "neg_image"]), 0
    number = 0
    for record in records:
        if record.negatives:
            texts = [one.text for one in record.negatives]
            yield _row([number, record.caption, record.image, repr(texts), "[]"]), 1
            number += 1


def _row(cells: list[object]) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter="\t", lineterminator="\n").writerow(cells)
    return line.getvalue()


def ce_clip(records: Iterable[Record]) -> Lines:
    """An object a caption with the four slots of `SLOTS`, ``valid`` telling which of them are filled.

    An empty slot holds the caption, so that every row has as many texts, and must be masked out of the loss.
    """
    for record in records:
        if record.negatives:
            filled = {
                slot: next((n for n in record.negatives if n.kind in kinds.split()), None)
                for slot, kinds in SLOTS.items()
            }
            yield (
                _line(
                    {
                        "image_id": record.image_id,
                        "image": record.image,
                        "caption": record.caption,
                        **{slot: one.text if one else record.caption for slot, one in filled.items()},
                        "valid": [int(one is not None) for one in filled.values()],
                    }
                ),
                1,
            )


def sugarcrepe(records: Iterable[Record]) -> Lines:
    """One object of objects by running number; kinds that SugarCrepe does not have are left out.

    SugarCrepe has a file for each kind; here ``kind`` tells them apart, and its own reader ignores that.
    """
    number = 0
    for record in records:
        for one in record.negatives:
            if one.kind in SUGARCREPE:
                row = {
                    "filename": record.image,
                    "caption": record.caption,
                    "negative_caption": one.text,
                    "kind": SUGARCREPE[one.kind],
                }
                yield f'{"," if number else "{"}\n"{number}": {json.dumps(row, ensure_ascii=False)}', 1
                number += 1
    yield ("\n}\n" if number else "{}\n"), 0


def triplets(records: Iterable[Record]) -> Lines:
    """sentence-transformers' triplets: caption, another caption of the same image, negative.

    Records of one image must follow each other. Captions without another caption of their image give nothing.
    """
    for group in _by_image(records):
        for i, record in enumerate(group):
            others = [o.caption for o in (*group[i + 1 :], *group[:i]) if o.caption != record.caption]
            for j, one in enumerate(record.negatives):
                if others and one.text not in others:
                    yield (
                        _line({"anchor": record.caption, "positive": others[j % len(others)], "negative": one.text}),
                        1,
                    )


def _by_image(records: Iterable[Record]) -> Iterator[list[Record]]:
    group: list[Record] = []
    for record in records:
        if group and record.image_id != group[0].image_id:
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


FORMATS: Final[Mapping[str, Callable[[Iterable[Record]], Lines]]] = {
    "jsonl": jsonl,
    "negclip": negclip,
    "ce_clip": ce_clip,
    "sugarcrepe": sugarcrepe,
    "triplets": triplets,
}
"""By name. A new format is a function and a line here."""
