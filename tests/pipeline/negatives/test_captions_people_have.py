"""Grammar, words and reading of rule negatives, over all that rules propose for captions of the kinds people have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from negmine.base.counts import Counts
from negmine.contract.records import Edit, apply_edits
from negmine.language.analyse import MAX_WORDS, parse, read_until
from negmine.language.capitals import capitals_of
from negmine.language.caption import Caption
from negmine.language.inflect import agreeing, article, ends_as_plural, lemma
from negmine.language.recognise import why_foreign
from negmine.language.vocabulary import includes
from negmine.stages.negatives.candidates import ParseWorker, candidates
from negmine.stages.negatives.guards import Evidence, case_of
from negmine.stages.negatives.presets import load_preset, names
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import DEFAULT_RULES
from negmine.stages.negatives.select import Candidate
from negmine.stages.negatives.settings import ParseSettings

CASES = Path(__file__).parents[2] / "cases"
SEEDS = 3

Made = Callable[..., list[Candidate]]


def lines(name: str) -> list[str]:
    return (CASES / "words" / name).read_text("utf-8").splitlines()


def captions_of(kind: str) -> list[str]:
    return [json.loads(line)["caption"] for line in (CASES / kind / "pairs.jsonl").read_text("utf-8").splitlines()]


VERBS = dict(line.split("\t") for line in lines("verbs.tsv"))
STYLES = [*captions_of("person"), *captions_of("leftright"), *captions_of("styles"), *captions_of("truth2")]


@pytest.fixture(scope="module")
def made(nlp: Any, words: Words) -> Made:
    """All candidates of a caption, by a few seeds."""

    @cache
    def run(caption: str, rules: tuple[str, ...] = DEFAULT_RULES) -> list[Candidate]:
        parsed, found = parse(nlp, [caption], words.vocabulary)[caption], list[Candidate]()
        for seed in range(SEEDS):
            settings = ParseSettings(rules=rules, seed=seed)
            found += candidates("k", case_of(parsed, Evidence(), words), settings, set(), Counts())
        return found

    return run


def exchanged(caption: str, candidate: Candidate) -> Iterator[tuple[str, str]]:
    """Last words that each edit takes out and puts in, lower-case."""
    for edit in candidate.edits:
        if edit.old.split() and edit.new.split():
            yield edit.old.lower().split()[-1], edit.new.lower().split()[-1]


# --- verbs and number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("caption", "verb"), VERBS.items())
def test_no_rule_takes_the_verb_for_a_noun(made: Made, caption: str, verb: str) -> None:
    """Whatever is replaced, the verb stays, in one of its two present forms."""
    forms = {agreeing(verb, False), agreeing(verb, True)}
    rules = ("replace_object", "replace_count", "add_object", "add_attribute", "replace_attribute", "swap_object")
    found = made(caption, rules)
    assert found
    for candidate in found:
        assert not forms.isdisjoint(candidate.negative.lower().split()), candidate.negative


@pytest.mark.parametrize("caption", ["a chef waiters fish", "A baseball players with a bat"])
def test_a_plural_of_one_a_is_left_alone(made: Made, caption: str) -> None:
    for candidate in made(caption, ("replace_object", "replace_count")):
        assert caption.split()[2] in candidate.negative.split(), candidate.negative


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A girl with a kite runs and jumps on the beach", "Two girls with a kite run and jump on the beach"),
        ("A goat butts a fence", "Two goats butt a fence"),
        ("A dog's running on the beach", "Two dogs are running on the beach"),
        ("To the far right sits a woman in a green dress", "To the far right sit two women in a green dress"),
        (
            "A horse that has a saddle stands near a barn and eats hay",
            "Two horses that have a saddle stand near a barn and eat hay",
        ),
        ("A young girl in a white top poses for a photo", "Two young girls in a white top pose for a photo"),
        ("A dog isn't sleeping", "Two dogs aren't sleeping"),
        ("Two men box in a ring", "One man boxes in a ring"),
    ],
)
def test_every_verb_of_a_subject_follows_its_new_number(made: Made, caption: str, negative: str) -> None:
    assert negative in {candidate.negative for candidate in made(caption, ("replace_count",))}


@pytest.mark.parametrize(
    "caption",
    [
        "A woman talking on the phone looks in the distance.",  # "the phone looks" is parsed as things
        "A woman stands, looks at a clock and waits",
        "A cat or a dog sleeps on the sofa.",
        "A dog washes itself",
        "A man shaves himself in front of a mirror",
    ],
)
def test_no_new_number_where_a_word_would_not_follow(made: Made, caption: str) -> None:
    subject = caption.split()[1]
    for candidate in made(caption, ("replace_count",)):
        assert caption.startswith(f"A {subject}") and candidate.negative.startswith(f"A {subject}"), candidate.negative


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("A white horse and a brown horse stand in a field", "stand"),
        ("A person in an orange jacket and a person in a green jacket ski down a hill", "ski"),
        ("A tall man and a short man box in a ring", "box"),
        ("A woman in red talks to a woman in green.", "talks"),
        ("A woman in white mans the camera that is recording the meeting.", "mans"),
        ("A girl in pink tights waves at a dog", "waves"),
        ("A man in a red shirt playing guitar on stage", "playing guitar"),
        ("A four engine airplane parked near a barn", "four engine airplane|(?<!four )[a-z]+ parked"),
        ("a two tier cake with some frosting", "two tier cake|^an? (?!two)"),
        ("A hot dog cart across from a hall", "hot dog cart|^An? (?!hot)|^(Two|Three) hot dog carts"),
        ("Boy, 5, plays w/ toy train @ home", "plays w/"),
        (
            "A number zebras grazing in the woods.",
            "^A number [a-z ]+s|^A number sheep|^A number [a-z]+en|^A number people",
        ),
    ],
)
def test_words_that_parsers_misread_stay_whole(made: Made, caption: str, kept: str) -> None:
    for candidate in made(caption):
        assert re.search(kept, candidate.negative), candidate.negative


@pytest.mark.parametrize(
    ("caption", "never"),
    [
        ("A woman in red talks to a woman in green.", "(Two|Three) women in red talks"),
        ("To the left there is a bench and to the right there is a bike.", "there are a bike"),
        ("A man benches a heavy weight in a gym", "(Two|Three) men benches"),
        ("A boy wearing a green hat and a boy wearing a yellow hat sit on a bench", "bench sit"),
        ("A crowd of tourists gathers around a fountain", "(couple|pair) of tourists gathers"),
        ("A pile of at least a hundred oranges.", "(couple|pair) of at least"),
        ("A pair of shoes beside a pair of socks", "(herd|flock|crowd) of"),
        ("A herd of cattle in a field", "herd of (people|men|women|children)"),
        ("A bird perches on a fence", "(sits|stands) on"),
        ("A bird sits on a wire", "stands on"),
        ("A man throws a frisbee to a dog", "(catches|drops) a frisbee to"),
        ("A mother rocks her baby to sleep", "to (argue|fight|wait|talk)"),
        ("A stop sign stands right next to a red barn", "right (far|away)"),
        ("A pink and green striped umbrella on a beach", "green and green"),
        ("A dark blue car on a street", "dark (?!blue)|black car|gray car"),
        ("a small brown dog chases a ball", "brown (man|woman|boy|girl|child|baby|person|guy)"),
        ("A hatless man rides a brown horse.", "brown man"),
        ("A bus stopping on a road.", "dirt road|city road"),
        ("a kid with a baseball bat on a field", "a baseball on"),
        ("A black cat on a couch.", "on an? (ground|floor)"),
        ("A horse standing next to a fence.", "in a (field|pasture|meadow)"),
        ("A DVD player sits on top of a TV.", "(coach|swimmer|hiker)"),
        ("A bride throws a bouquet to her friends", "groom throws a bouquet to her"),
        ("A pitcher tosses a ball", "(jar|bottle|cup) tosses"),
        ("Beef and vegetables on a plate sitting on a table.", "on a table sitting on a plate"),
    ],
)
def test_what_reads_wrong_or_stays_true_is_not_made(made: Made, caption: str, never: str) -> None:
    found = made(caption)
    assert found
    assert not [candidate.negative for candidate in found if re.search(never, candidate.negative)]


def test_reordered_words_move_no_phrase_and_exchange_no_pair(made: Made) -> None:
    for caption in ("A cow milks in a barn", "A man plays tennis against a woman.", "A big bear and a small bear walk"):
        for candidate in made(caption, ("reorder",)):
            words = [text.lower().rstrip(".").split() for text in (caption, candidate.negative)]
            turned = [words[0][n:] + words[0][:n] for n in range(len(words[0]))]
            assert words[1] not in turned and sum(a != b for a, b in zip(*words, strict=True)) > 2


@pytest.mark.parametrize(
    ("caption", "never"),
    [
        ("The plane has not yet landed on the runway.", "has yet"),
        ("This photo doesn't show any people, just a dog.", "does show any"),
        ("Is it a cat or a dog on the rug?", "^Is not it"),
    ],
)
def test_a_denial_is_english(made: Made, caption: str, never: str) -> None:
    assert not [c.negative for c in made(caption, ("negate",)) if re.search(never, c.negative)]


# --- articles, possessives, units ------------------------------------------------------------------------------------


@pytest.mark.parametrize("caption", [*STYLES, *VERBS, *lines("titles.txt")])
def test_an_article_fits_the_word_behind_it(made: Made, caption: str) -> None:
    for candidate in made(caption):
        for found in re.finditer(r"\b([Aa]n?) ([A-Za-z-]+)", candidate.negative):
            if found[0] not in caption:
                assert article(found[2]) == found[1].lower(), candidate.negative


POSSESSIVES = [
    "Women's handbag with gold chain",
    "Children's books on a shelf",
    "The girls' team wins the game on a wet field",
    "The waitress's tray is full of glasses",
    "The man’s dog sleeps on the woman’s bed.",
    "The boys' bikes are parked near the ladies' bags.",
    "A person's hand on a horse's head",
    "A baby's shoes next to a dog's bowl",
    "Men's shirts in a shop",
    "The bus's door is open",
    "PEOPLE'S COATS ON A RACK",
]


@pytest.mark.parametrize("caption", POSSESSIVES)
def test_a_possessive_has_the_mark_of_its_owner(made: Made, caption: str) -> None:
    found = made(caption, ("replace_object", "replace_count", "swap_object"))
    assert found
    for candidate in found:
        for owner, mark in re.findall(r"(\w+)(['’][sS]?)(?!\w)", candidate.negative):
            assert (len(mark) == 1) == ends_as_plural(owner), candidate.negative


def test_possessives_of_plurals() -> None:
    assert [ends_as_plural(noun) for noun in ("dogs", "men", "bus", "fire trucks", "waitress", "SHEEP", "BEARS")] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("place", ["inside", "outside", "front", "top", "back", "underside"])
def test_the_inside_of_is_a_noun(made: Made, place: str) -> None:
    caption = f"The {place} of a refrigerator filled with food"
    found = made(caption)
    assert found
    assert all(candidate.negative.startswith(f"The {place} of ") for candidate in found)


# --- what is put in --------------------------------------------------------------------------------------------------

INSIDE = ["artery", "bone", "brain", "heart", "kidney", "liver", "lung", "muscle", "nerve", "stomach", "tendon", "vein"]
OUTSIDE = ["arm", "beard", "hand", "head", "knee", "lap", "leg", "moustache", "mouth", "nail", "ponytail", "shoulder"]


@pytest.mark.parametrize("caption", [*captions_of("person"), "Some people wait for a bus", "A person's bag on a chair"])
def test_a_person_is_no_part_of_a_body(made: Made, caption: str) -> None:
    for candidate in made(caption):
        for old, new in exchanged(caption, candidate):
            assert old not in ("person", "people") or lemma(new, "NOUN") not in INSIDE + OUTSIDE, candidate.negative


@pytest.mark.parametrize(
    "caption",
    [
        *STYLES,
        "There are 2 blocks in a tower",
        "On the left, an old tree stands near a fence.",
        "A red bus is on the street and to the right of it stands a chair",
        "The person on the right wears a hat, the one on the left has a scarf",
        "White stove with a pot on top and the light on in the oven.",
    ],
)
def test_left_and_right_are_directions(made: Made, caption: str) -> None:
    directions = {"left", "right", "lefts", "rights"}
    for candidate in made(caption):
        for old, new in exchanged(caption, candidate):
            if old in directions or new in directions:
                assert {old, new} == {"left", "right"}, candidate.negative


def test_things_of_a_kind_are_what_they_seem(words: Words) -> None:
    """Senses that WordNet puts first and captions do not mean."""
    kinds = words.vocabulary.kind_of
    assert {noun: kinds.get(noun) for noun in ("seal", "turtle", "octopus", "cake", "egg", "drone", "microwave")} == {
        "seal": "animal",
        "turtle": "animal",
        "octopus": "animal",
        "cake": "food",
        "egg": "food",
        "drone": "vehicle",
        "microwave": "household",
    }
    for noun in ("left", "hand", "lap", "virus", "electron", "heart", "summer", "wave"):
        assert noun not in kinds and words.peers(noun) == ()
    assert set(words.peers("person")) <= set(words.vocabulary.kinds["animal"])
    assert words.lexicon.broad_class("person") == words.lexicon.broad_class("people") == "person"


def test_no_concept_put_in_includes_what_it_replaces(words: Words) -> None:
    """ "A game" is not replaced by "a video game", nor a tennis ball by a ball."""
    for counted in words.vocabulary.nouns.values():
        for form, places in counted.items():
            assert not any(includes(form, other) for place in places for other in place.others), form
    for noun in words.vocabulary.kind_of:
        assert not any(includes(noun, other) for other in words.peers(noun))
    assert includes("chair", "rocking chair") and includes("sailboat", "boat") and not includes("cat", "bobcat")


@pytest.mark.parametrize(
    ("caption", "never"),
    [
        ("A mint green wall behind a red chair", r"mint (?!green)"),
        ("A sky blue van next to a red bus", r"sky (?!blue)"),
        ("A person in a baby blue dress and a white hat", r"baby (?!blue)"),
        ("A wooden chair beside a bicycle", r"metal bicycle"),
        ("A metal lamp next to a bicycle and a window", r"(metal bicycle|glass window)"),
        ("A black and silver motorcycle on a street", r"and (iron|marble|bronze|copper)"),
        ("A yellow sandwich on a plate", r"(purple|green|red) sandwich"),
        ("A plastic laptop on a desk", r"(wooden|stone|glass) laptop"),
    ],
)
def test_attributes_that_are_odd_or_true_by_themselves(made: Made, caption: str, never: str) -> None:
    rules = ("replace_object", "replace_attribute", "add_attribute", "swap_attribute")
    found = made(caption, rules)
    assert found
    assert not [c.negative for c in found if re.search(never, c.negative) and not re.search(never, caption)]


def test_a_shade_goes_with_its_colour(made: Made) -> None:
    found = {c.negative for c in made("A mint green wall behind a chair", ("replace_attribute",))}
    assert "A red wall behind a chair" in found or "A white wall behind a chair" in found


# --- capitals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caption", lines("titles.txt"))
def test_a_title_keeps_its_capitals(made: Made, caption: str) -> None:
    found = made(caption)
    assert found
    for candidate in found:
        assert all(word[0].isupper() or word[0].isdigit() for word in candidate.negative.split()), candidate.negative


@pytest.mark.parametrize("caption", lines("titles_small.txt"))
def test_a_title_keeps_its_small_words(made: Made, caption: str) -> None:
    small = {"a", "an", "the", "of", "in", "on", "and", "to"}
    found = made(caption)
    assert found
    for candidate in found:
        first, *rest = candidate.negative.split()
        assert first[0].isupper()
        assert all(word.islower() if word.lower() in small else True for word in rest), candidate.negative
        content = [word for word in rest if word.lower() not in small and len(word) > 4 and word != "under"]
        assert all(word[0].isupper() or word in ("near", "with", "behind", "beneath", "beside") for word in content)


def test_names_make_no_title() -> None:
    for text in (
        "Jane Doe and John Smith at Wimbledon",
        "A man in Paris",
        "Dogs",
        "I and my dog",
        "A photo of Big Ben",
    ):
        assert capitals_of(text).write("a red bus") == "a red bus", text
    assert capitals_of("Two Boys Playing On The Beach").write("in front of a dog") == "In Front Of A Dog"
    assert capitals_of("Boys Playing with Dogs on the Beach").write("near a dog") == "near a Dog"
    assert capitals_of("Boys Playing Near the Beach").write("near a dog") == "Near a Dog"
    assert capitals_of("BOYS ON A BEACH").write("a dog") == "A DOG"


def test_capitals_of_all_letters_stay(made: Made) -> None:
    for candidate in made("TWO DOGS ON A RED SOFA"):
        assert candidate.negative.isupper()


# --- languages and length --------------------------------------------------------------------------------------------

TOO_ENGLISH = {"Alter Mann mit Hut", "Rode bus in de stad", "Vrouw met hoed", "Ein Hund", "Kleid für Damen in Rot"}
"""Short, and of words that English has too."""


def test_other_languages_are_known() -> None:
    foreign = lines("foreign.txt")
    assert {text for text in foreign if why_foreign(text) != "language"} == TOO_ENGLISH
    assert len(foreign) > 80


@pytest.mark.parametrize("caption", [*lines("english.txt"), *STYLES, *VERBS, *lines("titles.txt"), *lines("long.txt")])
def test_english_and_names_are_not_called_foreign(caption: str) -> None:
    assert why_foreign(caption) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A dog.", ""),
        ("Un café très élégant", "language"),
        ("собака", "script"),
        ("红色的公共汽车", "script"),
        ("123 !?", "script"),
        ("", "script"),
        ("dog", ""),
        ("a " * 300, ""),
    ],
)
def test_why_foreign(text: str, reason: str) -> None:
    assert why_foreign(text) == reason


def test_a_caption_without_negatives_is_counted_by_its_reason() -> None:
    texts = [*captions_of("languages"), "Smiling.", "very " * 250 + "happy"]
    negatives, counts = ParseWorker(ParseSettings()).negatives_of([(text, text, text) for text in texts])
    assert negatives == []
    none = {name: number for name, number in counts.items() if name.startswith("none:")}
    assert none == {"none:language": 14, "none:script": 4, "none:no_candidate": 1, "none:long": 1}


@pytest.mark.parametrize("caption", lines("long.txt"))
@pytest.mark.parametrize("preset", [name for name in names() if load_preset(name).rules])
def test_long_captions_get_negatives(nlp: Any, caption: str, preset: str) -> None:
    assert len(caption.split()) > MAX_WORDS
    chosen = load_preset(preset)
    settings = ParseSettings(rules=chosen.rules, per_caption=chosen.per_caption, balanced=False)
    negatives, _ = ParseWorker(settings, _nlp=nlp).negatives_of([("k", "i", caption)])
    are_rare = preset == "swaps"  # a long caption, too, has few things that might change places
    assert len(negatives) == chosen.per_caption or (are_rare and negatives)


def test_words_behind_what_is_parsed_are_known(nlp: Any, words: Words) -> None:
    """A thing of a later sentence is in the caption, and is not put in."""
    beginning = "A dog sleeps on a couch. " + "The room is warm and quiet today. " * 40
    caption = beginning + "Two horses look through the window."
    parsed: Caption = parse(nlp, [caption], words.vocabulary)[caption]
    assert read_until(caption) < len(beginning) and "horse" in parsed.words
    put_in = set()
    for seed in range(20):
        settings = replace(ParseSettings(rules=("replace_object",)), seed=seed)
        found = list(candidates("k", case_of(parsed, Evidence(), words), settings, set(), Counts()))
        put_in |= {candidate.edits[-1].new for candidate in found}
        assert all(apply_edits(caption, c.edits) == c.negative for c in found)
    assert "cat" in put_in and "horse" not in put_in


def test_a_caption_is_read_by_sentences() -> None:
    short = "A dog on a bed."
    assert read_until(short) == len(short)
    sentences = "A red dog sat. " * 60
    assert sentences[: read_until(sentences)] == "A red dog sat. " * 50
    endless = "dog " * 300
    assert read_until(endless) == len("dog " * MAX_WORDS)


def test_edits_of_owners_are_edits(parsed: Callable[[str], Caption], made: Made) -> None:
    caption = "Children's books on a shelf"
    found = {c.negative: c.edits for c in made(caption, ("replace_object",))}
    assert found["Dogs' books on a shelf"] == (Edit(0, 8, "Children", "Dogs"), Edit(8, 10, "'s", "'"))
