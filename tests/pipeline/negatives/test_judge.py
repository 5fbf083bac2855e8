"""A causal language model that judges how likely negatives are, and the folders that are no such thing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from negmine.base.errors import InputError, UsageError
from negmine.encoders.causal import PROMPT, CausalModel
from negmine.engine.local import LocalEngine
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, ViTConfig

CAPTIONS = Path(__file__).parents[3] / "data/sample/captions.jsonl"
LEARNT = 24
"""Captions of the sample that the tests parse."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with wide random weights, so that it finds some words far less likely than others."""
    place = tmp_path_factory.mktemp("model")
    texts = [json.loads(line)["caption"] for line in CAPTIONS.read_text().splitlines()]
    tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.train_from_iterator([PROMPT, *texts], WordLevelTrainer(special_tokens=["[UNK]", "[BOS]"]))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="[BOS]").save_pretrained(place)
    torch.manual_seed(0)
    size = tokenizer.get_vocab_size()
    config = GPT2Config(vocab_size=size, n_embd=32, n_layer=1, n_head=2, n_positions=128, initializer_range=0.4)
    GPT2LMHeadModel(config).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pairs") / "captions.jsonl"
    file.write_text("".join(CAPTIONS.read_text().splitlines(keepends=True)[:LEARNT]))
    return file


def parsed(pairs: Path, work: Path, judge: str | None, workers: int = 1) -> bytes:
    engine = LocalEngine(workers)
    ingest(IngestSettings(str(pairs), part_size=12), work, engine)
    parse_pairs(ParseSettings(judge=judge, reader="none"), work, engine)
    return b"".join(part.read_bytes() for part in sorted((work / "negatives").glob("part-*.parquet")))


def gaps(work: Path, model: CausalModel) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How much less likely each negative is than its caption, nats."""
    rows = pq.ParquetDataset(sorted((work / "negatives").glob("part-*.parquet"))).read(["caption", "negative"])
    caption, negative = (model.log_probabilities(rows[name].to_pylist()) for name in ("caption", "negative"))
    return caption - negative


def test_a_text_is_as_likely_among_others_as_alone(folder: Path) -> None:
    model = CausalModel(f"hf:{folder}")
    model.load()
    texts = ["A dog on a couch", "A man riding a brown horse next to a fence.", "A dog on a couch", "Dogs"]
    found = model.log_probabilities(texts)
    network, tokenizer = GPT2LMHeadModel.from_pretrained(folder).eval(), PreTrainedTokenizerFast.from_pretrained(folder)
    for text, score in zip(texts, found, strict=True):
        before = [tokenizer.bos_token_id, *tokenizer.encode(PROMPT)]
        ids = torch.tensor([[*before, *tokenizer.encode(text)]])
        with torch.inference_mode():
            logs = network(ids).logits[0].log_softmax(-1)
        expected = sum(float(logs[place - 1, ids[0, place]]) for place in range(len(before), ids.shape[1]))
        assert score == pytest.approx(expected, abs=1e-3)


def test_of_a_text_beyond_the_context_the_beginning_counts(folder: Path) -> None:
    model = CausalModel(f"hf:{folder}")
    model.load()
    long, longer = (model.log_probabilities(["a dog on " * times])[0] for times in (100, 200))
    assert np.isfinite(long) and long == longer


def test_what_is_far_less_likely_than_its_caption_is_refused_and_workers_change_no_byte(
    folder: Path, pairs: Path, tmp_path: Path
) -> None:
    model = CausalModel(f"hf:{folder}")
    model.load()
    judged = parsed(pairs, tmp_path / "judged", f"hf:{folder}")
    assert judged == parsed(pairs, tmp_path / "twice", f"hf:{folder}", workers=2)
    parsed(pairs, tmp_path / "unjudged", None)
    counts = json.loads((tmp_path / "judged/negatives/manifest.json").read_text())["counts"]
    served = sum(counts[name] for name in ("negatives", "not_selected", "implausible", "not_read"))
    assert counts["accepted"] == served and counts["not_read"] > 0
    with_judge, without = gaps(tmp_path / "judged", model), gaps(tmp_path / "unjudged", model)
    assert with_judge.mean() < without.mean() - 1


def test_a_folder_without_weights_is_refused_before_anything_is_made(folder: Path, pairs: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    (place / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="not the folder of a model"):
        parsed(pairs, tmp_path / "work", f"hf:{place}")
    assert not (tmp_path / "work/negatives").exists()


@pytest.mark.parametrize("name", ["hf:", "gpt2", "hf:nowhere"])
def test_a_judge_that_is_none_is_a_usage_error(name: str, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        parsed(pairs, tmp_path, name)


def test_a_folder_of_something_else_is_refused_and_runs_nothing(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    told = json.loads((folder / "config.json").read_text())
    told |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Model", "AutoConfig": "mine.Config"}}
    (place / "config.json").write_text(json.dumps(told))
    (place / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: ...\nclass Config: ...\n")
    with pytest.raises(InputError, match="no causal language model"):
        CausalModel(f"hf:{place}").load()
    assert not (tmp_path / "ran").exists()


def test_a_model_of_something_else_is_refused_before_anything_is_made(
    folder: Path, pairs: Path, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    ViTConfig().save_pretrained(place)
    with pytest.raises(InputError, match="no causal language model"):
        parsed(pairs, tmp_path / "work", f"hf:{place}")
    assert not list((tmp_path / "work/negatives").glob(".candidates"))


def without_weights(place: Path) -> None:
    weights = load_file(place / "model.safetensors")
    save_file({name: rows for name, rows in weights.items() if "mlp" not in name}, place / "model.safetensors")


def cut(place: Path) -> None:
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])


def without_tokenizer(place: Path) -> None:
    for file in place.glob("tokenizer*"):
        file.unlink()


def both_ways(place: Path) -> None:
    size = json.loads((place / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=size, **shape)).save_pretrained(place)


def no_object(place: Path) -> None:
    (place / "config.json").write_text("[]")


@pytest.mark.parametrize("damage", [without_weights, cut, without_tokenizer, both_ways, no_object])
def test_what_tells_no_probabilities_is_refused(damage: Callable[[Path], None], folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    damage(place)
    with pytest.raises(InputError, match="no causal language model"):
        CausalModel(f"hf:{place}").load()


def test_a_judge_of_an_unbalanced_choice_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="balanced"):
        ParseSettings(balanced=False, judge="hf:model")
