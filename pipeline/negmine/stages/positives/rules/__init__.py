"""The rules: each proposes true ways to say a caption otherwise. To add one, write it and add its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from negmine.language.caption import Caption
from negmine.stages.positives.rewording import Rewording, Words
from negmine.stages.positives.rules import forms, orders, same_number, same_words, shorter

Propose = Callable[[Caption, Words], Iterator[Rewording]]


class Rule(NamedTuple):
    """What a rule's positives are, one of `negmine.contract.records.POSITIVE_KINDS`, and how they are made."""

    kind: str
    propose: Propose


RULES: Final[dict[str, Rule]] = {
    "first_sentence": Rule("shorter", shorter.first_sentence),
    "drop_clause": Rule("shorter", shorter.drop_clause),
    "drop_ending": Rule("shorter", shorter.drop_ending),
    "drop_participle": Rule("shorter", shorter.drop_participle),
    "drop_conjunct": Rule("shorter", shorter.drop_conjunct),
    "drop_attribute": Rule("shorter", shorter.drop_attribute),
    "drop_adverb": Rule("shorter", shorter.drop_adverb),
    "plainer_place": Rule("shorter", shorter.plainer_place),
    "drop_measure": Rule("shorter", shorter.drop_measure),
    "noun_phrase": Rule("phrase", shorter.noun_phrase),
    "exchange_conjuncts": Rule("order", orders.exchange_conjuncts),
    "exchange_colours": Rule("order", orders.exchange_colours),
    "turn": Rule("order", orders.turn),
    "same_noun": Rule("word", same_words.same_noun),
    "same_attribute": Rule("word", same_words.same_attribute),
    "same_preposition": Rule("word", same_words.same_preposition),
    "same_number": Rule("number", same_number.same_number),
    "finite": Rule("form", forms.finite),
    "participle": Rule("form", forms.participle),
    "progressive": Rule("form", forms.progressive),
    "copula": Rule("form", forms.copula),
    "no_copula": Rule("form", forms.no_copula),
    "relative": Rule("form", forms.relative),
    "no_relative": Rule("form", forms.no_relative),
    "there_is": Rule("form", forms.there_is),
    "no_there_is": Rule("form", forms.no_there_is),
    "passive": Rule("voice", forms.passive),
    "active": Rule("voice", forms.active),
}
"""By name, which a positive bears."""
