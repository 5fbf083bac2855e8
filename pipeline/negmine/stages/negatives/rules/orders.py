"""Words in another order, as order-sensitivity tests have them (Yuksekgonul et al. 2023, section 3). Not for training:
the text alone gives it away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from negmine.language.caption import Caption
from negmine.language.changes import Change, moved
from negmine.stages.negatives.proposal import Proposal, Words

SPAN = 3
"""Words of one span, of those that are shuffled as a whole."""

FEWEST = 3
"""Words that change at least: two may be what "and" joins, or the two sides of "next to"."""

_CONTENT = frozenset({"NOUN", "ADJ", "PROPN"})


def reorder(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Shuffle all words; spans of three; nouns and adjectives; the other words. Punctuation stays.

    None where something is denied or left open: its words would come to stand outside, and others inside.
    """
    if caption.scopes:
        return
    places = [i for i, token in enumerate(caption.tokens) if token.text.isalnum() and caption.is_loose(i, i)]
    content = [i for i in places if caption.tokens[i].pos in _CONTENT]
    others = [i for i in places if caption.tokens[i].pos not in _CONTENT]
    spans = [places[start : start + SPAN] for start in range(0, len(places), SPAN)]
    rng.shuffle(spans)
    orders = [(places, [i for span in spans for i in span])]
    orders += [(group, rng.sample(group, len(group))) for group in (places, content, others)]
    for old, new in orders:
        changes = tuple(_moves(caption, old, new))
        if len(changes) >= FEWEST and not _is_turned(old, new) and not _keep_phrases(caption, old, new):
            yield Proposal(changes)


def _is_turned(old: Sequence[int], new: Sequence[int]) -> bool:
    """Whether one run of words has only come before the next, as a phrase of place does: "In a barn a cow milks"."""
    size = len(old)
    first = next((n for n in range(size) if old[n] != new[n]), size)
    last = next((n for n in range(size, first, -1) if old[n - 1] != new[n - 1]), first)
    before, after = list(old[first:last]), list(new[first:last])
    return any(before[n:] + before[:n] == after for n in range(1, len(before)))


def _keep_phrases(caption: Caption, old: Sequence[int], new: Sequence[int]) -> bool:
    """Whether every word that moves has stayed in its phrase: "a cross red above a diamond black"."""
    phrase_of = {i: n for n, phrase in enumerate(caption.phrases) for i in range(phrase.first, phrase.head + 1)}
    moved_words = ((place, word) for place, word in zip(old, new, strict=True) if place != word)
    return all(place in phrase_of and phrase_of[place] == phrase_of.get(word) for place, word in moved_words)


def _moves(caption: Caption, places: Sequence[int], moving: Sequence[int]) -> Iterator[Change]:
    for place, word in zip(places, moving, strict=True):
        if caption.tokens[place].text.lower() != caption.tokens[word].text.lower():
            yield Change(place, place, moved(caption, word, word))
