"""Our shards through webdataset, torch's `DataLoader` and open_clip's transform: what others' training loops get."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import webdataset
from ahnpl.data.read import read_through
from ahnpl.data.shards import open_shards
from ahnpl.data.webdataset import hard_negatives
from negmine.base.errors import DamagedError
from negmine.contract.records import KINDS, ImageNegative, Sample
from torch.utils.data import DataLoader

from tests.trainer.conftest import draw, encode, make_sample, write_shards

TRANSFORM = open_clip.image_transform(48, is_train=False)
TOKENIZER = open_clip.get_tokenizer("RN50")


def samples_of(shards: Path) -> dict[str, Sample]:
    return {located.sample.key: located.sample for located in read_through(open_shards([f"{shards}/*.tar"]).shards)}


def with_pictures(number: int) -> Sample:
    """As many image negatives as the number says, modulo 3."""
    found = tuple(
        ImageNegative(f"neg{place}.jpg", f"picture {place} of another thing", "retrieved", "t2t")
        for place in range(number % 3)
    )
    pictures = tuple(encode(draw("red", "circle", "left")) for _ in found)
    return replace(make_sample(number), image_negatives=found, image_negative_bytes=pictures)


def batches(shards: Path, workers: int, **options: Any) -> list[dict[str, Any]]:
    examples = hard_negatives(f"{shards}/*.tar", TRANSFORM, TOKENIZER, negatives=3, **options)
    return list(DataLoader(examples, batch_size=4, num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_once_with_its_negatives_in_their_slots(shards: Path, workers: int) -> None:
    wanted, seen = samples_of(shards), list[str]()
    for batch in batches(shards, workers):
        assert batch["image"].shape[1:] == (3, 48, 48)
        assert batch["negatives"].shape[1:] == (3, 77)
        for row, key in enumerate(batch["key"]):
            sample = wanted[key]
            seen.append(key)
            assert torch.equal(batch["text"][row], TOKENIZER([sample.caption])[0])
            texts = {negative.slot: negative for negative in sample.negatives if negative.slot < 3}
            assert batch["valid"][row].tolist() == [slot in texts for slot in range(3)]
            for slot, negative in texts.items():
                assert torch.equal(batch["negatives"][row, slot], TOKENIZER([negative.text])[0])
                assert KINDS[batch["kinds"][row, slot]] == negative.kind
    assert sorted(seen) == sorted(wanted)


def test_image_negatives_are_padded_and_masked(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "pictures", [[with_pictures(number) for number in range(12)]])
    wanted = samples_of(folder)
    for batch in batches(folder, 0, image_negatives=5):
        assert batch["image_negatives"].shape[1:] == (5, 3, 48, 48)
        for row, key in enumerate(batch["key"]):
            there = len(wanted[key].image_negatives)
            assert batch["image_valid"][row].tolist() == [place < there for place in range(5)]
            captions = [negative.caption for negative in wanted[key].image_negatives[:5]]
            assert torch.equal(batch["image_negative_texts"][row], TOKENIZER([*captions, *[""] * (5 - there)]))
            assert not batch["image_negatives"][row, there:].any()


def test_shuffled_order_is_another_each_epoch_and_the_same_for_a_seed(shards: Path) -> None:
    first = hard_negatives(f"{shards}/*.tar", TRANSFORM, TOKENIZER, negatives=1, shuffle=100, seed=3)
    again = hard_negatives(f"{shards}/*.tar", TRANSFORM, TOKENIZER, negatives=1, shuffle=100, seed=3)
    kept = [one["key"] for one in hard_negatives(f"{shards}/*.tar", TRANSFORM, TOKENIZER, negatives=1)]
    orders = [[one["key"] for one in first], [one["key"] for one in again], [one["key"] for one in first]]
    assert all(sorted(order) == sorted(kept) for order in orders)
    assert kept not in orders and orders[0] != orders[2]


def test_a_damaged_sample_is_raised_or_passed_over(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(shards, folder)
    tar = sorted(folder.glob("*.tar"))[0]
    content = bytearray(tar.read_bytes())
    content[content.index(b'"image_id":')] = ord("x")
    tar.write_bytes(content)
    read = partial(hard_negatives, f"{folder}/*.tar", TRANSFORM, TOKENIZER, negatives=1)
    with pytest.raises(DamagedError):
        list(read())
    with pytest.warns(UserWarning):
        left = [one["key"] for one in read(handler=webdataset.warn_and_continue)]
    assert len(left) == len(samples_of(shards)) - 1
