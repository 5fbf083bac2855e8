"""Each rule on captions that show what it is for, and on those it must leave alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from negmine.contract.records import KINDS
from negmine.language.lexicon import Lexicon
from negmine.stages.negatives.clusters import Clusters
from negmine.stages.negatives.rules import DEFAULT_RULES, GEOMETRY, LABELLED, RULES

Produced = Callable[..., set[str]]

GOOD = [
    ("swap_relation", "a boy is kicked by a horse", "a horse is kicked by a boy"),
    ("swap_relation", "a dog that chases a cat", "a cat that chases a dog"),
    ("swap_relation", "there is a bird behind a cow", "there is a cow behind a bird"),
    ("swap_relation", "A man in a hat chasing a horse.", "A horse chasing a man in a hat."),
    ("swap_relation", "A woman is watching two dogs", "Two dogs are watching a woman"),
    ("swap_phrase", "A cat on a chair looks at a dog under a table", "A cat under a table looks at a dog on a chair"),
    (
        "swap_phrase",
        "A cat sitting on a desk in front of a computer.",
        "A cat sitting on a computer in front of a desk.",
    ),
    ("replace_action", "A girl sits on a bench", "A girl stands on a bench"),
    ("replace_action", "A girl sitting on a bench", "A girl lying on a bench"),
    ("replace_action", "A boy is throwing a ball", "A boy is catching a ball"),
    ("replace_action", "People seated at a table", "People standing at a table"),
    ("replace_action", "A man rides a bike", "A man pushes a bike"),
    ("replace_action", "A truck is moving along the road", "A truck is parked along the road"),
    ("replace_action", "A man driving a car", "A man pushing a car"),
    ("replace_action", "A woman walking a horse", "A woman riding a horse"),
    ("replace_action", "A man wearing a hat", "A man carrying a hat"),
    ("replace_relation", "A dog on the side of a road", "A dog in the middle of a road"),
    ("replace_relation", "A dog in the middle of a road", "A dog on the side of a road"),
    ("replace_relation", "A field with kites in the air.", "A field with kites on the ground."),
    ("replace_relation", "A plane on the ground", "A plane in the air"),
    ("replace_relation", "A sign on the right side of a road", "A sign on the left side of a road"),
    ("replace_relation", "A cat left of a dog", "A cat right of a dog"),
    ("replace_relation", "Three zebras facing the camera", "Three zebras facing away from the camera"),
    ("replace_relation", "A man facing away from a dog.", "A man facing a dog."),
    ("replace_relation", "The dog is far away from the bench.", "The dog is near the bench."),
    ("replace_relation", "A car ahead of a bus.", "A car behind a bus."),
    ("replace_relation", "A man at the back of the bus", "A man at the front of the bus"),
    ("replace_count", "There are a lot of dogs on a beach", "There are a couple of dogs on a beach"),
    ("replace_count", "Giraffes are standing near a tree", "A giraffe is standing near a tree"),
    ("replace_count", "White ducks on the water", "A white duck on the water"),
    ("replace_count", "Giraffes eat leaves.", "A giraffe eats leaves."),
    ("replace_count", "Zebras graze near a fence.", "A zebra grazes near a fence."),
    ("replace_count", "Cows stand in a field and chew grass.", "A cow stands in a field and chews grass."),
    ("replace_count", "Several men are looking at a sign", "A man is looking at a sign"),
    ("replace_count", "Some old dogs are running on a beach", "An old dog is running on a beach"),
    ("replace_count", "A group of young men are chasing a ball", "A young man is chasing a ball"),
    ("replace_count", "There are a group of people in a boat", "There is a person in a boat"),
    ("replace_count", "A little dog sits on a book", "Little dogs sit on a book"),
    ("replace_count", "A person rides a horse", "People ride a horse"),
    ("replace_count", "A man is riding a wave", "A group of men are riding a wave"),
    ("replace_count", "An elephant stands in a river", "A couple of elephants stand in a river"),
    ("add_attribute", "A red chair in front of a wall and a table", "A chair in front of a wall and a red table"),
    ("add_attribute", "A striped hat and a shirt", "A hat and a striped shirt"),
    ("negate", "there is a dog on a bed", "there is no dog on a bed"),
    ("negate", "a man with a dog", "a man without a dog"),
    ("negate", "a man without a hat", "a man with a hat"),
    ("negate", "A dog is not sleeping", "A dog is sleeping"),
    ("negate", "A man is riding a horse", "A man is not riding a horse"),
    ("negate", "a man riding a horse", "a man not riding a horse"),
    ("replace_object", "A close up of an elbow", "A close up of a knee"),
]


@pytest.mark.parametrize(("rule", "caption", "negative"), GOOD)
def test_rule_proposes(produced: Produced, rule: str, caption: str, negative: str) -> None:
    assert negative in produced(caption, rules=[rule])


@pytest.mark.parametrize(
    ("rule", "caption", "why"),
    [
        ("swap_relation", "a cup next to a plate", "holds both ways"),
        ("swap_relation", "a man wearing a hat", "a hat wears nobody"),
        ("swap_relation", "a dog chasing its owner", "its own"),
        ("swap_phrase", "A bicycle near a pole in front of a building", "told the other way round it may be true"),
        ("swap_phrase", "Three people on skis are posing for a picture in the snow", "all said of the people"),
        ("replace_count", "A man, as well as a woman, is smiling.", "what it joins, the verb does not see"),
        ("replace_count", "A pair of gloves on a table", "one pair"),
        ("replace_count", "A man's boot on a table", "whose it is, is told"),
        ("replace_count", "Cattle graze in a field", "no cattle is one"),
        ("replace_count", "A man in suit and tie is holding a glass.", "one verb of one man, whatever is joined"),
        ("replace_count", "Different dogs run", "one is not different"),
        ("replace_count", "People gather at a table", "nobody gathers alone"),
        ("replace_count", "Apples and oranges lie on a table", "one of a list"),
        ("replace_count", "The dogs run", "which ones is known"),
        ("replace_action", "A vase sitting on a table", "a vase that sits stands as well"),
        ("replace_action", "A hot dog sitting on a plate", "no dog"),
        ("replace_action", "A man standing up", "a particle changes the verb"),
        ("replace_action", "A man holding a book", "nothing excludes it"),
        ("replace_action", "A truck driving down a road", "nothing is parked down a road"),
        ("replace_relation", "A man with his arms in the air", "arms lie on no ground"),
        ("add_object", "A group of people", "of is no place"),
        ("add_object", "A statue covered in snow", "the verb asks for it"),
        ("add_attribute", "A black and white photo of a table", "a list of adjectives"),
        ("add_attribute", "A red chair", "no other noun"),
    ],
)
def test_rule_leaves_alone(produced: Produced, rule: str, caption: str, why: str) -> None:
    assert produced(caption, rules=[rule]) == set(), why


def test_a_place_is_exchanged_for_one_of_another_setting(produced: Produced) -> None:
    found = produced("A man sleeping in a kitchen.", rules=["add_object"])
    assert found
    for text in found:
        assert text.startswith("A man sleeping ") and text.endswith(".")
        assert "kitchen" not in text and "bedroom" not in text


def test_a_sibling_that_names_the_new_place_forbids_it(produced: Produced) -> None:
    caption, place = "A man sleeping in a kitchen.", "field"
    assert any(place in text for text in produced(caption, rules=["add_object"]))
    assert not any(place in text for text in produced(caption, ["somebody in a field"], rules=["add_object"]))


def test_capitals_are_parsed_like_small_letters(produced: Produced) -> None:
    found = produced("THERE IS A BUS PARKED ON THE SIDE OF THE STREET")
    assert found
    assert all(text.isupper() for text in found)


def test_reordered_captions_keep_their_words(produced: Produced) -> None:
    caption = "A brown dog chases two cats."
    found = produced(caption, rules=["reorder"])
    assert len(found) > 5
    assert all(
        sorted(text.lower().rstrip(".").split()) == sorted(caption.lower().rstrip(".").split()) for text in found
    )


def test_labelled_rules_are_not_in_the_default_set() -> None:
    assert {*LABELLED, *GEOMETRY} == set(RULES) - set(DEFAULT_RULES)
    assert set(RULES) <= set(KINDS)


def test_clusters_keep_to_class_frequency_and_concept() -> None:
    rows = [
        "n\tknee\tbody\t\t\tjoint|limb part",
        "n\telbow\tbody\t\t\tjoint|arm part",
        "n\tjoint\tbody\t\t\tlimb part",
        "n\twrist\tbody\t\t\tjoint|limb part",
        "n\tankle joint\tbody\tankle\t\tjoint|arm part",
        "n\ttable\tartifact\t\t\tjoint|arm part",
    ]
    counts = {"knee": 10, "elbow": 12, "joint": 10, "wrist": 1000, "ankle joint": 10, "table": 10}
    clusters = Clusters(counts, Lexicon(rows))
    assert set(clusters.neighbours("knee")) == {"elbow", "ankle joint"}  # no hypernym, nothing far more frequent
    assert clusters.neighbours("joint") == ()  # too general
    assert clusters.neighbours("unknown") == ()
