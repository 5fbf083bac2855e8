"""A rule of one's own: `python examples/own_rule.py captions.jsonl`.

A rule proposes changes of a caption's tokens; guards, grammar and the balanced choice are the same as for all others.
"""

import sys
from collections.abc import Iterator
from random import Random

import negmine
from negmine.language.caption import Caption
from negmine.language.changes import Change
from negmine.stages.negatives.proposal import Proposal, Words
from negmine.stages.negatives.rules import RULES

WEATHER = ("sunny", "rainy", "snowy", "foggy")


def replace_weather(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """a sunny street -> a snowy street"""
    for place, token in enumerate(caption.tokens):
        if token.text.lower() in WEATHER:
            for other in rng.sample(WEATHER, len(WEATHER)):
                if other != token.text.lower():
                    yield Proposal((Change(place, place, other),))


RULES["replace_weather"] = replace_weather  # worker processes import this file, and so know it

if __name__ == "__main__":
    settings = negmine.ParseSettings(rules=("replace_weather",), balanced=False)
    negmine.parse(sys.argv[1], "work-weather", settings)
    for pair in negmine.read("work-weather"):
        for negative in pair.negatives:
            print(f"{pair.caption}\n    {negative.text}")
