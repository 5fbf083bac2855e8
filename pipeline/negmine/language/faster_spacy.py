"""spaCy with the same parses in half the time: NumPy's matrix products, and no word of a batch embedded twice.

Both are most of what a parse costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from thinc.api import Model, NumpyOps, chain, registry
from thinc.types import Ragged

if TYPE_CHECKING:
    from spacy.language import Language

    from negmine.base.arrays import Hashes, Scores


@registry.ops("NumpyProducts")
class NumpyProducts(NumpyOps):  # type: ignore[misc]
    """thinc's operations on arrays, with NumPy's matrix product, several times as fast as the BLIS that thinc brings.

    Models made under ``use_ops(name)`` keep it.
    """

    name = "negmine-numpy"

    def gemm(
        self, x: Scores, y: Scores, out: Scores | None = None, trans1: bool = False, trans2: bool = False
    ) -> Scores:
        return np.matmul(x.T if trans1 else x, y.T if trans2 else y, out=out)


_ATTRIBUTES: Final = "list2ragged"
"""Layer of a spaCy tok2vec after which words are rows of attributes; two more embed them, and one ends it."""


def embed_words_once(nlp: Language) -> None:
    """Let a pipeline embed each distinct word of a batch once; a pipeline of another make stays as it is.

    A word's embedding depends on its own attributes alone (norm, prefix, suffix, shape, spaces): spaCy's
    ``MultiHashEmbed`` without static vectors.
    """
    pipes: Iterable[tuple[str, Any]] = nlp.pipeline  # all have a model
    for _, pipe in pipes:
        for layer in pipe.model.walk():
            names = [inner.name for inner in layer.layers]
            if len(names) == 5 and names[1] == _ATTRIBUTES and names[-1] == "ragged2list":
                layer.layers[2:4] = [Model("distinct-words", _of_distinct, layers=[chain(*layer.layers[2:4])])]


def _of_distinct(model: Model[Ragged, Ragged], words: Ragged, is_train: bool) -> tuple[Ragged, None]:
    """What the layer within makes of a batch of words (`Ragged`), each distinct one computed once."""
    rows: Any = words.dataXd  # uint64, which thinc's types leave out
    _, first, place = np.unique(_row_hashes(rows), return_index=True, return_inverse=True)
    all_of_them: Any = np.array([len(first)], dtype=np.int32)  # an array, which is no `Ints1d` to a checker
    found = model.layers[0].predict(Ragged(rows[first], all_of_them))
    return Ragged(found.dataXd[place], words.lengths), None


def _row_hashes(rows: Hashes) -> Hashes:
    """A 64-bit hash of each row of uint64: random odd multipliers, so that rows that differ seldom ever collide."""
    factors = np.random.default_rng(0).integers(1 << 63, size=rows.shape[1], dtype=np.uint64) * 2 + 1
    hashes: Hashes = (rows * factors).sum(axis=1)
    return hashes
