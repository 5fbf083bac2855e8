"""The rules: each proposes ways to make a caption false. To add one, write it and add its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from negmine.text.caption import Caption
from negmine.text.proposal import Proposal, Words
from negmine.text.rules import attributes, counts, objects, relations, swaps

Rule = Callable[[Caption, Words, Random], Iterator[Proposal]]
"""Proposals for a caption, in an order that depends on the generator alone. A rule never looks at other captions."""

RULES: Final[Mapping[str, Rule]] = {
    "swap_object": swaps.swap_object,
    "swap_attribute": swaps.swap_attribute,
    "replace_object": objects.replace_object,
    "replace_attribute": attributes.replace_attribute,
    "replace_relation": relations.replace_relation,
    "replace_count": counts.replace_count,
}
"""By name, which is also the kind of the negatives."""
