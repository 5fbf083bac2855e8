"""Who does what to whom in captions: evidence that two things are told of in each other's roles.

A man rides a horse in many captions and a horse a man in none, so exchanging the two makes no sentence that anybody
would write. A swap is made where captions of other images tell the turned triple of the same classes, or where the
relation is one that any two alike things may stand in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

from negmine.language.caption import AGENT, NO, Caption
from negmine.language.lexicon import Lexicon
from negmine.language.vocabulary import Vocabulary

LEAST: Final = 2
"""Images whose captions tell a triple before it is evidence."""

LEAST_OF_CLASSES: Final = 3
"""Images that tell a triple of two different classes of things, where the things themselves are not told of so."""

LEAST_SHARE: Final = 0.05
"""Of the triple turned round: what is rarer beside it is an error of the parser, or a joke."""

ADULT, CHILD, BABY, ANIMAL = "adult", "child", "baby", "animal"
PEOPLE: Final = frozenset({ADULT, CHILD, BABY})
_CHILDREN: Final = frozenset({"boy", "girl", "child", "son", "daughter", "brother", "sister"})
_PEOPLE_WORDS: Final = frozenset({"people", "person", "adult"})

_SAME: Final = {
    "on top of": "on",
    "atop": "on",
    "upon": "on",
    "onto": "on",
    "inside": "in",
    "inside of": "in",
    "within": "in",
    "underneath": "under",
    "beneath": "under",
    "over": "above",
    "in back of": "behind",
}
_TURNED: Final = {"in front of": "behind", "below": "above", "ahead of": "behind"}
"""Relations told the other way round: what is in front of a car has the car behind it."""


class Role(NamedTuple):
    """What a noun is in a triple.

    Attributes:
        name: its concept; of people their age, of animals their group.
        group: the group of nouns it belongs to; of people and animals the name again, "" where none is known.
        animate: whether a person or an animal.
    """

    name: str
    group: str
    animate: bool

    @property
    def is_person(self) -> bool:
        return self.name in PEOPLE


def role_of(noun: str, vocabulary: Vocabulary, lexicon: Lexicon) -> Role:
    """The role of a noun, given as a lemma."""
    last = noun.rsplit(" ", 1)[-1]
    if noun in _PEOPLE_WORDS or last in _PEOPLE_WORDS:
        return Role(ADULT, ADULT, True)
    if not vocabulary.lifeless.isdisjoint((noun, last)):
        return Role(noun, "", False)
    places = [place for place in vocabulary.nouns["count"].get(noun, ()) if not place.after]
    places = places or [place for place in vocabulary.nouns["count"].get(last, ()) if not place.after]
    broad_class = lexicon.broad_class(noun)
    if places and vocabulary.kind_of.get(places[0].concept, ANIMAL) != ANIMAL:
        return Role(places[0].concept, places[0].group, False)  # a controller, a monitor and a bat
    if broad_class == "person":
        concept = places[0].concept if places else last
        age = CHILD if concept in _CHILDREN else BABY if concept == BABY else ADULT
        return Role(age, age, True)
    if broad_class == "animal":
        group = places[0].group if places else ANIMAL
        return Role(group, group, True)
    return Role(places[0].concept, places[0].group, False) if places else Role(last, "", False)


def are_alike(one: Role, other: Role) -> bool:
    """Whether two things are both living, or both of one group."""
    return (one.animate and other.animate) or (bool(one.group) and one.group == other.group)


def triple_of(subject: str, relation: str, item: str) -> tuple[str, str, str]:
    """A triple in the one way that the table tells it."""
    relation = _SAME.get(relation, relation)
    if relation in _TURNED:
        return item, _TURNED[relation], subject
    return subject, relation, item


def told(caption: Caption, vocabulary: Vocabulary, lexicon: Lexicon) -> Iterator[tuple[str, str, str]]:
    """The triples of a caption: what its relations that do not hold both ways tell of nouns that are known."""
    for relation in caption.relations:
        holds_both_ways = vocabulary.symmetric_verbs if relation.verb else vocabulary.symmetric | {AGENT}
        if relation.subject == NO or relation.name in holds_both_ways:
            continue
        roles = [role_of(caption.phrases[i].name, vocabulary, lexicon) for i in (relation.subject, relation.object)]
        if all(role.group for role in roles):
            yield triple_of(roles[0].name, relation.name, roles[1].name)


class Attested:
    """Triples that captions tell.

    Args:
        images: triple to the number of images that tell it.
    """

    def __init__(self, images: Mapping[tuple[str, str, str], int], groups: Mapping[str, str]) -> None:
        self._images = images
        self._of_groups: Counter[tuple[str, str, str]] = Counter()
        for (subject, relation, item), number in images.items():
            self._of_groups[groups.get(subject, subject), relation, groups.get(item, item)] += number

    def turns(self, subject: Role, relation: str, item: Role) -> bool:
        """Whether captions tell a triple as it is and turned round.

        A caption that says what hardly any other does was not read right: "at a desk on a laptop".
        """
        return self.tells(item, relation, subject) and self.tells(subject, relation, item)

    def tells(self, subject: Role, relation: str, item: Role) -> bool:
        """Whether captions tell a triple, and not too seldom beside the same one turned round."""
        names = _both_ways(self._images, triple_of(subject.name, relation, item.name))
        if _are_enough(*names, least=LEAST):
            return True
        if subject.group == item.group or not (subject.group and item.group):
            return False  # a cup is on a plate, and both are vessels
        groups = _both_ways(self._of_groups, triple_of(subject.group, relation, item.group))
        return _are_enough(*groups, least=LEAST_OF_CLASSES)


def _both_ways(images: Mapping[tuple[str, str, str], int], triple: tuple[str, str, str]) -> tuple[int, int]:
    subject, relation, item = triple
    return images.get(triple, 0), images.get((item, relation, subject), 0)


def _are_enough(told_so: int, turned: int, least: int) -> bool:
    return told_so >= max(least, LEAST_SHARE * turned)


def read_triples(lines: Iterable[str]) -> dict[tuple[str, str, str], int]:
    """The rows of the table, comments aside."""
    rows = (line.rstrip("\n").split("\t") for line in lines if not line.startswith("#"))
    return {(subject, relation, item): int(images) for subject, relation, item, images in rows}


def group_names(vocabulary: Vocabulary) -> dict[str, str]:
    """Concept to its group, as `role_of` tells it of things."""
    found: dict[str, str] = {}
    for places in vocabulary.nouns["count"].values():
        place = next((place for place in places if not place.after), None)
        if place is not None:
            found.setdefault(place.concept, place.group)
    return found


@lru_cache(maxsize=1)
def packaged_triples() -> Mapping[tuple[str, str, str], int]:
    """The table that comes with negmine."""
    text = resources.files("negmine.stages.negatives").joinpath("data", "triples.tsv").read_text("utf-8")
    return read_triples(text.splitlines())
