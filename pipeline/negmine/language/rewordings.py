"""Words that captions use of the same things, see ``data/rewordings.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

PARTS: Final = ("nouns", "adjectives", "prepositions")


class SameWords(NamedTuple):
    """Word to those that may stand for it, by part of speech; nouns by lemma."""

    nouns: Mapping[str, tuple[str, ...]]
    adjectives: Mapping[str, tuple[str, ...]]
    prepositions: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def packaged_rewordings() -> SameWords:
    """The lists that come with negmine."""
    text = resources.files("negmine.language").joinpath("data", "rewordings.toml").read_text("utf-8")
    table = tomllib.loads(text)
    return SameWords(*(_others(table[part]) for part in PARTS))


def _others(lists: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {word: tuple(other for other in same if other != word) for same in lists for word in same}
