"""A number said otherwise: "two dogs", "a pair of dogs"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from negmine.language.caption import NO, Caption
from negmine.language.changes import Change, realise
from negmine.stages.positives.rewording import Rewording, Words

_PAIR: Final = "a pair of"
_TWO: Final = "two"
_LIVING: Final = frozenset({"animal", "person"})


def same_number(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "two dogs" -> "a pair of dogs", and back; a couple may be three."""
    tokens, worn = caption.tokens, words.vocabulary.worn
    for i, token in enumerate(tokens):
        word = token.text.lower()
        counted = next((p for p in caption.phrases if p.numeral == i and p.first == i and p.plural), None)
        if word == _TWO and counted is not None and caption.is_loose(i, i) and counted.whole == counted.head:
            if counted.name in worn or counted.name in words.vocabulary.uncounted - {"people", "person"}:
                continue
            if words.lexicon.broad_class(counted.name) in _LIVING:
                yield _put(caption, Change(i, i, _PAIR), (_TWO, _PAIR))
        measured = next((p for p in caption.phrases if p.head == i and p.whole > i + 1), None)
        if measured is not None and word == "pair" and tokens[i + 1].text.lower() == "of":
            thing = tokens[measured.whole]
            is_plain = measured.first == i - 1 and tokens[i - 1].text.lower() == "a" and thing.tag == "NNS"
            if is_plain and words.lexicon.broad_class(thing.lemma) in _LIVING and measured.numeral == NO:
                yield _put(caption, Change(i - 1, i + 1, _TWO), (_PAIR, _TWO))


def _put(caption: Caption, change: Change, flow: tuple[str, str]) -> Rewording:
    return Rewording(realise(caption, [change]), range(change.first, change.last + 1), flow)
