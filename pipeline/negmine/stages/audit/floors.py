"""How often each criterion fires on negatives that people have written and checked: about how often it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SUGARCREPE: Final[Mapping[str, float]] = {
    "a_an": 0.05,
    "agreement": 1.13,
    "coordination": 0.03,
    "symmetric": 0.11,
    "equal_things": 0,
    "reordered": 0,
    "negated": 0,
    "quantified": 0,
    "alternative": 0.03,
    "left_out": 0,
    "kind_of": 0.73,
    "by_default": 0.04,
    "identical": 0,
    "equals_sibling": 0,
    "repeated": 0.08,
    "near_synonym": 0.25,
    "sibling_word": 3.01,
    "sibling_implied": 3.28,
    "said_together": 8.18,
    "implausible": 11.87,
    "number": 0.03,
    "verb_number": 0.01,
    "verb_lost": 0.03,
    "possessive": 0,
    "stray_determiner": 0,
    "side": 0,
    "body_part": 0,
    "shade": 0,
    "pair": 0,
    "languages": 0,
    "case": 0.01,
    "unit_cut": 0.36,
    "unknown_word": 1.29,
    "placeholder": 0,
    "capital": 0.01,
    "full_stop": 18.43,
    "spacing": 0,
    "any_visible": 1.5,
    "suspected_true": 4.17,
}
"""Percent of SugarCrepe's 7,511 negatives; ``negmine audit --negatives sugarcrepe/`` makes them."""
