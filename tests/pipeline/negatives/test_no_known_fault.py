"""What the rules make of the captions that people have, judged by the detectors of `negmine audit`: none has a fault.

The detectors read texts alone and share no code with the rules and guards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from negmine.base.counts import Counts
from negmine.language.analyse import parse
from negmine.stages.audit.defects import defects_of
from negmine.stages.negatives.candidates import ParseWorker, candidates
from negmine.stages.negatives.guards import Evidence, case_of
from negmine.stages.negatives.presets import load_preset, names
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import GEOMETRY, LABELLED, RULES
from negmine.stages.negatives.settings import ParseSettings

CASES = Path(__file__).parents[2] / "cases"
FOLDERS = ("negation", "conjuncts", "truth2", "person", "leftright", "styles", "languages")
SEEDS = 2

TRUE = (
    "negated",
    "quantified",
    "alternative",
    "equal_things",
    "coordination",
    "symmetric",
    "reordered",
    "left_out",
    "kind_of",
    "by_default",
)
"""Detectors of negatives that are true of the image."""
BROKEN = (
    "body_part",
    "side",
    "verb_lost",
    "verb_number",
    "number",
    "possessive",
    "stray_determiner",
    "shade",
    "pair",
    "languages",
    "case",
    "a_an",
    "capital",
    "spacing",
    "full_stop",
    "unit_cut",
    "placeholder",
)
"""Detectors of texts that are no English."""
SHUFFLED = "reorder"
"""The rule whose texts are no English: it is judged by their truth alone."""

PEOPLE_HAVE = """
A horse unaccompanied by a rider stands in a field.
Everyone in the boat wears a hat.
Everything on the table is white.
No fewer than four sheep graze on the hill.
At minimum two dogs are in the car.
A possible wolf walks through the snow.
No parking sign next to a fire hydrant.
Two cats, a gray one and a white one, sleep on a bed
A boy on the left has a red cap and a boy on the right has a blue cap.
To the left of the tree there is a bench and to the right there is a bike.
A woman with blond hair and a woman with black hair share a table
A tall man and a short man box in a ring
A person in an orange jacket and a person in a green jacket ski down a hill
A woman in red talks to a woman in green.
A girl in pink tights waves at a dog
A man benches a heavy weight in a gym
A Man in a Red Shirt Playing Guitar on Stage
A dark blue car and a light blue car are parked on the street
A pink and green striped umbrella on a beach
A four engine airplane parked near a two tier cake
A street pole that has one way signs and a light
A hot dog cart across from a hall
Beef and vegetables on a plate sitting on a table.
tHERE ARE SEVERAL STUFFED ANIMALS TOGETHER ON A BED
El hombre come pizza en la mesa.
Boy, 5, plays w/ toy train @ home
A large yellow school bus stopping on a road.
Two dogs and a cat sleeping on their human's bed
A bed with two dogs and a cat lying on it.
A woman walks with 2 kids holding tennis rackets.
A man is right behind a cow on green grass.
A motorcycle parked behind two vans in a parking lot.
An elephant is chasing a dog around in the dirt.
A group of skateboarders watching a skateboarder doing a trick in a skate park.
A desk with two laptops and a monitor.
Two men are kicking a soccer ball on the city sidewalk.
There are two men standing next to a bike and a doll.
A man has a checked shirt and striped tie.
A black cat sitting on a table in front of a laptop.
A man watching two elephants behind a wire fence.
A uniformed baseball player being watched by people.
"""

Made = Callable[[Sequence[str], tuple[str, ...]], list[tuple[str, str]]]


def captions_of(folder: str) -> list[str]:
    lines = (CASES / folder / "pairs.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["caption"] for line in lines]


@cache
def all_captions() -> tuple[str, ...]:
    return (*(text for folder in FOLDERS for text in captions_of(folder)), *PEOPLE_HAVE.strip().splitlines())


@pytest.fixture(scope="module")
def made(nlp: Any, words: Words) -> Made:
    """(caption, negative) of everything that rules make of captions, by a few seeds."""

    def run(captions: Sequence[str], rules: tuple[str, ...]) -> list[tuple[str, str]]:
        parsed, found = parse(nlp, captions, words.vocabulary), dict[tuple[str, str], None]()
        for seed in range(SEEDS):
            settings = ParseSettings(rules=rules, seed=seed)
            for text in captions:
                case = case_of(parsed[text], Evidence(), words)
                several = candidates(text, case, settings, set(), Counts())
                found |= dict.fromkeys((text, candidate.negative) for candidate in several)
        return list(found)

    return run


def faults(pairs: Sequence[tuple[str, str]], detectors: Sequence[str]) -> dict[str, list[str]]:
    """Detector to the negatives it objects to."""
    found: dict[str, list[str]] = {}
    for (_, negative), names_of in zip(pairs, defects_of(pairs, detectors), strict=True):
        for name in names_of:
            found.setdefault(name, []).append(negative)
    return found


def test_no_rule_makes_a_known_fault(made: Made) -> None:
    rules = tuple(rule for rule in RULES if rule not in LABELLED + GEOMETRY)
    pairs = made(all_captions(), rules)
    assert len(pairs) > 3_000
    assert faults(pairs, TRUE + BROKEN) == {}


def test_a_denial_is_no_other_fault(made: Made) -> None:
    pairs = made(all_captions(), ("negate",))
    assert len(pairs) > 20
    assert faults(pairs, tuple(name for name in TRUE + BROKEN if name != "kind_of")) == {}


def test_words_in_another_order_say_another_thing(made: Made) -> None:
    pairs = made(all_captions(), (SHUFFLED,))
    assert len(pairs) > 200
    assert (
        faults(
            pairs, ("negated", "quantified", "alternative", "equal_things", "coordination", "symmetric", "reordered")
        )
        == {}
    )


@pytest.mark.parametrize("preset", [name for name in names() if load_preset(name).rules])
def test_no_preset_chooses_a_known_fault(nlp: Any, words: Words, preset: str) -> None:
    """As a run makes them, with one image a caption."""
    chosen = load_preset(preset)
    settings = ParseSettings(rules=chosen.rules, per_caption=chosen.per_caption, balanced=False)
    rows = [(str(n), str(n), text) for n, text in enumerate(all_captions())]
    pairs = []
    for seed in range(SEEDS):
        negatives, _ = ParseWorker(replace(settings, seed=seed), _nlp=nlp).negatives_of(rows)
        pairs += [(negative.caption, negative.negative) for negative in negatives]
    assert len(pairs) > (20 if preset == "swaps" else 50)  # most captions have nothing that might change places
    assert faults(pairs, TRUE + BROKEN) == {}


@pytest.mark.parametrize(
    ("caption", "negative", "fault"),
    [
        ("A white horse and a brown horse stand in a field", "A white horse and a brown kite in a field", "verb_lost"),
        ("A woman in white mans the camera.", "A woman in white cats the camera.", "verb_lost"),
        ("Food on a plate on a table", "Food on a table on a plate", "reordered"),
        ("A bus stopping on a road.", "A bus stopping on a dirt road.", "kind_of"),
        ("Nobody but a person on a bed", "Nobody but a beard on a bed", "body_part"),
        ("At least four sheep graze on a hill.", "At least three sheep graze on a hill.", "quantified"),
        ("No fewer than four sheep graze on a hill.", "No fewer than three sheep graze on a hill.", "quantified"),
        ("Two girls run and a dog barks.", "One girl run and a dog barks.", "verb_number"),
        ("Two mugs on a table", "Two mug on a table", "number"),
    ],
)
def test_the_detectors_see_these(caption: str, negative: str, fault: str) -> None:
    assert fault in faults([(caption, negative)], (fault,))


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("No fewer than four sheep graze on a hill.", "No fewer than four sheep graze on a roof."),
        ("Two cats lie on a bed and a dog sits.", "A cat lies on a bed and a dog sits."),
        ("A cat lies on a bed and a dog sits.", "Two cats lie on a bed and a dog sits."),
        ("A fox hunts a rabbit", "A fox hunts two rabbits"),
        ("A pink and green umbrella", "Two pink and green umbrellas"),
        ("A man crosses the road", "A man leaves the road"),
        ("A person uses a mouse with one hand", "A mouse with one hand uses a person"),
        ("An Old Woman Walks Down The Street.", "An Old Woman Walks On The Stage."),
        ("A dog on a bed", "A dog beneath a bed"),
        ("Women's shoes on a bed", "Men's shoes on a bed"),
    ],
)
def test_the_detectors_raise_no_false_alarm(caption: str, negative: str) -> None:
    assert faults([(caption, negative)], (*TRUE, *BROKEN, "unknown_word")) == {}
