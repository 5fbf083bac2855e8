"""Which verbs agree with which nouns in a caption, and what must change when a noun's number does."""

from __future__ import annotations

from collections.abc import Iterator

from negmine.text.caption import Caption
from negmine.text.inflect import agreeing
from negmine.text.proposal import Change

_FINITE = ("VBZ", "VBP")
_PAST_OF_BE = ("was", "were")


def agreeing_verbs(caption: Caption, head: int) -> Iterator[int]:
    """Tokens whose form follows the number of the noun `head`."""
    tokens = caption.tokens
    token = tokens[head]
    if token.dep in ("nsubj", "nsubjpass") or (token.dep == "attr" and _is_existential(caption, token.head)):
        yield from _finite_of(caption, token.head)
        for child in caption.children[token.head]:
            if tokens[child].dep == "conj" and not _has_subject(caption, child):
                yield from _finite_of(caption, child)
    for child in caption.children[head]:
        if tokens[child].dep == "relcl" and _has_relative_subject(caption, child):
            yield from _finite_of(caption, child)


def number_changes(caption: Caption, head: int, is_plural: bool) -> tuple[Change, ...]:
    """Verb changes that a new number of the noun `head` asks for; none for a conjunct, whose verb sees them all."""
    if any(head in pair for pair in caption.conjuncts):
        return ()
    changes = []
    for verb in dict.fromkeys(agreeing_verbs(caption, head)):
        text = caption.tokens[verb].text
        form = agreeing(text, is_plural)
        if form != text.lower():
            changes.append(Change(verb, verb, form))
    return tuple(changes)


def _is_existential(caption: Caption, verb: int) -> bool:
    return any(caption.tokens[child].dep == "expl" for child in caption.children[verb])


def _has_subject(caption: Caption, verb: int) -> bool:
    return any(caption.tokens[child].dep in ("nsubj", "nsubjpass") for child in caption.children[verb])


def _has_relative_subject(caption: Caption, verb: int) -> bool:
    return any(
        caption.tokens[child].dep in ("nsubj", "nsubjpass") and caption.tokens[child].tag in ("WDT", "WP", "DT")
        for child in caption.children[verb]
    )


def _finite_of(caption: Caption, verb: int) -> Iterator[int]:
    """The finite token of a verb: its first auxiliary, else itself."""
    tokens = caption.tokens
    auxiliaries = [child for child in caption.children[verb] if tokens[child].dep in ("aux", "auxpass")]
    first = min(auxiliaries, default=verb)
    if tokens[first].tag in _FINITE or tokens[first].text.lower() in _PAST_OF_BE:
        yield first
