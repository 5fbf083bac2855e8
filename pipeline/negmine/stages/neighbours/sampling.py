"""Which of the kept candidates are drawn: a sampler gives each a key, and the K highest keys are selected.

A sampler is a function and a line in `SAMPLERS`. Chance comes as Gumbel noise that depends on the seed and on the two
pairs only: adding it to log-weights and taking the highest keys draws without replacement, in proportion to the
weights. Whether another candidate was refused, the order, or the number of workers, cannot change a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Hashes, Mask, Scores
from negmine.base.hashing import hash64
from negmine.stages.neighbours.filters import Candidates

Keys = NDArray[np.floating]
"""[Q, C] what a sampler gives each candidate: the highest are drawn."""


def top(found: Candidates, keep: Mask, gumbel: Scores, k: int) -> Keys:
    """The best scores."""
    return np.asarray(found.score)


def uniform(found: Candidates, keep: Mask, gumbel: Scores, k: int) -> Keys:
    """Any, with equal chance."""
    return gumbel


def softmax(found: Candidates, keep: Mask, gumbel: Scores, k: int, *, temperature: float = 0.05) -> Keys:
    """In proportion to exp(score / temperature) (CoRNStack, #8): near 0 the best, at infinity any."""
    return np.asarray(found.score / np.float32(max(temperature, 1e-9)) + gumbel)


def simans(found: Candidates, keep: Mask, gumbel: Scores, k: int, *, a: float = 100.0, b: float = -0.05) -> Keys:
    """In proportion to exp(-a (score - positive - b)^2): near the truth, not at it (SimANS).

    The paper's a is for unbounded scores; for cosines it must be larger.
    """
    return np.asarray(-a * (found.score - found.positive[:, None] - b) ** 2 + gumbel)


def ipw(
    found: Candidates,
    keep: Mask,
    gumbel: Scores,
    k: int,
    *,
    below: float = 0.1,
    width: float = 0.1,
    temperature: float = 0.1,
    clip: float = 10.0,
) -> Keys:
    """By hardness over propensity (DebCSE, #19; a reconstruction).

    Hardness is a band of scores around positive - below; the propensity, that a miner takes a candidate for its looks,
    is the softmax of the share of words in common. Weights relative to their mean stay within 1/clip and clip.
    """
    surface = np.where(keep, found.texts.jaccard("words") / temperature, -np.inf)
    propensity = np.exp(surface - surface.max(axis=1, keepdims=True, initial=-1e30))
    propensity /= np.maximum(propensity.sum(axis=1, keepdims=True), 1e-30)
    hardness = np.exp(-((found.score - found.positive[:, None] + below) ** 2) / (2 * width**2))
    weight = np.where(keep, hardness / np.maximum(propensity, 1e-3 / found.score.shape[1]), 0)
    mean = weight.sum(axis=1, keepdims=True) / np.maximum(keep.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.log(np.clip(weight / np.maximum(mean, 1e-30), 1 / clip, clip)) + gumbel)


def half(found: Candidates, keep: Mask, gumbel: Scores, k: int) -> Keys:
    """Half of them the best, half any of the others (Sample4Geo's choice of neighbours, #4)."""
    place = np.cumsum(keep, axis=1)
    return np.where(place <= k - k // 2, np.float32(1e6) - place, gumbel)


def diverse(found: Candidates, keep: Mask, gumbel: Scores, k: int) -> Keys:
    """The best, then again and again the one that is least like those taken (farthest first)."""
    keys = np.full(found.score.shape, -np.inf, dtype=np.float32)
    for row in np.flatnonzero(keep.any(axis=1)):
        places = np.flatnonzero(keep[row])
        for turn, chosen in enumerate(_farthest_first(found.alike(int(row), places), k)):
            keys[row, places[chosen]] = -turn
    return keys


def _farthest_first(alike: Scores, k: int) -> list[int]:
    """Places of the first k points, the first of them point 0, by similarities [n, n]."""
    chosen, nearest = [0], alike[0].copy()
    while len(chosen) < min(k, len(alike)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, alike[chosen[-1]])
    return chosen


SAMPLERS: Final[dict[str, Callable[..., Keys]]] = {
    "top": top,
    "uniform": uniform,
    "softmax": softmax,
    "simans": simans,
    "ipw": ipw,
    "half": half,
    "diverse": diverse,
}


def select(found: Candidates, keep: Mask, sampler: str, options: Mapping[str, float], k: int, seed: int) -> Mask:
    """[Q, C] the (at most) k drawn of those kept; equal keys by rank."""
    noise = gumbel_noise(seed, found.own["key"], found.theirs["key"])
    keys = np.where(keep, SAMPLERS[sampler](found, keep, noise, k, **options), -np.inf)
    order = np.argsort(-keys, axis=1, kind="stable")[:, :k]
    selected = np.zeros(keep.shape, dtype=np.bool_)
    np.put_along_axis(selected, order, True, axis=1)
    return np.asarray(selected & keep)


def gumbel_noise(seed: int, queries: Hashes, candidates: Hashes) -> Scores:
    """[Q, C] standard Gumbel noise of pairs of keys (hashes [Q] and [Q, C])."""
    with np.errstate(over="ignore"):
        mixed = mix(mix(queries ^ np.uint64(hash64(f"sample {seed}")))[:, None] ^ candidates)
    chance = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return (-np.log(-np.log(chance))).astype(np.float32)


def mix(numbers: Hashes) -> Hashes:
    """SplitMix64's finaliser: every bit of the input changes half of the output's."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
