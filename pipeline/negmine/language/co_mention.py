"""Nouns said of one image: where captions of a thing's images often name another, the other is seldom false.

Four captions in five that call something a scooter lie beside one that calls it a motorcycle, and three kitchens in ten
have a counter. A caption alone in its corpus has no other that would say so; a table speaks for them, and what the
captions at hand say of their images is counted beside it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Final

from negmine.language.caption import Caption
from negmine.language.inflect import plural
from negmine.language.vocabulary import COUNTED, Vocabulary

LEAST_RATE: Final = 0.08
"""Share of a noun's captions beside which another caption of the image names the other, from which it is refused."""

LEAST_LIFT: Final = 4.0
"""Times that this share is the other's share of all captions; what is in most images tells nothing."""

LEAST_CAPTIONS: Final = 10
LEAST_IMAGES: Final = 3

_WORD: Final = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
LONGEST: Final = 3
"""Words of the longest noun that is looked for in a text."""

CoMention = Mapping[str, frozenset[str]]
"""Concept to those said of its images."""


def concept_of(noun: str, vocabulary: Vocabulary) -> str:
    """The concept a noun names in the groups that know it, else the noun, or its last word if that is known."""
    for name in (noun, noun.rsplit(" ", 1)[-1]):
        for counted in COUNTED:
            places = vocabulary.nouns[counted].get(name, ())
            if places:
                return places[0].concept
    return noun


def concepts_of(caption: Caption, vocabulary: Vocabulary) -> frozenset[str]:
    """The concepts a caption names."""
    return frozenset(concept_of(phrase.name, vocabulary) for phrase in caption.phrases)


class NounFinder:
    """Finds the known nouns of texts that nobody has parsed."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        nouns = {form for places in vocabulary.nouns.values() for form in places} | vocabulary.places
        concepts = {noun: concept_of(noun, vocabulary) for noun in sorted(nouns)}
        self._concepts = {plural(noun): concept for noun, concept in concepts.items()} | concepts

    def concepts(self, text: str) -> frozenset[str]:
        """The concepts a text names, of each run of words the longest."""
        words, found, place = _WORD.findall(text.lower()), set[str](), 0
        while place < len(words):
            for end in range(min(place + LONGEST, len(words)), place, -1):
                concept = self._concepts.get(" ".join(words[place:end]))
                if concept is not None:
                    found.add(concept)
                    place = end
                    break
            else:
                place += 1
        return frozenset(found)


@dataclass
class Mentions:
    """What is said of images, as counts that add up over images.

    Attributes:
        captions: how many there are.
        said: captions that name a concept.
        beside: captions that another caption of the image adds a concept to.
        both: captions that name the first, and that another adds the second to.
        images: images of `both`.
    """

    captions: int = 0
    said: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)
    both: Counter[tuple[str, str]] = field(default_factory=Counter)
    images: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add_image(self, captions: Iterable[frozenset[str]], others: frozenset[str]) -> None:
        """Count an image by the concepts of each of its captions; only `others` are a second of a pair."""
        own, times = list(captions), Counter[str]()
        for concepts in own:
            times.update(concepts)
        seen = set[tuple[str, str]]()
        for concepts in own:
            added = others & times.keys() - concepts
            self.said.update(concepts)
            self.beside.update(added)
            pairs = [(one, other) for one in concepts for other in added]
            self.both.update(pairs)
            seen.update(pairs)
        self.captions += len(own)
        self.images.update(seen)

    def add(self, more: Mentions) -> None:
        """Count what was counted elsewhere, of other images."""
        self.captions += more.captions
        for name in ("said", "beside", "both", "images"):
            getattr(self, name).update(getattr(more, name))

    def together(self) -> dict[tuple[str, str], float]:
        """Pairs of concepts of which the second is said of the first's images, with the share of captions."""
        rates = {pair: times / self.said[pair[0]] for pair, times in self.both.items()}
        return {
            (one, other): rate
            for (one, other), rate in sorted(rates.items())
            if rate >= max(LEAST_RATE, LEAST_LIFT * self.beside[other] / self.captions)
            and self.said[one] >= LEAST_CAPTIONS
            and self.images[one, other] >= LEAST_IMAGES
        }


def put_in(vocabulary: Vocabulary) -> frozenset[str]:
    """The concepts that rules put in, which alone need be known as a second."""
    return frozenset(concept_of(noun, vocabulary) for noun in vocabulary.put_in | vocabulary.places)


def with_pairs(table: CoMention, pairs: Iterable[tuple[str, str]]) -> CoMention:
    """A table, and more pairs."""
    found = defaultdict(set, {one: set(others) for one, others in table.items()})
    for one, other in pairs:
        found[one].add(other)
    return {one: frozenset(others) for one, others in found.items()}


@lru_cache(maxsize=1)
def packaged_co_mention() -> CoMention:
    """The table that comes with negmine."""
    text = resources.files("negmine.language").joinpath("data", "co_mention.tsv").read_text("utf-8")
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return with_pairs({}, ((one, other) for one, other, _ in lines))
