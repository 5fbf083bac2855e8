"""Negation put in or taken out. Captions seldom say what is not there, and no selection can hide it: true denials among
the positives do, see `negmine.language.negations`."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.language.caption import Caption, Phrase
from negmine.language.changes import Change, moved
from negmine.language.inflect import article
from negmine.language.negations import claims
from negmine.stages.negatives.proposal import Proposal, Words

_WHOLE = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
_POLAR = frozenset({"any", "anyone", "anybody", "anything", "yet", "either", "anymore", "longer"})
"""Words that only a denial has."""


def negate(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Deny what a caption claims; or say what it denies: of existence, of company, of a verb."""
    told = (Change(claim.first, claim.last, claim.denial) for claim in claims(caption, words.vocabulary))
    found = [*told, *_existence(caption, words), *_company(caption, words), *_denials(caption)]
    for change in rng.sample(found, len(found)):
        yield Proposal((change,))


def _existence(caption: Caption, words: Words) -> Iterator[Change]:
    """ "no dog" -> "a dog"."""
    for phrase in caption.phrases:
        first = caption.tokens[phrase.first].text.lower()
        if first == "no" and phrase.unit > phrase.first and phrase.head in caption.scopes:
            yield Change(phrase.first, phrase.first, _some(caption, phrase, words))


def _some(caption: Caption, phrase: Phrase, words: Words) -> str:
    nouns = words.vocabulary.nouns
    if phrase.plural or (phrase.name in nouns["mass"] and phrase.name not in nouns["count"]):
        return "some"
    return article(caption.tokens[phrase.first + 1].text.lower())


def _company(caption: Caption, words: Words) -> Iterator[Change]:
    """ "a man without a hat" -> "a man with a hat"."""
    for relation in caption.relations:
        is_bounded = caption.tokens[relation.last + 1].text.lower() == "any"
        is_named = caption.phrases[relation.object].name not in words.vocabulary.vague
        if relation.name == "without" and is_named and not is_bounded:
            yield Change(relation.first, relation.last, "with")


def _denials(caption: Caption) -> Iterator[Change]:
    """ "is not riding" -> "is riding"."""
    for i, token in enumerate(caption.tokens):
        following = caption.tokens[i + 1].text.lower() if i + 1 < len(caption.tokens) else ""
        has_polar = any(t.text.lower() in _POLAR for t in caption.tokens[i:])
        if i and token.text.lower() in ("not", "n't", "n’t") and following not in ("only", "just") and not has_polar:
            verb = moved(caption, i - 1, i - 1)
            yield Change(i - 1, i, _WHOLE.get(verb, verb))
