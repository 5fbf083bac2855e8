"""Texts that others wrote for the captions: ``work/texts/NAME``, a part for each part of the pairs.

Whatever writes such texts (a table of somebody's, a language model) leaves them so, and whatever uses them reads part
*n* beside part *n* of the pairs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from negmine.base.counts import Counts
from negmine.base.errors import UsageError
from negmine.store.files import part_name, write_table
from negmine.store.manifest import MANIFEST, PartRecord

if TYPE_CHECKING:
    from negmine.contract.records import Text

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def check_name(name: str) -> str:
    """The name of a source of texts, which is their rule.

    Raises:
        UsageError: it is no plain name, or that of a kind, which is a rule's.
    """
    from negmine.contract.records import KINDS

    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} names no texts", fix="choose 1 to 64 of 0-9 A-Z a-z _ -, the first no mark")
    if name in KINDS:
        raise UsageError(f"{name} is the name of a rule", fix="choose another name for these texts")
    return name


def texts_stage(name: str) -> str:
    """The stage of a source's texts, as `WorkFolder.open` takes it; its folder in a work folder."""
    from negmine.contract.records import TEXTS_FOLDER

    return f"{TEXTS_FOLDER}/{check_name(name)}"


def texts_there(work: Path) -> list[str]:
    """The names of the finished texts of a work folder."""
    from negmine.contract.records import TEXTS_FOLDER

    return sorted(path.parent.name for path in (work / TEXTS_FOLDER).glob(f"*/{MANIFEST}"))


PICTURES_STEM = "pictures"
"""Of the files of pictures, beside those of texts."""

PICTURES_ROOT = "pictures"
"""In a manifest's context: where the pictures of its texts lie."""


def write_texts(folder: Path, index: int, pairs: int, texts: Sequence[Text]) -> PartRecord:
    """A part of texts, in the order of so many pairs.

    The counts add up: ``texts`` = all ``kind:KIND``; ``true`` of them are offered as true.
    """
    from negmine.contract.records import TEXTS, to_table

    file = write_table(folder, part_name(index), to_table(texts, TEXTS))
    counts = Counts(pairs=pairs, texts=len(texts), true=sum(text.is_true for text in texts))
    counts["with_texts"] = len({text.key for text in texts})
    counts.add_each("kind", (text.kind for text in texts))
    return PartRecord(index, (file,), dict(counts))
