"""Nouns said of one image: where captions of a thing's images often name another, the other is seldom false.

Four captions in five that call something a scooter lie beside one that calls it a motorcycle, and three kitchens in ten
have a counter. A caption alone in its corpus has no other that would say so; this table speaks for them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from negmine.language.caption import Caption
from negmine.language.vocabulary import COUNTED, Vocabulary

LEAST_RATE: Final = 0.08
"""Share of a noun's captions beside which another caption of the image names the other, from which it is refused."""

LEAST_LIFT: Final = 4.0
"""Times that this share is the other's share of all captions; what is in most images tells nothing."""

LEAST_CAPTIONS: Final = 10
LEAST_IMAGES: Final = 3

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


def said_together(images: Iterable[Iterable[frozenset[str]]], others: frozenset[str]) -> dict[tuple[str, str], float]:
    """Pairs of concepts of which the second is said of the first's images, with their share.

    Args:
        images: the concepts of each caption of each image.
        others: what a second may be.
    """
    captions, with_other = 0, Counter[str]()
    said, both, seen_in = Counter[str](), Counter[tuple[str, str]](), defaultdict[tuple[str, str], set[int]](set)
    for number, image in enumerate(map(list, images)):
        for place, own in enumerate(image):
            elsewhere = frozenset().union(*image[:place], *image[place + 1 :])
            found = (elsewhere - own) & others
            captions += 1
            said.update(own)
            with_other.update(found)
            for pair in ((one, other) for one in own for other in found):
                both[pair] += 1
                seen_in[pair].add(number)
    rates = {pair: times / said[pair[0]] for pair, times in both.items()}
    return {
        (one, other): rate
        for (one, other), rate in sorted(rates.items())
        if rate >= max(LEAST_RATE, LEAST_LIFT * with_other[other] / captions)
        and said[one] >= LEAST_CAPTIONS
        and len(seen_in[one, other]) >= LEAST_IMAGES
    }


@lru_cache(maxsize=1)
def packaged_co_mention() -> CoMention:
    """The table that comes with negmine."""
    text = resources.files("negmine.language").joinpath("data", "co_mention.tsv").read_text("utf-8")
    found: dict[str, set[str]] = defaultdict(set)
    for one, other, _ in (line.split("\t") for line in text.splitlines() if not line.startswith("#")):
        found[one].add(other)
    return {one: frozenset(others) for one, others in found.items()}
