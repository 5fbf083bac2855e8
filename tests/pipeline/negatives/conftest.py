"""One parser and one set of word lists for all tests of the text rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from negmine.base.counts import Counts
from negmine.language.analyse import load_model, parse
from negmine.language.caption import Caption
from negmine.stages.negatives.candidates import candidates, load_words
from negmine.stages.negatives.guards import case_of, evidence, together
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import DEFAULT_RULES
from negmine.stages.negatives.settings import ParseSettings

Produced = Callable[..., set[str]]


@pytest.fixture(scope="session")
def nlp() -> Any:
    return load_model(None)


@pytest.fixture(scope="session")
def words() -> Words:
    return load_words()


@pytest.fixture(scope="session")
def parsed(nlp: Any, words: Words) -> Callable[[str], Caption]:
    @cache
    def one(text: str) -> Caption:
        return parse(nlp, [text], words.vocabulary)[text]

    return one


@pytest.fixture(scope="session")
def produced(parsed: Callable[[str], Caption], words: Words) -> Produced:
    """All negatives that any of 40 seeds accepts for a caption, given the other captions of its image."""

    def run(caption: str, siblings: Sequence[str] = (), rules: Sequence[str] | None = None) -> set[str]:
        known = together(evidence(parsed(text), words) for text in siblings)
        base = ParseSettings(rules=DEFAULT_RULES if rules is None else tuple(rules))
        found: set[str] = set()
        for seed in range(40):
            settings = replace(base, seed=seed)
            case = case_of(parsed(caption), known, words)
            found |= {c.negative for c in candidates("k", case, settings, set(), Counts())}
        return found

    return run
