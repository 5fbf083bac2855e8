"""Make `pipeline/negmine/language/data/slots.npz`: which nouns fill which dependency slots in captions.

    python scripts/build_slots.py captions_val2017.json

Of the captions only hashes of slots and counts by noun are kept. Nouns are those that captions use now and then, and
those that rules put in; their vectors are a truncated singular value decomposition of the noun x slot matrix of
positive PMI. The weights of the kinds of slots are those that best tell a noun from others drawn by frequency, in
captions of images that were not counted (noise-contrastive estimation: Gutmann and Hyvärinen, 2010).
The same captions give the same bytes with the same versions of NumPy and SciPy.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from negmine.base.folds import FOLDS, fold_of
from negmine.language.analyse import load_model, parse
from negmine.language.slot_table import FEWEST, Nouns, SlotCounts, SlotTable, alike, counted, without_rare
from negmine.language.slots import ANY, KIND_BITS, Slots, kind_of, last_word, slots_of
from negmine.language.vocabulary import packaged_vocabulary
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

TARGET = Path(__file__).parents[1] / "pipeline/negmine/language/data/slots.npz"
DIMENSIONS = 100
MOST = 127
"""Vectors are kept as bytes."""

TOLD_APART = 4_000
"""Mentions of nouns that the weights are learnt from, and how many others each is told from."""
NOISE = 12

Mention = tuple[int, Slots, int]
"""A noun's number, the slots it fills, and the fold of its image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="COCO captions JSON")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    annotations = json.loads(options.captions.read_text())["annotations"]
    found = list(mentions([(str(row["image_id"]), row["caption"].strip()) for row in annotations]))
    names = known_nouns([noun for noun, _, _ in found])
    nouns = Nouns(names, None)
    known = [(nouns.number(noun), slots, fold) for noun, slots, fold in found if nouns.number(noun) >= 0]
    columns = zip(*((slot, number, fold) for number, slots, fold in known for slot in slots), strict=True)
    counts = without_rare(counted(*map(np.array, columns)))
    of_nouns = vectors(counts, len(names))
    judge = SlotTable(Nouns(names, alike(of_nouns)), counts, np.ones(1 << KIND_BITS))
    write(options.out, nouns, counts, of_nouns, weights(judge, known))


def mentions(rows: list[tuple[str, str]]) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Noun, slots and fold of every phrase."""
    captions = parse(load_model(None), (text for _, text in rows), packaged_vocabulary())
    for image, text in rows:
        for index, phrase in enumerate(captions[text].phrases):
            yield phrase.name, slots_of(captions[text], index), fold_of(image)


def known_nouns(names: list[str]) -> tuple[str, ...]:
    """Names of several words that captions use, last words that they use, and what rules put in."""
    vocabulary, times = packaged_vocabulary(), Counter(names)
    ends = Counter(map(last_word, names))
    several = {name for name, number in times.items() if number >= FEWEST}
    single = {name for name, number in ends.items() if number >= FEWEST}
    return tuple(sorted(name for name in several | single | vocabulary.put_in if name))


def vectors(counts: SlotCounts, size: int) -> Any:
    """[N, DIMENSIONS] int8."""
    times = counts.times.sum(axis=1)
    of_noun = np.bincount(counts.noun, np.where(counts.slot == ANY, times, 0), size)
    slots, column = np.unique(counts.slot, return_inverse=True)
    of_slot = np.bincount(column, times)
    kept = (counts.slot != ANY) & (of_noun[counts.noun] >= FEWEST) & (of_slot[column] > FEWEST)
    ratio = times * of_noun.sum() / (of_slot[column] * np.maximum(of_noun[counts.noun], 1))
    value = np.maximum(np.log(ratio), 0) * times / (times + 1)  # few mentions prove little
    matrix = csr_matrix((value[kept], (counts.noun[kept], column[kept])), shape=(size, len(slots)))
    left, sizes, _ = svds(matrix, k=DIMENSIONS, v0=np.ones(min(matrix.shape)), solver="arpack")
    found = left * np.sqrt(sizes)
    longest = np.abs(found).max(axis=1, keepdims=True)
    return np.rint(found / np.maximum(longest, 1e-9) * MOST).astype(np.int8)


def weights(judge: SlotTable, known: list[Mention]) -> Any:
    """[2 ** `KIND_BITS`] float32, by which the nouns of captions are best told from others, none below 0."""
    rng = np.random.default_rng(0)
    share = judge.mentions[FOLDS] / judge.mentions[FOLDS].sum()
    chosen = [known[i] for i in np.sort(rng.choice(len(known), min(TOLD_APART, len(known)), replace=False))]
    drawn = rng.choice(len(share), (len(chosen), NOISE), p=share)
    by_kind = np.array(
        [
            scores_by_kind(judge, slots, fold, np.array([noun, *others]))
            for (noun, slots, fold), others in zip(chosen, drawn, strict=True)
        ]
    )

    def loss(of_kind: Any) -> tuple[float, Any]:
        score = by_kind @ of_kind
        odds = np.exp(score - score.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        slope = np.einsum("ij,ijk->k", odds, by_kind) - by_kind[:, 0].sum(axis=0)
        return -np.log(odds[:, 0]).sum() + of_kind @ of_kind, slope + 2 * of_kind

    first = np.full(1 << KIND_BITS, 0.3)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(first)).x
    return np.round(found, 2).astype(np.float32)


def scores_by_kind(judge: SlotTable, slots: Slots, fold: int, nouns: Any) -> Any:
    """[nouns, kinds], what `SlotTable.scores` weighs and adds up."""
    found, number = np.zeros((len(nouns), 1 << KIND_BITS)), np.zeros(1 << KIND_BITS)
    for slot in slots:
        likely = judge.likely(slot, fold)
        if likely is not None:
            found[:, kind_of(slot)] += likely[nouns]
            number[kind_of(slot)] += 1
    return found / np.sqrt(np.maximum(number, 1))


def write(path: Path, nouns: Nouns, counts: SlotCounts, of_nouns: Any, of_kinds: Any) -> None:
    names = np.frombuffer("\n".join(nouns.names).encode(), dtype=np.uint8)
    steps, times = np.diff(counts.slot, prepend=0), np.minimum(counts.times, np.iinfo(np.uint16).max).astype(np.uint16)
    np.savez_compressed(
        path, names=names, vectors=of_nouns, slot_steps=steps, noun=counts.noun, times=times, weights=of_kinds
    )


if __name__ == "__main__":
    main()
