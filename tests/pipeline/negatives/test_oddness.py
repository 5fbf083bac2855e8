"""Trees that tell which nouns put in read oddly, and what they see of a candidate."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from negmine.language.slot_table import packaged_slots
from negmine.language.slots import ANY, KINDS, companion, kind_of, slot
from negmine.stages.negatives.balance.oddness import CLASSES, DEPTH, MOST, Trees, features, judge, packaged_trees
from negmine.stages.negatives.balance.pool import Pool

RIDES = (ANY, slot("dobj", "ride"), companion("man"))
ON_A_PLATE = (ANY, slot("gov_pobj", "plate", "of"), slot("pobj", "on"), companion("table"))


def pool_of(*put: tuple[int, str, str]) -> Pool:
    """Candidates that put nouns into `RIDES` (place 0) or `ON_A_PLATE` (1), or none (-1): place, new, old."""
    number, size = packaged_slots().nouns.number, len(put)
    slots = sorted(RIDES), sorted(ON_A_PLATE)
    given = {
        "place": np.array([place for place, _, _ in put], dtype=np.int32),
        "noun": np.array([(number(new), number(old) if old else -1) for _, new, old in put], dtype=np.int16),
        "filled_starts": np.array([0, len(RIDES), len(RIDES) + len(ON_A_PLATE)]),
        "filled": np.array([*slots[0], *slots[1]], dtype=np.int64),
        "place_fold": np.zeros(2, dtype=np.int8),
        "log_likelihood_gap": np.zeros(size),
        "pmi_gap": np.zeros(size),
    }
    nothing = {field.name: np.zeros(size) for field in fields(Pool) if field.name not in given}
    return Pool(**nothing, **given)


def test_trees_against_walking_each_one() -> None:
    rng = np.random.default_rng(7)
    inner = 2**DEPTH - 1
    trees = Trees(
        rng.integers(0, 5, (30, inner)).astype(np.int16),
        rng.integers(-1, 2, (30, inner)).astype(np.float32),
        rng.normal(size=(30, inner + 1)).astype(np.float32),
        0.25,
    )
    rows = rng.integers(-2, 3, (200, 5)).astype(np.float32)

    def walked(row: np.ndarray, tree: int) -> float:
        node = 0
        while node < inner:
            goes_right = row[trees.feature[tree, node]] > trees.threshold[tree, node]
            node = 2 * node + (2 if goes_right else 1)
        return float(trees.leaf[tree, node - inner])

    expected = [0.25 + sum(walked(row, tree) for tree in range(30)) for row in rows]
    np.testing.assert_allclose(trees.log_odds(rows), expected, atol=1e-9)


def test_what_is_ridden_reads_better_than_what_is_eaten_and_what_puts_in_no_noun_is_not_judged() -> None:
    pool = pool_of(
        (0, "bicycle", "horse"), (0, "pizza", "horse"), (-1, "", ""), (1, "pasta", "rice"), (1, "bus", "rice")
    )
    found = judge(packaged_slots(), pool)
    bicycle, pizza, nothing, pasta, bus = found.tolist()
    assert bicycle > pizza + 0.5 and pasta > bus + 0.5 and nothing == 0
    assert np.abs(found).max() <= MOST
    assert judge(packaged_slots(), pool_of((-1, "", ""))).tolist() == [0]
    alone = judge(packaged_slots(), pool_of((1, "bus", "rice")))
    assert alone.tolist() == [bus]  # whatever else is judged


def test_what_is_known_of_a_candidate() -> None:
    place, rows = features(packaged_slots(), pool_of((-1, "", ""), (0, "elephant", "horse"), (1, "donut", "")))
    assert place.tolist() == [1, 2]
    table, kinds = packaged_slots(), len(KINDS)
    number = table.nouns.number
    for kind in ("dobj", "with"):
        (asked,) = (s for s in RIDES if KINDS[kind_of(s)] == kind)
        likely = table.likely(asked, 0)
        assert likely is not None
        seen = rows[0, [KINDS.index(kind), kinds + KINDS.index(kind)]]
        assert seen.tolist() == pytest.approx([likely[number("elephant")], likely[number("horse")]], abs=1e-6)
    after = 2 * kinds
    assert rows[0, after : after + 2].tolist() == pytest.approx(
        np.log1p(table.mentions[0][[number("elephant"), number("horse")]]).tolist(), rel=1e-6
    )
    assert rows[0, after + 3 : after + 6].tolist() == [0, 0, 2]  # both are known; two slots say something
    assert rows[1, after + 2 : after + 5].tolist() == [0, 0, 1]  # there was no noun
    animal, food = CLASSES.index("animal"), CLASSES.index("food")
    classes = rows[:, after + 6 : after + 6 + 2 * len(CLASSES)].reshape(2, 2, -1)
    assert classes.argmax(axis=2).tolist() == [[animal, animal], [food, 0]] and not classes[1, 1].any()
    assert rows[:, -1].tolist() == [1, 0]


def test_the_packaged_trees_ask_for_nothing_else() -> None:
    _, rows = features(packaged_slots(), pool_of((0, "elephant", "horse")))
    assert packaged_trees().feature.max() < rows.shape[1]
