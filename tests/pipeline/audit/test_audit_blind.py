"""The attackers find a shortcut that was planted, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from negmine.language.analyse import load_model
from negmine.stages.audit.blind import ATTACKERS, FOLDS, accuracy, nested_scores, pairs_of
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.plausible import noun_gaps

WORDS = (
    "dog",
    "cat",
    "horse",
    "cow",
    "bus",
    "car",
    "train",
    "boat",
    "table",
    "chair",
    "bench",
    "tree",
    "girl",
    "boy",
)


def data(shortcut: bool, images: int = 250, each: int = 2) -> list[Judged]:
    """Captions and negatives drawn alike; with a shortcut, every negative has a word that captions seldom have."""
    generator = np.random.default_rng(0)
    items = []
    for image in range(images):
        for number in range(each):
            first, second, third = generator.choice(WORDS, 3, replace=False)
            caption, negative = f"a {first} near a {second}", f"a {third} near a {second}"
            if shortcut and generator.random() < 0.95:
                negative = negative.replace("near", "beyond")
            items.append(Judged(f"{image}-{number}", str(image), caption, negative, "replace_object"))
    return items


@pytest.mark.parametrize("name", ["word", "char", "lm", "boosting", "slots"])
def test_a_planted_shortcut_is_found(name: str) -> None:
    items = data(shortcut=True)
    found = accuracy(ATTACKERS[name].attack(pairs_of(items, 0)), [item.image_id for item in items])
    assert found.accuracy > 0.93
    assert found.low > 0.9


@pytest.mark.parametrize("name", ["word", "char", "lm", "boosting", "slots"])
def test_exchangeable_texts_are_a_coin_toss(name: str) -> None:
    items = data(shortcut=False)
    found = accuracy(ATTACKERS[name].attack(pairs_of(items, 0)), [item.image_id for item in items])
    assert 0.42 < found.accuracy < 0.58
    assert found.low < 0.5 < found.high


def test_a_reader_that_knows_places_tells_nouns_that_do_not_stand_there() -> None:
    """All nouns are put in and taken out as often, so that n-grams of one word tell nothing."""
    texts = [("A man rides a horse on a beach.", "A man rides a table on a beach.")]
    texts += [("A cat sits on a table by a window.", "A cat sits on a horse by a window.")]
    items = [Judged(f"{i}-{n}", str(i), *texts[n], "k") for i in range(100) for n in (0, 1)]
    gaps = noun_gaps([(item.caption, item.negative, item.image_id) for item in items], lambda: load_model(None))
    assert all(least > 0 and summed > 0 for least, summed in gaps)
    back = noun_gaps([(item.negative, item.caption, item.image_id) for item in items], lambda: load_model(None))
    assert np.array(back) == pytest.approx(-np.array(gaps))


@pytest.mark.skipif(not ATTACKERS["minilm"].available(), reason="MiniLM is not installed")
def test_sentence_embeddings_find_it_too() -> None:
    items = data(shortcut=True)
    found = accuracy(ATTACKERS["minilm"].attack(pairs_of(items, 0)), [item.image_id for item in items])
    assert found.accuracy > 0.9


def test_what_is_learnt_by_heart_does_not_count() -> None:
    """Each image has words of its own: of no use on images that were not seen."""
    items = [Judged(f"{i}-{n}", str(i), f"true{i}", f"false{i}", "k") for i in range(100) for n in "xyz"]
    margins = ATTACKERS["word"].attack(pairs_of(items, 0))
    assert np.abs(margins).max() < 1e-6


def test_an_image_is_in_one_fold_and_folds_are_even() -> None:
    items = data(shortcut=False)
    folds = pairs_of(items, 3).folds
    by_image = {(item.image_id, int(fold)) for item, fold in zip(items, folds, strict=True)}
    assert len(by_image) == 250
    assert np.bincount(folds, minlength=FOLDS).min() > 60
    assert (folds != pairs_of(items, 4).folds).any()


def test_accuracy_counts_ties_as_half_and_images_as_one() -> None:
    plain = accuracy(np.array([1.0, -1.0, 0.0, 2.0]), ["a", "b", "c", "d"])
    assert (plain.n, plain.accuracy) == (4, 0.625)
    alone = accuracy(np.tile([1.0, -1.0], 50), [str(i) for i in range(100)])
    alike = accuracy(np.repeat([1.0, -1.0], 50), [str(i // 10) for i in range(100)])
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * 0.05)
    assert alike.high - alike.low == pytest.approx(2 * 1.96 * 0.05 * 10**0.5)


def test_stacked_scores_come_from_models_that_saw_neither_fold() -> None:
    from scipy.sparse import csr_array

    folds = np.repeat(np.arange(FOLDS), 40)
    rows = np.random.default_rng(0).normal(0.3, 1, (len(folds), 3))
    other = rows.copy()
    other[folds == 0] *= -5
    before, after = nested_scores(csr_array(rows), folds), nested_scores(csr_array(other), folds)
    scored = folds == 1
    assert np.array_equal(before[0, scored], after[0, scored]), "judging fold 0 must not depend on fold 0"
    assert not np.allclose(before[2, scored], after[2, scored]), "judging fold 2 may learn from fold 0"
    assert np.allclose(before[1, folds == 0] * -5, after[1, folds == 0]), "nor may a pair's own fold be learnt from"
