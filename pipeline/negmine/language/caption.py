"""A parsed caption: what the rules work on. Plain tuples, cheap to make, to pickle and to look into; no spaCy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from negmine.language.capitals import Capitals, capitals_of

NO: Final = -1
"""The index of nothing."""

AGENT: Final = "by (agent)"
"""Name of the relation between a passive's subject and its agent."""


class Token(NamedTuple):
    """A token. ``start`` and ``end`` are character offsets; ``head`` is a token index, its own for a root."""

    text: str
    start: int
    end: int
    tag: str
    pos: str
    dep: str
    head: int
    lemma: str


class Phrase(NamedTuple):
    """A base noun phrase. All fields but `name` and `plural` are token indices; `NO` where there is none.

    Attributes:
        first: its first token.
        unit: first token of the noun with its compounds; the unit ends with the head and is never cut.
        head: the noun, and the phrase's last token.
        determiner: article, demonstrative, possessive or quantifier.
        numeral: a cardinal number that counts the noun.
        attributes: adjectives and participles before the noun.
        name: lemma of the unit, lower-case.
        plural: grammatical number.
        whole: last token of the phrase with what it measures ("a group" of "people": the people).
    """

    first: int
    unit: int
    head: int
    determiner: int
    numeral: int
    attributes: tuple[int, ...]
    name: str
    plural: bool
    whole: int


class Relation(NamedTuple):
    """A preposition (also of several words) or a verb between two phrases.

    Attributes:
        first: its first token; last: its last token.
        name: the preposition, or the verb's lemma; lower-case.
        subject: phrase index, `NO` where it is not known.
        object: phrase index.
        verb: whether a verb relates the two; a passive's agent is the subject of no verb but of "by".
    """

    first: int
    last: int
    name: str
    subject: int
    object: int
    verb: bool


@dataclass(frozen=True)
class Caption:
    """A caption with what the parser found in it.

    Attributes:
        phrases: in order.
        relations: in order of their first token.
        conjuncts: pairs of token indices that one conjunction joins, every pair of a list; first before second.
        bound: tokens inside a listed multi-word unit, never edited alone.
        scopes: tokens whose exchange may leave the caption true, see `negmine.language.scope`.
        parsed: false for a text in which no rule should look, such as one in another script.
    """

    text: str
    tokens: tuple[Token, ...]
    phrases: tuple[Phrase, ...]
    relations: tuple[Relation, ...]
    conjuncts: frozenset[tuple[int, int]]
    bound: frozenset[int] = frozenset()
    scopes: frozenset[int] = frozenset()
    parsed: bool = True

    @cached_property
    def words(self) -> frozenset[str]:
        """Lower-case words and lemmas, and the names of the multi-word units."""
        found = {token.lemma for token in self.tokens}
        found.update(token.text.lower() for token in self.tokens)
        found.update(phrase.name for phrase in self.phrases)
        return frozenset(found)

    @cached_property
    def capitals(self) -> Capitals:
        """Which of its words have capitals."""
        return capitals_of(self.text)

    @cached_property
    def phrase_of(self) -> dict[int, int]:
        """Head's token index to phrase index."""
        return {phrase.head: index for index, phrase in enumerate(self.phrases)}

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Dependents of each token, in order."""
        found: list[list[int]] = [[] for _ in self.tokens]
        for index, token in enumerate(self.tokens):
            if token.head != index:
                found[token.head].append(index)
        return tuple(map(tuple, found))

    def span(self, first: int, last: int) -> str:
        """The text from one token to another, both included."""
        return self.text[self.tokens[first].start : self.tokens[last].end]

    def is_loose(self, first: int, last: int) -> bool:
        """Whether tokens are words of their own: not joined to a neighbour by a hyphen, a slash or an apostrophe."""
        start, end = self.tokens[first].start, self.tokens[last].end
        before, after = self.text[start - 1 : start], self.text[end : end + 1]
        if before and (before.isalnum() or before in "-–_/'’&"):
            return False
        if after in ("'", "’"):
            return self.text[end + 1 : end + 3].lower().strip() == "s"
        return not after or not (after.isalnum() or after in "-–_/&")

    def starts_sentence(self, index: int) -> bool:
        """Whether a token stands where a sentence begins."""
        previous = index - 1
        while previous >= 0 and not self.tokens[previous].text[0].isalnum():
            if self.tokens[previous].text in (".", "!", "?"):
                return True
            previous -= 1
        return previous < 0

    def are_conjuncts(self, one: int, other: int) -> bool:
        """Whether a conjunction joins two tokens."""
        return (min(one, other), max(one, other)) in self.conjuncts


def unparsed(text: str) -> Caption:
    """A caption that no rule looks into."""
    return Caption(text, (), (), (), frozenset(), parsed=False)
