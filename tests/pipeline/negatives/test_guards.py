"""The guards that a proposal of unheard words is spared would not have refused it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from negmine.contract.records import apply_edits
from negmine.language.caption import Caption
from negmine.language.changes import realise
from negmine.stages.negatives.guards import case_of, evidence, is_heard, refusal, text_refusal, together
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import DEFAULT_RULES, RULES

IMAGES = [
    ["A brown dog chases two cats.", "Two cats run from a dog on grass", "a puppy and two kittens"],
    ["A man in a red shirt rides his bike.", "a person riding a bicycle down the road"],
    ["Three zebras stand in a field near a tree", "A herd of zebras", "zebras grazing beside a small tree"],
    ["A woman holding her umbrella in the rain", "a lady with a black umbrella walks on a wet street"],
    ["a stop sign at the corner of the street", "A red sign and a parked car"],
]


def test_what_is_unheard_passes_the_guards_it_is_spared(parsed: Callable[[str], Caption], words: Words) -> None:
    spared = 0
    for captions in IMAGES:
        for text in captions:
            caption = parsed(text)
            case = case_of(caption, together(evidence(parsed(o), words) for o in captions if o != text), words)
            for seed in range(20):
                for rule in DEFAULT_RULES:
                    for proposal in RULES[rule](caption, words, Random(seed)):
                        if not is_heard(proposal, case):
                            spared += 1
                            negative = apply_edits(text, realise(caption, proposal.changes))
                            assert refusal(proposal, case, True) == refusal(proposal, case, False), negative
                            assert text_refusal(negative, case, True) is None, negative
    assert spared > 1_000
