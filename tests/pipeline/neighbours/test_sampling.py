"""Sampling: only of what is kept, without replacement, by the weights, and the same in any company."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.errors import UsageError
from negmine.stages.neighbours.sampling import SAMPLERS, gumbel_noise, select
from negmine.stages.neighbours.specs import complete, read_piece

from tests.pipeline.neighbours.conftest import candidates


def block(queries: int, width: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.uniform(0, 1, (queries, width)), axis=1)[:, ::-1]
    keys = rng.integers(0, 2**63, (queries, width)).astype(np.uint64)
    own = rng.integers(0, 2**63, queries).astype(np.uint64)
    return candidates(scores.tolist(), [0.7] * queries, theirs={"key": keys}, own={"key": own}, alike=np.eye(width))


@given(st.integers(0, 99), st.integers(1, 9), st.sampled_from(sorted(set(SAMPLERS) - {"diverse"})), st.data())
def test_draws_only_what_is_kept_and_as_many_as_there_are(seed: int, k: int, name: str, data: st.DataObject) -> None:
    found = block(3, 8, seed)
    keep = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=3, max_size=3)))
    selected = select(found, keep, name, complete("sampling", name, {}, SAMPLERS), k, seed)
    assert not (selected & ~keep).any()
    assert selected.sum(axis=1).tolist() == np.minimum(keep.sum(axis=1), k).tolist()


def test_top_takes_the_best_and_equal_scores_by_rank() -> None:
    found = candidates([[0.5, 0.4, 0.4, 0.4]], [1.0])
    keep = np.array([[False, True, True, True]])
    assert select(found, keep, "top", {}, 2, 0).tolist() == [[False, True, True, False]]


def share(name: str, options: dict[str, float], k: int, queries: int = 4_000) -> Any:
    """How often each of six places is drawn."""
    found = block(queries, 6)
    found.score[:] = np.linspace(1.0, 0.5, 6)
    return select(found, np.ones((queries, 6), dtype=bool), name, options, k, 1).mean(axis=0)


def test_softmax_goes_from_the_best_to_any() -> None:
    assert share("softmax", {"temperature": 1e-6}, 2).tolist() == [1, 1, 0, 0, 0, 0]
    even = share("softmax", {"temperature": 1e6}, 2)
    assert abs(even - 1 / 3).max() < 0.03
    weights = np.exp(np.linspace(1.0, 0.5, 6) / 0.2)
    np.testing.assert_allclose(share("softmax", {"temperature": 0.2}, 1), weights / weights.sum(), atol=0.03)


def test_simans_is_highest_at_its_offset() -> None:
    drawn = share("simans", {"a": 200.0, "b": 0.1}, 1)  # the positive scores 0.7, so the mode is 0.8
    assert drawn.argmax() == 2


def test_ipw_with_equal_words_follows_the_band_and_distrusts_looks() -> None:
    scores = [[0.65, 0.6, 0.55]] * 2_000
    keys = np.arange(6_000, dtype=np.uint64).reshape(2_000, 3) * np.uint64(7_919)
    captions = ["a dog runs"] * 2_000, ["a dog runs", "cats sit", "cows eat"] * 2_000
    found = candidates(scores, [0.7] * 2_000, theirs={"key": keys}, captions=captions)
    drawn = select(found, np.ones((2_000, 3), dtype=bool), "ipw", complete("sampling", "ipw", {}, SAMPLERS), 1, 0)
    share = drawn.mean(axis=0)
    assert share[0] < 0.1  # the same words: a miner would take it for its looks
    assert share[1] > share[2] * 0.95


def test_half_takes_the_nearest_and_any_of_the_rest() -> None:
    drawn = share("half", {}, 4)
    assert drawn[:2].tolist() == [1, 1]
    assert abs(drawn[2:] - 0.5).max() < 0.03


def test_diverse_starts_with_the_best_and_goes_far() -> None:
    alike = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]])
    found = candidates([[0.9, 0.8, 0.7]], [1.0], alike=alike)
    assert select(found, np.ones((1, 3), dtype=bool), "diverse", {}, 2, 0).tolist() == [[True, False, True]]


def test_noise_depends_on_the_pair_and_the_seed_only() -> None:
    queries, others = np.arange(3, dtype=np.uint64), np.arange(12, dtype=np.uint64).reshape(3, 4)
    noise = gumbel_noise(5, queries, others)
    assert np.array_equal(noise[1:2, ::-1], gumbel_noise(5, queries[1:2], others[1:2, ::-1]))
    assert not np.array_equal(noise, gumbel_noise(6, queries, others))
    many = gumbel_noise(0, np.arange(1_000, dtype=np.uint64), np.arange(100_000, dtype=np.uint64).reshape(1_000, 100))
    assert abs(many.mean() - 0.5772) < 0.02
    assert abs(many.std() - np.pi / np.sqrt(6)) < 0.02


def test_pieces_are_read_and_checked() -> None:
    assert read_piece("softmax") == ("softmax", {})
    name, given = read_piece("softmax=0.2..0.02")
    assert complete("sampling", name, given, SAMPLERS, 0.5) == {"temperature": pytest.approx(0.11)}
    name, given = read_piece("simans:a=1,b=2")
    assert complete("sampling", name, given, SAMPLERS) == {"a": 1.0, "b": 2.0}
    for text, message in (
        ("best", "unknown sampling"),
        ("top=3", "no option"),
        ("softmax=hot", "must be a number"),
    ):
        with pytest.raises(UsageError, match=message):
            complete("sampling", *read_piece(text), SAMPLERS)
