"""What negatives put in and take out, counted over a corpus and brought into balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.folds import FOLDS, fold_of
from negmine.contract.records import Edit
from negmine.language.slot_table import packaged_slots
from negmine.stages.negatives.balance import corpus as of_corpus
from negmine.stages.negatives.balance.choosing import Chooser
from negmine.stages.negatives.balance.corpus import (
    Corpus,
    Tally,
    association_gap,
    corpus_of,
    count,
    likelihood_gap,
)
from negmine.stages.negatives.balance.ngrams import as_texts, before_and_after, edited, slot_of, word_hash
from negmine.stages.negatives.balance.pool import (
    MOST_IF_NEEDED,
    MOST_PER_KIND,
    SLOTS,
    Pool,
    _mirrored,
    choose,
    make_pool,
)
from negmine.stages.negatives.balance.proposing import count_nouns
from negmine.stages.negatives.balance.weights import (
    PLAUSIBLE,
    RATE,
    Substitutions,
    acceptance,
    count_detected,
    count_substitutions,
    log_ratio,
    scores,
    take_put_counts,
    thinned,
)
from negmine.stages.negatives.proposal import Filling
from negmine.stages.negatives.select import Candidate
from negmine.stages.negatives.settings import ParseSettings
from negmine.store.arrays import read_arrays, write_arrays

WORDS = st.lists(st.sampled_from(["a", "the", "cat", "dog", "on", "under", "red", "blue", "two", "man"]), max_size=8)
BITS = 20
Group = tuple[list[tuple[str, str, str]], list[list[Candidate]]]


# --- windows and counts ----------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(WORDS.filter(bool), WORDS, st.data())
def test_a_window_and_what_replaces_it_are_the_texts_around_an_edit(old: list[str], new: list[str], data: Any) -> None:
    first = data.draw(st.integers(0, len(old) - 1))
    last = data.draw(st.integers(first, len(old) - 1))
    caption = " ".join(old)
    start = len(" ".join(old[:first])) + (first > 0)
    end = len(" ".join(old[: last + 1]))
    texts = as_texts(["something before", caption])
    windows = edited(texts, *(np.array([place]) for place in (1, start, end)), [" ".join(new)])
    before, after = before_and_after(texts, windows, 2)

    def around(middle: Sequence[str]) -> list[int]:
        left, right = ["", "", *old[:first]][-2:], [*old[last + 1 :], "", ""][:2]
        return [word_hash(word) if word else 0 for word in (*left, *middle, *right)]

    assert before[1].tolist() == around(old[first : last + 1])
    assert after[1].tolist() == around(new)


def test_words_of_a_caption_are_counted_by_fold_against_plain_counting() -> None:
    captions = ["A dog on a mat.", "a dog and a cat", "The cat sleeps on the mat"]
    texts = as_texts(captions)
    folds = np.array([0, 1, 1])
    tallied = count(texts, folds, BITS)
    table = of_corpus.total([tallied], FOLDS << BITS).reshape(FOLDS, 1 << BITS)

    def seen(kind: str, *words: str) -> list[int]:
        hashed = [np.array([word_hash(word)], dtype=np.uint64) for word in words]
        return table[:2, slot_of(kind, hashed, BITS)[0]].tolist()  # type: ignore[no-any-return]

    assert seen("word", "a") == [2, 2]
    assert seen("pair", "a", "dog") == [1, 1]
    assert seen("triple", "on", "the", "mat") == [0, 1]
    assert seen("said", "mat") == [1, 1]
    words = sorted(("cat", "mat"), key=word_hash)
    assert seen("together", *words) == [0, 1]
    assert seen("together", *sorted(("cat", "dog"), key=word_hash)) == [0, 1]


def test_parts_of_a_corpus_add_up_and_nobody_hears_his_own_fold() -> None:
    captions = [f"a {noun} near a {other}" for noun, other in combinations(["cat", "dog", "cow", "hat"], 2)]
    folds = np.arange(len(captions)) % FOLDS
    whole = corpus_of([count(as_texts(captions), folds, BITS)], *_sizes(captions, folds), BITS)
    parts = [count(as_texts(captions[i : i + 2]), folds[i : i + 2], BITS) for i in (0, 2, 4)]
    np.testing.assert_array_equal(corpus_of(parts, *_sizes(captions, folds), BITS).counts, whole.counts)
    alone = corpus_of([count(as_texts(captions[:1]), folds[:1], BITS)], *_sizes(captions[:1], folds[:1]), BITS)
    assert not alone.counts[0].any() and alone.counts[1].any()


def _sizes(captions: Sequence[str], folds: Any) -> tuple[Any, Any]:
    lengths = np.diff(as_texts(captions).starts)
    return np.bincount(folds, minlength=FOLDS), np.bincount(folds, lengths, FOLDS).astype(np.int64)


def corpus_about(captions: Sequence[str]) -> Corpus:
    folds = np.array([fold_of(f"image {n}") for n in range(len(captions))], dtype=np.int64)
    return corpus_of([count(as_texts(captions), folds, BITS)], *_sizes(captions, folds), BITS)


def test_the_likelier_text_is_the_one_like_the_corpus() -> None:
    corpus = corpus_about(["a cat sleeps on a mat", "a dog sleeps on a bed"] * 50)
    captions = ["a cat sleeps on a mat"]
    texts = as_texts(captions)
    windows = edited(texts, *(np.array([place, place]) for place in (0, 2, 5)), ["dog", "yak"])
    gaps = likelihood_gap(corpus, texts, windows, np.zeros(2, dtype=np.int64))
    assert abs(gaps[0]) < 0.5 and gaps[1] > 3


def test_association_against_plain_counting() -> None:
    captions = ["cat mat", "cat mat", "cat bed", "dog bed"]
    corpus = corpus_about(captions)
    texts = as_texts(["cat mat"])
    windows = edited(texts, *(np.array([place]) for place in (0, 0, 3)), ["dog"])
    fold = next(f for f in range(FOLDS) if corpus.captions[f] == len(captions))  # a fold that has none of them
    total, mean = association_gap(corpus, texts, windows, np.array([fold]))
    cat, dog = np.log((2 + 0.5) / (3 * 2 / 4 + 0.5)), np.log((0 + 0.5) / (1 * 2 / 4 + 0.5))
    assert total[0] == pytest.approx(cat - dog) and mean[0] == pytest.approx(cat - dog)


def test_mirrored_differences_are_spotted_when_one_sided() -> None:
    """Negatives that are all unlikely are detected by likelihood alone; a pair and the pair turned round cancel."""
    log_likelihood_gap = np.array([4.0, 4.0, -4.0])
    rows, slots, values = _mirrored(log_likelihood_gap, (1.0,), ((np.array([1.0, 1.0, -1.0]), 1.0, 2),), 20)
    assert rows.tolist() == [0, 1, 2]
    assert len(set(slots.tolist())) == 1 and values.tolist() == [-1, -1, 1]


# --- pools -----------------------------------------------------------------------------------------------------------


def candidates(old: str, new: str, captions: int, image: str, substitution: tuple[str, str] | tuple[()] = ()) -> Group:
    """Captions about `old`, each with one negative about `new`."""
    rows = [(f"{image}{i}", f"{image}{i}", f"a {old} on chair {i % 7}") for i in range(captions)]
    edit = Edit(2, 2 + len(old), old, new)
    found = [[Candidate("replace_object", text.replace(old, new), (edit,), (1,), substitution)] for _, _, text in rows]
    return rows, found


RULES_OF_POOL = ("replace_object",)


def pooled(
    rows: list[tuple[str, str, str]], found: list[list[Candidate]], rules: Sequence[str] = RULES_OF_POOL
) -> Pool:
    return make_pool(rows, found, rules, corpus_about([caption for _, _, caption in rows]), seed=0)


def joined(*groups: Group) -> Pool:
    return pooled([row for group, _ in groups for row in group], [several for _, group in groups for several in group])


def everything(pool: Pool) -> Any:
    return np.ones(len(pool))


def test_a_one_way_replacement_is_spotted_and_an_exchange_is_not() -> None:
    one_way = joined(candidates("dog", "yak", 200, "a"))
    both_ways = joined(candidates("dog", "cat", 200, "a"), candidates("cat", "dog", 200, "b"))
    for pool, share in ((one_way, 1.0), (both_ways, 0.5)):
        chosen = choose(pool, np.zeros(len(pool)), everything(pool), 4)
        ratio = log_ratio([take_put_counts(pool, chosen)])
        assert count_detected(pool, chosen, ratio) / len(chosen) == pytest.approx(share, abs=0.12)


def test_rounds_prefer_what_flows_back() -> None:
    """Dogs may become yaks or cats; only cats become dogs. With the weights, dogs become cats."""
    rows, yaks = candidates("dog", "yak", 300, "a")
    _, cats = candidates("dog", "cat", 300, "a")
    back_rows, back = candidates("cat", "dog", 300, "b")
    found = [[*one, *other] for one, other in zip(yaks, cats, strict=True)] + back
    pool = pooled(rows + back_rows, found)
    flat = [c for several in found for c in several]
    table = np.zeros((FOLDS, SLOTS), dtype=np.float32)

    def chosen() -> Any:
        return choose(pool, scores(pool, table), everything(pool), 1)

    def share_of_yaks() -> float:
        return sum("yak" in flat[place].negative for place in chosen()) / 300

    before = share_of_yaks()
    for _ in range(6):
        table += np.float32(RATE) * log_ratio([take_put_counts(pool, chosen())])
    assert before == pytest.approx(0.5, abs=0.1)
    assert share_of_yaks() < 0.1


def test_flows_of_parts_add_up(tmp_path: Path) -> None:
    first, second = candidates("dog", "cat", 40, "a"), candidates("cat", "yak", 30, "b")
    pools = [joined(first), joined(second), joined(first, second)]
    words = [_word_columns(take_put_counts(pool, np.arange(len(pool)))) for pool in pools]
    assert words[0] + words[1] == words[2]
    whole = take_put_counts(pools[2], np.arange(len(pools[2])))
    write_arrays(tmp_path, "flow.npy", whole)
    again = read_arrays(tmp_path / "flow.npy", Tally)
    assert np.array_equal(again.place, whole.place) and np.array_equal(again.counts, whole.counts)


def _word_columns(flows: Tally) -> Counter[tuple[int, str]]:
    """How often each of three nouns is taken out and put in, over the folds."""
    found: Counter[tuple[int, str]] = Counter()
    for noun in ("dog", "cat", "yak"):
        slot = slot_of("word", [np.array([word_hash(noun)], dtype=np.uint64)], 20)[0]
        for column in (0, 1):
            found[column, noun] = int(flows.counts[flows.place % SLOTS == slot, column].sum())
    return found


def test_own_fold_does_not_count() -> None:
    pool = joined(candidates("dog", "yak", 50, "a"))
    ratio = log_ratio([take_put_counts(pool, np.flatnonzero(pool.fold == 2))])
    assert (scores(pool, ratio)[pool.fold == 2] == 0).all()
    assert (scores(pool, ratio)[pool.fold != 2] < 0).all()


def test_exchanges_are_kept_as_often_as_their_reverse() -> None:
    forth, back = (
        candidates("on", "under", 300, "a", ("on", "under")),
        candidates("under", "on", 60, "b", ("under", "on")),
    )
    pool = joined(forth, back)
    shares = acceptance(pool, count_substitutions([joined(forth), joined(back)]))
    assert shares[:300] == pytest.approx(60 / 300, rel=0.02)
    assert (shares[300:] == 1).all()
    chosen = choose(pool, np.zeros(len(pool)), shares, 4)
    complete_by_refused = choose(pool, np.zeros(len(pool)), shares, 1)
    assert len(complete_by_refused) == 360, "what is refused may make a caption complete"
    assert len(chosen) == 360, "and serves a caption that has nothing else"


def test_the_refused_do_not_serve_a_caption_that_stays_incomplete() -> None:
    rows, likely = candidates("on", "under", 40, "a", ("on", "under"))
    _, other = candidates("on", "yak", 40, "a")
    pool = pooled(rows, [[*one, *two] for one, two in zip(likely, other, strict=True)])
    never = np.where(pool.substitution[:, 0] > 0, 1e-9, 1.0)
    assert len(choose(pool, np.zeros(len(pool)), never, 4)) == 40
    assert len(choose(pool, np.zeros(len(pool)), never, 2)) == 80


def test_pool_round_trip(tmp_path: Path) -> None:
    pool = joined(candidates("dog", "cat", 9, "a"))
    assert write_arrays(tmp_path, "pool.npy", pool).rows == 9
    again = read_arrays(tmp_path / "pool.npy", Pool)
    assert all(np.array_equal(getattr(pool, name), getattr(again, name)) for name in Pool.__dataclass_fields__)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 2)), max_size=25), st.integers(1, 5))
def test_choice_is_spread_over_words_and_kinds(shape: list[tuple[int, int, int]], per_caption: int) -> None:
    rules = ["replace_object", "replace_count", "swap_object"]
    rows = [(f"k{i}", f"i{i}", "a cat on a mat") for i in range(3)]
    found: list[list[Candidate]] = [[], [], []]
    for number, (caption, word, kind) in enumerate(sorted(shape)):
        edits = (Edit(2, 5, "cat", f"negative{number}"),)
        found[caption].append(Candidate(rules[kind], f"a negative{number} on a mat", edits, (word,)))
    pool = pooled(rows, found, rules)
    chosen = choose(pool, np.zeros(len(pool)), everything(pool), per_caption)
    flat = [candidate for several in found for candidate in several]
    for caption in range(3):
        taken = [flat[place] for place in chosen if pool.caption[place] == caption]
        available = found[caption]
        assert len(taken) <= per_caption
        if any(c.rule == "swap_object" for c in available):
            assert taken[0].rule == "swap_object"
        words, edited = (Counter(c.focus[0] for c in some) for some in (available, taken))
        assert len(taken) == min(per_caption, sum(min(n, MOST_IF_NEEDED) for n in words.values()))
        assert max(edited.values(), default=0) <= MOST_IF_NEEDED


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), max_size=30), st.integers(1, 5))
def test_each_kind_is_served_before_any_is_served_twice(shape: list[tuple[int, int, int]], per_caption: int) -> None:
    """As far as words allow; and a third of one kind comes only where no other kind is left."""
    rules = ["replace_object", "replace_count", "replace_relation", "replace_attribute"]
    rows = [(f"k{i}", f"i{i}", "a cat on a mat") for i in range(3)]
    found: list[list[Candidate]] = [[], [], []]
    for number, (caption, _, kind) in enumerate(sorted(shape)):
        edits = (Edit(2, 5, "cat", f"negative{number}"),)
        found[caption].append(Candidate(rules[kind], f"a negative{number} on a mat", edits, (number,)))
    pool = pooled(rows, found, rules)
    chosen = choose(pool, np.arange(len(pool)) % 7.0, everything(pool), per_caption)
    flat = [candidate for several in found for candidate in several]
    for caption in range(3):
        available = Counter(c.rule for c in found[caption])
        taken = [flat[place].rule for place in chosen if pool.caption[place] == caption]
        kinds = Counter(taken)
        assert len(set(taken[: len(available)])) == min(len(available), per_caption)
        if max(kinds.values(), default=0) > MOST_PER_KIND:
            others = {kind: n for kind, n in available.items() if kinds[kind] <= MOST_PER_KIND}
            assert all(kinds[kind] == min(n, MOST_PER_KIND) for kind, n in others.items())


def test_what_has_no_acceptance_serves_only_a_caption_that_has_nothing_else() -> None:
    """Unlike what is refused by chance, which also makes a caption complete; a score of -inf serves none."""
    rows, yaks = candidates("dog", "yak", 40, "a")
    _, cats = candidates("dog", "cat", 40, "a")
    pool = pooled(rows, [[*one, *other] for one, other in zip(yaks, cats, strict=True)])
    score = np.tile([0.0, 1.0], 40)
    nothing = choose(pool, score, np.zeros(len(pool)), 4)
    assert nothing.tolist() == list(range(1, 80, 2))
    assert choose(pool, score, np.tile([1.0, 0.0], 40), 4).tolist() == list(range(0, 80, 2))
    assert len(choose(pool, np.full(len(pool), -np.inf), np.ones(len(pool)), 4)) == 0
    half = np.where(np.arange(len(pool)) % 2 == 0, 0.0, 1e-9)
    assert choose(pool, np.zeros(len(pool)), half, 4).tolist() == list(range(1, 80, 2))


def test_thinning_is_a_power_of_the_share_that_flows_back() -> None:
    kept, none = np.array([1.0, 0.25, 0.01]), np.zeros(3)
    np.testing.assert_allclose(thinned(kept, 1.0, none), kept)
    np.testing.assert_allclose(thinned(kept, 0.5, none), [1, 0.5, 0.1])
    np.testing.assert_allclose(thinned(kept, 0.0, none), 1)
    np.testing.assert_allclose(thinned(kept, 1.0, np.log([2, 2, 2])), [1, 0.5, 0.1])


def test_nouns_of_captions_are_counted_once_for_each_place() -> None:
    """However many candidates it has; phrases in a place without an old noun are not of the caption."""
    rows = [("k", "image", "a cat on a mat")]
    first, second = (5, 9), (7,)
    fillings = [Filling(first, "dog", "cat"), Filling(first, "horse", "cat"), None, Filling(second, "bed")]
    found = [
        [Candidate("replace_object", f"x{n}", (Edit(2, 5, "cat", "x"),), (1,), (), filling)]
        for n, filling in enumerate(fillings)
    ]
    pool = pooled(rows, [[candidate for several in found for candidate in several]])
    counts, number = count_nouns(pool), packaged_slots().nouns.number
    assert counts.slot.tolist() == [5, 9] and counts.noun.tolist() == [number("cat")] * 2
    assert counts.times[:, fold_of("image")].tolist() == [1, 1] and counts.times.sum() == 2
    assert pool.place.tolist() == [0, 0, -1, 1]
    assert pool.noun[:, 0].tolist() == [number("dog"), number("horse"), -1, number("bed")]


def chooser(**options: Any) -> Chooser:
    nothing = Substitutions(np.zeros(0, dtype=np.uint64), np.zeros(0))
    weights = np.zeros((FOLDS, SLOTS), dtype=np.float32)
    return Chooser(ParseSettings(rules=RULES_OF_POOL, plausible=0.6, **options), nothing, weights)


FLOOR = float(np.log(0.6 / 0.4))


def test_the_plausible_is_preferred_and_what_is_below_the_floor_serves_only_what_has_no_other() -> None:
    rows, yaks = candidates("dog", "yak", 400, "a")
    _, cats = candidates("dog", "cat", 400, "a")
    pool = pooled(rows, [[*one, *other] for one, other in zip(yaks, cats, strict=True)])
    pool = replace(pool, place=np.zeros(len(pool), dtype=np.int32))
    is_cat = np.arange(len(pool)) % 2 == 1

    def share_of_cats(yak: float, cat: float) -> float:
        chosen, _ = chooser(per_caption=1).choose(pool, np.where(is_cat, cat, yak))
        assert len(chosen) == 400
        return float(is_cat[chosen].mean())

    as_likely = share_of_cats(0.0, 0.0)
    assert share_of_cats(-0.5, 1.0) > as_likely + 0.1
    assert share_of_cats(FLOOR - 0.01, FLOOR + 0.01) == 1.0
    chosen, _ = chooser(per_caption=4).choose(pool, np.full(len(pool), FLOOR - 0.01))
    assert pool.caption[chosen].tolist() == list(range(400))
    chosen, _ = chooser(per_caption=4).choose(pool, np.full(len(pool), -np.inf))
    assert len(chosen) == 0


def test_a_noun_that_is_not_quite_likely_serves_a_caption_that_has_too_few() -> None:
    rows, yaks = candidates("dog", "yak", 400, "a")
    _, cats = candidates("dog", "cat", 400, "a")
    pool = pooled(rows, [[*one, *other] for one, other in zip(yaks, cats, strict=True)])
    pool = replace(pool, place=np.zeros(len(pool), dtype=np.int32))
    is_cat = np.arange(len(pool)) % 2 == 1
    plausibility = np.where(is_cat, PLAUSIBLE, FLOOR + 0.01)
    one, _ = chooser(per_caption=1).choose(pool, plausibility)
    assert is_cat[one].mean() > 0.85
    two, _ = chooser(per_caption=2).choose(pool, plausibility)
    assert len(two) == len(pool)
