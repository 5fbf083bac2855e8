"""How a text differs from a caption, told by its words: which of the `KINDS` it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from negmine.contract.records import KINDS
from negmine.language.difference import changed_runs, tokens
from negmine.language.inflect import is_inflected
from negmine.language.vocabulary import Vocabulary, packaged_vocabulary

REWRITE: Final = "rewrite"
"""What differs in more than one thing, or in what cannot be told."""

_VERBS: Final = {"swap": "swap", "replace": "replace", "add": "add", "exchange": "swap", "change": "replace"}
_THINGS: Final = (
    (("obj", "noun"), "object"),
    (("att", "adj", "colo"), "attribute"),
    (("rel", "prep", "spatial"), "relation"),
    (("act", "verb"), "action"),
    (("count", "num", "quant"), "count"),
    (("phrase",), "phrase"),
)
_MADE: Final = frozenset(kind for kind in KINDS if kind.startswith(("swap_", "replace_", "add_")))
_LETTERS = re.compile(r"[a-z]+")
_ARTICLES: Final = frozenset({"a", "an"})
_DENIALS: Final = frozenset({"no", "not", "without", "never", "nobody", "nothing", "none", "n't"})
_MOST: Final = 4
"""Words that one thing is told in."""


def named_kind(name: str) -> str | None:
    """The kind that somebody's name of a kind means: ``swap_obj``, ``Replace attribute``, ``adj_aug``; None if none.

    >>> named_kind("replace_att"), named_kind("Swap Object"), named_kind("negation")
    ('replace_attribute', 'swap_object', 'negate')
    """
    words = _LETTERS.findall(name.casefold())
    if any(word.startswith(("negat", "existence")) for word in words):
        return "negate"
    if any(word.startswith(("shuffle", "reorder")) for word in words):
        return "reorder"
    verb = next((_VERBS[word] for word in words if word in _VERBS), "replace")
    things = (kind for starts, kind in _THINGS if any(word.startswith(starts) for word in words))
    kind = f"{verb}_{next(things, '')}"
    return kind if kind in _MADE else None


def kind_between(caption: str, text: str) -> str:
    """The kind of a text by how it differs from the caption, `REWRITE` where that cannot be told."""
    before, after = (tuple(word.lower() for word in tokens(one)) for one in (caption, text))
    runs = [(before[i:j], after[k:m]) for i, j, k, m in changed_runs(before, after)]
    runs = [(old, new) for old, new in map(_without_articles, *zip(*runs, strict=True)) if old or new] if runs else []
    if sorted(_plain(before)) == sorted(_plain(after)):
        return _swapped(runs)
    if len(runs) != 1:
        return REWRITE
    (old, new) = runs[0]
    if not _DENIALS.isdisjoint(set(new) ^ set(old)):
        return "negate" if max(len(old), len(new)) <= _MOST else REWRITE
    if not old:
        return _added(new)
    return _replaced(old, new) if new else REWRITE


def _without_articles(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A run without an article that only sounds otherwise."""
    if old and new and old[0] in _ARTICLES and new[0] in _ARTICLES:
        return tuple(old[1:]), tuple(new[1:])
    return tuple(old), tuple(new)


def _plain(words: Sequence[str]) -> list[str]:
    return ["a" if word == "an" else word for word in words]


def _swapped(runs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    """The same words in another order: what the two runs are that changed places."""
    if len(runs) != 2 or runs[0][0] != runs[1][1] or runs[0][1] != runs[1][0]:
        return "reorder"
    sides = {_class(side) for side in runs[0]}
    if sides == {"object"} and max(map(len, runs[0])) == 1:
        return "swap_object"
    return "swap_attribute" if sides <= {"attribute", "count"} else "swap_phrase" if "" not in sides else "swap_object"


def _added(new: Sequence[str]) -> str:
    if len(new) > _MOST + 2:
        return REWRITE
    found = _class(new)
    if found == "attribute":
        return "add_attribute"
    return "add_object" if any(_class([word]) == "object" for word in new) else REWRITE


def _replaced(old: Sequence[str], new: Sequence[str]) -> str:
    if max(len(old), len(new)) > _MOST:
        return REWRITE
    kinds = _class(old), _class(new)
    if kinds[0] == kinds[1] != "":
        return f"replace_{kinds[0]}"
    both = _classes(tuple(old)) & _classes(tuple(new))
    return f"replace_{min(both)}" if len(both) == 1 else REWRITE


def _class(words: Sequence[str]) -> str:
    """What words name, first choice first; "" if that cannot be told."""
    found = _classes(tuple(words))
    return next((kind for kind in ("count", "relation", "attribute", "action", "object") if kind in found), "")


@lru_cache(maxsize=1 << 16)
def _classes(words: tuple[str, ...]) -> frozenset[str]:
    """All that words may name: *count*, *relation*, *attribute*, *action*, *object*."""
    vocabulary, text, last = packaged_vocabulary(), " ".join(words), words[-1] if words else ""
    if not words:
        return frozenset()
    if len(words) == 1 and vocabulary.number(text) is not None:
        return frozenset({"count"})
    if text in vocabulary.contraries or all(word in vocabulary.closed_class for word in words):
        return frozenset({"relation"}) if _is_preposition(text, vocabulary) else frozenset()
    if all(word in vocabulary.attributes for word in words):
        return frozenset({"attribute"})
    if vocabulary.names_concept(text) or vocabulary.names_concept(last):
        return frozenset({"object"})
    kinds = set[str]()
    if is_inflected(last, "NOUN"):
        kinds.add("object")
    if is_inflected(last, "VERB"):
        kinds = {"action"} if last.endswith("ing") else {*kinds, "action"}
    if len(words) == 1 and is_inflected(last, "ADJ"):
        kinds = {"attribute"} if "object" not in kinds else {*kinds, "attribute"}
    return frozenset(kinds)


def _is_preposition(text: str, vocabulary: Vocabulary) -> bool:
    return text in vocabulary.contraries or text in vocabulary.near or text in vocabulary.reversible_places
