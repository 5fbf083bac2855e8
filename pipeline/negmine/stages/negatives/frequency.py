"""How often captions use the words that rules put in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from negmine.language.inflect import plural
from negmine.stages.negatives.clusters import packaged_counts
from negmine.stages.negatives.proposal import Words

_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
LONGEST: Final = 3
"""Words of the longest unit that is counted."""


def known_words(words: Words) -> frozenset[str]:
    """All words and units that rules put in, nouns in both numbers."""
    vocabulary = words.vocabulary
    nouns = {form for counted in vocabulary.nouns.values() for form in counted}.union(
        vocabulary.places, packaged_counts()
    )
    others = {*vocabulary.attributes, *vocabulary.transitive, *vocabulary.intransitive, *vocabulary.participles}
    return frozenset(nouns | others | set(map(plural, nouns)))


def count_words(captions: Iterable[str], known: frozenset[str]) -> dict[str, int]:
    """How often each known word or unit is in the captions, as it is written."""
    counts: Counter[str] = Counter()
    for caption in captions:
        words = _WORD.findall(caption.lower())
        for length in range(1, LONGEST + 1):
            counts.update(" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
    return {word: counts[word] for word in sorted(known & counts.keys())}
