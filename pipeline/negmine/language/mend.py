"""Verbs that taggers take for nouns: "A woman shops in a market", "A clown juggles balls".

English has few verbs that are no nouns too, and captions are mostly noun phrases, so a tagger often reads a short
sentence as one. What tells is number: no noun phrase of one "a" ends in a plural. Where nothing tells, a noun that is
its sentence's only candidate for a verb is left alone (`doubtful_nouns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from itertools import pairwise
from typing import Final

from negmine.language.caption import NO, Token
from negmine.language.inflect import ends_as_plural, is_inflected, lemma

SINGULAR: Final = frozenset({"a", "an", "one", "each", "every", "another", "this", "that"})
"""Words before a noun of one thing."""

SEVERAL: Final = frozenset(
    {"two", "three", "four", "five", "six", "several", "many", "these", "those", "both", "some", "few"}
)
"""Words before a noun of several."""

MEASURES: Final = frozenset(
    {
        "few",
        "couple",
        "dozen",
        "hundred",
        "thousand",
        "million",
        "lot",
        "pair",
        "bunch",
        "group",
        "number",
        "row",
        "set",
    }
)
"""Words that stand between "a" and a plural: a few dogs, a couple dogs."""

_NOMINAL: Final = ("NOUN", "PROPN", "PRON")
_MODIFIERS: Final = ("JJ", "NN", "NNP", "VBG", "VBN", "CD", "HYPH", "RB", "JJR", "JJS")
_FINITE: Final = ("VBZ", "VBP", "VBD", "MD")
_BEHIND_SUBJECT: Final = ("acl", "relcl", "advcl", "ccomp", "appos", "dobj")
"""What parsers make of a verb behind its subject that they take for a noun."""
_CONJUNCTIONS: Final = ("as", "while", "when", "like")
"""Words that taggers take for prepositions of the clause behind them."""


# --- verbs made of nouns ---------------------------------------------------------------------------------------------


def with_verbs_mended(tokens: Sequence[Token], units: Set[int]) -> tuple[Token, ...]:
    """The tokens with nouns that must be verbs made verbs, their subjects and objects with them.

    Args:
        units: tokens of listed multi-word units, which hold no verb.
    """
    mended = list(tokens)
    for verb, subject in _misread_pairs(tokens):
        if verb not in units and not any(t.dep == "nsubj" and t.head == verb for t in mended[:subject]):
            _become_verb(mended, verb, subject)
    for i in range(len(mended)):
        verb = _verb_behind(mended, i)
        if verb != NO and units.isdisjoint((i, verb)):
            subject = _subject_of(mended, verb)
            if subject == verb - 1:
                _become_verb(mended, verb, subject)
            elif subject != NO:
                _become_verb_of(mended, verb, subject)
    for sentence in sentences(mended):
        if _is_verbless(mended, sentence):
            for i in sentence:
                if i not in units and _is_counted_subject(mended, i - 1) and _is_plain_verb(mended, i):
                    _become_verb(mended, i, i - 1)
    return tuple(map(partial(_hung_on_verb, mended), range(len(mended))))


def _hung_on_verb(tokens: Sequence[Token], i: int) -> Token:
    """A verb that hangs on the subject, now on the subject's verb: "A girl runs and [jumps]", "A dog['s] running"."""
    token, above = tokens[i], tokens[tokens[i].head]
    if above.dep == "nsubj" and token.head < i:
        if token.dep == "conj" and token.tag in ("VBZ", "VBP") and token.head < above.head < i:
            return token._replace(head=above.head)
        if token.tag == "POS" and token.text[1:].lower() == "s" and above.head == i + 1:
            return token._replace(tag="VBZ", pos="AUX", dep="aux", head=above.head)
    return token


def _misread_pairs(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Verb and subject where the parse itself tells: a noun with a subject, with a clause's label, or before a verb."""
    for i, token in enumerate(tokens):
        above = tokens[token.head]
        is_one = token.pos in _NOMINAL and token.tag != "NNS" and not _is_counted(tokens, token.head)
        if token.dep == "nsubj" and is_one and above.head == token.head and above.pos == "NOUN":
            if may_be_third_person(above):
                yield token.head, i
        elif token.dep == "compound" and above.tag in ("VBZ", "VBP", "VBD") and i + 1 == token.head:
            if above.dep != "appos" and not _is_inner(tokens, token.head):
                yield token.head, i
        elif token.dep in _BEHIND_SUBJECT and token.head == i - 1 and above.tag == "NN" and may_be_third_person(token):
            is_clause = token.dep not in ("appos", "dobj")
            if is_clause or (above.dep == "ROOT" and any(t.tag == "DT" and t.head == token.head for t in tokens[:i])):
                yield i, token.head


def may_be_verb(token: Token) -> bool:
    """Whether a word has a verb's form."""
    return is_inflected(token.text.lower(), "VERB")


def may_be_third_person(token: Token) -> bool:
    """Whether a noun in the parse may be a verb in "s": "flies", or "surfs" and "golfs", tagged as singular nouns."""
    word = token.text.lower()
    is_plural = token.tag == "NNS" or ends_as_plural(word) or not is_inflected(word, "NOUN")
    return token.tag in ("NN", "NNS", "NNP") and is_plural and word.endswith("s") and may_be_verb(token)


def _verb_behind(tokens: Sequence[Token], i: int) -> int:
    """The first plural behind "a" and a noun, where it can be a verb and the phrase, as parsed, ends in a plural."""
    if tokens[i].text.lower() not in SINGULAR or tokens[i].tag not in ("DT", "CD"):
        return NO
    for place in range(i + 1, len(tokens)):
        token = tokens[place]
        if token.tag == "NNS" or (token.tag == "NN" and ends_as_plural(token.text)):
            end = _end_of_compound(tokens, tokens[i].head)
            is_verb = place > i + 1 and _is_noun(tokens[place - 1]) and may_be_third_person(token)
            return place if is_verb and (end.tag == "NNS" or end is token or end.pos == "VERB") else NO
        is_inside = token.tag in _MODIFIERS or (token.tag == "CC" and tokens[place - 1].tag == "JJ")
        if not is_inside or token.text.lower() in MEASURES:
            return NO
    return NO


def _end_of_compound(tokens: Sequence[Token], noun: int) -> Token:
    """The noun that ends a chain of nouns."""
    while tokens[noun].dep in ("compound", "nmod", "amod") and tokens[noun].head > noun:
        noun = tokens[noun].head
    return tokens[noun]


def _is_noun(token: Token) -> bool:
    """Whether a word is a noun, whatever its tag: "fisherman", but neither "young" nor "holding"."""
    word = token.text.lower()
    if token.tag in ("NN", "NNP"):
        return not (word.endswith("ing") and is_inflected(word, "VERB"))
    return token.tag in ("JJ", "JJR") and is_inflected(word, "NOUN") and not is_inflected(word, "ADJ")


def _subject_of(tokens: Sequence[Token], verb: int) -> int:
    """The noun before a verb, or the one that this noun's phrase belongs to: "A [girl] in a white top poses"."""
    place = verb
    while _is_inner(tokens, place):
        place = tokens[place].head
        if tokens[place].pos == "ADP":
            place = tokens[place].head
        if tokens[place].pos == "VERB" and tokens[place].dep in ("acl", "relcl"):
            place = tokens[place].head
        if tokens[place].pos not in _NOMINAL or place >= verb:
            return NO
    if place == verb:
        return verb - 1
    return place if tokens[place].head == place else NO


def _is_inner(tokens: Sequence[Token], place: int) -> bool:
    """Whether a token is the object of a preposition or of a verb."""
    token = tokens[place]
    return token.dep in ("pobj", "dobj") and tokens[token.head].text.lower() not in _CONJUNCTIONS


def _is_counted(tokens: Sequence[Token], noun: int) -> bool:
    return any(token.head == noun and token.text.lower() in SEVERAL for token in tokens[:noun])


def _is_counted_subject(tokens: Sequence[Token], i: int) -> bool:
    """Whether a token is a plural that was taken for a modifier of the noun behind it: "two girls swing"."""
    is_modifier = i > 0 and tokens[i].tag == "NNS" and tokens[i].dep == "compound" and tokens[i].head == i + 1
    return is_modifier and _is_counted(tokens, i + 1)


def _is_plain_verb(tokens: Sequence[Token], i: int) -> bool:
    is_last_noun = i + 1 == len(tokens) or tokens[i + 1].pos != "NOUN"
    return tokens[i].tag == "NN" and is_last_noun and may_be_verb(tokens[i])


def _become_verb(tokens: list[Token], verb: int, subject: int) -> None:
    """Make a token the verb of the noun before it: what hung on the noun phrase hangs on its subject or its object."""
    old, end = tokens[verb], tokens[verb].head
    has_object = end > verb
    if has_object or end == subject:
        dep, head = tokens[end].dep, tokens[end].head
    else:
        dep, head = ("ROOT", verb) if end == verb else ("advcl", end)
    if head in (end, subject, verb) and dep != "advcl":
        dep, head = "ROOT", verb
    owners = (verb, end) if has_object else (verb,)
    for i, token in enumerate(tokens):
        if i < subject and token.head in owners and token.dep != "nsubj":
            tokens[i] = token._replace(head=subject)
        elif i > verb and token.dep == "appos" and token.head in (verb, subject):
            tokens[i] = token._replace(dep="dobj", head=verb)
        elif i > verb and token.dep == "prep" and token.head == subject:
            tokens[i] = token._replace(head=verb)
    if has_object:
        tokens[end] = tokens[end]._replace(dep="dobj" if tokens[end].pos in _NOMINAL else "ccomp", head=verb)
    tokens[subject] = _as_noun(tokens[subject])._replace(dep="nsubj", head=verb)
    tokens[verb] = _as_verb(old)._replace(dep=dep, head=head)


def _become_verb_of(tokens: list[Token], verb: int, top: int) -> None:
    """Make a token the verb of a noun further ahead; the noun before it takes its place behind the preposition."""
    old, inner = tokens[verb], verb - 1
    for i in range(inner):
        if tokens[i].head == verb:
            tokens[i] = tokens[i]._replace(head=inner)
    tokens[inner] = _as_noun(tokens[inner])._replace(dep=old.dep, head=old.head)
    tokens[verb] = _as_verb(old)._replace(dep="ROOT", head=verb)
    tokens[top] = tokens[top]._replace(dep="nsubj", head=verb)


def _as_noun(token: Token) -> Token:
    return token if token.pos in _NOMINAL else token._replace(tag="NN", pos="NOUN", lemma=lemma(token.text, "NOUN"))


def _as_verb(token: Token) -> Token:
    tag = token.tag if token.pos == "VERB" else "VBZ" if token.text.lower().endswith("s") else "VBP"
    return token._replace(tag=tag, pos="VERB", lemma=lemma(token.text, "VERB"))


# --- nouns left alone ------------------------------------------------------------------------------------------------


def doubtful_nouns(tokens: Sequence[Token], units: Set[int], is_thing: Callable[[int], bool]) -> frozenset[int]:
    """Heads of noun phrases that may be, or hold, the verb that their sentence lacks; and plurals of one "a".

    Args:
        units: tokens of listed multi-word units, of which there is no doubt.
        is_thing: whether a noun is known to name something people wear, or a thing of two words.
    """
    found = {i for i, token in enumerate(tokens) if token.tag == "NNS" and _is_of_one(tokens, i)}
    found.update(
        token.head
        for i, token in enumerate(tokens)
        if token.tag == "VBG" and token.dep == "compound" and i and i not in units and _is_same_compound(tokens, i)
    )
    for sentence in sentences(tokens):
        if not any(tokens[i].tag in _FINITE for i in sentence):
            is_verbless = _is_verbless(tokens, sentence)
            held = (i for i in sentence if is_verbless or tokens[i].dep in ("pobj", "dobj"))
            found.update(i for i in held if i not in units and _may_hold_verb(tokens, i))
        unknown = [i for i in sentence if i not in units and not is_thing(i)]
        found.update(i for i in unknown if _is_behind_clothes(tokens, i))
        if _is_verbless(tokens, sentence):
            found.update(i for i in unknown if _may_be_verb_of_two(tokens, sentence, i))
            for i in sentence[1:-1]:
                if i not in units and _takes_object(tokens, i):
                    found.update((i, *(top for top in sentence if tokens[top].head == top)))
    return frozenset(found)


def _is_same_compound(tokens: Sequence[Token], verb: int) -> bool:
    """Whether a noun stands before a participle in one compound, as its subject: "a red [shirt playing guitar]"."""
    before = tokens[verb - 1]
    return before.dep == "compound" and before.head == tokens[verb].head and before.pos in _NOMINAL


def _is_of_one(tokens: Sequence[Token], noun: int) -> bool:
    """Whether "a" stands before a plural, with nothing between that measures."""
    first = next((i for i in range(noun) if tokens[i].head == noun and tokens[i].text.lower() in SINGULAR), NO)
    between = tokens[first + 1 : noun]
    return first != NO and not any(token.tag == "CD" or token.text.lower() in MEASURES for token in between)


def _may_hold_verb(tokens: Sequence[Token], head: int) -> bool:
    """Whether a noun and its modifier agree as a verb and its subject do ("The plane lands", "Boys swim")."""
    token = tokens[head]
    if token.pos != "NOUN" or _is_counted(tokens, head):
        return False
    if token.dep in ("pobj", "conj", "dobj") and not any(t.head == head and t.tag == "DT" for t in tokens[:head]):
        return False
    chain = [t for t in tokens[:head] if t.head == head and t.dep == "compound"] + [token]
    agreeing = (("NN", "NNS"), ("NNS", "NN"))
    return any((a.tag, b.tag) in agreeing and may_be_verb(b) for a, b in pairwise(chain))


def _is_behind_clothes(tokens: Sequence[Token], i: int) -> bool:
    """Whether a form in "s" stands where clothes do: "A woman in red [talks]", "A girl in pink tights [waves]"."""
    if i < 3 or not may_be_third_person(tokens[i]):
        return False
    before = tokens[i - 1]
    if before.tag == "NNS":
        return before.dep == "compound" and tokens[i].tag == "NNS"
    return tokens[i - 3].tag in ("NN", "NNP") and tokens[i - 2].text.lower() == "in" and before.tag in ("JJ", "NN")


def _may_be_verb_of_two(tokens: Sequence[Token], sentence: range, i: int) -> bool:
    """Whether a noun behind a noun may be the verb of two that "and" joins: "A dog and a white dog [fight]"."""
    is_last = i + 1 == len(tokens) or tokens[i + 1].pos != "NOUN"
    if i - 1 not in sentence or not is_last or tokens[i].tag not in ("NN", "NNP") or tokens[i - 1].pos not in _NOMINAL:
        return False
    return may_be_verb(tokens[i]) and any(tokens[n].text.lower() in ("and", "&") for n in range(sentence[0], i - 1))


def _takes_object(tokens: Sequence[Token], i: int) -> bool:
    """Whether a noun phrase follows a plural without anything between: "a player in red [dogs] a player"."""
    token, after = tokens[i], tokens[i + 1]
    return token.tag == "NNS" and after.tag in ("DT", "PRP$") and token.dep != "ROOT" and may_be_verb(token)


def sentences(tokens: Sequence[Token]) -> Iterator[range]:
    """Tokens of each sentence, full stop and all."""
    first = 0
    for i, token in enumerate(tokens):
        if token.text in (".", "!", "?") or i + 1 == len(tokens):
            yield range(first, i + 1)
            first = i + 1


def _is_verbless(tokens: Sequence[Token], sentence: range) -> bool:
    return not any(tokens[i].pos == "VERB" or tokens[i].tag in _FINITE for i in sentence)
