"""spaCy made faster parses as spaCy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import spacy
from negmine.language.analyse import NEEDED, find_model
from negmine.language.faster_spacy import NumpyProducts
from thinc.api import NumpyOps

TEXTS = [
    "A man riding a brown horse next to a wooden fence.",
    "Two dogs chase the cat that sits on top of a parked car, while nobody is looking.",
    "There are several people under colourful umbrellas waiting for a double decker bus",
    "a",
    "a laptop computer sitting on a desk in front of a window with a view",
]


def test_parses_are_those_of_spacy_alone(nlp: Any) -> None:
    plain = spacy.load(find_model(None))
    plain.select_pipes(enable=[name for name in plain.pipe_names if name in NEEDED])
    for ours, theirs in zip(nlp.pipe(TEXTS), plain.pipe(TEXTS), strict=True):
        assert [(t.tag_, t.dep_, t.head.i) for t in ours] == [(t.tag_, t.dep_, t.head.i) for t in theirs]


def test_our_products_are_in_use(nlp: Any) -> None:
    assert any(isinstance(layer.ops, NumpyProducts) for layer in nlp.get_pipe("parser").model.walk())


def test_each_distinct_word_of_a_batch_is_embedded_once(nlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word is told by its spelling and by whether a blank follows it."""
    embed = next(layer for layer in nlp.get_pipe("tok2vec").model.walk() if layer.name == "distinct-words").layers[0]
    rows: list[int] = []
    predict = type(embed).predict
    monkeypatch.setattr(
        type(embed), "predict", lambda self, x: (self is embed and rows.append(len(x.dataXd))) or predict(self, x)
    )
    list(nlp.pipe(["a cat and a dog", "a dog and a cat", "a cat and a dog"]))
    assert rows == [len({"a ", "cat ", "and ", "dog", "dog ", "cat"})]


@pytest.mark.parametrize("trans1", [False, True])
@pytest.mark.parametrize("trans2", [False, True])
def test_products_with_transposes_and_into_an_array(trans1: bool, trans2: bool) -> None:
    draw = np.random.default_rng(0)
    x, y = (draw.standard_normal((5, 5), dtype=np.float32) for _ in range(2))
    out = np.zeros((5, 5), dtype=np.float32)
    expected = NumpyOps().gemm(x, y, trans1=trans1, trans2=trans2)
    found = NumpyProducts().gemm(x, y, out=out, trans1=trans1, trans2=trans2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found is out
