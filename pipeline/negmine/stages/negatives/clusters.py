"""Neighbours of a noun: nouns of its broad class that share its hypernyms and are about as frequent in captions.

Cluster-restricted replacement (LEMON, arXiv:2203.04703) with WordNet's hierarchy in place of learnt embeddings. A
neighbour is never a synonym, hypernym or hyponym (CAR's concept closure), nor a noun that other nouns of the table
fall under.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from negmine.language.lexicon import Lexicon

CLASSES: Final = frozenset(
    {"animal", "artifact", "body", "food", "object", "plant", "substance", "phenomenon", "shape"}
)
"""Broad classes in which two different nouns seldom name one thing; persons have many names."""

NEAREST: Final = 6
"""Neighbours kept of a noun."""

LEAST_SHARED: Final = 0.3
"""Least Jaccard similarity of the hypernyms of two neighbours."""

MOST_SHARED: Final = 0.9
"""More alike are names of nearly the same thing ("dip" and "sauce")."""

MOST_UNLIKE: Final = 12
"""Most that one neighbour may be more frequent than the other."""

MOST_BELOW: Final = 2
"""Nouns with more of the table's nouns below them are too general to be false."""


class Clusters:
    """Finds the neighbours of nouns; each noun is looked up once.

    Args:
        counts: noun (lemma, words joined by a blank) to how often captions use it.
    """

    def __init__(self, counts: Mapping[str, int], lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._counts = dict(counts)
        self._below = Counter(above for noun in counts for above in lexicon.entry(noun).hypernyms)
        self._members: dict[str, list[str]] = {}
        for noun in sorted(counts):
            if self._below[noun] <= MOST_BELOW:
                self._members.setdefault(lexicon.broad_class(noun), []).append(noun)
        self._found: dict[str, tuple[str, ...]] = {}

    def neighbours(self, noun: str) -> tuple[str, ...]:
        """The nearest nouns of the noun's cluster, the nearest first; none for a noun WordNet does not know."""
        found = self._found.get(noun)
        if found is None:
            found = self._found[noun] = self._nearest(noun)
        return found

    def _nearest(self, noun: str) -> tuple[str, ...]:
        entry, broad_class = self._lexicon.entry(noun), self._lexicon.broad_class(noun)
        if broad_class not in CLASSES or not entry.hypernyms or self._below[noun] > MOST_BELOW:
            return ()
        near = []
        for other in self._members.get(broad_class, ()):
            shared = _jaccard(entry.hypernyms, self._lexicon.entry(other).hypernyms)
            if LEAST_SHARED <= shared <= MOST_SHARED and self._are_exclusive(noun, other):
                near.append((-shared, other))
        return tuple(other for _, other in sorted(near)[:NEAREST])

    def _are_exclusive(self, noun: str, other: str) -> bool:
        ratio = self._counts[other] / max(1, self._counts.get(noun, 1))
        if not 1 / MOST_UNLIKE <= ratio <= MOST_UNLIKE or self._lexicon.overlap(noun, other):
            return False
        mine, theirs = self._lexicon.entry(noun), self._lexicon.entry(other)
        return mine.synonyms.isdisjoint(theirs.synonyms) and set(noun.split(" ")).isdisjoint(other.split(" "))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) if shared else 0.0


@lru_cache(maxsize=1)
def packaged_counts() -> Mapping[str, int]:
    """Nouns of captions with their frequency: those that come with negmine."""
    text = resources.files("negmine.stages.negatives").joinpath("data", "frequencies.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {noun: int(count) for noun, count in rows}
