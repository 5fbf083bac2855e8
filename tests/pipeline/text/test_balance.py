"""What negatives introduce and remove, counted and brought into balance."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.records import Edit
from negmine.text.balance import ngrams
from negmine.text.balance.ngrams import SLOTS, Rows, differences, words
from negmine.text.balance.pool import FOLDS, Pool, choose, make_pool
from negmine.text.balance.weights import RATE, Flow, flow, log_ratio, merge, scores, spotted
from negmine.text.select import MOST_PER_WORD, Candidate

WORDS = st.lists(st.sampled_from(["a", "the", "cat", "dog", "on", "under", "red", "blue", "two", "man"]), max_size=8)


def row(rows: Rows, index: int) -> Counter[int]:
    inside = slice(rows.starts[index], rows.starts[index + 1])
    return Counter(dict(zip(rows.slots[inside].tolist(), rows.values[inside].tolist(), strict=True)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
def test_differences_are_those_of_the_whole_texts(pairs: list[tuple[list[str], list[str]]]) -> None:
    """The window around a change holds all that differs: a text against nothing shows all of its features."""
    whole = differences([(text, []) for pair in pairs for text in pair] + [([], [])])
    found = differences(pairs)
    for index, (caption, negative) in enumerate(pairs):
        before, after = row(whole, 2 * index), row(whole, 2 * index + 1)
        expected = Counter(before)  # minus the caption's features, as differences() counts what is taken away
        expected.subtract(after)
        found_row, length = row(found, index), len(negative) - len(caption)
        assert {slot: n for slot, n in found_row.items() if slot not in LENGTH_SLOTS} == {
            slot: n for slot, n in expected.items() if n and slot not in LENGTH_SLOTS
        }
        assert (sum(found_row[slot] for slot in LENGTH_SLOTS) != 0) == (length != 0)


LENGTH_SLOTS = set(ngrams._length_features(np.arange(1, 10))[1].tolist())
"""Slots of the features that say how much longer or shorter a text became."""


def test_a_swap_changes_no_word_but_its_neighbours() -> None:
    rows = differences([(words("a dog on a cat"), words("a cat on a dog"))])
    assert sum(row(rows, 0).values()) == 0
    assert row(rows, 0)
    assert not row(differences([(words("A cat."), words("a cat ."))]), 0)


def candidates(
    old: str, new: str, captions: int, image: str
) -> tuple[list[tuple[str, str, str]], list[list[Candidate]]]:
    """Captions about `old`, each with one negative about `new`."""
    rows = [(f"{image}{i}", f"{image}{i}", f"a {old} on chair {i % 7}") for i in range(captions)]
    found = [[Candidate("replace_object", text.replace(old, new), (Edit(2, 2 + len(old), old, new),), (1,), 0)]
             for _, _, text in rows]  # fmt: skip
    return rows, found


def joined(*groups: tuple[list[tuple[str, str, str]], list[list[Candidate]]]) -> Pool:
    rows = [row for group, _ in groups for row in group]
    found = [several for _, group in groups for several in group]
    return make_pool(rows, found, ["replace_object"], seed=0)


def test_a_one_way_replacement_is_spotted_and_an_exchange_is_not() -> None:
    one_way = joined(candidates("dog", "yak", 200, "a"))
    both_ways = joined(candidates("dog", "cat", 200, "a"), candidates("cat", "dog", 200, "b"))
    for pool, share in ((one_way, 1.0), (both_ways, 0.5)):
        chosen = choose(pool, np.zeros(len(pool.caption)), 4, -np.inf)
        ratio = log_ratio(*merge([flow(pool, chosen)]))
        assert spotted(pool, chosen, ratio) / len(chosen) == pytest.approx(share, abs=0.12)


def test_rounds_prefer_what_flows_back() -> None:
    """Dogs may become yaks or cats; only cats become dogs. With the weights, dogs become cats."""
    rows, yaks = candidates("dog", "yak", 300, "a")
    _, cats = candidates("dog", "cat", 300, "a")
    back_rows, back = candidates("cat", "dog", 300, "b")
    found = [[*one, *other] for one, other in zip(yaks, cats, strict=True)]
    pool = make_pool(rows + back_rows, found + back, ["replace_object"], seed=0)
    table = np.zeros((FOLDS, SLOTS), dtype=np.float32)

    def share_of_yaks(weights: np.ndarray) -> float:  # type: ignore[type-arg]
        chosen = choose(pool, scores(pool, weights), 1, -np.inf)
        flat = [c for several in [*found, *back] for c in several]
        return sum("yak" in flat[place].negative for place in chosen) / 300

    before = share_of_yaks(table)
    for _ in range(6):
        chosen = choose(pool, scores(pool, table), 1, -np.inf)
        table += RATE * log_ratio(*merge([flow(pool, chosen)]))
    assert before == pytest.approx(0.5, abs=0.1)
    assert share_of_yaks(table) < 0.1


def test_flows_of_parts_add_up(tmp_path: object) -> None:
    first, second = candidates("dog", "cat", 40, "a"), candidates("cat", "yak", 30, "b")
    pools = [joined(first), joined(second), joined(first, second)]
    parts = [flow(pool, np.arange(len(pool.caption))) for pool in pools]
    stream = io.BytesIO()
    parts[0].save(stream)
    stream.seek(0)
    removed, introduced = merge([Flow.load(stream), parts[1]])
    whole = merge([parts[2]])
    np.testing.assert_array_equal(removed, whole[0])
    np.testing.assert_array_equal(introduced, whole[1])


def test_own_fold_does_not_count() -> None:
    pool = joined(candidates("dog", "yak", 50, "a"))
    ratio = log_ratio(*merge([flow(pool, np.flatnonzero(pool.fold == 2))]))
    assert (scores(pool, ratio)[pool.fold == 2] == 0).all()
    assert (scores(pool, ratio)[pool.fold != 2] < 0).all()


def test_pool_round_trip() -> None:
    pool = joined(candidates("dog", "cat", 9, "a"))
    stream = io.BytesIO()
    assert pool.save(stream) == 9
    stream.seek(0)
    again = Pool.load(stream)
    assert all(np.array_equal(getattr(pool, name), getattr(again, name)) for name in Pool.__dataclass_fields__)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 2)), max_size=25), st.integers(1, 5))
def test_choice_is_spread_over_words_and_kinds(shape: list[tuple[int, int, int]], per_caption: int) -> None:
    rules = ["replace_object", "replace_count", "swap_object"]
    rows = [(f"k{i}", f"i{i}", "a cat on a mat") for i in range(3)]
    found: list[list[Candidate]] = [[], [], []]
    for number, (caption, word, kind) in enumerate(sorted(shape)):
        found[caption].append(Candidate(rules[kind], f"negative {number}", (), (word,), 0))
    pool = make_pool(rows, found, rules, seed=1)
    chosen = choose(pool, np.zeros(len(pool.caption)), per_caption, -np.inf)
    flat = [candidate for several in found for candidate in several]
    for caption in range(3):
        taken = [flat[place] for place in chosen if pool.caption[place] == caption]
        assert len(taken) <= per_caption
        assert all(n <= MOST_PER_WORD for n in Counter(c.focus[0] for c in taken).values())
        if any(c.rule == "swap_object" for c in found[caption]):
            assert any(c.rule == "swap_object" for c in taken)
        if not any(c.rule == "swap_object" for c in taken) and len(taken) == 4:
            assert len({c.rule for c in taken}) == len({c.rule for c in found[caption]})  # two of each of two kinds
    assert not len(choose(pool, np.full(len(pool.caption), -5.0), per_caption, -1.0))
