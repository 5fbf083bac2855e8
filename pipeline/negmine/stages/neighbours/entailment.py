"""Whether a caption follows from what is said of an image: as sets, so that thousands of candidates are asked at once.

Of a candidate's caption *claims* must all be told, and nothing told may be *contrary* to it. What is told is all that
the captions of one image say together, closed under synonyms, hypernyms and what captions use for one another (*girl*
and *woman*, *street* and *road*): a more general caption is true. A claim is

- a thing by its noun, ``n street``, and its number where it is not one: ``n giraffe=2``, ``n plane=+`` for several;
- a visible attribute of a thing, ``a red bus``;
- what is done, ``v ride``.

Contrary are the opposite of an attribute that speakers leave out (*small* to *large*), another posture, and a place
that excludes the one that is told (*under the table* to *on the table*). Opinions, measures and what is usual (*a
wooden table*) claim nothing. What is denied or left open (*no dog*, *a cat or a dog on a couch*) is not read: the rest
is claimed, and `UNREAD`, which nothing tells.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Final, NamedTuple

from negmine.language.caption import NO, Caption, Phrase, Token
from negmine.language.lexicon import PLURAL_OF, Lexicon, packaged_lexicon
from negmine.language.vocabulary import NONE, Vocabulary, packaged_vocabulary

_BREATHING: Final = frozenset({"person", "animal"})
_KINDS: Final = frozenset({"person", "animal", "plant", "food"})
"""Classes of the lexicon that are words of captions too."""

_SEVERAL: Final = "+"

UNREAD: Final = "?"
"""The claim of a caption that says more than is read: it follows from nothing."""


class Said(NamedTuple):
    """What a caption says, as words of the module's little language.

    Attributes:
        told: what it makes true of its image.
        claims: what must be told of another image for it to be true of that.
        contrary: what must not.
    """

    told: frozenset[str]
    claims: frozenset[str]
    contrary: frozenset[str]


def follows(claims: frozenset[str], contrary: frozenset[str], told: frozenset[str]) -> bool:
    """Whether a caption of these claims follows from what is told; one that claims nothing does not."""
    return bool(claims) and claims <= told and contrary.isdisjoint(told)


def said(caption: Caption) -> Said:
    """What a caption tells of its image, and what it claims of any."""
    return _reader().said(caption)


def known_by(noun: str) -> frozenset[str]:
    """The nouns that are true of an image that shows it, itself among them."""
    return _reader().known_by(noun)


@cache
def _reader() -> _Reader:
    text = resources.files("negmine.stages.neighbours").joinpath("entailment.toml").read_text("utf-8")
    return _Reader(packaged_vocabulary(), packaged_lexicon(), tomllib.loads(text))


def _groups(lines: Iterable[str], *, both: bool) -> Mapping[str, frozenset[str]]:
    """Word to the others of its lines; those of the first word alone, unless `both`."""
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        first, *others = line.split()
        for word in (first, *others) if both else (first,):
            found[word] = found.get(word, NONE) | {first, *others}
    return found


@dataclass
class _Reader:
    """The tables of ``entailment.toml``, with the vocabulary and the lexicon."""

    vocabulary: Vocabulary
    lexicon: Lexicon
    tables: Mapping[str, Sequence[str]]
    _nouns: dict[str, frozenset[str]] = field(default_factory=dict)
    _verbs: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = self.tables
        self._same, self._tells = _groups(tables["same"], both=False), _groups(tables["tells"], both=False)
        self._does = _groups(tables["does"], both=False)
        self._idle, self._nothing = frozenset(tables["idle"]), frozenset(tables["nothing"])
        self._postures, self._left_out = frozenset(tables["postures"]), frozenset(tables["left_out"])
        self._many, self._alone = frozenset(tables["many"]), frozenset(tables["alone"])
        self._usual, self._either = _groups(tables["usual"], both=False), frozenset(tables["either_number"])
        self._sports = frozenset(tables["sports"])
        self._stands_for = dict(line.split() for line in tables["stands_for"])

    def said(self, caption: Caption) -> Said:
        if not caption.parsed:
            return Said(NONE, NONE, NONE)
        told, claims, contrary = set[str](), set[str](), set[str]()
        for phrase in caption.phrases:
            read = claims if caption.scopes.isdisjoint(range(phrase.unit, phrase.head + 1)) else set[str]()
            self._thing(caption, phrase, told, read, contrary)
            for attribute in phrase.attributes:
                kept = set[str]() if attribute in caption.scopes else read
                self._attribute(caption.tokens[attribute], phrase, told, kept, contrary)
        self._loose(caption, told, claims)
        self._actions(caption, told, claims, contrary)
        self._together(caption, told)
        self._places(caption, told, contrary)
        if caption.scopes:
            claims.add(UNREAD)
        return Said(frozenset(told), frozenset(claims), frozenset(contrary))

    # --- things ---

    def _thing(self, caption: Caption, phrase: Phrase, told: set[str], claims: set[str], contrary: set[str]) -> None:
        names = self._parts(caption, phrase)
        known = NONE.union(*map(self.known_by, names))
        told.update(f"n {word}" for word in known)
        doing = NONE.union(*(self._tells.get(name, NONE) for name in names))  # a skier skis
        told.update(f"v {other}" for word in doing for other in self._done_by(word))
        number, (*modifiers, head) = self._number(caption, phrase), names
        where = self.vocabulary.scenes  # a city bus is a bus
        claims.update(f"n {name}" for name in modifiers if name not in self._nothing and name not in where)
        if head not in self._nothing:
            claims.add(f"n {head}")
        if number == 1:
            before = {token.text.lower() for token in caption.tokens[phrase.first : phrase.unit]}
            if not before.isdisjoint(self._alone):
                contrary.add(f"n {head}={_SEVERAL}")
            return
        several = self.known_by(head)
        told.update(f"n {word}={_SEVERAL}" for word in several)
        if number:
            told.update(f"n {word}={number}" for word in several)
        counted = caption.scopes.isdisjoint(range(phrase.first, phrase.unit))
        if head in self._nothing | self._either or not counted:
            return
        claims.add(f"n {head}={number or _SEVERAL}")
        if not number and not self._many.isdisjoint(self._measures(caption, phrase)):
            contrary.add(f"n {head}=2")

    def _parts(self, caption: Caption, phrase: Phrase) -> list[str]:
        """The nouns of a phrase, the head last: compounds whose last word does not say what they are stay whole."""
        words = [t.lemma if t.pos == "NOUN" else t.text.lower() for t in caption.tokens[phrase.unit : phrase.head + 1]]
        words = [PLURAL_OF.get(word, word) for word in words if word[0].isalnum()] or [phrase.name]
        for size in range(min(len(words), 3), 1, -1):
            if (whole := self._whole(words[-size:])) is not None:
                return [*words[:-size], whole]
        return words

    def _whole(self, words: Sequence[str]) -> str | None:
        """What several words name together, by its commonest name; None where each says its own."""
        name, last, entry = " ".join(words), words[-1], self.lexicon.entry(" ".join(words))
        if self.lexicon.knows(joined := "".join(words)):
            return joined
        if words[0] in self._sports or last in entry.hypernyms | entry.synonyms:
            return None
        concepts = self._concepts(name)
        if concepts:
            return None if concepts & self._concepts(last) else min(concepts)
        return name if entry.classes or tuple(words) in self.vocabulary.units else None

    def known_by(self, noun: str) -> frozenset[str]:
        """What is there where a noun is."""
        found = self._nouns.get(noun)
        if found is None:
            own = self.lexicon.implied(noun) | {noun}.union(*(self._named(word) for word in self._aliases(noun)))
            kind = self.lexicon.broad_class(noun)
            if kind == "animal":  # a sheep is no timid person
                own = frozenset(word for word in own if self.lexicon.broad_class(word) != "person")
            found = self._nouns[noun] = own | ({kind} & _KINDS)  # WordNet's hypernyms are kept for a few steps only
        return found

    def _aliases(self, noun: str) -> frozenset[str]:
        """The noun, its last word, and the commonest names of what they name."""
        last = noun.rsplit(" ", 1)[-1]
        return frozenset({noun, last}) | self._concepts(noun) | self._concepts(last)

    def _concepts(self, noun: str) -> frozenset[str]:
        return frozenset(p.concept for table in self.vocabulary.nouns.values() for p in table.get(noun, ()))

    def _named(self, noun: str) -> frozenset[str]:
        return self._same.get(noun, NONE) | self._tells.get(noun, NONE) | {noun}

    def _number(self, caption: Caption, phrase: Phrase) -> int | None:
        """1 for a singular, its number if that is said, None for several."""
        numeral = self.vocabulary.number(caption.tokens[phrase.numeral].text.lower()) if phrase.numeral != NO else None
        if numeral is not None:
            return numeral
        if not phrase.plural and phrase.name != "people":
            return 1
        return 2 if not {"couple", "pair", "both"}.isdisjoint(self._measures(caption, phrase)) else None

    def _measures(self, caption: Caption, phrase: Phrase) -> frozenset[str]:
        """Words that say how many: those before the noun, and the measure of which it is the whole."""
        before = frozenset(token.lemma for token in caption.tokens[phrase.first : phrase.unit])
        return before | {other.name for other in caption.phrases if other.whole == phrase.head != other.head}

    def _together(self, caption: Caption, told: set[str]) -> None:
        """A bus behind a car: several vehicles. A man and a woman are two people."""
        for pair in combinations(caption.phrases, 2):
            if pair[0].name == pair[1].name:
                continue
            both = frozenset.intersection(*(self.known_by(self._parts(caption, phrase)[-1]) for phrase in pair))
            told.update(f"n {word}={_SEVERAL}" for word in both)
            one, other = (phrase.head for phrase in pair)
            if caption.are_conjuncts(one, other) and all(self._number(caption, phrase) == 1 for phrase in pair):
                told.update(f"n {word}=2" for word in both)

    # --- what they are like ---

    def _attribute(self, token: Token, phrase: Phrase, told: set[str], claims: set[str], contrary: set[str]) -> None:
        word, noun = token.text.lower(), phrase.name.rsplit(" ", 1)[-1]
        if word in self._stands_for:
            told.add(f"n {self._stands_for[word]}")
            claims.add(f"n {self._stands_for[word]}")
            return
        value = self.vocabulary.value_of(word)
        if value is None:
            if token.pos == "VERB":
                told.update(f"v {verb}" for verb in self._done_by(token.lemma))
                if token.lemma not in self._idle:
                    claims.add(f"v {token.lemma}")
            return
        same = self.vocabulary.attribute_signs[value.name] | {value.name, word}
        told.update(f"a {one} {thing}" for one in same for thing in self.known_by(noun))
        dimension = self.vocabulary.dimensions[value.dimension]
        if dimension.is_usual(value.name, noun) or noun in self._usual.get(word, NONE):
            return
        if value.dimension not in self._left_out:
            claims.add(f"a {value.name} {noun}")
        else:
            contrary.update(f"a {other} {noun}" for other in value.others if other not in same)

    def _loose(self, caption: Caption, told: set[str], claims: set[str]) -> None:
        """Nouns that are in no phrase, and attributes after *is*."""
        inside = {i for phrase in caption.phrases for i in range(phrase.unit, phrase.head + 1)}
        for i, token in enumerate(caption.tokens):
            if token.pos == "NOUN" and i not in inside:
                told.update(f"n {word}" for word in self.known_by(token.lemma))
                if token.lemma not in self._nothing and i not in caption.scopes:
                    claims.add(f"n {token.lemma}")

    # --- what they do ---

    def _actions(self, caption: Caption, told: set[str], claims: set[str], contrary: set[str]) -> None:
        described = {attribute for phrase in caption.phrases for attribute in phrase.attributes}
        for i, token in enumerate(caption.tokens):
            if token.pos != "VERB" or i in described:
                continue
            verb = token.lemma
            told.update(f"v {other}" for other in self._done_by(verb))
            told.update(f"n {other}" for other in self._tells.get(verb, NONE))
            breathes = self._breathes(caption, i)
            if verb in self._postures and not breathes:
                continue
            if verb in self._postures:
                contrary.update(f"p {other}" for other in self._postures - {verb})
            if breathes:
                told.update(f"p {other}" for other in self._postures & {verb})
            if verb not in self._idle and i not in caption.scopes:
                claims.add(f"v {verb}")

    def _breathes(self, caption: Caption, verb: int) -> bool:
        from negmine.language.analyse import subject_of

        subject = subject_of(caption, verb)
        return subject != NO and self.lexicon.broad_class(caption.phrases[subject].name) in _BREATHING

    def _done_by(self, verb: str) -> frozenset[str]:
        found = self._verbs.get(verb)
        if found is None:
            found = self._verbs[verb] = frozenset({verb}) | self._does.get(verb, NONE) | self._tells.get(verb, NONE)
        return found

    # --- where they are ---

    def _places(self, caption: Caption, told: set[str], contrary: set[str]) -> None:
        for relation in caption.relations:
            if relation.verb or relation.subject == NO:
                continue
            subject, item = (caption.phrases[n].name for n in (relation.subject, relation.object))
            kind, near = self.lexicon.broad_class(subject), self.vocabulary.near.get(relation.name, NONE)
            told.update(f"{relation.name} {word} {kind}" for word in self.known_by(item))
            contrary.update(
                f"{other} {item} {kind}"
                for several in self.vocabulary.contraries.get(relation.name, ())
                for other in several.to
                if other not in near
            )
