"""What a caption claims so that it can be denied, of one image falsely and of another truly.

"A man with a dog" is denied by "a man without a dog". Where no caption of another image speaks of a dog, "a man with
a surfboard" there becomes "a man without a dog", which is true. With as many true denials as false ones of each claim,
*without*, *no* and *not* tell nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from negmine.language.caption import NO, Caption, Phrase
from negmine.language.vocabulary import Vocabulary

RULE: Final = "negate"
"""The rule, and the kind, of denials: of false ones as negatives, of true ones as positives."""

_WITH: Final = "with"
_BE: Final = frozenset({"is", "are"})
_PLACES: Final = frozenset({"in", "on", "near", "next", "while", "beside", "during", "outside", "inside"})
"""What may follow a claim and be true without it: not "a kite [flying in the sky]", "a bat [at a ball]"."""

_PEOPLE: Final = frozenset({"person", "people", "child", "kid", "baby", "adult", "couple", "family"})
_OF_PEOPLE: Final = frozenset({"athlete", "catcher", "team_role", "trade", "uniformed", "umpire", "player", "parent"})
_INDEFINITE: Final = frozenset({"a", "an"})
_COUNTING: Final = frozenset({"several", "various", "many", "few", "other", "different", "multiple", "some", "couple"})
_UNNAMED: Final = frozenset({"background", "distance", "foreground", "group", "view", "lot", "number"})


class Claim(NamedTuple):
    """A part of a caption that can be denied.

    Attributes:
        form: ``with``, ``there`` or ``verb``, the last with "is" before it or without.
        owner: the noun of which it is claimed; "" for ``there``.
        first, last: its tokens.
        noun: the thing that is denied.
        denial: what stands in its place where it is denied.
    """

    form: str
    owner: str
    first: int
    last: int
    noun: str
    denial: str


def claims(caption: Caption, vocabulary: Vocabulary) -> Iterator[Claim]:
    """Claims of things that captions name where they are seen: no people, garments, parts of bodies, grounds or
    buildings, for these are often there unsaid."""
    for relation in caption.relations:
        item = caption.phrases[relation.object]
        if relation.subject == NO or item.first != relation.last + 1 or not _may_be_denied(caption, item, vocabulary):
            continue
        owner, told = caption.phrases[relation.subject], caption.span(relation.last + 1, item.head)
        if not caption.is_loose(relation.first, relation.last) or owner.head > relation.first:
            continue
        before = caption.tokens[relation.first - 1]
        if relation.name == _WITH and not relation.verb and not before.text.endswith("ed"):
            yield Claim(_WITH, owner.name, relation.first, item.head, item.name, f"without {told}")
        elif relation.verb and caption.tokens[relation.first].tag == "VBG":
            be, verb = before.text.lower(), caption.tokens[relation.first].text.lower()
            form = f"verb {be if be in _BE else ''}"
            if be in _BE or caption.tokens[relation.first].dep == "acl":
                yield Claim(form, owner.name, relation.first, item.head, item.name, f"not {verb} {told}")
    for item in caption.phrases:
        if _is_said_to_exist(caption, item) and _may_be_denied(caption, item, vocabulary):
            form, told = f"there {caption.tokens[item.first - 1].text.lower()}", caption.span(item.first + 1, item.head)
            yield Claim(form, "", item.first, item.head, item.name, f"no {told}")


def _may_be_denied(caption: Caption, item: Phrase, vocabulary: Vocabulary) -> bool:
    """Whether a phrase names a thing by itself, "a" or several of them, outside of what is denied already."""
    words, following = caption.span(item.first, item.head).split(" "), caption.tokens[item.head + 1 : item.head + 2]
    is_listed = any(item.head in pair for pair in caption.conjuncts)
    goes_on = any(token.text.lower() not in _PLACES | {".", "!", ";"} for token in following)
    is_whole = item.whole == item.head and caption.is_loose(item.first, item.head)
    if is_listed or goes_on or not is_whole or not caption.scopes.isdisjoint(range(item.first, item.head + 1)):
        return False
    general = vocabulary.general | vocabulary.worn | vocabulary.sexes.keys() | _UNNAMED | _PEOPLE
    names = {item.name, item.name.rsplit(" ", 1)[-1]}
    groups = {place.group for name in names for place in vocabulary.nouns["count"].get(name, ())}
    is_general = not names.isdisjoint(general) or not groups.isdisjoint(_OF_PEOPLE)
    is_one = words[0] in ("a", "an") or (item.determiner == NO and item.numeral == NO and item.plural)
    is_plain = is_one and _COUNTING.isdisjoint(words) and all(map(str.islower, words))
    return is_plain and not is_general and vocabulary.names_concept(item.name)


def _is_said_to_exist(caption: Caption, item: Phrase) -> bool:
    token, first = caption.tokens[item.head], caption.tokens[item.first].text.lower()
    is_there = token.dep in ("attr", "nsubj") and any(
        caption.tokens[c].dep == "expl" for c in caption.children[token.head]
    )
    return is_there and first in _INDEFINITE and 0 < item.first < item.head
