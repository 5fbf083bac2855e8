"""What a rule proposes: a caption said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from negmine.contract.records import Edit
from negmine.language.caption import Caption, Phrase
from negmine.language.lexicon import Lexicon, packaged_lexicon
from negmine.language.rewordings import SameWords, packaged_rewordings
from negmine.language.vocabulary import Vocabulary, packaged_vocabulary


@dataclass(frozen=True)
class Words:
    """Everything rules and guards know about words."""

    vocabulary: Vocabulary
    lexicon: Lexicon
    same: SameWords

    @classmethod
    def packaged(cls) -> Words:
        return cls(packaged_vocabulary(), packaged_lexicon(), packaged_rewordings())


class Rewording(NamedTuple):
    """A way to say a caption otherwise, before the guards looked at it.

    Attributes:
        edits: what becomes of the text.
        touched: tokens that are dropped, moved or replaced.
        flow: what is taken out and what is put in, where another rewording goes back; empty where none can.
    """

    edits: tuple[Edit, ...]
    touched: range
    flow: tuple[str, str] | tuple[()] = ()


def ending_before(caption: Caption, token: int) -> Phrase | None:
    """The phrase that ends right before a token, blanks aside."""
    last = token - 1
    while last >= 0 and caption.tokens[last].tag == "_SP":
        last -= 1
    return next((phrase for phrase in caption.phrases if phrase.whole == last), None)


def last_word(caption: Caption) -> int:
    """The last token that is a word."""
    return max((i for i, token in enumerate(caption.tokens) if token.text[0].isalnum()), default=-1)


def is_one_sentence(caption: Caption) -> bool:
    """Whether nothing but the end is a full stop."""
    end = last_word(caption)
    return end >= 0 and not any(token.text in (".", "!", "?", ";", ":") for token in caption.tokens[:end])
