"""Negatives that a model cannot tell from the truth, because it reads few tokens: left out, counted and named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ahnpl.data.batch import Legible
from ahnpl.data.decode import Decoder
from ahnpl.data.shards import open_shards
from ahnpl.data.stream import Stream
from ahnpl.evaluation.items import Foil, Item, Twin, shard_items
from ahnpl.evaluation.run import ALL_FOILS, FOILS, GROUP, evaluate
from ahnpl.evaluation.show import as_figures, as_table
from ahnpl.model.clip import ModelSpec, load_model, load_tokenizer
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from ahnpl.training.summary import trained
from negmine.contract.records import ImageNegative, Sample, TextNegative
from negmine.contract.training_runs import read_metrics

from tests.trainer.conftest import MICRO, draw, encode, make_sample, write_shards

READS = 6
"""Start, "a red circle on", end: which side it is on is not read."""


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("short")
    text = {**MICRO["text_cfg"], "context_length": READS}  # type: ignore[dict-item]
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**MICRO, "text_cfg": text}}))
    return f"local-dir:{folder}"


def decoder(short: str, negatives: int = 3, pictures: int = 0) -> Decoder:
    return Decoder(partial(load_tokenizer, short), 32, negatives, 3, seed=0, image_negatives=pictures)


def kinds(negatives: Sequence[TextNegative]) -> list[str]:
    return [negative.kind for negative in negatives]


class TestTraining:
    def test_a_slot_that_reads_as_the_caption_is_empty(self, short: str, shards: Path) -> None:
        batch = next(iter(Stream(open_shards([f"{shards}/*.tar"]), decoder(short), batch_size=8, seed=0).batches(0)))
        assert batch.valid.tolist() == [[True, True, False]] * 8
        assert batch.legible == Legible(total=24, alike=8)
        assert sum((part.legible for part in batch.split(2)), Legible()) == batch.legible

    def test_one_that_reads_as_another_caption_of_the_picture(self, short: str) -> None:
        sample = make_sample(0)
        colour = sample.negatives[0].text
        told = replace(sample, captions=(sample.caption, colour.upper() + " of a table"))
        found, counts = decoder(short).legible(told)
        assert kinds(found.negatives) == ["replace_object"]
        assert counts == Legible(3, 2)

    def test_what_is_drawn_is_drawn_among_the_rest(self, short: str, shards: Path) -> None:
        one = Stream(open_shards([f"{shards}/*.tar"]), decoder(short, negatives=2), batch_size=64, seed=0)
        assert next(iter(one.batches(0))).valid.all()

    def test_pictures_whose_own_caption_reads_as_the_true_one(self, short: str) -> None:
        sample = make_sample(0)
        pictures = tuple(ImageNegative(f"{n.slot}.jpg", n.text, n.kind, "test") for n in sample.negatives)
        contents = tuple(encode(draw("red", "circle", "left")) + bytes([n]) for n in range(3))
        told = replace(sample, image_negatives=pictures, image_negative_bytes=contents)
        found, counts = decoder(short, negatives=0, pictures=3).legible(told)
        assert found.image_negatives == pictures[:2] and found.image_negative_bytes == contents[:2]
        assert counts == Legible(3, 1)
        assert decoder(short, negatives=0).legible(told) == (told, Legible())  # no recipe asks for them

    def test_a_run_counts_them_and_says_so(
        self, short: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pattern = (f"{shards}/*.tar",)
        config = TrainConfig(
            shards=pattern,
            eval_shards=pattern,
            model=short,
            recipe="negclip",
            out=str(tmp_path / "run"),
            epochs=2,
            batch_size=16,
            workers=0,
            log_every=1,
        )
        result = train(make_plan(config))
        assert result.legible == Legible(total=2 * 3 * 64, alike=2 * 64)
        rows = [row["alike_negatives_percent"] for row in read_metrics(tmp_path / "run") if "loss" in row]
        assert rows == pytest.approx([100 / 3] * 8)
        said = " ".join(capsys.readouterr().err.split())
        assert said.count("16 of 48 negatives are equal to a true caption for this model") == 1
        assert "it reads 6 tokens" in said
        figures = trained(result)
        assert figures["of these equal to a true caption for this model, left out"] == 128
        assert figures["of these items, equal for this model"] == 64

    def test_a_model_that_reads_all_says_nothing(
        self, micro: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = TrainConfig(shards=(f"{shards}/*.tar",), model=micro, out=str(tmp_path / "run"), steps=1, workers=0)
        result = train(make_plan(config))
        assert result.legible == Legible(192, 0)
        assert "equal to a true caption" not in capsys.readouterr().err


class TestEvaluation:
    def test_ties_of_equal_texts_are_kept_apart(self, short: str, shards: Path) -> None:
        """The number that papers print stays; beside it stands the one of the texts that the model can tell apart."""
        report = evaluate(
            load_model(ModelSpec(short)).eval(), shard_items(open_shards([f"{shards}/*.tar"])), retrieval=False
        )
        foils = report.measure(FOILS)
        assert (foils.alike, foils.micro.total, foils.legible.total) == (64, 192, 128)
        assert foils.kinds["replace_relation"].accuracy.ties == 64  # wrong, as ever
        assert foils.legible.correct == foils.micro.correct
        assert foils.legible.ties == foils.micro.ties - 64
        assert report.measure(ALL_FOILS).alike == 64
        shown = as_table(report)["texts that are equal for this model, which reads 6 tokens: wrong above"]
        assert shown[FOILS].startswith("64 of 192 equal; the others")
        numbers = as_figures(report)["measures"][FOILS]
        assert numbers["alike"] == 64 and numbers["legible"]["total"] == 128

    def test_nothing_is_said_where_all_differ(self, micro: str, shards: Path) -> None:
        report = evaluate(
            load_model(ModelSpec(micro)).eval(), shard_items(open_shards([f"{shards}/*.tar"])), retrieval=False
        )
        assert report.measure(FOILS).alike == 0
        assert not any("equal for this model" in name for name in as_table(report))

    def test_other_true_captions_and_pictures(self, short: str) -> None:
        """A foil that reads as another true caption is no tie; it is set apart too. A twin likewise."""
        picture, other = (encode(draw("red", shape, "left")) for shape in ("circle", "square"))
        item = Item(
            "one",
            picture,
            "a red circle on the left",
            (Foil("a blue square on a mat", "x"),),
            "here",
            twins=(Twin(other, "a red circle on the right", "t"), Twin(other, "a red square on the left", "t")),
            also_true=("a blue square on the right",),
        )
        report = evaluate(load_model(ModelSpec(short)).eval(), [item], retrieval=False)
        assert report.measure(FOILS).alike == 1 and report.measure(FOILS).legible.total == 0
        assert list(report.measure(GROUP).kinds["t"].alike) == [1, 0]

    def test_shards_bring_all_captions_of_a_picture(self, tmp_path: Path) -> None:
        sample = make_sample(0)
        folder = write_shards(tmp_path, [[replace(sample, captions=(sample.caption, "another"))]])
        assert [item.also_true for item in shard_items(open_shards([f"{folder}/*.tar"]))] == [("another",)]


def test_the_captions_of_the_case(short: str) -> None:
    """Captions of 45 words: the words that differ come late, and case is never read."""
    rows = [json.loads(line) for line in (Path(__file__).parents[1] / "cases/context/pairs.jsonl").open()]
    text = rows[0]["caption"]
    sample = Sample(
        "a",
        "a",
        text,
        b"",
        "jpg",
        (text,),
        (TextNegative(0, text + " too", "x", "test"), TextNegative(1, text.upper(), "x", "test")),
    )
    assert decoder(short).legible(sample)[1] == Legible(2, 2)
    whole = Decoder(partial(load_tokenizer, "tiny"), 32, 3, 3, seed=0)
    assert [n.slot for n in whole.legible(sample)[0].negatives] == [0]
