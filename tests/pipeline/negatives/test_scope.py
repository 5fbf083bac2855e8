"""Where an edit may leave a caption true: what is denied, counted with a bound or left open; what equal things have.

Braces in the captions mark what no negative may change. They were set by hand, not by what the code finds, and the
rules are run as `negmine parse` runs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from negmine.base.counts import Counts
from negmine.language.analyse import parse
from negmine.language.caption import Caption
from negmine.stages.negatives.candidates import candidates
from negmine.stages.negatives.guards import case_of, in_scope, together
from negmine.stages.negatives.presets import load_preset, names
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import DEFAULT_RULES, RULES
from negmine.stages.negatives.select import Candidate
from negmine.stages.negatives.settings import ParseSettings

CASES = Path(__file__).parents[2] / "cases"
Parsed = Callable[[str], Caption]

DENIED = """
There is no {snow on the ground}.
A kitchen with no {table}.
A plate of food without any {vegetables}.
A horse with no {rider}.
A man without {a hat}.
The woman is not {wearing a coat}.
Nobody {is sitting at the table}.
A beach without {umbrellas}.
A tree without {leaves}.
A bed without {a blanket}.
A table with neither {plates nor cups}.
A fence without {a gate}.
There are no {cars on the street}.
a man without {a shirt} stands by the pool
A woman who is not {wearing a hat} walks past a shop
An empty room without {furniture}
a bedroom without {windows or curtains}
A kitchen with no {table} and no {chairs}
There isn't {a cloud in the sky above the house}.
A man without {a hat} riding a horse
A man without {a hat or a coat} rides a bike
No {birds are on the wire}.
No one {is sitting on the bench}.
Nothing {is on the table}.
None of {the dogs are sleeping}.
None of {the windows is open}.
Neither {the dog nor the cat is on the sofa}.
Neither {man is wearing a hat}.
The dog is not {on a leash}.
A dog not {on a leash} runs.
A man who can't {ride a horse}.
The men aren't {riding horses}.
The boy doesn't {have a helmet on his head}.
The dog isn’t {on a leash}.
The dog isnt {on a leash}.
A dog cannot {reach the ball}
A man never {wears a hat on the beach}.
A girl hardly {touches the water}.
There is hardly {any snow on the hill}.
There are barely {any people on the beach}.
The train is no longer {at the station}.
There is not {a single car in the street}.
Not {a single car is in the street}.
Few {people are on the beach}.
The bench lacks {a back}.
A bike missing {a wheel} in a yard
{The wheel of the bike} is missing.
A field free of {animals}.
A street devoid of {cars}
A bird avoids {the cat}.
A cat instead of {a dog} on a bed
A man eats cake rather than {pizza}
The cat is sleeping, not {eating}.
A cat and a dog, but no {people}, in a kitchen
The bathroom has a toilet but no {sink}.
A bathroom with a toilet but without {a sink}
A dining room with a table and no {chairs}.
There are no {people in the image} but a dog sits on a bench.
Two men, neither {wearing a helmet}, ride bikes.
A group of people, none {wearing hats}
A man with no {hat} and no {shirt} is riding a horse.
A truck carrying nothing drives on a road.
The kids have no {shoes} on.
There were no {dogs or cats in the room}.
PEOPLE WITHOUT {SHOES} ON A BEACH
THERE IS NO {SNOW ON THE GROUND}
A {leafless} tree in a field
A person in a kitchen without {a knife or a pan}
A plate of food without any {vegetables}
A person not {wearing a helmet} rides a motorcycle.
A zebra that isn't {standing near a tree}.
I can't {see a dog in this image}.
You won't {find a car on this street}.
None of {the people in the boat are wearing life jackets}.
Neither of {the two women is looking at the camera}.
A room having neither {a bed nor a couch}.
The cat is neither {on the bed nor under the table}.
A bowl with nothing {in it}.
A park with nobody in it except {a dog}.
{Nobody on the beach is wearing a hat}.
No {person in this photo is standing}.
In this image no {dog is visible}.
A street with no {traffic lights or signs}.
A bench with no one {on it} in a park.
A boy without {shoes or socks} stands on a rug.
Without {a helmet}, a man rides a bicycle.
A man is riding a bicycle without {wearing a helmet}.
A dog never {sits on the couch}.
The bus barely {fits under the bridge}.
The shelf is empty of {books}.
The clock lacks {hands}.
The man refuses {to eat the sandwich}.
A dog failing {to catch a frisbee}
A woman who doesn't {ride a horse} but leads it
A cat with a collar, not {a tie}, on a bed
A giraffe standing with no other {animals} in sight
The man has no {umbrella} but he has a hat.
A bed that has not {been made in a room}
No {dog, cat or bird is in the room}.
There are neither {cars nor people on the street}.
Nowhere {in the room is a chair}.
A horse unaccompanied by {a rider} stands in a field.
A boat unattended by {any sailor} floats on a lake
A field uncovered by {snow}
"""

BOUNDED = """
{At least three} dogs are {running on a beach}.
There are {at least two} cats on the bed.
There is {at least one} yellow block touching the edge.
{At most two birds sit on a wire}.
There are {more than ten} people in the room.
{Over twenty} people {wait at the bus stop}.
{Fewer than five cars are parked on the street}.
There are {less than four boats in the harbor}.
There are {up to ten people in a boat}.
No {more than two cups are on the table}.
{About ten} people stand in a park.
{Around twenty} people stand in a park.
There is {at least a} yellow block on top of a tower.
{Almost fifty} sheep stand in a field.
{Nearly four} dogs run.
{Three} or more dogs on a couch
{Two} or {three} dogs on a beach
All {dogs on the sofa} are black.
All of {the people} are wearing hats.
Every {chair in the room} is empty.
Each {plate} has a fork on it.
Most of {the chairs} are red.
Some of {the chairs are red}.
One of {the men is wearing a hat}.
Some people are {standing on a beach}.
Only one {zebra is drinking}.
{Two} dogs in a yard, one chasing the other.
{Two} women, one in red and one in blue, sit on a bench.
{Two} men on a bench, both with a hat.
A herd of {at least ten} cows grazing in a field
{At most three children are playing in a park}.
There are {no fewer than six} cups on the shelf.
There are {no more than two boats in the harbor}.
A bus with {more than twenty} passengers on a road
{More than one} dog {runs on the beach}.
A crowd of {over one hundred} people at a game
{Up to three dogs can be seen in the yard}.
Not {all of the dogs are black}.
Not {every chair is occupied by a person}.
{About a dozen} donuts in a box
{Nearly twenty} sheep stand near a fence.
All {three dogs} are running.
Only {the dog is on the bed}.
The dog is the only {animal in the room}.
Some horses are {eating grass} while others are sleeping.
Several of {the men are wearing hats}.
Half of {the oranges are peeled}.
{Two} cats on a bed, one sleeping and the other playing.
Between {two} and {five} dogs on a beach
{Two} to {three} dogs on a beach
At the very least {two} dogs are on a bed
{As many as five} cows in a field
{At minimum two} dogs are in the car.
Everyone {in the boat} wears a hat.
Everything {on the table} is white.
Everybody {in the image} wears glasses.
{Two} cats, a gray one and a white one, sleep on a bed
No {parking sign} next to a fire hydrant.
"""

OPEN = """
{A cat} or {a dog} sleeps on the sofa.
The animal is either {a horse} or {a donkey}.
A {red} or {blue} umbrella on a beach
A man {sitting} or {standing in a boat}
Maybe {a dog is on the bed}.
Possibly {a cat on a chair}
A dog, possibly {a wolf}, in the snow
The man might {be a chef holding a pan}.
A dog that may {be a wolf} stands in snow.
A man appears {to be holding a phone}.
The boy seems {to be riding a bike}.
It looks like {a dog on a sofa}.
A kite shaped like {a fish}
{A man} or {a woman} rides a horse.
{A cat}, {a dog} or {a bird} on a roof
{A cat} and/or {a dog} on a roof
{Either a man} or {a woman} is driving the car.
A person is either {sitting} or {standing on a bench}.
Perhaps there is {a dog behind the fence}.
A man possibly {holding a phone} walks on a street.
What seems {to be a cat} is under a car.
A probably {wet dog} runs on a beach.
A boy dressed like {a pirate} holds a sword.
A man holding a racket as if {to hit a ball}
A {possible wolf} walks through the snow.
A {probable bear} is behind the tree.
"""

NO_DENIAL = [
    "Not only a dog but also a cat is on the bed.",
    "A sign for no. 5 on a door.",
    "A No Parking sign on a pole.",
    "A no smoking sign on a wall.",
    "Without a doubt a dog sits on a bench.",
    "A man wearing nothing but shorts on a beach.",
    "A few people are on the beach.",
    "A man dressed all in white on a horse.",
    "A table with all kinds of fruit",
    "A man is about to hit a ball.",
    "A bridge over a river",
    "Cars parked around a tree",
    "A dog appears in a window.",
    "Two dogs look at each other.",
    "An almost empty street with two cars",
    "A jet pulled up to the terminal of an airport.",
    "A horse walks up to a fence.",
    "A car parked close to a wall",
    "Some type of vehicle is parked inside a garage.",
    "An all white kitchen with a table",
]


def marked(several: str) -> list[str]:
    return several.strip().splitlines()


def without_marks(text: str) -> tuple[str, set[int]]:
    """A caption, and the places of the characters between braces."""
    plain, inside, places = "", False, set[int]()
    for character in text:
        if character in "{}":
            inside = character == "{"
            continue
        if inside:
            places.add(len(plain))
        plain += character
    return plain, places


def accepted(
    caption: Caption, words: Words, rules: tuple[str, ...], seeds: int = 4, counts: Counts | None = None
) -> Iterator[Candidate]:
    counts = Counts() if counts is None else counts
    for seed in range(seeds):
        settings = ParseSettings(rules=rules, seed=seed)
        yield from candidates("k", case_of(caption, together([]), words), settings, set(), counts)


@pytest.mark.parametrize("text", marked(DENIED) + marked(BOUNDED) + marked(OPEN))
def test_no_rule_edits_what_is_denied_bounded_or_open(parsed: Parsed, words: Words, text: str) -> None:
    plain, closed = without_marks(text)
    for candidate in accepted(parsed(plain), words, tuple(RULES)):
        touched = {place for edit in candidate.edits for place in range(edit.start, edit.end)}
        assert touched.isdisjoint(closed), (candidate.rule, candidate.negative)


def test_no_preset_edits_what_is_denied_bounded_or_open(parsed: Parsed, words: Words) -> None:
    made = 0
    for plain, closed in map(without_marks, marked(DENIED) + marked(BOUNDED) + marked(OPEN)):
        for preset in names():
            for candidate in accepted(parsed(plain), words, load_preset(preset).rules, seeds=1):
                made += 1
                touched = {place for edit in candidate.edits for place in range(edit.start, edit.end)}
                assert touched.isdisjoint(closed), (preset, candidate.negative)
    assert made > 1_000  # what is outside is still edited


def captions_of(folder: str) -> list[str]:
    lines = (CASES / folder / "pairs.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["caption"] for line in lines]


def test_the_folders_of_cases_are_all_marked() -> None:
    known = {without_marks(text)[0] for text in marked(DENIED) + marked(BOUNDED) + marked(OPEN)}
    operator = re.compile(r"\b(no|not|without|than|or)\b|n't|^Over")
    captions = captions_of("negation") + [text for text in captions_of("truth2") if operator.search(text)]
    assert len(captions) == 12 + 13
    assert set(captions) <= known


def test_any_order_of_words_has_scopes_within_the_caption(nlp: Any, words: Words) -> None:
    rng = Random(3)
    bits = "no not without neither nor at least most or one the other a dog cats is riding on beach , . all like seems"
    texts = [" ".join(rng.choices(bits.split(), k=rng.randint(1, 9))) for _ in range(300)]
    for text, caption in parse(nlp, texts, words.vocabulary).items():
        assert caption.scopes <= set(range(len(caption.tokens))), text


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A man without a hat riding a horse", "A man without a hat riding a cow"),
        ("A man without a hat riding a horse", "A woman without a hat riding a horse"),
        ("A kitchen with no table", "A bathroom with no table"),
        ("The dog is not on a leash.", "The cat is not on a leash."),
        ("At least three dogs sleep on a bed", "At least three cats sleep on a bed"),
        ("A cat or a dog sleeps on the sofa.", "A cat or a dog sleeps under the sofa."),
        ("There are no people in the image but a dog sits on a bench.", None),
    ],
)
def test_what_is_out_of_scope_is_still_edited(parsed: Parsed, words: Words, caption: str, negative: str | None) -> None:
    found = {candidate.negative for candidate in accepted(parsed(caption), words, DEFAULT_RULES, seeds=40)}
    assert negative in found if negative is not None else any("dog" not in text for text in found)


@pytest.mark.parametrize("caption", NO_DENIAL)
def test_what_only_looks_like_a_denial_closes_nothing(parsed: Parsed, caption: str) -> None:
    found = parsed(caption)
    assert [found.tokens[i].text for i in sorted(found.scopes)] == []


def test_refusals_in_scope_are_counted(parsed: Parsed, words: Words) -> None:
    counts = Counts()
    assert not list(accepted(parsed("No birds are on the wire."), words, ("replace_object",), 1, counts))
    assert counts[f"rejected:replace_object:{in_scope.__name__}"] == counts["proposed:replace_object"] > 0


@pytest.mark.parametrize(
    ("caption", "negatives"),
    [
        ("a man without a hat", {"a man with a hat"}),
        ("There is no dog on a bed", {"There is a dog on a bed"}),
        ("No dog is without a collar", {"A dog is without a collar"}),
        ("At least two dogs are running", set()),
        ("Maybe a dog is on a bed", set()),
        ("A no parking sign on a pole", set()),
        ("No one is on the bed", set()),
        ("There aren't any dogs on the bed", set()),
        ("A man can't reach a ball", {"A man can reach a ball"}),
        ("The man has no umbrella", {"The man has an umbrella"}),
        ("There is no snow on the hill", {"There is some snow on the hill"}),
    ],
)
def test_a_denial_is_taken_back_but_none_is_put_into_another(
    parsed: Parsed, words: Words, caption: str, negatives: set[str]
) -> None:
    assert {candidate.negative for candidate in accepted(parsed(caption), words, ("negate",))} == negatives


# --- equal things ----------------------------------------------------------------------------------------------------

EQUAL = [
    "A man in a blue shirt and a man in a red shirt",
    "A man in a red shirt and a man in a blue shirt shake hands.",
    "A small elephant and a large elephant drink from a pond",
    "A red shirt and a blue shirt on a bed",
    "A red car next to a blue car",
    "A white cat, a black cat and a gray cat sleep.",
    "A man in a red hat stands beside a man in a white hat.",
    "A cat on a red chair and a cat on a blue chair look at each other.",
    "A woman with a red umbrella and a woman with a blue umbrella walk.",
    "A white boat and a blue ship in a harbor",
    "A red car and a blue one on a street",
    "A man on a horse and a man on a bike",
    "A woman with a dog and a woman with a cat",
    "A woman holding a cat and a woman holding a dog",
    "A boy with a kite next to a boy with a ball",
]
SWAPS = tuple(rule for rule in RULES if rule.startswith("swap_"))


def same_statements(one: str, other: str) -> bool:
    """Whether two captions consist of the same phrases, in whatever order conjunctions and equal sides put them."""
    parts = [sorted(re.split(r" and | next to | beside |, ", text.lower().rstrip("."))) for text in (one, other)]
    return parts[0] == parts[1]


@pytest.mark.parametrize("caption", [*EQUAL, *captions_of("conjuncts"), *captions_of("truth2")])
def test_equal_things_do_not_exchange_what_they_have(parsed: Parsed, words: Words, caption: str) -> None:
    for candidate in accepted(parsed(caption), words, SWAPS):
        assert candidate.rule != "swap_attribute", candidate.negative
        assert sorted(re.findall(r"\w+", candidate.negative.lower())) != sorted(
            re.findall(r"\w+", caption.lower())
        ) or (not same_statements(candidate.negative, caption)), candidate.negative


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("a black cat and a white dog", "a white cat and a black dog"),
        ("A red bench is far away from a blue car.", "A blue bench is far away from a red car."),
        ("a man in a hat and a woman in a scarf", "a man in a scarf and a woman in a hat"),
    ],
)
def test_different_things_do(parsed: Parsed, words: Words, caption: str, negative: str) -> None:
    assert negative in {candidate.negative for candidate in accepted(parsed(caption), words, SWAPS, 10)}


# --- relations that hold both ways -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "caption",
    [
        "The cup is away from the bus.",
        "A dog far from a cat.",
        "A truck is far away from a bus.",
        "A car parked far from a truck",
        "A dog is lying away from a cat.",
        "The bench is parallel to the car.",
        "A ladder perpendicular to a bench",
        "A bicycle attached to a car.",
        "A truck is connected to a boat.",
        "A car opposite to a bus.",
        "A car opposite a bus.",
        "A bus across from a truck.",
        "A cat touching a dog.",
        "A cow adjacent to a horse.",
        "A cat alongside a dog",
        "A dog between a cat and a bird.",
        "A man standing along with a woman",
        "A dog together with a cat",
        "A dog meets a cat.",
        "A boy shakes hands with a girl.",
        "A bear and an elephant facing each other",
        "A cat different from a dog.",
        "A sheep similar to a goat",
        "The dog is the same as the cat.",
        "A horse as tall as a cow.",
        "A man is married to a woman.",
        "A dog fights a cat.",
        "A truck beside a bus",
    ],
)
def test_sides_of_a_relation_that_holds_both_ways_stay(parsed: Parsed, words: Words, caption: str) -> None:
    assert [candidate.negative for candidate in accepted(parsed(caption), words, SWAPS, 10)] == []


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A man facing away from a dog.", "A dog facing away from a man."),
        ("A dog walks away from a cat.", "A cat walks away from a dog."),
        ("A man behind a horse", "A horse behind a man"),
    ],
)
def test_sides_of_one_that_does_not_are_exchanged(parsed: Parsed, words: Words, caption: str, negative: str) -> None:
    assert negative in {candidate.negative for candidate in accepted(parsed(caption), words, SWAPS, 10)}


@pytest.mark.parametrize(
    "caption",
    [
        "A man on a motorcycle driving beside a van",
        "Men on horse back riding on the beach",
        "A person on a bench with a laptop in a park",
        "A man in the ocean with a dog on a surfboard",
        "A man in a boat on a river",
        "A guy with a racket playing tennis on the court",
        "A kitchen with cabinets and a microwave on the counter",
        "A person on a motorcycle driving on a road",
    ],
)
def test_phrases_that_may_hang_on_one_event_stay(parsed: Parsed, words: Words, caption: str) -> None:
    assert [candidate.negative for candidate in accepted(parsed(caption), words, ("swap_phrase",), 10)] == []
