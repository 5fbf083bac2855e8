"""Shards with positives train a recipe that reads them, whole or in chunks; others are refused."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ahnpl.data.decode import Decoder
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.metrics import RIGHT, TIED, Accuracy, outcome
from ahnpl.evaluation.run import ALL_TRUE, REWORDED, STEADY, evaluate
from ahnpl.model.clip import ModelSpec, load_model
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import UsageError
from negmine.contract.records import Sample, TextNegative, TextPositive
from PIL import Image

from tests.trainer.conftest import make_sample, write_shards
from tests.trainer.test_sidecar import losses


def with_positives(number: int) -> Sample:
    """A sample with no, one or two true texts, and a negative that reads as one of them."""
    sample = make_sample(number)
    texts = [f"there is {sample.caption}", sample.caption.rpartition(" on ")[0]][: number % 3]
    false = TextNegative(2, texts[0], "replace_object", "test") if texts else sample.negatives[2]
    return replace(
        sample,
        negatives=(*sample.negatives[:2], false),
        positives=tuple(TextPositive(text, "form", "test") for text in texts),
    )


def config(folder: Path, out: Path, model: str, **options: object) -> TrainConfig:
    given = {"recipe": "ahnpl_positives", "steps": 3, "batch_size": 8, "workers": 0, "log_every": 1, **options}
    return TrainConfig(shards=(f"{folder}/*.tar",), model=model, out=str(out), **given)  # type: ignore[arg-type]


def test_positives_are_read_and_trained_on(tmp_path: Path, micro: str) -> None:
    shards = write_shards(tmp_path / "shards", [[with_positives(n) for n in range(24)]])
    plan = make_plan(config(shards, tmp_path / "a", micro))
    assert (plan.positives, plan.settings["positives"]) == (2, 2)
    train(plan)
    train(make_plan(config(shards, tmp_path / "b", micro, grad_cache_chunks=3)))
    whole, chunks = losses(tmp_path / "a"), losses(tmp_path / "b")
    assert len(whole) == 3 and whole == pytest.approx(chunks, rel=1e-4)
    plain = make_plan(config(shards, tmp_path / "c", micro, recipe="ahnpl"))
    assert plan.positives and not plain.positives and "positives" not in plain.settings


def test_a_negative_that_is_a_positive_is_left_out() -> None:
    decoder = Decoder(lambda: _numbers, 32, 3, 3, 0, positives=2)
    sample, legible = decoder.legible(with_positives(2))
    assert [negative.slot for negative in sample.negatives] == [0, 1]
    assert (legible.total, legible.alike) == (3, 1)


def test_shards_without_positives_are_refused(tmp_path: Path, micro: str) -> None:
    shards = write_shards(tmp_path / "shards", [[make_sample(n) for n in range(16)]])
    with pytest.raises(UsageError, match="needs positives") as refused:
        make_plan(config(shards, tmp_path / "a", micro))
    assert "negmine parse --positives" in str(refused.value.fix)


def _numbers(texts: list[str]) -> torch.Tensor:
    """Tokens of texts: their bytes."""
    return torch.tensor([[*text.encode()[:60], *[0] * (60 - len(text))] for text in texts])


def test_brittleness_against_plain_recomputation(tmp_path: Path, micro: str) -> None:
    samples = [with_positives(number) for number in range(12)]
    shards = open_shards([f"{write_shards(tmp_path, [samples])}/*.tar"])
    model = load_model(ModelSpec(micro))
    report = evaluate(model, shard_items(shards), retrieval=False, batch_size=5)
    reworded, steady, whole = Accuracy(), Accuracy(), Accuracy()
    tokenizer = model.tokenizer()()
    for sample in samples:
        texts = [*(positive.text for positive in sample.positives), sample.caption]
        if not sample.positives:
            continue
        with torch.no_grad():
            picture = np.asarray(model.transform()(Image.open(io.BytesIO(sample.image))))
            image = model.eval().encode_image(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])[0]
            true = model.encode_text(tokenizer(texts)) @ image
            worst = float((model.encode_text(tokenizer([n.text for n in sample.negatives])) @ image).max())
        leads = [outcome(score - worst) for score in true.tolist()]
        reworded += _counted(leads[:-1])
        steady += _counted([min(leads[:-1])])
        whole += _counted([min(leads)])
    assert report.measure(REWORDED).by_kind == {"form": reworded}
    assert (report.measure(STEADY).micro, report.measure(ALL_TRUE).micro) == (steady, whole)
    assert 0 < reworded.total > steady.total == whole.total == 8


def _counted(outcomes: list[int]) -> Accuracy:
    return Accuracy(outcomes.count(RIGHT), outcomes.count(TIED), len(outcomes))
