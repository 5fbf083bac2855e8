"""Negation put in or taken out. No selection can hide it: captions seldom say what is not there. Off by default."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.language.caption import Caption, Phrase
from negmine.language.changes import Change, moved
from negmine.language.inflect import article
from negmine.stages.negatives.proposal import Proposal, Words

_ADDITIVE = {"with": "without", "without": "with"}
_BE = frozenset({"is", "are", "was", "were"})
_WHOLE = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}
_POLAR = frozenset({"any", "anyone", "anybody", "anything", "yet", "either", "anymore", "longer"})
"""Words that only a denial has."""

_INDEFINITE = frozenset({"a", "an", "some", "many", "several"})


def negate(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Say that something is not so: of existence, of company, of a verb; or, where it is denied, that it is."""
    found = [*_existence(caption, words), *_company(caption, words), *_verbs(caption), *_denials(caption)]
    for change in rng.sample(found, len(found)):
        yield Proposal((change,))


def _existence(caption: Caption, words: Words) -> Iterator[Change]:
    """ "there is a dog" -> "there is no dog"; "no dog" -> "a dog"."""
    for phrase in caption.phrases:
        first = caption.tokens[phrase.first].text.lower()
        if first == "no" and phrase.unit > phrase.first and phrase.head in caption.scopes:
            yield Change(phrase.first, phrase.first, _some(caption, phrase, words))
        elif first in _INDEFINITE and _is_said_to_exist(caption, phrase):
            yield Change(phrase.first, phrase.first, "no")


def _some(caption: Caption, phrase: Phrase, words: Words) -> str:
    nouns = words.vocabulary.nouns
    if phrase.plural or (phrase.name in nouns["mass"] and phrase.name not in nouns["count"]):
        return "some"
    return article(caption.tokens[phrase.first + 1].text.lower())


def _is_said_to_exist(caption: Caption, phrase: Phrase) -> bool:
    token = caption.tokens[phrase.head]
    return token.dep in ("attr", "nsubj") and any(caption.tokens[c].dep == "expl" for c in caption.children[token.head])


def _company(caption: Caption, words: Words) -> Iterator[Change]:
    """ "a man with a hat" -> "a man without a hat"."""
    for relation in caption.relations:
        other = _ADDITIVE.get(relation.name)
        following = caption.tokens[relation.last + 1]
        is_bounded = following.text.lower() == "any" or (other == "without" and relation.last + 1 in caption.scopes)
        if other and not is_bounded and caption.phrases[relation.object].name not in words.vocabulary.vague:
            yield Change(relation.first, relation.last, other)


def _verbs(caption: Caption) -> Iterator[Change]:
    """ "is riding" -> "is not riding"; "a man riding" -> "a man not riding"."""
    for i, token in enumerate(caption.tokens):
        following = caption.tokens[i + 1] if i + 1 < len(caption.tokens) else None
        if following is None or following.text.lower() in ("not", "n't", "n’t", "no", "neither", "never"):
            continue
        if not caption.scopes.isdisjoint({i + 1, token.head}):
            continue  # "at least two dogs are running" may be true with "not" as well
        if token.text.lower() in _BE and caption.starts_sentence(i):
            continue  # a question
        after_there = i > 0 and caption.tokens[i - 1].dep == "expl"
        if token.text.lower() in _BE and caption.is_loose(i, i) and not after_there:
            yield Change(i, i, f"{moved(caption, i, i)} not")
        elif token.tag == "VBG" and token.dep == "acl" and caption.is_loose(i, i):
            yield Change(i, i, f"not {token.text}")


def _denials(caption: Caption) -> Iterator[Change]:
    """ "is not riding" -> "is riding"."""
    for i, token in enumerate(caption.tokens):
        following = caption.tokens[i + 1].text.lower() if i + 1 < len(caption.tokens) else ""
        has_polar = any(t.text.lower() in _POLAR for t in caption.tokens[i:])
        if i and token.text.lower() in ("not", "n't", "n’t") and following not in ("only", "just") and not has_polar:
            verb = moved(caption, i - 1, i - 1)
            yield Change(i - 1, i, _WHOLE.get(verb, verb))
