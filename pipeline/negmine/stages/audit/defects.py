"""Detectors of defects, one function each, and the list of them. Each looks at whole texts, never at recorded edits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from negmine.stages.audit import grammar, plausible, scope, sense, wording
from negmine.stages.audit.article import wrong_articles
from negmine.stages.audit.differences import FUNCTION_WORDS, Judged, lower, stem
from negmine.stages.audit.exchange import is_coordination_swap, is_equal_swap, is_reordered, is_symmetric_swap
from negmine.stages.audit.meaning import (
    goes_without_saying,
    is_still_said,
    names_a_kind,
    only_leaves_out,
    says_a_sibling_word,
    says_a_word_implied_by_a_sibling,
)

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Verdicts = Sequence[bool | None]
"""One an item: has the defect, has it not, or None where it was not looked at."""

CONTEXT: Final = 77
"""Tokens of a text, start and end marks included, that CLIP reads."""
LINKED: Final = 500
"""Items that link-grammar, which is slow, is asked about."""


@dataclass(frozen=True)
class Detector:
    """One criterion.

    Attributes:
        title: what a defective negative is, for a table.
        find: verdicts on all items at once.
        visible: it counts towards "any defect CLIP can see".
        true: such a negative is probably still true of the image.
        available: whether it can run here.
    """

    title: str
    find: Callable[[Sequence[Judged]], Verdicts]
    visible: bool = False
    true: bool = False
    available: Callable[[], bool] = lambda: True


def each(test: Callable[[Judged], bool]) -> Callable[[Sequence[Judged]], Verdicts]:
    """A detector that looks at one item at a time."""
    return lambda items: [test(item) for item in items]


def any_visible(verdicts: Mapping[str, Verdicts]) -> Verdicts:
    """Whether an item has at least one defect that CLIP can see."""
    seen = [verdict for name, verdict in verdicts.items() if DETECTORS[name].visible]
    return [any(several) for several in zip(*seen, strict=True)]


def suspected_true(verdicts: Mapping[str, Verdicts]) -> Verdicts:
    """Whether at least one detector says that the negative may be true of the image."""
    seen = [verdict for name, verdict in verdicts.items() if DETECTORS[name].true]
    return [any(several) for several in zip(*seen, strict=True)]


# --- equality (C1) ---------------------------------------------------------------------------------------------------


def identical_ids(items: Sequence[Judged]) -> Verdicts:
    """Caption and negative are the same token ids for CLIP, truncation included."""
    from open_clip.tokenizer import SimpleTokenizer

    encode = SimpleTokenizer().encode
    return [encode(item.caption)[: CONTEXT - 2] == encode(item.negative)[: CONTEXT - 2] for item in items]


def equals_sibling(item: Judged) -> bool:
    """The negative is another caption of the image, up to case and spacing."""
    return _plain(item.negative) in {_plain(text) for text in item.siblings}


def repeated(items: Sequence[Judged]) -> Verdicts:
    """The caption has the same negative twice; the second one counts."""
    seen: set[tuple[str, str]] = set()
    verdicts = []
    for item in items:
        one = item.key, _plain(item.negative)
        verdicts.append(one in seen)
        seen.add(one)
    return verdicts


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


# --- form (C2 to C8) -------------------------------------------------------------------------------------------------


def breaks_article(item: Judged) -> bool:
    return wrong_articles(item.after) > wrong_articles(item.before)


def breaks_agreement(items: Sequence[Judged]) -> Verdicts:
    """More disagreements than the caption has."""
    errors = grammar.agreement_errors((text for i in items for text in (i.caption, i.negative)), _load_parser)
    return [errors[item.negative] > errors[item.caption] for item in items]


def breaks_verb_number(items: Sequence[Judged]) -> Verdicts:
    return grammar.verbs_left_behind(items, _load_parser)


@cache
def _load_parser() -> Language:
    from negmine.language.analyse import load_model

    return load_model(None)


def hardly_stands_there(items: Sequence[Judged]) -> Verdicts:
    return plausible.hardly_stands_there(items, _load_parser)


def said_together(items: Sequence[Judged]) -> Verdicts:
    return plausible.said_together(items, _load_parser)


def breaks_linkage(items: Sequence[Judged]) -> Verdicts:
    """Words that link-grammar cannot connect, where it connects all of the caption."""
    texts = {text for item in items[:LINKED] for text in (item.caption, item.negative)}
    unlinked = grammar.unlinked_words(texts)
    found = [(unlinked.get(" ".join(i.caption.split())), unlinked.get(" ".join(i.negative.split()))) for i in items]
    return [None if before != 0 or after is None else after > 0 for before, after in found]


def unknown_words(items: Sequence[Judged]) -> Verdicts:
    """A new word that neither a caption here nor a dictionary of English knows: usually a damaged one."""
    from lemminflect import getAllLemmas

    from negmine.language.lexicon import packaged_lexicon

    lexicon = packaged_lexicon()
    used = {word for item in items for word in lower(item.before)}

    def in_dictionary(word: str) -> bool:
        return bool(getAllLemmas(word)) or any(lexicon.entry(stem(word), pos).classes for pos in "nva")

    @cache
    def known(word: str) -> bool:
        parts = [part for part in re.split(r"[-'’]", re.sub(r"['’]s$", "", word)) if part]
        return (
            word in used
            or word in FUNCTION_WORDS
            or all(part in used or part.isdigit() or in_dictionary(part) for part in parts)
        )

    return [any(not known(word) for word in item.new_words) for item in items]


def has_placeholder(item: Judged) -> bool:
    """Left-overs of a mask or a template."""
    return len(_PLACEHOLDER.findall(item.negative)) > len(_PLACEHOLDER.findall(item.caption))


_PLACEHOLDER: Final = re.compile(r"<\w+>|\[\w+\]|\{\w*\}|\bNone\b|\bnan\b")


def breaks_capital(item: Judged) -> bool:
    """The capital at the beginning is lost, or a small word carries it inside."""
    if not item.before or not item.after or item.negative.isupper() or wording.is_title(item.before):
        return False
    lost = item.before[0][0].isupper() and item.after[0][0].islower()
    return lost or _capitals_inside(item.after) > _capitals_inside(item.before)


_SMALL: Final = frozenset(
    {
        "A",
        "An",
        "The",
        "This",
        "That",
        "These",
        "Those",
        "Some",
        "Several",
        "Many",
        "Two",
        "Three",
        "Four",
        "Five",
        "Six",
        "His",
        "Her",
        "There",
        "In",
        "On",
        "At",
        "With",
    }
)


def _capitals_inside(words: tuple[str, ...]) -> int:
    return sum(word in _SMALL and previous[-1] not in ".!?:\"'”" for previous, word in pairwise(words))


def breaks_end(item: Judged) -> bool:
    """The caption's final mark is lost, or the negative has another one."""
    return _end(item.caption) != _end(item.negative)


def _end(text: str) -> str:
    text = text.rstrip()
    return text[-1] if text and text[-1] in ".!?" else ""


_DAMAGE: Final = re.compile(r"\s[.,;:!?](?!\w)|\s['’](s|re|ll|ve|d)\b|\sn['’]t\b|\s-\s-|\w\s-\s\w|\s\s|\(\s|\s\)")


def breaks_spacing(item: Judged) -> bool:
    """Blanks before marks, inside words, or doubled, that the caption does not have."""
    return len(_DAMAGE.findall(item.negative.strip())) > len(_DAMAGE.findall(item.caption.strip()))


_UNITS: Final = tuple(
    tuple(unit.split())
    for unit in (
        "stop sign",
        "traffic light",
        "fire hydrant",
        "teddy bear",
        "polar bear",
        "hot dog",
        "ice cream",
        "cell phone",
        "parking meter",
        "fire truck",
        "lap top",
        "french fries",
        "sea gull",
        "high chair",
        "remote control",
        "each other",
        "front of",
        "top of",
        "lots of",
        "couple of",
        "variety of",
        "middle of",
    )
)
"""Units whose halves mean something else alone. (A tennis court may well become a volleyball court.)"""


def cuts_unit(item: Judged) -> bool:
    """A unit such as `fire hydrant` is gone, but half of it is still there."""
    before, after = (tuple(stem(word) for word in lower(words)) for words in (item.before, item.after))
    return any(_pairs(before)[unit] > _pairs(after)[unit] and _is_half_left(unit, before, after) for unit in _STEMS)


_STEMS: Final = tuple(tuple(stem(word) for word in unit) for unit in _UNITS)


def _pairs(words: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    return Counter(pairwise(words))


def _is_half_left(unit: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    halves = unit if unit[1] not in FUNCTION_WORDS else unit[:1]  # "of" stands anywhere
    return any(after.count(half) >= before.count(half) for half in halves)


# --- meaning (C9 to C13) ---------------------------------------------------------------------------------------------


def exchanges_conjuncts(item: Judged) -> bool:
    return is_coordination_swap(lower(item.before), lower(item.after))


def exchanges_equals(item: Judged) -> bool:
    return is_symmetric_swap(lower(item.before), lower(item.after))


def exchanges_namesakes(item: Judged) -> bool:
    return is_equal_swap(lower(item.before), lower(item.after))


def reorders(item: Judged) -> bool:
    return is_reordered(lower(item.before), lower(item.after))


def inside(scopes: Callable[[Doc], Iterable[frozenset[int]]]) -> Callable[[Sequence[Judged]], Verdicts]:
    """A detector of edits that lie inside one of these scopes of the caption."""
    return lambda items: scope.edits_inside(items, _load_parser, scopes)


def worse(count: Callable[[tuple[str, ...]], int]) -> Callable[[Sequence[Judged]], Verdicts]:
    """A detector of negatives with more of something than their caption has."""
    return each(lambda item: count(lower(item.after)) > count(lower(item.before)))


DETECTORS: Final[Mapping[str, Detector]] = {
    "a_an": Detector("a/an broken", each(breaks_article), visible=True),
    "agreement": Detector("agreement worse than in the caption", breaks_agreement, visible=True),
    "coordination": Detector("conjuncts exchanged", each(exchanges_conjuncts), visible=True, true=True),
    "symmetric": Detector("symmetric relation turned round", each(exchanges_equals), true=True),
    "equal_things": Detector(
        "attributes of equal things exchanged", each(exchanges_namesakes), visible=True, true=True
    ),
    "reordered": Detector("phrases of one scene reordered", each(reorders), true=True),
    "negated": Detector("edit inside a negation", inside(scope.negated), true=True),
    "quantified": Detector("edit under at least, fewer than ...", inside(scope.quantified), true=True),
    "alternative": Detector("edit in one of two alternatives", inside(scope.alternatives), true=True),
    "left_out": Detector("words only left out", each(only_leaves_out), true=True),
    "kind_of": Detector("a kind of the thing put in", each(names_a_kind), true=True),
    "by_default": Detector("attribute true by default", each(goes_without_saying), true=True),
    "identical": Detector("same token ids as the caption", identical_ids, visible=True, true=True),
    "equals_sibling": Detector("equal to another caption of the image", each(equals_sibling), true=True),
    "repeated": Detector("given twice for one caption", repeated),
    "near_synonym": Detector("near-synonym or hypernym", each(is_still_said), visible=True, true=True),
    "sibling_word": Detector("new content word in another caption", each(says_a_sibling_word), true=True),
    "sibling_implied": Detector("new noun implied by another caption", each(says_a_word_implied_by_a_sibling)),
    "said_together": Detector("new noun often said of such images", said_together),
    "implausible": Detector("noun that hardly stands there", hardly_stands_there),
    "number": Detector("determiner and noun of two numbers", worse(wording.wrong_numbers), visible=True),
    "verb_number": Detector("subject's number changed, verb's not", breaks_verb_number, visible=True),
    "verb_lost": Detector("noun in place of the verb", each(wording.loses_verb), visible=True),
    "possessive": Detector("possessive broken", worse(wording.wrong_possessives), visible=True),
    "stray_determiner": Detector("determiner without a noun", worse(wording.stray_determiners), visible=True),
    "side": Detector("left or right as a thing", each(sense.makes_side_a_thing), visible=True),
    "body_part": Detector("body part for a person", each(sense.puts_a_part_for_a_person), visible=True),
    "shade": Detector("colour that has no such shade", worse(sense.wrong_shades), visible=True),
    "pair": Detector("both, or the other, of not two", each(sense.breaks_pair), visible=True),
    "languages": Detector("English word in another language", each(wording.mixes_languages), visible=True),
    "case": Detector("case of the caption broken", each(wording.breaks_case)),
    "unit_cut": Detector("multi-word unit cut", each(cuts_unit)),
    "unknown_word": Detector("unknown word form", unknown_words),
    "placeholder": Detector("placeholder left in", each(has_placeholder)),
    "capital": Detector("capital lost or inside", each(breaks_capital)),
    "full_stop": Detector("final mark lost or new", each(breaks_end)),
    "spacing": Detector("detokenising damage", each(breaks_spacing)),
    "link_grammar": Detector("link-grammar: words not connected", breaks_linkage, available=grammar.has_link_grammar),
}
"""By name, in the order they are shown. A new one is a function and a line here."""


def defects_of(pairs: Iterable[tuple[str, str]], names: Iterable[str] | None = None) -> list[frozenset[str]]:
    """Names of the defects that each (caption, negative) has, for checks of single texts.

    Args:
        names: of the detectors that look; None for all that can run here.

    >>> defects_of([("A man without a hat.", "A man without a turban.")], ["negated", "number"])
    [frozenset({'negated'})]
    """
    items = [Judged(str(n), str(n), caption, negative, "") for n, (caption, negative) in enumerate(pairs)]
    chosen = [name for name in (DETECTORS if names is None else names) if DETECTORS[name].available()]
    found = {name: DETECTORS[name].find(items) for name in chosen}
    return [frozenset(name for name, verdicts in found.items() if verdicts[n]) for n in range(len(items))]
