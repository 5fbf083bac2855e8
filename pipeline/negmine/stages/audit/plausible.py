"""Nouns that a negative puts in: whether they stand in such a place in captions, or are said of such an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from negmine.base.folds import fold_of
from negmine.language.analyse import parse
from negmine.language.caption import Caption
from negmine.language.co_mention import concept_of, packaged_co_mention
from negmine.language.slot_table import FEWEST, SlotTable, old_share, packaged_slots
from negmine.language.slots import slots_of
from negmine.language.vocabulary import NONE, packaged_vocabulary
from negmine.stages.audit.differences import Judged

if TYPE_CHECKING:
    from spacy.language import Language

HARDLY: Final = -1.0
"""Score below which a noun hardly stands in its place: 12 % of the negatives of SugarCrepe have one below."""


def hardly_stands_there(items: Sequence[Judged], load: Callable[[], Language]) -> list[bool | None]:
    """Whether a noun is put in where captions seldom have one like it; None where no noun is, or none that is known.

    Args:
        load: gives a spaCy pipeline with a tagger and a parser.
    """
    scores = noun_scores(items, load)
    return [None if score is None else score < HARDLY for score in scores]


def noun_scores(items: Sequence[Judged], load: Callable[[], Language]) -> list[float | None]:
    """Log odds of the least likely noun that each negative puts in, by its dependency slots there; see `SlotTable`.

    By the packaged captions, without those of the image's fold; less a part of the score of the noun it replaces.
    """
    parsed, table = _parsed(items, load), packaged_slots()
    return [_score(parsed[item.caption], parsed[item.negative], item.image_id, table) for item in items]


def noun_gaps(pairs: Sequence[tuple[str, str, str]], load: Callable[[], Language]) -> list[tuple[float, float]]:
    """How much likelier the nouns are, in their places, that only the first of two texts has: the least, and all.

    Args:
        pairs: (text, other text, image id); turned round, a pair has the negative of its gaps.
    """
    texts = parse(load(), (text for one, other, _ in pairs for text in (one, other)), packaged_vocabulary())
    table, found = packaged_slots(), list[tuple[float, float]]()
    for one, other, image_id in pairs:
        sides, fold = (texts[one], texts[other]), fold_of(image_id)
        own = zip(sides, _exchanged(*sides), strict=True)
        scores = [[_in_its_place(text, name, fold, table) or 0.0 for name in names] for text, names in own]
        found.append((min(scores[0], default=0.0) - min(scores[1], default=0.0), sum(scores[0]) - sum(scores[1])))
    return found


def said_together(items: Sequence[Judged], load: Callable[[], Language]) -> list[bool | None]:
    """Whether other captions often say the new noun of images of the one it replaces; None where none replaces one."""
    parsed, vocabulary, pairs = _parsed(items, load), packaged_vocabulary(), packaged_co_mention()
    found = list[bool | None]()
    for item in items:
        gone, new = _exchanged(parsed[item.caption], parsed[item.negative])
        concepts = [(concept_of(old, vocabulary), concept_of(other, vocabulary)) for old in gone for other in new]
        found.append(any(other in pairs.get(old, NONE) for old, other in concepts) if concepts else None)
    return found


def _parsed(items: Sequence[Judged], load: Callable[[], Language]) -> dict[str, Caption]:
    return parse(load(), (text for item in items for text in (item.caption, item.negative)), packaged_vocabulary())


def _exchanged(caption: Caption, negative: Caption) -> tuple[list[str], list[str]]:
    """Names of the phrases that only one of the texts has."""
    before, after = (Counter(phrase.name for phrase in text.phrases) for text in (caption, negative))
    return sorted(before - after), sorted(after - before)


def _score(caption: Caption, negative: Caption, image_id: str, table: SlotTable) -> float | None:
    gone, new = _exchanged(caption, negative)
    fold = fold_of(image_id)
    found = [score for name in new if (score := _in_its_place(negative, name, fold, table)) is not None]
    if not found:
        return None
    old = _in_its_place(caption, gone[0], fold, table) if len(gone) == len(new) == 1 else None
    return min(found) - float(old_share(0.0 if old is None else old))


def _in_its_place(text: Caption, name: str, fold: int, table: SlotTable) -> float | None:
    """Log odds of a phrase in its slots; None where nothing is known of it or of them."""
    number = table.nouns.number(name)
    if number < 0 or table.mentions[fold][number] < FEWEST:
        return None
    index = next(n for n, phrase in enumerate(text.phrases) if phrase.name == name)
    scores = table.scores(slots_of(text, index), fold)
    return None if scores is None else float(scores[number])
