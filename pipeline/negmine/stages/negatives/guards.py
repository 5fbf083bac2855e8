"""Guards: small pure functions, each refusing one way in which a negative goes wrong. The name is the reason counted.

`SWAP_GUARDS` and `REPLACEMENT_GUARDS` look at what a rule wants to do, `TEXT_GUARDS` and `beyond_context` at the text
that comes of it. A guard returns whether it refuses. The first that does is the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from negmine.language.caption import AGENT, NO, Caption, Phrase, Relation
from negmine.language.lexicon import ADJECTIVE, NOUN, Lexicon
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Level, Proposal, Swap, Words
from negmine.stages.negatives.roles import are_alike

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

_SINGULAR_PRONOUNS: Final = frozenset(
    {"he", "she", "him", "her", "his", "hers", "its", "it", "himself", "herself", "itself"}
)
_GENDERED: Final = _SINGULAR_PRONOUNS - {"its", "it", "itself"}
_REFLEXIVES: Final = frozenset({"himself", "herself", "itself", "themselves", "each", "both"})
_RECIPROCALS: Final = frozenset({"each", "other", "another", "together", "both", "they", "their", "themselves", "one"})
_PRONOUNS: Final = _SINGULAR_PRONOUNS | _RECIPROCALS
_ONE: Final = frozenset({"one", "1"})
_SINGLE: Final = _ONE | {"a"}
_OTHER: Final = frozenset({"another", "other", "same"})
_SPATIAL: Final = frozenset({"next to", "near", "beside", "alongside", "close to", "with", "opposite", "across from"})
_AWAY: Final = "away from"
_RESTING: Final = frozenset({"be", "stand", "sit", "lie", "lay", "park", "place", "locate", "position", "rest", "wait"})
_LOOKS: Final = frozenset({"colour", "material", "pattern"})
_USUAL: Final = frozenset({"black", "white", "brown", "gray"})
"""Colours that an unmentioned one may well be."""
_ANIMATE: Final = frozenset({"person", "animal"})
_STOPS: Final = frozenset({".", ";", "!", "?"})
CONTEXT: Final = 75
"""Tokens of a text that CLIP reads, between the marks of its start and end; a token has at least one character."""

_PIECE: Final = re.compile(r"[^\W\d_]{1,3}|\d|[^\w\s]|_")
"""Pieces of at most three letters: more than tokens in any English text, so that few captions need the tokenizer."""

_MERELY_TEXT: Final = re.compile(r"[\W_]+")


class Evidence(NamedTuple):
    """What another caption of the same image says, or several.

    Attributes:
        words: its words and lemmas.
        implied: these, and the synonyms and hypernyms of its nouns: all that is true if it is.
        claims: (modifier or preposition, noun) and (subject, relation, object).
        texts: normalised.
    """

    words: Set[str] = NONE
    implied: Set[str] = NONE
    claims: Set[tuple[str, ...]] = frozenset()
    texts: Set[str] = NONE


def together(evidence: Iterable[Evidence]) -> Evidence:
    """What all of these say."""
    return Evidence(*(frozenset().union(*sets) for sets in zip(*evidence, strict=True)))


class Case(NamedTuple):
    """What the proposals of a caption are judged by.

    Attributes:
        text: the caption's, normalised.
        siblings: what the other captions of the image say.
        said: all words that the caption says, or that these say or imply.
    """

    caption: Caption
    text: str
    siblings: Evidence
    said: Set[str]
    words: Words


def normalised(text: str) -> str:
    """A text as a tokenizer that ignores case and spacing sees it."""
    return _MERELY_TEXT.sub(" ", text.lower()).strip()


def case_of(caption: Caption, siblings: Evidence, words: Words) -> Case:
    """The case of a caption, given what the other captions of its image say."""
    return Case(caption, normalised(caption.text), siblings, siblings.implied | caption.words, words)


def evidence(caption: Caption, words: Words) -> Evidence:
    """What a caption says of its image."""
    nouns = {p.name for p in caption.phrases} | {t.lemma for t in caption.tokens if t.pos == "NOUN"}
    implied = caption.words.union(*map(words.lexicon.implied, nouns))
    phrases = caption.phrases
    claims: set[tuple[str, ...]] = {
        (caption.tokens[i].text.lower(), phrase.name) for phrase in phrases for i in phrase.attributes
    }
    for phrase in phrases:
        number = _stated_number(caption, phrase, words)
        if number:
            claims.add((words.vocabulary.counts[number][0], phrase.name))
    for relation in caption.relations:
        item = phrases[relation.object].name
        claims.add((relation.name, item))
        if relation.subject != NO:
            claims.add((phrases[relation.subject].name, relation.name, item))
    return Evidence(caption.words, implied, frozenset(claims), frozenset({normalised(caption.text)}))


# --- of proposals ----------------------------------------------------------------------------------------------------


def in_scope(proposal: Proposal, case: Case) -> bool:
    """A change of what is denied, counted with a bound, or left open: "no dog", "at least two", "a cat or a dog"."""
    scopes = case.caption.scopes
    return bool(scopes) and any(not scopes.isdisjoint(range(c.first, c.last + 1)) for c in proposal.changes)


def alike_sides(proposal: Proposal, case: Case) -> bool:
    """A change of what lies between two things that are called the same: of "a man behind a man", one is in front."""
    caption, change = case.caption, proposal.changes[0]
    before = [phrase for phrase in caption.phrases if phrase.whole < change.first][-2:]
    after = [phrase for phrase in caption.phrases if phrase.first > change.last][:1]
    return any(_called(caption, one) == _called(caption, other) for one in before for other in after) and not any(
        token.text in _STOPS for token in caption.tokens[before[-1].whole : after[0].first]
    )


def _called(caption: Caption, phrase: Phrase) -> tuple[bool, tuple[str, ...]]:
    """Number of a phrase, and its words without the article."""
    words = (token.text.lower() for token in caption.tokens[phrase.first : phrase.whole + 1])
    return phrase.numeral != NO, tuple(word for word in words if word not in ("a", "an", "the", "another"))


def coordination(proposal: Proposal, case: Case) -> bool:
    """Conjuncts exchanged, or one pulled out of its list (C9).

    The nouns alone may be exchanged where numerals or attributes tell the conjuncts apart, and attributes of two
    conjuncts, unless they are a list themselves ("a red, white and black bus").
    """
    swap, caption = proposal.swap, case.caption
    if swap is None:
        return False
    if swap.level is Level.ATTRIBUTE:
        first, second = sorted(proposal.focus)
        return all(token.pos not in ("NOUN", "PROPN") for token in caption.tokens[first:second])
    one, other = caption.phrases[swap.one], caption.phrases[swap.other]
    if caption.are_conjuncts(one.head, other.head) or _only_joined(caption, one.head, other.head):
        listed = any(token.text == "," for token in caption.tokens[one.head : other.head])
        return listed or swap.level is Level.PHRASE or not _told_apart(case, one, other)
    return any(head in pair for head in (one.head, other.head) for pair in caption.conjuncts)


def _told_apart(case: Case, one: Phrase, other: Phrase) -> bool:
    """Whether two numbers, or how two things look, tell them apart: neither is likely to look as the other is said to.

    What stands before a bare second noun may go with both ("a gray shirt and tie").
    """
    if other.first == other.unit:
        return False
    vocabulary = case.words.vocabulary
    numbers = [_stated_number(case.caption, phrase, case.words) for phrase in (one, other)]
    if 0 not in numbers and numbers[0] != numbers[1]:
        return True
    looks = [_looks(case, phrase) for phrase in (one, other)]
    told = [value for values in looks for value in values]
    if all(looks):
        return looks[0].isdisjoint(looks[1])
    return bool(told) and not any(
        value in _USUAL or vocabulary.dimensions[vocabulary.attributes[value][0].dimension].is_usual(value, phrase.name)
        for value in told
        for phrase in (one, other)
    )


def _stated_number(caption: Caption, phrase: Phrase, words: Words) -> int:
    """How many things a phrase says there are, 0 where it does not."""
    if phrase.numeral != NO:
        return words.vocabulary.number(caption.tokens[phrase.numeral].text.lower()) or 0
    return int(phrase.determiner != NO and caption.tokens[phrase.determiner].text.lower() in ("a", "an"))


def _looks(case: Case, phrase: Phrase) -> set[str]:
    """The values of looks that a phrase is said to have."""
    values = (case.words.vocabulary.value_of(case.caption.tokens[i].text.lower()) for i in phrase.attributes)
    return {value.name for value in values if value is not None and value.dimension in _LOOKS}


def _only_joined(caption: Caption, one: int, other: int) -> bool:
    """Whether nothing but the words of a list lies between two nouns, whatever the parser made of it."""
    between = caption.tokens[one + 1 : other]
    return any(t.tag == "CC" or t.text == "," for t in between) and not any(
        t.pos in ("VERB", "ADP") or t.tag in ("IN", "TO", "VBG") for t in between
    )


def symmetric(proposal: Proposal, case: Case) -> bool:
    """The two sides of a relation that holds both ways: "a dog next to a cat" (C10)."""
    swap, caption = proposal.swap, case.caption
    if swap is None or swap.level is Level.ATTRIBUTE:
        return False
    one, other = caption.phrases[swap.one], caption.phrases[swap.other]
    ties = [r for r in caption.relations if {r.subject, r.object} == {swap.one, swap.other}]
    if not ties:
        between = caption.tokens[one.whole + 1 : other.first]
        is_near = all(token.pos not in ("NOUN", "PROPN") and token.tag != "CC" for token in between)
        return is_near and _ends_symmetric([t.text.lower() for t in between], case.words.vocabulary.symmetric)
    nouns_tell = swap.level is Level.NOUN and _told_apart(case, one, other) and _are_alike(case, one, other)
    return any(_holds_both_ways(tie, case) and not (nouns_tell and tie.name in _SPATIAL) for tie in ties)


def _are_alike(case: Case, one: Phrase, other: Phrase) -> bool:
    return are_alike(case.words.role(one.name), case.words.role(other.name))


def _ends_symmetric(words: Sequence[str], symmetric: frozenset[str]) -> bool:
    """Whether words end in a relation that holds both ways."""
    return any(" ".join(words[start:]) in symmetric for start in range(len(words)))


def _holds_both_ways(relation: Relation, case: Case) -> bool:
    if relation.name == AGENT:
        item = case.caption.phrases[relation.object].name
        return case.words.lexicon.broad_class(item) not in _ANIMATE
    if relation.name == _AWAY and not _is_at_rest(case.caption, relation):
        return False
    vocabulary = case.words.vocabulary
    return relation.name in (vocabulary.symmetric_verbs if relation.verb else vocabulary.symmetric)


def _is_at_rest(caption: Caption, relation: Relation) -> bool:
    """Whether a relation tells of a distance only, and not which way one looks or goes: "facing away from"."""
    before = caption.tokens[relation.first - 1] if relation.first else None
    return before is None or before.pos != "VERB" or before.lemma in _RESTING


def equal_things(proposal: Proposal, case: Case) -> bool:
    """What two things of one name have, exchanged: "a red shirt and a blue shirt", also of their owners (C9)."""
    swap, caption = proposal.swap, case.caption
    if swap is None:
        return False
    one, other = caption.phrases[swap.one], caption.phrases[swap.other]
    if swap.level is Level.ATTRIBUTE:
        behind = [_noun_behind(caption, attribute) for attribute in proposal.focus]
        return (
            behind[0] == behind[1]
            or _share_noun(caption, one, other)
            or _may_be_one_kind(one.name, other.name, case.words)
        )
    return any(
        left.head < right.first and _share_noun(caption, left, right) and _are_joined(case, left, right)
        for left in _owners(caption, swap.one)
        for right in _owners(caption, swap.other)
    )


def _may_be_one_kind(one: str, other: str, words: Words) -> bool:
    """Whether two nouns may name the same thing: "boat" and "ship"."""
    groups = [{place.group for place in words.vocabulary.nouns["count"].get(noun, ())} for noun in (one, other)]
    is_kin = other in words.vocabulary.overlapping.get(one, NONE) and not groups[0].isdisjoint(groups[1])
    return is_kin or words.lexicon.overlap(one, other)


def _noun_behind(caption: Caption, attribute: int) -> str:
    """The first noun behind an attribute, or the unit it begins, whatever the parser made the attribute belong to."""
    tokens = caption.tokens
    noun = next((i for i in range(attribute + 1, len(tokens)) if tokens[i].pos in ("NOUN", "PROPN")), attribute)
    unit = next((p.name for p in caption.phrases if noun in caption.bound and p.unit <= noun <= p.head), "")
    return unit or tokens[noun].lemma


def _owners(caption: Caption, item: int) -> Iterator[Phrase]:
    """What a phrase is said of: the subject of its relation, and the noun that stands right before that."""
    for relation in caption.relations:
        if relation.object == item:
            if relation.subject != NO:
                yield caption.phrases[relation.subject]
            yield from (phrase for phrase in caption.phrases if phrase.whole == relation.first - 1)


def _are_joined(case: Case, one: Phrase, other: Phrase) -> bool:
    """Whether a conjunction or a relation that holds both ways joins two phrases, as parsed or as it reads."""
    caption = case.caption
    if caption.are_conjuncts(one.head, other.head):
        return True
    before = caption.tokens[other.first - 1]
    words = [token.text.lower() for token in caption.tokens[one.whole + 1 : other.first]]
    return before.tag == "CC" or before.text == "," or _ends_symmetric(words, case.words.vocabulary.symmetric)


def _share_noun(caption: Caption, one: Phrase, other: Phrase) -> bool:
    """Whether two phrases name one kind of thing; parsers take "the horse stands" for a compound."""
    units = [{token.lemma for token in caption.tokens[phrase.unit : phrase.head + 1]} for phrase in (one, other)]
    heads = [caption.tokens[phrase.head].lemma for phrase in (one, other)]
    return heads[0] in units[1] or heads[1] in units[0] or "one" in heads or "ones" in heads


def one_place(proposal: Proposal, case: Case) -> bool:
    """Two things that another one is on, or in: "food on a plate on a table" is on a table, on a plate (C11)."""
    swap, caption = proposal.swap, case.caption
    if swap is None or swap.level is Level.ATTRIBUTE:
        return False
    near = case.words.vocabulary.near
    inner = [near.get(r.name, NONE) | {r.name} for r in caption.relations if r.object == swap.one and not r.verb]
    return any(
        r.subject == swap.one and r.object == swap.other and any(r.name in same for same in inner)
        for r in caption.relations
    )


def same_referent(proposal: Proposal, case: Case) -> bool:
    """Two names of one thing, or one that is told by the other: "a woman and her reflection" (C11)."""
    swap, caption = proposal.swap, case.caption
    if swap is None:
        return False
    one, other = caption.phrases[swap.one], caption.phrases[swap.other]
    nouns = [caption.tokens[phrase.head].lemma for phrase in (one, other)]
    if nouns[0] == nouns[1]:
        return True
    if swap.level is Level.ATTRIBUTE:
        return False
    inside = {
        t.text.lower()
        for p in (one, other)
        for t in caption.tokens[p.first : p.whole + 1]
        if t.tag in ("PRP$", "DT", "JJ")
    }
    owned = any(t.tag == "PRP$" for p in (one, other) for t in caption.tokens[p.first : p.head])
    return (
        owned
        or not inside.isdisjoint(_OTHER)
        or not caption.words.isdisjoint(_REFLEXIVES)
        or case.words.lexicon.overlap(one.name, other.name)
    )


def near_synonym(proposal: Proposal, case: Case) -> bool:
    """The new word may be true where the old one is (C12)."""
    old, new, lexicon = proposal.old, proposal.new, case.words.lexicon
    if proposal.swap is not None:
        return bool(old) and _same_value(old, new, case.words)
    if not old:
        return False
    return (
        new in case.words.vocabulary.overlapping.get(old, NONE) or _is_kind_of(new, old) or _overlap(lexicon, old, new)
    )


def often_said_together(proposal: Proposal, case: Case) -> bool:
    """The new noun is often said of images of the old one, so that it may be true as well: "truck" and "car"."""
    if proposal.swap is not None or not proposal.old:
        return False
    words = case.words
    return words.concept(proposal.new) in words.co_mention.get(words.concept(proposal.old), NONE)


def _is_kind_of(one: str, other: str) -> bool:
    """Whether a noun is the other with a word before it, or its beginning: "dirt road", "road"; "baseball" of a bat."""
    return one.endswith(f" {other}") or other.endswith(f" {one}") or other.startswith(f"{one} ")


@lru_cache(maxsize=1 << 16)
def _overlap(lexicon: Lexicon, one: str, other: str) -> bool:
    return lexicon.overlap(one, other, NOUN) or lexicon.overlap(one, other, ADJECTIVE)


def _same_value(one: str, other: str, words: Words) -> bool:
    """Whether two attributes say nearly the same ("large" and "huge", "red" and "pink")."""
    value = words.vocabulary.value_of(other)
    return value is not None and one in words.vocabulary.attribute_signs[value.name]


def pronoun(proposal: Proposal, case: Case) -> bool:
    """A pronoun that no longer fits the noun it stands for (C11)."""
    caption = case.caption
    if caption.words.isdisjoint(_PRONOUNS):
        return False
    sexes = case.words.vocabulary.sexes
    if proposal.swap is not None:
        return (
            proposal.swap.level is not Level.ATTRIBUTE
            and _swaps_sexes(proposal.swap, case)
            and not caption.words.isdisjoint(_GENDERED)
        )
    if (proposal.new in _ONE) != (proposal.old in _SINGLE):
        unfit = _RECIPROCALS if proposal.new in _ONE else _SINGULAR_PRONOUNS
        return not caption.words.isdisjoint(unfit)
    if len(proposal.changes) == 1 and sexes.get(proposal.new) != sexes.get(proposal.old):
        becomes_animal = case.words.lexicon.broad_class(proposal.new) == "animal"
        return not becomes_animal and not caption.words.isdisjoint(_GENDERED)
    if len(proposal.changes) == 1 and case.words.lexicon.broad_class(proposal.new) == "person":
        return not caption.words.isdisjoint(_SINGULAR_PRONOUNS - _GENDERED) and not _is_person(proposal.old, case)
    return False


def _is_person(noun: str, case: Case) -> bool:
    return noun in ("people", "person") or case.words.lexicon.broad_class(noun) == "person"


def _swaps_sexes(swap: Swap, case: Case) -> bool:
    sexes = case.words.vocabulary.sexes
    return sexes.get(case.caption.phrases[swap.one].name) != sexes.get(case.caption.phrases[swap.other].name)


def in_caption(proposal: Proposal, case: Case) -> bool:
    """The new concept, or its noun, is in the caption already (C1, C13)."""
    caption = case.caption
    if proposal.repeatable or not proposal.signs:
        return False
    noun = proposal.new.rsplit(" ", 1)[-1]
    if noun not in caption.words and proposal.signs.isdisjoint(caption.words):
        return False
    gone, signs = proposal.changes[0], proposal.signs | {noun}
    for i, token in enumerate(caption.tokens):
        if (token.lemma in signs or token.text.lower() in signs) and not gone.first <= i <= gone.last:
            return True
    return any(phrase.name in signs and phrase.head != gone.last for phrase in caption.phrases)


def in_sibling(proposal: Proposal, case: Case) -> bool:
    """Another caption of the image speaks for the negative (C13): it names or implies the new, or claims the same."""
    siblings = case.siblings
    if proposal.new in siblings.implied or not siblings.claims.isdisjoint(proposal.facts):
        return True
    if proposal.swap is not None:
        if not siblings.words.isdisjoint(proposal.signs):
            return True
        follow = proposal.changes[2:] if proposal.swap.level is not Level.ATTRIBUTE else ()
        return any(verb.text in siblings.words for verb in follow)  # of their new subjects
    if not proposal.signs:
        return False
    if not siblings.words.isdisjoint(proposal.signs):
        return True
    content = (_words(proposal.changes[0].text) | _words(proposal.new)) - case.words.vocabulary.function_words
    return any(word in siblings.implied and word not in case.caption.words for word in content)


# --- of texts --------------------------------------------------------------------------------------------------------


def unchanged(text: str, case: Case) -> bool:
    """The negative is the caption again (C1)."""
    return text == case.text


def sibling_equal(text: str, case: Case) -> bool:
    """The negative is another caption of the image (C1)."""
    return text in case.siblings.texts


def beyond_context(negative: str, case: Case) -> bool:
    """The edit lies behind the last token that CLIP keeps of a text, so that both have the same ids (C1)."""
    caption = case.caption.text
    if len(caption) <= CONTEXT or negative[:CONTEXT] != caption[:CONTEXT]:
        return False
    same = next((i for i, (a, b) in enumerate(zip(negative, caption, strict=False)) if a != b), CONTEXT)
    pieces = _PIECE.findall(negative[:same])
    return len(pieces) >= CONTEXT and len(_tokenizer().encode(negative[:same])) >= CONTEXT


@lru_cache(maxsize=1)
def _tokenizer() -> SimpleTokenizer:
    """CLIP's tokenizer, which only long captions need. Its file alone: the package takes seconds to import."""
    package = find_spec("open_clip")
    assert package is not None and package.origin is not None
    spec = spec_from_file_location("open_clip_tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


_Guards = tuple[Callable[..., bool], ...]

UNHEARD_GUARDS: Final[_Guards] = (in_scope, alike_sides, near_synonym, often_said_together, pronoun)
SWAP_GUARDS: Final[_Guards] = (
    in_scope,
    equal_things,
    coordination,
    symmetric,
    one_place,
    same_referent,
    near_synonym,
    pronoun,
    in_sibling,
)
REPLACEMENT_GUARDS: Final[_Guards] = (*UNHEARD_GUARDS, in_caption, in_sibling)
TEXT_GUARDS: Final[_Guards] = (unchanged, sibling_equal)
DUPLICATE: Final = "duplicate"
"""Reason of a negative that another rule, or the same one, gave before."""


def is_heard(proposal: Proposal, case: Case) -> bool:
    """Whether some caption of the image may speak of what a proposal puts in: it says, implies or claims some of it.

    Most replacements are unheard of, and most guards have nothing to say of those.
    """
    if proposal.swap is not None:
        return True
    put_in = _put_in(proposal.new, proposal.changes[0].text)
    return (
        not put_in
        or not case.said.isdisjoint(put_in)
        or not case.said.isdisjoint(proposal.signs)
        or not case.siblings.claims.isdisjoint(proposal.facts)
    )


@lru_cache(maxsize=1 << 16)
def _put_in(new: str, text: str) -> frozenset[str]:
    """A concept with its words and those written for it; empty where they are not all letters."""
    words = _words(text)
    return words | _words(new) | {new} if all(map(str.isalpha, words)) else NONE


@lru_cache(maxsize=1 << 16)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.lower().split(" "))


def refusal(proposal: Proposal, case: Case, heard: bool) -> str | None:
    """Name of the guard that refuses a proposal, if one does; `heard` as `is_heard` says."""
    for refuses in SWAP_GUARDS if proposal.swap is not None else REPLACEMENT_GUARDS if heard else UNHEARD_GUARDS:
        if refuses(proposal, case):
            return refuses.__name__
    return None


def text_refusal(negative: str, case: Case, heard: bool) -> str | None:
    """Name of the guard that refuses a negative for its text, if one does; one of unheard words equals no caption."""
    if heard:
        text = normalised(negative)
        for refuses in TEXT_GUARDS:
            if refuses(text, case):
                return refuses.__name__
    return beyond_context.__name__ if beyond_context(negative, case) else None
