"""Captions as sets of words, concepts and claims, and how much of them two captions share or one tells of another.

Sets are made once a pair and kept beside the features, as numbers (hashes of 30 bits). ``words`` need no parser; the
others are read off a parse by the analysis that `negmine parse` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from negmine.base.arrays import Floats, Mask, Places, Starts
from negmine.base.hashing import hash64

if TYPE_CHECKING:
    from negmine.language.caption import Caption

LEVELS: Final = ("objects", "attributes", "relations", "numbers")
GROUNDS: Final = ("claims", "given", "weight")
"""The grounds of `evidence` side by side: lists of one length; a weight is negative where what is given must hold."""

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "words": ("words",),
    "concepts": ("concepts", "implied"),
    "structure": LEVELS,
    "entailment": ("told", "claims", "contrary"),
    "evidence": ("told", "covered", *GROUNDS),
}
"""What a filter asks for, and the sets that takes."""

OF_IMAGES: Final = ("told", "covered")
"""The sets that belong to an image, not to one caption of it."""

_CONTENT: Final = frozenset({"NOUN", "PROPN", "VERB", "ADJ", "NUM", "ADP"})


def normalised(caption: str) -> str:
    """Letters and digits only, without case: what a caption says, whatever its punctuation."""
    return " ".join("".join(c if c.isalnum() else " " for c in caption.casefold()).split())


def plain_sets(captions: Sequence[str]) -> dict[str, list[list[int]]]:
    """``words`` of each caption."""
    return {"words": [_numbers(normalised(caption).split()) for caption in captions]}


def parsed_sets(captions: Sequence[str]) -> dict[str, list[list[int]]]:
    """``concepts``, ``implied``, the four levels of structure, what it tells and claims, and what would speak against
    it, of each caption.

    Raises:
        UsageError: the spaCy model is missing.
    """
    parse = _parser()
    parsed = parse(dict.fromkeys(captions))
    sets = {text: _sets_of(caption) for text, caption in parsed.items()}
    return {
        name: [sets[text][name] for text in captions]
        for kind, names in COLUMNS.items()
        if kind != "words"
        for name in names
    }


@cache
def _parser() -> Callable[[Iterable[str]], Mapping[str, Caption]]:
    """The parser of `negmine parse`, loaded once a process."""
    from negmine.language.analyse import load_model, parse
    from negmine.language.vocabulary import packaged_vocabulary

    model, vocabulary = load_model(None), packaged_vocabulary()
    return lambda captions: parse(model, captions, vocabulary)


def _sets_of(caption: Caption) -> dict[str, list[int]]:
    """The sets of one `negmine.language.caption.Caption`."""
    from negmine.language.caption import NO
    from negmine.language.lexicon import packaged_lexicon
    from negmine.stages.neighbours.entailment import said
    from negmine.stages.neighbours.evidence import covered, grounds, weight_of

    lexicon, what = packaged_lexicon(), said(caption)
    against = grounds(caption, what)
    phrases, tokens = caption.phrases, caption.tokens
    concepts = {t.lemma for t in tokens if t.pos in _CONTENT} | {phrase.name for phrase in phrases}
    nouns = {t.lemma for t in tokens if t.pos == "NOUN"} | {phrase.name for phrase in phrases}
    synonyms = (lexicon.entry(word, pos).synonyms for word in concepts for pos in "nva")
    relations = {
        (phrases[r.subject].name if r.subject != NO else "", r.name, phrases[r.object].name) for r in caption.relations
    }
    return {
        "concepts": _numbers(concepts),
        "implied": _numbers(concepts.union(*map(lexicon.implied, nouns), *synonyms)),
        "objects": _numbers(phrase.name for phrase in phrases),
        "attributes": _numbers(
            f"{tokens[i].text.lower()} {phrase.name}" for phrase in phrases for i in phrase.attributes
        ),
        "relations": _numbers(map(" ".join, relations)),
        "numbers": _numbers(
            f"{tokens[phrase.numeral].text.lower()} {phrase.name}" for phrase in phrases if phrase.numeral != NO
        ),
        "told": _numbers(what.told),
        "contrary": _numbers(what.contrary),
        "covered": _numbers(covered(caption, what)),
        "claims": [_number(ground.claim) for ground in against],
        "given": [_number(ground.given) for ground in against],
        "weight": [-weight_of(ground) if ground.holds else weight_of(ground) for ground in against],
    }


def _numbers(words: Iterable[str]) -> list[int]:
    """A set of words as ascending numbers."""
    return sorted(set(map(_number, words)))


def _number(word: str) -> int:
    return hash64(word) >> 34


def to_columns(sets: dict[str, list[list[int]]]) -> pa.Table:
    """Sets as a table with a list column for each name."""
    return pa.table({name: pa.array(rows, pa.list_(pa.int32())) for name, rows in sets.items()})


@dataclass(frozen=True)
class Sets:
    """One set for each of n captions: those of caption i are ``values[starts[i]:starts[i + 1]]``, ascending."""

    values: Places
    starts: Starts

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Sets:
        """The sets in a list column."""
        lists = column.combine_chunks()
        return cls(lists.flatten().to_numpy(), np.concatenate([[0], np.cumsum(lists.value_lengths().to_numpy())]))

    def take(self, places: Places) -> Sets:
        """The sets of some captions, [m], in that order."""
        sizes = (self.starts[1:] - self.starts[:-1])[places]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
        return Sets(self.values[np.repeat(self.starts[:-1][places], sizes) + within], starts)

    @property
    def sizes(self) -> Places:
        return np.diff(self.starts)


def shared(one: Sets, other: Sets) -> Places:
    """[n] how many elements set i of one and set i of the other have in common."""
    from scipy.sparse import csr_array

    matrices = [
        csr_array((np.ones(len(sets.values), dtype=np.int32), sets.values, sets.starts), shape=(len(sets.sizes), 2**30))
        for sets in (one, other)
    ]
    return np.asarray(matrices[0].multiply(matrices[1]).sum(axis=1)).ravel()


def is_in(these: Sets, whole: Sets, which: Places) -> Mask:
    """For each element of set i whether it is in set ``which[i]`` of the others."""
    known = np.repeat(np.arange(len(whole.sizes)) << 30, whole.sizes) | whole.values
    asked = np.repeat(which << 30, these.sizes) | these.values
    at = np.searchsorted(known, asked)
    hits = at < len(known)
    hits[hits] = known[at[hits]] == asked[hits]
    return np.asarray(hits)


def found_in(these: Sets, whole: Sets, which: Places) -> Places:
    """[n] how many elements of set i are in set ``which[i]`` of the others."""
    return _sums(these, is_in(these, whole, which))


def _sums(sets: Sets, of_elements: Mask | Places) -> Places:
    """[n] sum over the elements of each set."""
    whole = np.concatenate([[0], np.cumsum(of_elements, dtype=np.int64)])
    return np.asarray(whole[sets.starts[1:]] - whole[sets.starts[:-1]])


@dataclass(frozen=True)
class Texts:
    """The captions of Q queries and of their candidates, as sets.

    Attributes:
        own: name of a kind of set to the queries' [Q].
        theirs: the same for candidates, [Q x C] in one row.
        shape: (Q, C).
    """

    own: Callable[[str], Sets]
    theirs: Callable[[str], Sets]
    shape: tuple[int, int]

    def common(self, mine: str, other: str) -> tuple[Places, Places, Places]:
        """[Q, C] elements in common, those of the query's set, those of the candidate's."""
        queries, width = self.shape
        own, theirs = self.own(mine).take(np.repeat(np.arange(queries), width)), self.theirs(other)
        both, own_sizes, their_sizes = (
            number.reshape(self.shape) for number in (shared(own, theirs), own.sizes, theirs.sizes)
        )
        return both, own_sizes, their_sizes

    def jaccard(self, name: str) -> Floats:
        """[Q, C] elements in common over elements of both; 0 where both are empty."""
        both, mine, theirs = self.common(name, name)
        return np.asarray(both / np.maximum(mine + theirs - both, 1))

    def implied(self) -> Mask:
        """[Q, C] whether all concepts of the candidate's caption follow from the query's."""
        both, _, theirs = self.common("implied", "concepts")
        return np.asarray((both == theirs) & (theirs > 0))

    def entailed(self, missing: int) -> Mask:
        """[Q, C] whether all that the candidate's caption claims, but so much, is told of the query's image, and
        nothing is that is contrary to it."""
        queries, width = self.shape
        told, which = self.own("told"), np.repeat(np.arange(queries), width)
        claims, contrary = self.theirs("claims"), self.theirs("contrary")
        follows = claims.sizes - found_in(claims, told, which) <= missing
        entailed = follows & (claims.sizes > missing) & (found_in(contrary, told, which) == 0)
        return np.asarray(entailed).reshape(self.shape)

    def evidence(self, captions: Places) -> Floats:
        """[Q, C] what speaks against the candidate's caption being true of the query's image, in nats.

        Args:
            captions: [Q] how many captions the query's image has.
        """
        from negmine.stages.neighbours.evidence import UNIT

        queries, width = self.shape
        which = np.repeat(np.arange(queries), width)
        told, covered = self.own("told"), self.own("covered")
        claims, given, weight = (self.theirs(name) for name in GROUNDS)
        applies = np.where(weight.values < 0, is_in(given, told, which), ~is_in(given, covered, which))
        silent = ~is_in(claims, told, which) & ~is_in(claims, covered, which)
        left_out = _sums(weight, np.abs(weight.values) * (applies & silent)).reshape(self.shape)
        return np.asarray(left_out / UNIT * np.sqrt(captions)[:, None])

    def structure(self) -> Floats:
        """[Q, C] mean over the levels that either caption has of the elements in common over those of both."""
        total, levels = np.zeros(self.shape), np.zeros(self.shape)
        for name in LEVELS:
            both, mine, theirs = self.common(name, name)
            either = mine + theirs - both
            total += np.where(either, both / np.maximum(either, 1), 0)
            levels += either > 0
        return total / np.maximum(levels, 1)
