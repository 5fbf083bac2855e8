"""The rules: each proposes ways to make a caption false. To add one, write it and add its line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from negmine.language.caption import Caption
from negmine.stages.negatives.proposal import Proposal, Words
from negmine.stages.negatives.rules import (
    actions,
    additions,
    arguments,
    attributes,
    counts,
    geometry,
    negation,
    objects,
    orders,
    relations,
    swaps,
)

Rule = Callable[[Caption, Words, Random], Iterator[Proposal]]
"""Proposals for a caption, in an order that depends on the generator alone. A rule never looks at other captions."""

RULES: Final[dict[str, Rule]] = {
    "swap_relation": arguments.swap_relation,
    "swap_object": swaps.swap_object,
    "swap_attribute": swaps.swap_attribute,
    "swap_phrase": arguments.swap_phrase,
    "replace_object": objects.replace_object,
    "replace_attribute": attributes.replace_attribute,
    "replace_relation": relations.replace_relation,
    "replace_action": actions.replace_action,
    "replace_count": counts.replace_count,
    "add_object": additions.add_object,
    "add_attribute": additions.add_attribute,
    "negate": negation.negate,
    "reorder": orders.reorder,
    "geometry_name": geometry.geometry_name,
    "geometry_shape": geometry.geometry_shape,
    "geometry_relation": geometry.geometry_relation,
    "geometry_value": geometry.geometry_value,
}
"""By name, which is also the kind of the negatives."""

LABELLED: Final = ("negate", "reorder")
"""Rules whose negatives the text alone gives away; only used when they are asked for."""

GEOMETRY: Final = tuple(rule for rule in RULES if rule.startswith("geometry_"))
"""Rules for captions of diagrams, by point names; only used when they are asked for."""

DEFAULT_RULES: Final = tuple(rule for rule in RULES if rule not in LABELLED + GEOMETRY)
