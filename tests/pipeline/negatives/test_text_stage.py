"""The stage as a whole: what comes out holds for any captions, whatever their order."""

from __future__ import annotations

import pickle
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from negmine.base.errors import UsageError
from negmine.contract.records import KINDS, Edit, Negative, apply_edits
from negmine.language.analyse import load_model, parse
from negmine.language.caption import Caption
from negmine.language.changes import Change, realise
from negmine.stages.negatives.candidates import ParseWorker, Row, candidates_of, varied_negatives
from negmine.stages.negatives.guards import normalised
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.rules import RULES
from negmine.stages.negatives.select import MOST_PER_WORD, Candidate, select
from negmine.stages.negatives.settings import ParseSettings

SUBJECTS = ["A dog", "an old man", "Two cats", "the red bus", "A group of people", "A MAN", "several apples", "a woman"]
MIDDLES = ["sitting on", "next to", "is riding", "and", "under", "are holding", "that chases", "in front of", "with"]
OBJECTS = [
    "a wooden bench.",
    "an orange umbrella",
    "two small dogs",
    "the street",
    "a hot dog!",
    "his horse",
    "a semi-truck",
    "3 girls",
]
captions = st.builds(" ".join, st.tuples(*map(st.sampled_from, (SUBJECTS, MIDDLES, OBJECTS))))
wild = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=30)
parts = st.lists(st.tuples(st.integers(0, 3), captions | wild), min_size=1, max_size=8)

EXAMPLES = [
    ("1", "a", "A man riding a brown horse next to a wooden fence."),
    ("2", "a", "A person on a horse near a fence"),
    ("3", "b", "Two dogs are sitting on a red couch."),
    ("4", "b", "a couple of dogs on a sofa"),
    ("5", "c", "An orange cat under a table"),
    ("6", "d", "Кошка под столом"),
    ("7", "e", "Smiling happily."),
]


def run(rows: list[Row], nlp: Any, words: Words, **options: Any) -> tuple[list[Negative], dict[str, int]]:
    chosen = ParseSettings(**options)
    captions = parse(nlp, (text for _, _, text in rows), words.vocabulary)
    found, counts = candidates_of(rows, captions, words, chosen)
    negatives, outcome = varied_negatives(rows, found, chosen)
    return negatives, counts | outcome


@pytest.fixture(scope="module")
def example(nlp: Any, words: Words) -> tuple[list[Negative], dict[str, int]]:
    return run(EXAMPLES, nlp, words)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(part=parts, shuffle=st.randoms(use_true_random=False))
def test_invariants_for_any_captions(nlp: Any, words: Words, part: list[tuple[int, str]], shuffle: Random) -> None:
    rows = [(f"k{n}", f"i{image}", text) for n, (image, text) in enumerate(part)]
    negatives, counts = run(rows, nlp, words)
    texts = defaultdict(set)
    for _, image, text in rows:
        texts[image].add(normalised(text))
    for negative in negatives:
        assert apply_edits(negative.caption, negative.edits) == negative.negative
        assert normalised(negative.negative) not in texts[negative.image_id]
        assert all(edit.old != edit.new for edit in negative.edits)
    shuffle.shuffle(rows)
    again, counts_again = run(rows, nlp, words)
    assert {(n.key, n.slot): n for n in again} == {(n.key, n.slot): n for n in negatives}
    assert counts_again == counts


def test_counts_add_up(example: tuple[list[Negative], dict[str, int]]) -> None:
    negatives, counts = example
    assert counts["pairs"] == len(EXAMPLES)
    assert counts["with_negatives"] + _total(counts, "none:") == counts["pairs"]
    assert counts["none:script"] == 1 and counts["none:no_candidate"] == 1
    for rule in RULES:
        accepted = counts.get(f"accepted:{rule}", 0)
        assert counts.get(f"proposed:{rule}", 0) == accepted + _total(counts, f"rejected:{rule}:")
    assert counts["accepted"] == _total(counts, "accepted:") == counts["negatives"] + counts["not_selected"]
    assert counts["negatives"] == _total(counts, "kind:") == len(negatives)


def _total(counts: dict[str, int], prefix: str) -> int:
    return sum(number for name, number in counts.items() if name.startswith(prefix))


def test_slots_count_from_zero_and_kinds_are_known(example: tuple[list[Negative], dict[str, int]]) -> None:
    slots = defaultdict(list)
    for negative in example[0]:
        slots[negative.key].append(negative.slot)
        assert negative.kind in KINDS and negative.kind == negative.rule
    assert all(found == list(range(len(found))) and len(found) <= 4 for found in slots.values())


def test_one_word_is_edited_at_most_twice_and_kinds_differ(example: tuple[list[Negative], dict[str, int]]) -> None:
    of_first = [negative for negative in example[0] if negative.key == "1"]
    assert len({negative.kind for negative in of_first}) >= 3
    heads = Counter(edit.start for negative in of_first for edit in negative.edits if len(edit.old) > 3)
    assert max(heads.values()) <= MOST_PER_WORD


def test_golden(example: tuple[list[Negative], dict[str, int]]) -> None:
    assert [(n.key, n.slot, n.kind, n.negative) for n in example[0]] == GOLDEN


GOLDEN = [
    ("1", 0, "replace_object", "A girl riding a brown horse next to a wooden fence."),
    ("1", 1, "replace_relation", "A man riding a brown horse in a wooden fence."),
    ("1", 2, "replace_count", "Two men riding a brown horse next to a wooden fence."),
    ("1", 3, "replace_action", "A man brushing a brown horse next to a wooden fence."),
    ("2", 0, "replace_count", "Several people on a horse near a fence"),
    ("2", 1, "replace_object", "A bear on a horse near a fence"),
    ("2", 2, "replace_relation", "A person under a horse near a fence"),
    ("2", 3, "add_object", "A person on a horse in a room"),
    ("3", 0, "replace_object", "Two men are sitting on a red couch."),
    ("3", 1, "replace_attribute", "Two dogs are sitting on a black couch."),
    ("3", 2, "replace_count", "Four dogs are sitting on a red couch."),
    ("3", 3, "replace_relation", "Two dogs are sitting beneath a red couch."),
    ("4", 0, "add_object", "a couple of dogs in a warehouse"),
    ("4", 1, "replace_object", "a couple of men on a sofa"),
    ("4", 2, "replace_relation", "a couple of dogs behind a sofa"),
    ("4", 3, "replace_count", "a lot of dogs on a sofa"),
    ("5", 0, "replace_object", "An orange umbrella under a table"),
    ("5", 1, "add_object", "An orange cat in an airport"),
    ("5", 2, "replace_attribute", "A black cat under a table"),
    ("5", 3, "replace_count", "Two orange cats under a table"),
]


def test_the_seed_changes_the_choice_and_nothing_else_does(nlp: Any, words: Words) -> None:
    first, other = (run(EXAMPLES, nlp, words, seed=seed)[0] for seed in (0, 1))
    assert first == run(EXAMPLES, nlp, words, seed=0)[0]
    assert {n.negative for n in first} != {n.negative for n in other}


def test_rules_and_number_can_be_chosen(nlp: Any, words: Words) -> None:
    negatives, _ = run(EXAMPLES, nlp, words, rules=("replace_count",), per_caption=1)
    assert {n.kind for n in negatives} == {"replace_count"}
    assert max(Counter(n.key for n in negatives).values()) == 1


@pytest.mark.parametrize(
    "options", [{"rules": ("swap_everything",)}, {"texts": ("a", "a")}, {"texts": ("../a",)}, {"per_caption": 0}]
)
def test_wrong_settings_are_usage_errors(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ParseSettings(**options)


def test_a_missing_model_is_a_usage_error_with_the_command() -> None:
    with pytest.raises(UsageError) as caught:
        load_model("en_core_web_imaginary")
    assert "pip install en-core-web-imaginary" in str(caught.value)


def test_worker_and_captions_are_picklable(parsed: Callable[[str], Caption]) -> None:
    worker = pickle.loads(pickle.dumps(ParseWorker(ParseSettings(seed=3))))
    negatives, counts = worker.negatives_of([("1", "a", "A man riding a horse.")])
    assert counts["negatives"] == len(negatives) > 0
    caption = parsed("A man riding a horse.")
    caption.words  # noqa: B018  (a cached property must not stop pickling)
    assert pickle.loads(pickle.dumps(caption)) == caption


def test_an_edit_that_clip_does_not_read_is_refused(nlp: Any, words: Words) -> None:
    """Behind 75 tokens both texts have the same ids, with opposite labels."""
    rows = [("1", "a", "very " * 80 + "a dog on a bed"), ("2", "b", "very " * 60 + "a dog on a bed")]
    negatives, counts = run(rows, nlp, words)
    assert {negative.key for negative in negatives} == {"2"}
    assert _total(counts, "rejected:replace_object:beyond_context") > 0


def test_equal_captions_under_two_keys_get_negatives_each(nlp: Any, words: Words) -> None:
    rows = [("1", "a", "A man riding a horse."), ("2", "a", "A man riding a horse.")]
    negatives, _ = run(rows, nlp, words)
    assert {n.key for n in negatives} == {"1", "2"}


def test_edits_are_minimal_and_repair_articles(parsed: Callable[[str], Caption]) -> None:
    caption = parsed("A red bus and an old man.")
    assert realise(caption, [Change(1, 2, "orange bus")]) == (Edit(0, 1, "A", "An"), Edit(2, 5, "red", "orange"))
    assert realise(caption, [Change(4, 6, "a young man")]) == (Edit(14, 20, "an old", "a young"),)
    with pytest.raises(ValueError, match="overlap"):
        realise(caption, [Change(1, 2, "x"), Change(2, 2, "y")])


def test_capitals_stay_with_the_position(parsed: Callable[[str], Caption]) -> None:
    caption = parsed("Dogs chase cats.")
    assert (
        apply_edits(caption.text, realise(caption, [Change(0, 0, "cats"), Change(2, 2, "dogs")])) == "Cats chase dogs."
    )


def test_selection_takes_kinds_in_turn_and_in_the_order_given() -> None:
    def candidate(rule: str, text: str, focus: int) -> Candidate:
        return Candidate(rule, text, (), (focus,))

    found = [candidate("b", f"b{n}", n) for n in range(5)] + [candidate("a", "first", 7), candidate("a", "second", 8)]
    chosen = [c.negative for c in select(found, 4, Random(0))]
    assert set(chosen[:2]) == {"b0", "first"}
    assert len(chosen) == 4 and "second" in chosen
    worn = [candidate("a", str(n), 1) for n in range(5)]
    assert len(select(worn, 4, Random(0))) == MOST_PER_WORD
