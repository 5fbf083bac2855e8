"""Edits that the caption's own logic leaves true: inside a negation, under a quantifier, in one of two alternatives.

*A man without a hat* says of a turban nothing that is false; *at least three dogs* are at least two. What lies inside
is read from spaCy's parse of the caption, and only captions with such a word are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from negmine.language.difference import changed_runs, places
from negmine.stages.audit.differences import Judged, content_stems, is_word, lower, wordlist
from negmine.stages.audit.grammar import parsed

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

_NEGATORS: Final = wordlist("not n't n’t never cannot longer")
_NOBODY: Final = frozenset({"nobody", "none", "nothing", "nowhere", "neither"})
_LACKING: Final = wordlist("without sans minus lack lacks lacking lacked missing devoid absence instead")
_ALL_NEGATIVE: Final = _NEGATORS | _NOBODY | _LACKING | {"no"}
_MORE: Final = (
    ("at", "least"),
    ("more", "than"),
    ("over",),
    ("up", "to"),
    ("no", "less", "than"),
    ("no", "fewer", "than"),
)
_FEWER: Final = (("at", "most"), ("less", "than"), ("fewer", "than"), ("no", "more", "than"), ("not", "more", "than"))
"""Below a number, none is enough: *fewer than five cars* is true of a street without any."""

_CUED: Final = re.compile(
    r"\b(no|nor|or|not|cannot|never|nobody|none|nothing|nowhere|neither|without|sans|minus"
    r"|lack(s|ing|ed)?|missing|devoid|absence|instead|least|most|than|over|up to)\b|n['’]t\b",
    re.IGNORECASE,
)
_NO_NEGATION: Final = re.compile(
    r"\b(not (only|just|merely|simply|necessarily|to mention|(too |very |so )?far)\b|(or|if|why) not\b"
    r"|no\.|no (doubt|matter|problem|\d)|without (a |any )?doubt|(nothing|none|nobody|no one) (but|except|other than)\b"
    r"|(no|don['’]t|do not)[ -](?:[\w-]+[,”\x22]?[ -]){1,5}?(signs?|symbols?|zone|area)\b)",
    re.IGNORECASE,
)
"""Phrases whose negator denies nothing of the image: *not only*, *not far from*, a *no parking sign*."""

_EXISTS: Final = frozenset({"be", "is", "are", "was", "were", "'s", "has", "have", "had", "having", "with"})
_SHOWS: Final = frozenset({"shows", "show", "showing", "contains", "contain", "containing", "holds", "features"})
_APART: Final = frozenset({"while", "as", "when", "because", "although", "though", "since", "except", "besides", "but"})
_BRINGS: Final = frozenset({"but", "with", "while", "except"})
"""Words that bring something of their own: *no toilets but a shower*."""
_LACKED: Final = frozenset({"pobj", "pcomp", "dobj"})
_OWN: Final = wordlist("a an the this that these those his her its their some one two three four five")
_SUBJECT: Final = frozenset({"nsubj", "nsubjpass"})


def edits_inside(
    items: Sequence[Judged], load: Callable[[], Language], scopes: Callable[[Doc], Iterable[frozenset[int]]]
) -> list[bool]:
    """Whether all that a negative changes lies inside one scope of its caption.

    A negator that is gone, or new, makes another statement: such an item is not counted.

    Args:
        load: gives a spaCy pipeline with a tagger and a parser.
        scopes: from a parse to sets of the numbers of its tokens: `negated`, `quantified`, `alternatives`.
    """
    cued = (item.caption for item in items if _CUED.search(item.caption))
    found = {text: [frozenset(_as_words(doc, one)) for one in scopes(doc)] for text, doc in parsed(cued, load)}
    return [_lies_inside(item, found.get(item.caption, ())) for item in items]


def _as_words(doc: Doc, scope: Iterable[int]) -> Iterator[int]:
    """Numbers of spaCy's tokens as numbers of ours."""
    edges = [(doc[i].idx, doc[i].idx + len(doc[i])) for i in scope]
    return (n for n, (start, end) in enumerate(places(doc.text)) if any(start < e and b < end for b, e in edges))


def _lies_inside(item: Judged, scopes: Iterable[frozenset[int]]) -> bool:
    before, after = lower(item.before), lower(item.after)
    if before == after or _negations(before) != _negations(after):
        return False
    changed = changed_runs(before, after)
    if any(_BRINGS.intersection(after[k:m]) for _, _, k, m in changed):
        return False
    moved_only = content_stems(item.caption) == content_stems(item.negative)
    return any(
        all(_is_inside(i, j, scope) for i, j, _, _ in changed) or (moved_only and _holds_all(scope, before))
        for scope in scopes
    )


def _holds_all(scope: frozenset[int], words: Sequence[str]) -> bool:
    return scope.issuperset(n for n, word in enumerate(words) if is_word(word))


def _negations(words: Iterable[str]) -> int:
    return sum(word in _ALL_NEGATIVE or word.endswith(("n't", "n’t")) for word in words)


def _is_inside(i: int, j: int, scope: frozenset[int]) -> bool:
    """Whether what is replaced lies inside; what is put in must have some of it on both sides."""
    return scope.issuperset(range(i, j)) if i < j else i in scope and i - 1 in scope


# --- negation --------------------------------------------------------------------------------------------------------


def negated(doc: Doc) -> Iterator[frozenset[int]]:
    """One scope: all that is denied, the negators included."""
    inside: set[int] = set()
    for token in doc:
        if _denies(token):
            inside |= {token.i} | _denied_by(token)
    yield frozenset(inside)


def _denies(token: Token) -> bool:
    word = token.lower_
    if word not in _ALL_NEGATIVE or (word == "longer" and not _follows(token, "no")):
        return False
    return not any(m.start() <= token.idx < m.end() for m in _NO_NEGATION.finditer(token.doc.text))


def _denied_by(token: Token) -> set[int]:
    word, doc = token.lower_, token.doc
    if word == "no" and token.i + 1 < len(doc) and doc[token.i + 1].lower_ in ("more", "less", "fewer", "longer"):
        return set()  # quantifiers; "longer" speaks for itself
    if word in _LACKING:
        lacked = [t for t in token.rights if t.dep_ in _LACKED or t.lower_ == "of"]
        if not lacked and word != "missing":
            lacked = [_noun_after(token)]
        inside = {t.i for child in lacked for t in _of_phrase(child) if t.i > token.i}
        places_it = [t for child in lacked for t in child.rights if t.dep_ == "prep" and t.lower_ != "of"]
        return inside - {t.i for preposition in places_it for t in preposition.subtree} if word == "missing" else inside
    if word in _NEGATORS:
        return {t.i for t in _below(token.head) if t.i > token.i}
    if word == "no" or (word == "neither" and token.head.i > token.i):
        return _of_noun(_noun_after(token), token)
    return _of_noun(token, token)


def _noun_after(token: Token) -> Token:
    """The noun that a determiner denies; the parse is asked first."""
    if token.head.i > token.i and token.head.tag_[:2] in ("NN", "PR"):
        return token.head
    near = [t for t in token.doc[token.i + 1 : token.i + 5] if t.tag_.startswith("NN") or t.lower_ == "one"]
    return near[0] if near else token.head


def _of_noun(noun: Token, cue: Token) -> set[int]:
    """What is denied with a noun: its clause where it is the subject or is said to exist, else its own phrase."""
    if noun.dep_ == "conj":
        first = noun.head
        while first.dep_ == "conj":
            first = first.head
        if first.dep_ in _SUBJECT | {"attr"}:
            return _of_noun(first, cue) if any(_denies(t) for t in first.children) else {t.i for t in _below(noun)}
    verb = noun.head
    clause = list(_below(verb)) if verb.i != noun.i else []
    if noun.dep_ in _SUBJECT and not (cue.i and cue.nbor(-1).lower_ in ("and", "with")):
        return {t.i for t in clause}
    if any(t.dep_ == "expl" for t in verb.children):
        return {t.i for t in clause if t.dep_ != "expl" and t.i != verb.i}
    if noun.dep_ in ("dobj", "attr") and verb.lower_ in _EXISTS | _SHOWS:
        return {t.i for t in clause if t.i >= cue.i}
    return {t.i for t in _of_phrase(noun)}


def _of_phrase(noun: Token) -> Iterator[Token]:
    """A noun's phrase; what is *with*, *doing* or *in a* something, is rather the noun before it."""
    apart = {t.i for child in noun.rights if _belongs_before(child) for t in child.subtree}
    return (t for t in _below(noun) if t.i not in apart)


def _belongs_before(token: Token) -> bool:
    elsewhere = token.dep_ == "prep" and token.lower_ != "of" and token.i + 1 < len(token.doc)
    return token.lower_ == "with" or token.tag_ == "VBG" or (elsewhere and token.nbor(1).lower_ in ("a", "an"))


def _below(token: Token) -> Iterator[Token]:
    """A token and all that hangs on it, but for clauses and conjuncts that stand for themselves."""
    yield token
    conjunction = next((t.lower_ for t in token.children if t.dep_ == "cc"), "")
    for child in token.children:
        if child.dep_ == "cc" or not _stands_apart(child, conjunction):
            yield from _below(child)


def _stands_apart(token: Token, conjunction: str) -> bool:
    if token.dep_ in ("punct", "parataxis") or token.lower_ in _APART:
        return True
    if token.dep_ == "advcl":
        return any(t.lower_ in _APART for t in token.children)
    if token.dep_ != "conj" or conjunction in ("or", "nor"):
        return False
    own = any(t.lower_ in _OWN or t.dep_ in _SUBJECT for t in token.children)
    return own or conjunction == "but" or token.tag_.startswith("VB")


def _follows(token: Token, word: str) -> bool:
    return bool(token.i and token.doc[token.i - 1].lower_ == word)


# --- quantifiers -----------------------------------------------------------------------------------------------------


def quantified(doc: Doc) -> Iterator[frozenset[int]]:
    """The number under each quantifier; with *fewer than* and the like, what is counted too."""
    words = [token.lower_ for token in doc]
    for i in range(len(words)):
        for phrase in (*_MORE, *_FEWER):
            if phrase in _FEWER and i and words[i - 1] in ("no", "not"):
                continue
            start = i + len(phrase)
            number = _number(doc, start) if tuple(words[i:start]) == phrase else []
            if number:
                inside = {t.i for t in number}
                yield frozenset(inside | _of_noun(_counted(number[-1]), doc[i]) if phrase in _FEWER else inside)
        if words[i : i + 2] == ["or", "more"] or words[i : i + 2] in (["or", "fewer"], ["or", "less"]):
            yield frozenset(t.i for t in _number(doc, i - 1)) if i else frozenset()


def _number(doc: Doc, start: int) -> list[Token]:
    """Number words that begin there."""
    found: list[Token] = []
    for token in doc[start : start + 4]:
        if not (token.like_num or token.lower_ in ("a", "dozen", "dozens", "half", "hundreds")):
            break
        found.append(token)
    return found if any(t.lower_ != "a" for t in found) else []


def _counted(number: Token) -> Token:
    return number.head if number.head.i > number.i else _noun_after(number)


# --- alternatives ----------------------------------------------------------------------------------------------------


def alternatives(doc: Doc) -> Iterator[frozenset[int]]:
    """Each of the things that *or* joins: the other one may be what makes the caption true."""
    for token in doc:
        joined = [token.head, *token.head.conjuncts] if token.lower_ == "or" and token.dep_ == "cc" else []
        alike = len({t.tag_[:2] for t in joined}) == 1
        if (
            alike
            and any(t.i > token.i for t in joined)
            and doc[token.i + 1].lower_ not in ("more", "less", "fewer", "so", "not")
        ):
            yield from (frozenset(_core(one)) for one in joined)


def _core(conjunct: Token) -> set[int]:
    """A noun with what stands before it and of-phrases after it; of other words only themselves."""
    if conjunct.tag_[:2] != "NN":
        return {conjunct.i}
    inside = {conjunct.i} | {
        t.i for child in conjunct.lefts if child.dep_ not in ("cc", "preconj") for t in child.subtree
    }
    return inside | {t.i for child in conjunct.rights if child.lower_ == "of" for t in child.subtree}
