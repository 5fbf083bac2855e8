"""Facts of the lexicon and promises of the curated word classes."""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path

import pytest
from negmine.base.errors import UsageError
from negmine.language.lexicon import ADJECTIVE, UNKNOWN, Lexicon, packaged_lexicon
from negmine.language.vocabulary import packaged_vocabulary
from negmine.language.wordnet import lexicon_from_wordnet
from negmine.stages.negatives.proposal import Words


def test_facts_of_wordnet(words: Words) -> None:
    lexicon = words.lexicon
    assert "canine" in lexicon.entry("dog").hypernyms
    assert "sofa" in lexicon.entry("couch").synonyms
    assert "small" in lexicon.entry("large", ADJECTIVE).antonyms
    assert lexicon.entry("gasbagxyz") is UNKNOWN
    assert [lexicon.broad_class(noun) for noun in ("dog", "man", "table", "pizza", "city bus")] == [
        "animal",
        "person",
        "artifact",
        "food",
        "artifact",
    ]


def test_overlap_is_synonymy_or_one_above_the_other(words: Words) -> None:
    lexicon = words.lexicon
    assert all(
        lexicon.overlap(*pair) for pair in [("dog", "animal"), ("animal", "dog"), ("couch", "sofa"), ("cat", "cat")]
    )
    assert not any(lexicon.overlap(*pair) for pair in [("dog", "cat"), ("bus", "truck"), ("man", "woman")])


def test_implied_words_are_true_of_the_image(words: Words) -> None:
    assert {"dog", "canine", "domestic animal"} <= words.lexicon.implied("dog")
    assert "poodle" not in words.lexicon.implied("dog")


RARE_SENSES = [
    ("bag", "plate"),
    ("boat", "scooter"),
    ("bowl", "park"),
    ("cat", "guy"),
    ("frisbee", "plate"),
    ("person", "sheep"),
]
"""Overlaps in senses that captions do not mean (a scooter is an ice boat); the guard `near_synonym` refuses them."""


def test_nouns_put_in_never_include_what_they_replace(words: Words) -> None:
    """No stand-in is a synonym, hypernym or hyponym of the concept it stands in for."""
    bad = {
        (place.concept, other)
        for counted in words.vocabulary.nouns.values()
        for places in counted.values()
        for place in places
        for other in place.others
        if words.lexicon.overlap(place.concept, other)
    }
    assert {frozenset(pair) for pair in bad} <= set(map(frozenset, RARE_SENSES))


def test_attribute_values_put_in_are_exclusive(words: Words) -> None:
    vocabulary = words.vocabulary
    for values in vocabulary.attributes.values():
        for value in values:
            for other in value.others:
                assert value.name not in vocabulary.attribute_signs[other], (value.name, other)


def test_contrary_prepositions_cannot_both_hold(words: Words) -> None:
    for preposition, contraries in words.vocabulary.contraries.items():
        usable = {other for contrary in contraries for other in contrary.to} - words.vocabulary.near.get(
            preposition, set()
        )
        assert usable, preposition
        assert preposition not in usable


def test_signs_of_a_concept_hold_its_forms_and_what_overlaps(words: Words) -> None:
    signs = words.vocabulary.noun_signs
    assert {"cat", "kitten"} <= signs["cat"]
    assert "bike" in signs["motorcycle"]
    assert "motorcycle" not in {o for p in words.vocabulary.nouns["count"]["bike"] for o in p.others}


def test_lexicon_loads_quickly() -> None:
    packaged_lexicon.cache_clear()
    packaged_vocabulary.cache_clear()
    started = time.process_time()
    packaged_lexicon()
    packaged_vocabulary()
    assert time.process_time() - started < 0.6  # 0.2 s on an idle core


def test_a_folder_without_wordnet_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no WordNet"):
        lexicon_from_wordnet(tmp_path)


def test_a_small_wordnet_gives_the_same_table_as_a_real_one_would(tmp_path: Path) -> None:
    """Three nouns in WordNet's own file format, read through NLTK from an NLTK data folder."""
    _write_wordnet(tmp_path / "corpora" / "wordnet")
    lexicon = lexicon_from_wordnet(tmp_path)
    assert lexicon.entry("dog").classes == ("animal",)
    assert lexicon.entry("dog").synonyms == {"hound"}
    assert lexicon.entry("dog").hypernyms == {"animal"}
    assert lexicon.overlap("hound", "dog") and lexicon.overlap("dog", "animal")


def _write_wordnet(folder: Path) -> None:
    folder.mkdir(parents=True)
    licence = "  1 a licence\n"
    synsets = [
        ("05", "animal", "animal 0", None, "~"),
        ("05", "dog", "dog 0 hound 0", "animal", "@"),
    ]
    offsets, body, position = {}, "", len(licence)
    plans = []
    for lexfile, name, names, above, _ in synsets:
        offsets[name] = position
        count = len(names.split()) // 2
        pointer = f"001 @ {offsets[above]:08d} n 0000" if above else "000"
        line = f"{position:08d} {lexfile} n {count:02x} {names} {pointer} | gloss  \n"
        plans.append(line)
        position += len(line)
    body = "".join(plans)
    (folder / "data.noun").write_text(licence + body)
    index = "".join(
        f"{word} n 1 1 @ 1 0 {offsets[name]:08d}  \n"
        for word, name in (("animal", "animal"), ("dog", "dog"), ("hound", "dog"))
    )
    (folder / "index.noun").write_text(licence + index)
    for name in ("data.adj", "data.adv", "data.verb", "index.adj", "index.adv", "index.verb"):
        (folder / name).write_text(licence)
    for name in ("noun.exc", "verb.exc", "adj.exc", "adv.exc", "cntlist.rev"):
        (folder / name).write_text("")
    senses = [("animal", "animal"), ("dog", "dog"), ("hound", "dog")]
    (folder / "index.sense").write_text("".join(f"{w}%1:05:00:: {offsets[n]:08d} 1 0\n" for w, n in senses))


def test_pickling_keeps_every_entry() -> None:
    import pickle

    small = Lexicon(["n\tdog\tanimal\thound\t\tanimal|canine"])
    copy = pickle.loads(pickle.dumps(small))
    assert copy.entry("dog") == small.entry("dog")


def test_groups_of_one_dimension_do_not_repeat_a_form(words: Words) -> None:
    for places in words.vocabulary.nouns["count"].values():
        for one, other in combinations(places, 2):
            assert one.group != other.group, (one, other)
