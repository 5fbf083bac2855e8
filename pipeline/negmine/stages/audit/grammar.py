"""Agreement of determiner and noun, and of subject and verb, by spaCy's tags; link-grammar where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from negmine.language.difference import changed_runs, places
from negmine.stages.audit.differences import Judged, lower
from negmine.stages.audit.wording import is_rather_noun, number_of, parts_of_speech

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

_BATCH: Final = 256
_SINGULAR: Final = frozenset({"a", "an", "another", "each", "every", "one", "this", "that"})
_PLURAL: Final = frozenset(
    [
        "these",
        "those",
        "both",
        "many",
        "few",
        "several",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ]
)
_VERBS: Final = {"is": "s", "was": "s", "has": "s", "does": "s", "are": "p", "were": "p", "have": "p", "do": "p"}
_EITHER_NUMBER: Final = frozenset(
    [
        "array",
        "assortment",
        "batch",
        "bunch",
        "collection",
        "couple",
        "crowd",
        "family",
        "flock",
        "gaggle",
        "group",
        "half",
        "handful",
        "herd",
        "line",
        "lot",
        "lots",
        "majority",
        "mixture",
        "number",
        "pack",
        "pair",
        "part",
        "percent",
        "people",
        "pile",
        "plenty",
        "police",
        "row",
        "selection",
        "series",
        "set",
        "sheep",
        "deer",
        "moose",
        "bison",
        "shrimp",
        "fish",
        "aircraft",
        "stack",
        "team",
        "trio",
        "variety",
        "cattle",
        "some",
        "rest",
        "most",
        "all",
        "any",
        "none",
        "which",
        "that",
        "who",
        "what",
        "there",
        "this",
    ]
)
"""Subjects that take either number, or that stand for a noun elsewhere."""
_BETWEEN: Final = frozenset({"few", "couple", "dozen", "hundred", "thousand", "million", "lot", "pair", "one"})
"""Words after which `a` may stand before a plural: a few dogs."""


def agreement_errors(texts: Iterable[str], load: Callable[[], Language]) -> dict[str, int]:
    """Number of disagreements in each distinct text.

    Args:
        load: gives a spaCy pipeline with a tagger and a parser.
    """
    return {text: _disagreements(doc) for text, doc in parsed(texts, load)}


def parsed(texts: Iterable[str], load: Callable[[], Language]) -> Iterator[tuple[str, Doc]]:
    """Each distinct text with its parse."""
    from threadpoolctl import threadpool_limits

    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    if distinct:
        with threadpool_limits(1):  # sums must not depend on the number of threads
            yield from ((doc.text, doc) for doc in load().pipe(distinct, batch_size=_BATCH))


def _disagreements(doc: Doc) -> int:
    return sum(_determiner_disagrees(token) or _verb_disagrees(token) for token in doc)


def _determiner_disagrees(token: Token) -> bool:
    """Whether this determiner or numeral stands before a noun of the other number."""
    noun, word = token.head, token.lower_
    if token.dep_ not in ("det", "nummod", "amod") or noun.tag_ not in ("NN", "NNS") or noun.i < token.i:
        return False
    if word in _SINGULAR:
        between = token.doc[token.i + 1 : noun.i]
        return noun.tag_ == "NNS" and not any(t.like_num or t.lower_ in _BETWEEN or t.tag_ == "CD" for t in between)
    if word in _PLURAL:
        return noun.tag_ == "NN" and noun.lower_ not in _EITHER_NUMBER
    return False


def _verb_disagrees(token: Token) -> bool:
    """Whether this verb form of be, have or do has a subject of the other number."""
    number = _VERBS.get(token.lower_)
    if number is None or not token.tag_.startswith("VB"):
        return False
    subject = _subject(token)
    return subject is not None and (number, subject.tag_) in (("s", "NNS"), ("p", "NN"))


def _subject(verb: Token) -> Token | None:
    """The one noun before a finite verb that it must agree with, if there is one."""
    governor = verb.head if verb.dep_ in ("aux", "auxpass") else verb
    subject = next((t for t in governor.children if t.dep_ in ("nsubj", "nsubjpass") and t.i < verb.i), None)
    if subject is None or subject.lower_ in _EITHER_NUMBER or any(t.dep_ == "conj" for t in subject.children):
        return None
    return subject


# --- verbs left behind -----------------------------------------------------------------------------------------------


def verbs_left_behind(items: Sequence[Judged], load: Callable[[], Language]) -> list[bool]:
    """Whether a subject changed its number and a verb of it did not: *Two women talking on the phone looks away*.

    Read from the parse of the caption, whose grammar is sound; only captions with such a change are parsed.
    """
    turned = [_turned(item) for item in items]
    docs = dict(parsed((item.caption for item, nouns in zip(items, turned, strict=True) if nouns), load))
    return [
        bool(nouns) and _leaves_verb(docs[item.caption], item, nouns) for item, nouns in zip(items, turned, strict=True)
    ]


def _turned(item: Judged) -> frozenset[int]:
    """Numbers of the caption's words where a noun of one number became one of the other."""
    before, after = lower(item.before), lower(item.after)
    return frozenset(
        old
        for i, j, k, m in changed_runs(before, after)
        for old, new in (zip(range(i, j), range(k, m), strict=True) if j - i == m - k else [(j - 1, m - 1)])
        if i < j and k < m and {number_of(before[old]), number_of(after[new])} == {"s", "p"}
    )


def _leaves_verb(doc: Doc, item: Judged, nouns: frozenset[int]) -> bool:
    before, after = lower(item.before), lower(item.after)
    starts = {start: n for n, (start, _) in enumerate(places(item.caption))}
    kept = set(range(len(before))).difference(*(range(i, j) for i, j, _, _ in changed_runs(before, after)))
    root = doc[:].root
    if any(starts.get(v.idx) in kept and starts.get(root.idx) in nouns and root.i < v.i for v in _hidden_verbs(doc)):
        return True
    agreeing = ((verb, _subject(_governing(verb))) for verb in doc if _number(verb))
    return any(
        subject is not None
        and number_of(subject.lower_) == _number(verb)
        and starts.get(subject.idx) in nouns
        and starts.get(verb.idx) in kept
        for verb, subject in agreeing
    )


def _governing(verb: Token) -> Token:
    """The verb whose subject a verb shares: itself, or the one it is joined to."""
    has_own = any(t.dep_ in ("nsubj", "nsubjpass", "expl", "csubj") for t in verb.children)
    return verb.head if verb.dep_ == "conj" and not has_own else verb


def _number(verb: Token) -> str | None:
    """``s`` or ``p`` for a finite verb that shows its number, else None."""
    return _VERBS.get(verb.lower_) or _TAGS.get(verb.tag_)


def _hidden_verbs(doc: Doc) -> list[Token]:
    """Forms in s that are nouns to a parser that finds no verb in the text: *a woman on the phone looks away*."""
    if any(token.tag_ in ("VBZ", "VBP", "VBD", "MD") for token in doc):
        return []
    found = (token for token in doc if token.tag_ == "NNS" and token.i > 1 and token.nbor(-1).tag_ == "NN")
    found = (token for token in found if token.nbor(-2).lower_ in ("a", "an", "the"))
    return [token for token in found if "VERB" in parts_of_speech(token.lower_) and not is_rather_noun(token.lower_)]


_TAGS: Final = {"VBZ": "s", "VBP": "p"}


# --- link-grammar ----------------------------------------------------------------------------------------------------

_PARSER: Final = "link-parser"
_LONGEST: Final = 25
"""Words of a text; its time grows with the cube of them."""
_COST: Final = re.compile(r"UNUSED=(\d+)")


def has_link_grammar() -> bool:
    return shutil.which(_PARSER) is not None


def unlinked_words(texts: Iterable[str]) -> dict[str, int]:
    """Words of each distinct text that link-grammar cannot connect; 0: a sentence or a phrase of English.

    Texts it gives no answer for (longer than `_LONGEST` words, out of time) are left out.
    """
    plain = {" ".join(text.split()) for text in texts}
    asked = {text for text in plain if 0 < text.count(" ") < _LONGEST and text[0] not in "!*"}
    lines = "".join(f"{text}\n" for text in sorted(asked))
    settings = ["-echo=1", "-graphics=0", "-limit=50", "-timeout=1"]
    run = subprocess.run([_PARSER, "en", *settings], input=lines, capture_output=True, text=True, check=False)
    return _answers(run.stdout.splitlines(), asked)


def _answers(lines: Iterable[str], texts: set[str]) -> dict[str, int]:
    """The first linkage after each echoed text."""
    found: dict[str, int] = {}
    current = ""
    for line in lines:
        if line in texts:
            current = line
        elif current and current not in found and (cost := _COST.search(line)):
            found[current] = int(cost[1])
    return found
