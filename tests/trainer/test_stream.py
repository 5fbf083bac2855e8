"""Shards to batches: complete, in order, the same for any number of workers, and safe."""

from __future__ import annotations

import gc
import io
import math
import pickle
import random
import struct
import tarfile
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina
import torch
from ahnpl.data.decode import Decoder
from ahnpl.data.draw import Draw
from ahnpl.data.images import BadImage, crop_box, open_image, training_pixels
from ahnpl.data.order import CanonicalRank, epoch_order, planned_order, wanted_of
from ahnpl.data.read import READ_AHEAD, places_in_order, read_through
from ahnpl.data.resuming import Resuming
from ahnpl.data.shards import open_shards
from ahnpl.data.stream import SHUFFLE_WINDOW, Stream
from ahnpl.model.clip import load_tokenizer
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import DamagedError, InputError, ResourceError, UsageError
from negmine.contract.records import KINDS
from negmine.contract.shard_format import INDEX_NAME, Index
from PIL import Image

from tests.trainer.conftest import encode, make_sample, reindex, write_shards


def make_stream(folder: Path, *, negatives: int = 3, batch_size: int = 8, workers: int = 0, **options: Any) -> Stream:
    found = open_shards([f"{folder}/*.tar"])
    decoder = Decoder(partial(load_tokenizer, "tiny"), 32, negatives, found.negatives, seed=5)
    return Stream(found, decoder, batch_size=batch_size, seed=5, workers=workers, window=20, **options)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises more pixels than it holds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


class TestOrder:
    @given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 9), st.integers(0, 5), st.integers(0, 40))
    @settings(max_examples=60, deadline=None)
    def test_each_sample_once_and_reproducible(self, counts: list[int], seed: int, epoch: int, window: int) -> None:
        order = list(epoch_order(counts, seed, epoch, window))
        assert sorted(order) == [(s, p) for s, count in enumerate(counts) for p in range(count)]
        assert order == list(epoch_order(counts, seed, epoch, window))

    def test_epochs_and_seeds_differ(self) -> None:
        orders = [tuple(epoch_order([20, 20], seed, epoch, 10)) for seed in (0, 1) for epoch in (0, 1)]
        assert len(set(orders)) == 4

    @given(st.integers(0, 64))
    @settings(max_examples=10, deadline=None)
    def test_skipping_gives_the_tail(self, shards: Path, skip: int) -> None:
        found = open_shards([f"{shards}/*.tar"]).shards
        order = list(epoch_order([s.samples for s in found], 1, 2, 15))
        whole = [placed.load().sample.key for placed in places_in_order(found, order)]
        assert [placed.load().sample.key for placed in places_in_order(found, order, skip)] == whole[skip:]

    def test_shards_that_lie_behind_are_not_opened(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=40, tars=20)
        found = open_shards([f"{folder}/*.tar"]).shards
        order = list(epoch_order([2] * 20, 0, 0, window=0))
        (folder / f"{order[0][0]:05d}.tar").unlink()
        assert len(list(places_in_order(found, order, skip=20))) == 20  # ten are read at a time
        with pytest.raises(DamagedError):
            list(places_in_order(found, order))

    @pytest.mark.parametrize("skip", [0, 30])
    def test_memory_is_bounded_by_the_window(self, tmp_path: Path, skip: int) -> None:
        size = 200_000
        groups = [[replace(make_sample(tar * 30 + n), image=bytes(size)) for n in range(30)] for tar in range(4)]
        found = open_shards([f"{write_shards(tmp_path, groups)}/*.tar"]).shards
        del groups
        tracemalloc.start()
        count = sum(1 for _ in places_in_order(found, epoch_order([30] * 4, 0, 0, window=6), skip, keep=True))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 120 - skip
        assert peak < 4 * READ_AHEAD + 24 * size  # the window, and what four readers have in hand


FIVE = [f"image{n}" for n in range(1000) for _ in range(5)]
"""A shard of a set with five captions an image: which image a sample is of, in the order of the captions."""


def company(order: list[str], batch: int) -> float:
    """How many others of its own image a sample meets in its batch, on average."""
    batches = [order[at : at + batch] for at in range(0, len(order) - batch + 1, batch)]
    others = sum(count * (count - 1) for one in batches for count in Counter(one).values())
    return others / (len(batches) * batch)


@pytest.mark.parametrize("batch", [256, 1024])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_captions_of_one_image_meet_as_in_a_shuffle_of_the_whole_set(batch: int, ranks: int) -> None:
    """3,000 images with five captions in three shards, each of which holds its captions scattered."""
    chance = random.Random(0)
    shards = [chance.sample([f"{shard} {image}" for image in FIVE], len(FIVE)) for shard in range(3)]
    found, shuffled = 0.0, 0.0
    for epoch in range(4):
        orders = [epoch_order([5000] * 3, 0, epoch, SHUFFLE_WINDOW, CanonicalRank(n, ranks)) for n in range(ranks)]
        each = batch // ranks
        parts = [[shards[shard][position] for shard, position in order] for order in orders]
        joined = [one for at in range(0, 15_000 // ranks, each) for part in parts for one in part[at : at + each]]
        found += company(joined, batch)
        shuffled += company(chance.sample(joined, len(joined)), batch)
    assert found < 1.2 * shuffled


class TestRanks:
    @given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 5), st.integers(0, 5), st.integers(0, 40))
    @settings(max_examples=60, deadline=None)
    def test_shares_are_equal_disjoint_and_complete(self, counts: list[int], ranks: int, epoch: int, w: int) -> None:
        orders = [list(epoch_order(counts, 3, epoch, w, CanonicalRank(rank, ranks))) for rank in range(ranks)]
        assert sorted(chain(*orders)) == [(s, p) for s, count in enumerate(counts) for p in range(count)]
        sizes = [len(order) for order in orders]
        assert sizes == [CanonicalRank(rank, ranks).size(sum(counts)) for rank in range(ranks)]
        assert max(sizes) - min(sizes) <= 1

    @pytest.mark.parametrize(("ranks", "workers"), [(2, 0), (4, 0), (2, 2)])
    def test_each_id_once_an_epoch_in_equal_steps(self, shards: Path, ranks: int, workers: int) -> None:
        streams = [
            make_stream(shards, canonical_ranks=[CanonicalRank(rank, ranks)], workers=workers) for rank in range(ranks)
        ]
        batches = [list(stream.batches(1)) for stream in streams]
        assert [len(steps) for steps in batches] == [8] * ranks
        assert all(len(batch.keys) == 8 // ranks for steps in batches for batch in steps)
        keys = [key for steps in batches for batch in steps for key in batch.keys]
        assert sorted(keys) == [f"{n:06d}" for n in range(64)]
        late = list(make_stream(shards, canonical_ranks=[CanonicalRank(1, ranks)]).batches(1, skip=3))
        assert [batch.keys for batch in late] == [batch.keys for batch in batches[1][3:]]

    @pytest.mark.parametrize("planned", [None, 8])
    def test_who_reads_a_share_changes_nothing(self, tmp_path: Path, planned: int | None) -> None:
        samples = [make_sample(n) for n in range(64)]
        samples[::20] = [replace(sample, image=b"no picture") for sample in samples[::20]]  # others stand in for these
        folder = write_shards(tmp_path, [samples[:16], samples[16:48], samples[48:]])
        index = Index.from_json((folder / INDEX_NAME).read_text(), "index")
        (folder / INDEX_NAME).write_text(replace(index, settings={"planned_batch": planned}).to_json())
        ranks = [CanonicalRank(number, 4) for number in range(4)]

        def joined(processes: int, skip: int = 0) -> list[tuple[list[str], list[str], bytes]]:
            each = 4 // processes
            streams = [
                make_stream(folder, batch_size=8, canonical_ranks=ranks[first : first + each], max_bad=1.0)
                for first in range(0, 4, each)
            ]
            steps = zip(*(stream.batches(1, skip) for stream in streams), strict=True)
            return [
                (
                    [key for batch in step for key in batch.keys],
                    sorted(bad.key for batch in step for bad in batch.bad),
                    torch.cat([batch.images for batch in step]).numpy().tobytes(),
                )
                for step in steps
            ]

        alone = joined(1)
        assert joined(2) == joined(4) == alone
        assert joined(2, skip=3) == alone[3:]
        assert sorted(key for _, bad, _ in alone for key in bad) == [f"{n:06d}" for n in range(0, 64, 20)]

    def test_more_ranks_than_shards(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=8, tars=1)
        streams = [make_stream(folder, canonical_ranks=[CanonicalRank(rank, 4)]) for rank in range(4)]
        assert sorted(key for stream in streams for batch in stream.batches(0) for key in batch.keys) == [
            f"{n:06d}" for n in range(8)
        ]

    def test_only_the_own_shards_are_read(self, tmp_path: Path) -> None:
        folder = write_shards(tmp_path, [[make_sample(t * 8 + n) for n in range(8)] for t in range(4)])
        opened = []
        for rank in range(2):
            order = epoch_order([8] * 4, 5, 0, 4, CanonicalRank(rank, 2))
            found = places_in_order(
                open_shards([f"{folder}/*.tar"]).shards, order, wanted=wanted_of([8] * 4, 5, 0, CanonicalRank(rank, 2))
            )
            opened.append({placed.shard for placed in found})
        assert [len(names) for names in opened] == [2, 2] and not opened[0] & opened[1]

    def test_samples_of_others_are_not_kept(self, tmp_path: Path) -> None:
        size, rank = 200_000, CanonicalRank(1, 2)
        groups = [[replace(make_sample(n), image=bytes(size)) for n in range(60)]]
        found = open_shards([f"{write_shards(tmp_path, groups)}/*.tar"]).shards
        del groups
        tracemalloc.start()
        order = epoch_order([60], 0, 0, 6, rank)
        count = sum(1 for _ in places_in_order(found, order, wanted=wanted_of([60], 0, 0, rank), keep=True))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == 30 and peak < READ_AHEAD + 16 * size

    def test_a_batch_that_cannot_be_shared(self, shards: Path) -> None:
        with pytest.raises(UsageError, match="a batch of 8 cannot be cut into 3 equal shares"):
            make_stream(shards, canonical_ranks=[CanonicalRank(0, 3)])


class TestPlannedBatches:
    @pytest.fixture
    def planned(self, tmp_path: Path) -> Path:
        """Three tars that hold planned batches of 4."""
        cuts = [0, 12, 32, 40]
        folder = write_shards(tmp_path / "planned", [[make_sample(n) for n in range(a, b)] for a, b in pairwise(cuts)])
        index = Index.from_json((folder / INDEX_NAME).read_text(), "index")
        (folder / INDEX_NAME).write_text(replace(index, settings={"planned_batch": 4}).to_json())
        return folder

    @given(st.lists(st.integers(0, 6), max_size=5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 20))
    def test_runs_stay_together_and_each_comes_once(self, runs: list[int], batch: int, epoch: int, window: int) -> None:
        order = list(planned_order([n * batch for n in runs], batch, 0, epoch, window))
        assert sorted(order) == [(s, p) for s, n in enumerate(runs) for p in range(n * batch)]
        for at in range(0, len(order), batch):
            shard, first = order[at]
            assert first % batch == 0
            assert order[at : at + batch] == [(shard, first + n) for n in range(batch)]

    def test_a_batch_is_a_planned_batch(self, planned: Path) -> None:
        stream = make_stream(planned, batch_size=4)
        epochs = [[batch.keys for batch in stream.batches(epoch)] for epoch in (0, 1)]
        expected = [[f"{n + i:06d}" for i in range(4)] for n in range(0, 40, 4)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == expected
        assert epochs[0] != epochs[1]
        assert [batch.keys for batch in stream.batches(0, skip=3)] == epochs[0][3:]

    def test_halves_of_a_planned_batch_will_do(self, planned: Path) -> None:
        keys = [batch.keys for batch in make_stream(planned, batch_size=2).batches(0)]
        assert all(int(one) // 4 == int(other) // 4 for one, other in keys)

    def test_other_sizes_and_other_plans_are_refused(self, planned: Path, shards: Path) -> None:
        with pytest.raises(UsageError, match="planned for batches of 4"):
            make_stream(planned, batch_size=8)
        with pytest.raises(UsageError, match="different batch plans"):
            open_shards([f"{planned}/*.tar", f"{shards}/*.tar"])


class TestBatches:
    def test_an_epoch_has_each_sample_once(self, shards: Path) -> None:
        stream = make_stream(shards)
        batches = list(stream.batches(epoch=0))
        assert len(batches) == stream.steps_per_epoch == 8
        assert sorted(key for batch in batches for key in batch.keys) == [f"{n:06d}" for n in range(64)]

    def test_no_partial_batch(self, shards: Path) -> None:
        batches = list(make_stream(shards, batch_size=10).batches(epoch=0))
        assert [len(batch.keys) for batch in batches] == [10] * 6

    def test_workers_change_nothing(self, shards: Path) -> None:
        here = list(make_stream(shards).batches(epoch=1, skip=2))
        there = list(make_stream(shards, workers=2).batches(epoch=1, skip=2))
        assert len(here) == len(there) == 6
        for one, other in zip(here, there, strict=True):
            assert one.keys == other.keys
            for name in ("images", "texts", "negatives", "valid", "kinds", "image_ids"):
                assert torch.equal(getattr(one, name), getattr(other, name)), name

    def test_epochs_draw_other_crops(self, shards: Path) -> None:
        stream = make_stream(shards, batch_size=64)
        first, second = (next(iter(stream.batches(epoch))) for epoch in (0, 1))
        one, other = first.images[first.keys.index("000003")], second.images[second.keys.index("000003")]
        assert not torch.equal(one, other)

    def test_content_of_a_batch(self, shards: Path) -> None:
        batch = next(iter(make_stream(shards).batches(epoch=0)))
        tokenizer = load_tokenizer("tiny")
        assert batch.images.shape == (8, 3, 32, 32) and batch.images.dtype == torch.uint8
        for row, key in enumerate(batch.keys):
            sample = make_sample(int(key))
            assert torch.equal(batch.texts[row], tokenizer([sample.caption])[0])
            for negative in sample.negatives:
                assert torch.equal(batch.negatives[row, negative.slot], tokenizer([negative.text])[0])
                assert KINDS[int(batch.kinds[row, negative.slot])] == negative.kind
        assert batch.valid.all()

    def test_missing_negatives_are_masked_and_never_zero(self, tmp_path: Path) -> None:
        samples = [make_sample(n, negatives=n % 4) for n in range(8)]
        batch = next(iter(make_stream(write_shards(tmp_path, [samples])).batches(0)))
        for row, key in enumerate(batch.keys):
            assert batch.valid[row].tolist() == [slot < int(key) % 4 for slot in range(3)]
        empty = load_tokenizer("tiny")([""])[0]
        assert all(torch.equal(text, empty) for text in batch.negatives[~batch.valid])
        assert (batch.kinds[~batch.valid] == -1).all()

    def test_more_slots_than_negatives(self, shards: Path) -> None:
        batch = next(iter(make_stream(shards, negatives=5).batches(0)))
        assert batch.valid.tolist() == [[True] * 3 + [False] * 2] * 8

    def test_fewer_slots_draw_among_all_negatives(self, shards: Path) -> None:
        stream = make_stream(shards, negatives=2, batch_size=64)
        drawn = [next(iter(stream.batches(epoch))) for epoch in (0, 0, 1)]
        assert torch.equal(drawn[0].kinds, drawn[1].kinds)
        assert len({tuple(row) for row in drawn[0].kinds.tolist()}) == 3
        by_key = [dict(zip(batch.keys, batch.kinds.tolist(), strict=True)) for batch in drawn]
        assert any(by_key[0][key] != by_key[2][key] for key in by_key[0])

    def test_captions_of_one_image_share_its_number(self, tmp_path: Path) -> None:
        samples = [replace(make_sample(n), image_id=f"picture{n // 2}") for n in range(4)]
        batch = next(iter(make_stream(write_shards(tmp_path, [samples]), batch_size=4).batches(0)))
        numbers = dict(zip(batch.keys, batch.image_ids.tolist(), strict=True))
        assert numbers["000000"] == numbers["000001"] != numbers["000002"] == numbers["000003"]

    def test_too_few_samples(self, shards: Path) -> None:
        with pytest.raises(UsageError, match="batch-size 64"):
            make_stream(shards, batch_size=65)

    def test_memory_stays_flat(self, shards: Path) -> None:
        """2,000 batches of 4, and the resident memory of this process, which decodes, does not grow."""
        stream = make_stream(shards, batch_size=4)
        endless = (batch for epoch in count() for batch in stream.batches(epoch))
        resident = []
        for _ in range(4):
            for _ in range(500):
                next(endless)
            gc.collect()
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
        assert max(resident[1:]) - resident[0] < 8 * 2**20, resident

    def test_kinds_and_difficulty_steer_the_draw(self, shards: Path) -> None:
        """Drawn shares follow the weights; an absent weight is 1; 0 is never drawn. Scores count only by rank."""
        sample = make_sample(0)
        scored = replace(sample, negatives=tuple(replace(n, score=n.slot / 10) for n in sample.negatives))

        def shares(draw: Draw, epoch: int = 0, negatives: int = 1) -> list[float]:
            decoder = Decoder(partial(load_tokenizer, "tiny"), 32, negatives, 3, seed=0, draw=draw)
            chance = random.Random(1)
            found = [n.slot for _ in range(3000) for n in decoder.choose(scored, chance, epoch).values()]
            return [found.count(slot) / len(found) for slot in range(3)]

        kinds = {"replace_attribute": 2.0, "replace_relation": 0.0}
        assert shares(Draw(kinds)) == pytest.approx([2 / 3, 1 / 3, 0], abs=0.03)
        assert shares(Draw(kinds), negatives=2) == pytest.approx([1 / 2, 1 / 2, 0], abs=1e-9)
        assert shares(Draw(kinds), negatives=3) == [1 / 2, 1 / 2, 0]  # also where all fit
        easy, hard = (shares(Draw({}, (-2.0, 2.0), epochs=5), epoch) for epoch in (0, 4))
        total = sum(math.exp(d) for d in (-2, 0, 2))
        assert hard == pytest.approx([math.exp(d) / total for d in (-2, 0, 2)], abs=0.03)
        assert easy == pytest.approx(hard[::-1], abs=0.04)
        assert shares(Draw({}, (-2.0, 2.0), epochs=5), 2) == pytest.approx([1 / 3] * 3, abs=0.03)

    def test_texts_are_tokenised_once(self, shards: Path) -> None:
        asked: list[str] = []

        def make() -> Callable[[list[str]], torch.Tensor]:
            real = load_tokenizer("tiny")
            return lambda texts: asked.extend(texts) or real(texts)  # type: ignore[func-returns-value]

        found = open_shards([f"{shards}/*.tar"])
        stream = Stream(found, Decoder(make, 32, 3, 3, seed=5), batch_size=8, seed=5)
        batches = [batch for epoch in range(2) for batch in stream.batches(epoch)]
        assert len(asked) == len(set(asked))
        texts = [make_sample(int(key)).caption for key in batches[-1].keys]
        assert torch.equal(batches[-1].texts, load_tokenizer("tiny")(texts))


class TestBadSamples:
    def spoiled(self, folder: Path, count: int, content: bytes) -> Path:
        samples = [make_sample(n) for n in range(16)]
        samples[:count] = [replace(sample, image=content, extension="png") for sample in samples[:count]]
        return write_shards(folder, [samples[8:], samples[:8]])

    @pytest.mark.parametrize("workers", [0, 2])
    def test_few_are_counted_and_others_stand_in(self, tmp_path: Path, workers: int) -> None:
        folder = self.spoiled(tmp_path, 1, b"no picture")
        batches = list(make_stream(folder, batch_size=4, workers=workers, max_bad=0.1).batches(0))
        assert [bad.key for batch in batches for bad in batch.bad] == ["000000"]
        assert all(len(batch.keys) == len(batch.images) == len(batch.valid) == 4 for batch in batches)
        (at,) = (number for number, batch in enumerate(batches) if batch.bad)
        pool = batches[at + 1].keys if at < 3 else batches[at].keys  # the next batch, or else its own
        assert sum(key in pool for key in batches[at].keys) == (1 if at < 3 else 4)
        assert {key for batch in batches for key in batch.keys} == {f"{n:06d}" for n in range(1, 16)}
        again = list(make_stream(folder, batch_size=4, max_bad=0.1).batches(0))
        assert [batch.keys for batch in again] == [batch.keys for batch in batches]

    def test_many_stop_the_run_with_the_shard(self, tmp_path: Path) -> None:
        stream = make_stream(self.spoiled(tmp_path, 2, b"no picture"), max_bad=0.1)
        with pytest.raises(InputError, match=r"00001\.tar, key 00000[01]"):
            list(stream.batches(0))

    def test_a_batch_without_any_sample_stops_too(self, tmp_path: Path) -> None:
        stream = make_stream(self.spoiled(tmp_path, 16, b""), max_bad=1.0)
        with pytest.raises(InputError):
            list(stream.batches(0))

    def test_a_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        stream = make_stream(self.spoiled(tmp_path, 1, png_claiming(9_000, 8_000)), max_bad=0.1)
        bad = [bad.reason for batch in stream.batches(0) for bad in batch.bad]
        assert len(bad) == 1 and "9000 x 8000" in bad[0]

    def test_nothing_is_unpickled_or_run(self, few_shards: Callable[..., Path], tmp_path: Path) -> None:
        trace = tmp_path / "executed"

        class Payload:
            def __reduce__(self) -> Any:
                return Path.touch, (trace,)

        folder = few_shards(samples=8, tars=1)
        content = pickle.dumps(Payload())
        with tarfile.open(folder / "00000.tar", "a") as tar:
            for name in ("000000.pyd", "000000.pkl", "000007.pickle", "000007.pth", "../000007.jpg", "x.y.pyd"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        reindex(folder)
        (batch,) = make_stream(folder).batches(0)
        assert len(batch.keys) == 8 and not batch.bad
        assert not trace.exists()
        pickle.loads(content)
        assert trace.exists()  # the payload does work


class TestRemote:
    def test_a_broken_connection_is_taken_up_again(self, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An address whose reads fail now and then gives the same bytes."""
        content = (shards / "00000.tar").read_bytes()
        chance, failures = random.Random(0), [0]

        class Flaky(MemoryFile):
            def read(self, length: int = -1) -> bytes:
                if chance.random() < 0.6:
                    failures[0] += 1
                    raise ConnectionResetError("gone")
                return super().read(min(length, 5_000))

        monkeypatch.setattr(MemoryFileSystem, "_open", lambda fs, path, *_, **__: Flaky(fs, path, content))
        with stamina.set_testing(True, attempts=50):
            assert Resuming("memory://00000.tar").read() == content
        assert failures[0] > 2

    def test_a_lost_address_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Dead(MemoryFile):
            def read(self, length: int = -1) -> bytes:
                raise ConnectionResetError("gone for good")

        monkeypatch.setattr(MemoryFileSystem, "_open", lambda fs, path, *_, **__: Dead(fs, path, b"abc"))
        with (
            stamina.set_testing(True, attempts=3),
            pytest.raises(ResourceError, match=r"x\.tar, byte 0(.|\n)*for good"),
        ):
            Resuming("memory://x.tar").read()


class TestDamage:
    def test_missing_index(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards()
        (folder / INDEX_NAME).unlink()
        with pytest.raises(DamagedError, match=r"index\.json"):
            open_shards([f"{folder}/*.tar"])

    def test_a_shard_that_is_not_in_the_index(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards()
        (folder / "extra.tar").write_bytes((folder / "00000.tar").read_bytes())
        with pytest.raises(DamagedError, match=r"extra\.tar"):
            open_shards([f"{folder}/*.tar"])

    @pytest.mark.parametrize("cut", [-1000, -10_000])
    def test_another_size(self, few_shards: Callable[..., Path], cut: int) -> None:
        folder = few_shards()
        path = folder / "00001.tar"
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(DamagedError, match=r"00001\.tar"):
            open_shards([f"{folder}/*.tar"])

    def test_cut_between_samples(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=8, tars=1)
        path = folder / "00000.tar"
        with tarfile.open(path) as tar:
            third = tar.getmembers()[6].offset
        path.write_bytes(path.read_bytes()[:third] + bytes(10240))
        reindex(folder)
        with pytest.raises(DamagedError, match=r"00000\.tar(.|\n)*fewer"):
            list(read_through(open_shards([f"{folder}/*.tar"]).shards))

    def test_more_samples_than_the_index_says(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=8, tars=1)
        reindex(folder, samples=7)
        with pytest.raises(DamagedError, match=r"00000\.tar(.|\n)*more"):
            list(read_through(open_shards([f"{folder}/*.tar"]).shards))

    @pytest.mark.parametrize("where", ["caption", "zeros after the end"])
    def test_other_bytes_of_the_same_size(self, few_shards: Callable[..., Path], where: str) -> None:
        folder = few_shards(samples=8, tars=2)
        path = folder / "00001.tar"
        content = bytearray(path.read_bytes())
        at = content.index(b"000005.txt") + 512 if where == "caption" else len(content) - 1
        content[at] ^= 1
        path.write_bytes(content)
        shards = open_shards([f"{folder}/*.tar"]).shards
        with pytest.raises(DamagedError, match=r"00001\.tar(.|\n)*(sha256|follows the end)"):
            list(read_through(shards))
        assert len(list(read_through(shards[:1]))) == 4

    def test_shards_exchanged_during_a_run(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=8, tars=2)
        stream = make_stream(folder, batch_size=4)
        assert len(list(stream.batches(0))) == 2
        one, two = (folder / f"0000{n}.tar" for n in range(2))
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)
        with pytest.raises(DamagedError, match=r"0000[01]\.tar(.|\n)*sha256"):
            list(stream.batches(1))

    def test_something_after_the_end(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards(samples=8, tars=1)
        path = folder / "00000.tar"
        path.write_bytes(path.read_bytes() * 2)
        reindex(folder)
        with pytest.raises(DamagedError, match=r"00000\.tar(.|\n)*follows the end"):
            list(read_through(open_shards([f"{folder}/*.tar"]).shards))

    def test_errors_of_the_reader_reach_the_loop(self, few_shards: Callable[..., Path]) -> None:
        stream = make_stream(few_shards(), batch_size=4)
        Path(stream.shards.shards[0].url).unlink()
        with pytest.raises(DamagedError, match=r"00000\.tar"):
            list(stream.batches(0))

    def test_another_schema_version(self, few_shards: Callable[..., Path]) -> None:
        folder = few_shards()
        index = Index.from_json((folder / INDEX_NAME).read_text(), "index")
        (folder / INDEX_NAME).write_text(replace(index, version=99).to_json())
        with pytest.raises(DamagedError, match="version 99"):
            open_shards([f"{folder}/*.tar"])


class TestPatterns:
    def names(self, *patterns: str) -> list[str]:
        return [shard.url.rpartition("/")[2] for shard in open_shards(patterns).shards]

    def test_paths_globs_braces_and_urls(self, shards: Path) -> None:
        four = [f"{n:05d}.tar" for n in range(4)]
        assert self.names(f"{shards}/*.tar") == four
        assert self.names(f"{shards}/0000{{0..3}}.tar") == four
        assert self.names(f"{shards}/0000{{1,3}}.tar") == [four[1], four[3]]
        assert self.names(f"file://{shards}/*.tar") == four
        assert self.names(*(f"{shards}/{name}" for name in four)) == four

    def test_a_shard_named_twice_is_read_once(self, shards: Path) -> None:
        assert len(self.names(f"{shards}/*.tar", f"{shards}/00002.tar")) == 4

    def test_other_filesystems(self, few_shards: Callable[..., Path]) -> None:
        import fsspec

        folder, memory = few_shards(), fsspec.filesystem("memory")
        for path in folder.iterdir():
            memory.pipe_file(f"/bucket/{path.name}", path.read_bytes())
        found = open_shards(["memory://bucket/*.tar"])
        assert len(list(read_through(found.shards))) == 8

    @pytest.mark.parametrize("pattern", ["nothing/*.tar", "nothing.tar", "nosuch://bucket/a.tar"])
    def test_nothing_there(self, pattern: str) -> None:
        with pytest.raises(UsageError) as error:
            open_shards([pattern])
        error.match("nothing|nosuch")


class TestImages:
    @pytest.mark.parametrize(
        ("mode", "extension"),
        [
            *[(m, "jpg") for m in ("RGB", "L", "CMYK")],
            *[(m, "png") for m in ("RGB", "L", "RGBA", "P")],
            *[(m, "webp") for m in ("RGB", "RGBA")],
        ],
    )
    def test_every_kind_of_picture(self, mode: str, extension: str) -> None:
        content = encode(Image.new("RGB", (90, 60), (200, 30, 30)).convert(mode), extension)
        pixels = training_pixels(content, 24, random.Random(0))
        assert pixels.shape == (3, 24, 24)
        assert mode == "L" or (pixels.float().mean((1, 2)) - torch.tensor([200, 30, 30])).abs().max() < 12

    def test_reduced_decoding_looks_the_same(self) -> None:
        x, y = np.meshgrid(np.arange(800), np.arange(600))
        wave = np.stack([127 + 120 * np.sin(x / 60), 127 + 120 * np.cos(y / 50), 0 * x + 90], -1).astype(np.uint8)
        quick = training_pixels(encode(Image.fromarray(wave)), 64, random.Random(3))
        exact = training_pixels(encode(Image.fromarray(wave), "png"), 64, random.Random(3))
        assert (quick.int() - exact.int()).abs().float().mean() < 3

    @pytest.mark.parametrize("size", [16, 64, 200])
    def test_resized_as_pillow_would(self, size: int) -> None:
        picture = Image.effect_noise((150, 110), 80).convert("RGB")
        pixels = training_pixels(encode(picture, "png"), size, random.Random(5))
        box = crop_box(150, 110, random.Random(5))
        theirs = np.asarray(picture.crop(box).resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(pixels.permute(1, 2, 0).numpy() - theirs).max() <= 2

    def test_cut_files_are_bad(self) -> None:
        for extension in ("jpg", "png", "webp"):
            content = encode(Image.effect_noise((64, 64), 50).convert("RGB"), extension)
            for read in (open_image, lambda data: training_pixels(data, 32, random.Random(0))):
                with pytest.raises(BadImage):
                    read(content[: len(content) // 2])

    @given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 100))
    @settings(max_examples=100, deadline=None)
    def test_crops_lie_inside(self, width: int, height: int, seed: int) -> None:
        left, top, right, bottom = crop_box(width, height, random.Random(seed))
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
