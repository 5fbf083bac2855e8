"""Make `pipeline/negmine/stages/negatives/data/oddness.npz`: trees that tell which nouns put in read oddly.

    python scripts/build_oddness.py captions_val2017.json

`scripts/read.tsv` holds negatives of such captions, each read alone, good or odd, by a language model. The captions are
parsed, their candidates made, and those that were read are learnt from by what is known of them then. Prints how well
trees that were fitted to other captions tell the odd ones. The same captions give the same trees with the same version
of scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from negmine.base.arrays import Scores
from negmine.engine import run_stage
from negmine.engine.local import LocalEngine
from negmine.stages.negatives.balance.judging import read_slots
from negmine.stages.negatives.balance.oddness import DEPTH, TREES, Trees, features
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.balanced import CANDIDATES, Balanced
from negmine.stages.negatives.presets import load_preset
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import Manifest, Spec, Store, read_part
from negmine.store.work_folder import Stage, WorkFolder
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

READ = Path(__file__).with_name("read.tsv")
TARGET = Path(__file__).parents[1] / "pipeline/negmine/stages/negatives/data" / TREES
TREES_GROWN = 200

Read = tuple[str, str]
"""A caption and a negative of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="COCO captions JSON")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with READ.open(newline="") as file:
        verdicts = {(row["caption"], row["negative"]): row["verdict"] for row in csv.DictReader(file, delimiter="\t")}
    known = known_of(options.captions, set(verdicts))
    captions = [caption for caption, _ in known]
    rows, is_odd = np.array(list(known.values())), np.array([verdicts[read] == "odd" for read in known])
    model = GradientBoostingClassifier(
        n_estimators=TREES_GROWN, max_depth=DEPTH, learning_rate=0.04, subsample=0.5, max_features=0.3, random_state=0
    )
    found = cross_val_predict(model, rows, is_odd, groups=captions, cv=GroupKFold(10), method="decision_function")
    sys.stdout.write(f"{len(known)} of {len(verdicts)} put in a noun, {is_odd.mean():.1%} odd\n")
    sys.stdout.write(f"area under the curve, fitted to other captions: {roc_auc_score(is_odd, found):.3f}\n")
    trees = as_trees(model.fit(rows, is_odd), float(np.log(is_odd.mean() / (1 - is_odd.mean()))))
    np.savez_compressed(
        options.out, feature=trees.feature, threshold=trees.threshold, leaf=trees.leaf, start=np.float64(trees.start)
    )


def known_of(captions: Path, wanted: set[Read]) -> dict[Read, Scores]:
    """Features of the negatives that put in a noun and that the rules make of the captions."""
    found = dict[Read, Scores]()

    def look(store: Store) -> Manifest:
        folder = store.folder / CANDIDATES
        Balanced(store, settings, work / Stage.PAIRS, sizes, engine).propose()
        slots = read_slots(folder)
        for index in range(len(sizes)):
            pool, texts = read_pool(folder, index), read_part(folder, index)["negative"].to_pylist()
            pairs = read_part(work / Stage.PAIRS, index, ["caption"])["caption"].to_pylist()
            for place, row in zip(*features(slots, pool), strict=True):
                read = pairs[pool.caption[place]], texts[place]
                if read in wanted:
                    found.setdefault(read, row)
        return store.finish()

    with TemporaryDirectory() as name:
        work, engine, settings = Path(name), LocalEngine(1), load_preset("unguessable")
        ingest(IngestSettings(str(captions)), work, engine)
        with WorkFolder.open(work) as folder:
            sizes = folder.pair_counts
            run_stage(work / Stage.NEGATIVES, Spec(Stage.NEGATIVES, {}, {}, {}), look, None)
    return found


def as_trees(model: GradientBoostingClassifier, start: float) -> Trees:
    """The model's trees, filled up to complete ones."""
    inner = 2**DEPTH - 1
    feature = np.zeros((len(model.estimators_), inner), dtype=np.int16)
    threshold = np.full(feature.shape, np.inf, dtype=np.float32)
    leaf = np.zeros((len(feature), inner + 1), dtype=np.float32)
    for number, (grown,) in enumerate(model.estimators_):
        tree, left = grown.tree_, [(0, 0)]
        while left:
            node, place = left.pop()
            is_leaf = tree.children_left[node] < 0
            if place >= inner:
                leaf[number, place - inner] = tree.value[node, 0, 0] * model.learning_rate
                continue
            if not is_leaf:
                feature[number, place], threshold[number, place] = tree.feature[node], _below(tree.threshold[node])
            children = (node, node) if is_leaf else (tree.children_left[node], tree.children_right[node])
            left += zip(children, (2 * place + 1, 2 * place + 2), strict=True)
    return Trees(feature, threshold, leaf, start)


def _below(threshold: float) -> np.float32:
    """The greatest number of 32 bits that is not greater: a feature of 32 bits is on the same side of both."""
    near = np.float32(threshold)
    return near if near <= threshold else np.nextafter(near, np.float32(-np.inf))


if __name__ == "__main__":
    main()
