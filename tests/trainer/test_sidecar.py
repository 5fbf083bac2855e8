"""Negatives beside somebody's tars: nothing is copied, nothing is changed, and the run is the same."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ahnpl.cli import eval_app
from ahnpl.data.read import read_through
from ahnpl.data.shards import open_shards
from ahnpl.data.webdataset import hard_negatives
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import TrainResult, train
from ahnpl.training.plan import make_plan
from ahnpl.training.summary import trained
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.contract import tar_images
from negmine.contract.records import Sample
from negmine.contract.shard_format import read_samples
from negmine.contract.training_runs import read_metrics
from negmine.engine.local import LocalEngine
from negmine.outputs.verify import verify
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.shards import by_tar
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.sidecar import BY_TAR
from negmine.stages.shards.stage import write_shards
from negmine.stages.shards.summary import summary
from negmine.store import PartRecord, Store, read_part
from negmine.store.work_folder import load_pairs
from typer.testing import CliRunner

from tests.pipeline.conftest import add_negatives
from tests.trainer.conftest import make_sample
from tests.trainer.conftest import write_shards as write_whole

TARS, EACH = 3, 12


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def members(number: int) -> Iterable[tuple[str, bytes]]:
    """As img2dataset writes a sample; every fourth image has two captions."""
    key, sample = f"{number // EACH:05d}{number % EACH:04d}", make_sample(number)
    captions = [sample.caption, f"there is {sample.caption}"][: 1 + (number % 4 == 0)]
    told = {"key": key, "caption": "\n".join(captions), "url": f"https://x/{key}", "status": "success", "sha256": ""}
    yield f"{key}.jpg", sample.image
    yield f"{key}.json", json.dumps({} if len(captions) > 1 else told).encode()
    yield f"{key}.txt", "\n".join(captions).encode()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder as img2dataset leaves it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for tar in range(TARS):
        numbers = range(tar * EACH, (tar + 1) * EACH)
        write_tar(folder / f"{tar:05d}.tar", (one for number in numbers for one in members(number)))
        (folder / f"{tar:05d}_stats.json").write_text("{}")
    return folder


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def work(theirs: Path, tmp_path: Path) -> Path:
    work = tmp_path / "work"
    ingest(IngestSettings(str(theirs), part_size=10), work, LocalEngine(1))
    add_negatives(work)
    return work


def sidecar(work: Path, out: Path, **options: Any) -> Path:
    write_shards(ShardSettings(sidecar=True, negatives=2, **options), work, out, LocalEngine(1))
    return out


def whole(work: Path, ours: Path, out: Path, **options: Any) -> Path:
    """Shards with everything inside, made by the way that copies images, each sample at the place of the sidecar's."""
    write_shards(ShardSettings(negatives=2, **options), work, out / "all", LocalEngine(1))
    tars = [*(out / "all").glob("*.tar"), *(out / "all" / "heldout").glob("*.tar")]
    samples: dict[str, Sample] = {}
    for tar in tars:
        with tar.open("rb") as stream:
            samples |= {sample.key: sample for sample in read_samples(stream, tar.name)}
    groups = []
    for path in sorted(ours.glob("*.tar")):
        with tarfile.open(path) as tar:
            groups.append([samples[name.removesuffix(".txt")] for name in tar.getnames() if name.endswith(".txt")])
    return write_whole(out / "placed", groups)


def run(micro: str, shards: Path, out: Path, images: Path | None = None, **options: Any) -> TrainResult:
    given = {"recipe": "ahnpl", "steps": 4, "batch_size": 8, "lr": 1e-3, "workers": 0, "log_every": 1, **options}
    beside = None if images is None else str(images)
    config = TrainConfig(shards=(f"{shards}/*.tar",), images=beside, model=micro, out=str(out), **given)
    return train(make_plan(config))


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run) if "loss" in row]


def test_it_trains_as_shards_with_everything_inside(theirs: Path, work: Path, tmp_path: Path, micro: str) -> None:
    before = sums(theirs)
    ours = sidecar(work, tmp_path / "ours", train_fraction=0.8)
    inside = whole(work, ours, tmp_path / "inside", train_fraction=0.8)
    for tar in ours.rglob("*.tar"):
        with tarfile.open(tar) as opened:
            assert {name.rpartition(".")[2] for name in opened.getnames()} == {"txt", "json"}
    run(micro, ours, tmp_path / "a", theirs)
    run(micro, inside, tmp_path / "b")
    assert losses(tmp_path / "a") == losses(tmp_path / "b") and len(losses(tmp_path / "a")) == 4
    assert sums(theirs) == before
    assert all(not found.problems for found in verify(ours))

    arguments = ["--checkpoint", f"{tmp_path / 'a'}", "--shards", f"{ours}/heldout/*.tar", "--images", str(theirs)]
    scored = CliRunner().invoke(eval_app, [*arguments, "--json"])
    assert scored.exit_code == 0, scored.output
    heldout = whole(work, ours / "heldout", tmp_path / "again", train_fraction=0.8)
    again = CliRunner().invoke(eval_app, [*arguments[:2], "--shards", f"{heldout}/*.tar", "--json"])
    assert json.loads(scored.stdout)["figures"] == json.loads(again.stdout)["figures"]

    address = "memory://sidecar/theirs"
    for tar in theirs.glob("*.tar"):
        fsspec.filesystem("memory").pipe_file(f"/sidecar/theirs/{tar.name}", tar.read_bytes())
    stored = CliRunner().invoke(eval_app, [*arguments[:-1], address, "--json"])
    assert json.loads(stored.stdout)["figures"] == json.loads(scored.stdout)["figures"], stored.output


def test_any_number_of_workers_gives_the_same_bytes(work: Path, tmp_path: Path) -> None:
    one = sidecar(work, tmp_path / "one")
    write_shards(ShardSettings(sidecar=True, negatives=2), work, tmp_path / "two", LocalEngine(2))
    assert sums_of_tars(one) == sums_of_tars(tmp_path / "two") != {}


def test_each_part_is_read_once_for_all_tars(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Counter[str]()

    def counted(folder: Path, part: int, columns: list[str]) -> pa.Table:
        read[folder.name] += 1
        return read_part(folder, part, columns)

    monkeypatch.setattr(by_tar, "read_part", counted)
    ours = sidecar(work, tmp_path / "ours", train_fraction=1)
    parts = len(load_pairs(work).parts)
    assert parts > 1 and read == {"pairs": parts, "negatives": parts}
    assert not (ours / BY_TAR).exists()


def sums_of_tars(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.tar")}


class TestOtherTars:
    """Somebody's own download of the same set: some images failed, some are others now."""

    def test_missing_and_other_images_are_counted(self, theirs: Path, work: Path, tmp_path: Path, micro: str) -> None:
        ours = sidecar(work, tmp_path / "ours", train_fraction=1)
        gone, other = "00000.tar", "00001.tar"
        write_tar(theirs / gone, (one for number in range(1, EACH) for one in members(number)))
        changed = dict(one for number in range(EACH, 2 * EACH) for one in members(number))
        changed["000010003.jpg"] = make_sample(99).image
        write_tar(theirs / other, changed.items())
        found = list(read_through(open_shards([f"{ours}/*.tar"], str(theirs)).shards))
        lacks = {one.sample.key: one.lacks.detail for one in found if one.lacks}
        assert lacks == {
            "000000000-0": "there is no image under key 000000000",
            "000000000-1": "there is no image under key 000000000",
            "000010003": "the image under key 000010003 is another than the sidecar was made for",
        }
        result = run(micro, ours, tmp_path / "run", theirs, steps=5, max_bad=0.2)
        assert 0 < result.bad.total() <= 3
        assert {*result.bad} <= {"no image under its key", "another image under its key"}
        with pytest.raises(
            InputError, match=r"more than --max-bad 0.01(.|\n)*0000[01]\.tar, key(.|\n)*image under key"
        ):
            run(micro, ours, tmp_path / "strict", theirs, steps=5)

    def test_images_that_the_sidecar_does_not_know_are_counted(
        self, theirs: Path, work: Path, tmp_path: Path, micro: str
    ) -> None:
        ours = sidecar(work, tmp_path / "ours", train_fraction=1)
        write_tar(theirs / "00002.tar", [one for n in range(2 * EACH, 3 * EACH + 2) for one in members(n)])
        result = run(micro, ours, tmp_path / "run", theirs, steps=10, workers=1)
        counts = {Path(tar).name: number for tar, number in result.passed_over.items()}
        assert counts == {"00000.tar": 0, "00001.tar": 0, "00002.tar": 2} and not result.bad
        said = trained(result)
        assert said["images in the tars of --images that the sidecar has nothing for"] == 2
        assert said["tars that were read to their end, where these were counted"] == 3

    def test_a_sidecar_made_for_other_shards(self, theirs: Path, work: Path, tmp_path: Path, micro: str) -> None:
        ours = sidecar(work, tmp_path / "ours")
        others = tmp_path / "others"
        others.mkdir()
        with pytest.raises(UsageError, match=r"tar that this sidecar lies beside is not there(.|\n)*others/00000\.tar"):
            run(micro, ours, tmp_path / "run", others)
        for tar in range(TARS):
            write_tar(others / f"{tar:05d}.tar", (one for n in range(900, 912) for one in members(n)))
        with pytest.raises(InputError, match="no image under key 0000"):
            run(micro, ours, tmp_path / "run", others)

    def test_what_parse_passes_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two tars joined by ``cat``, and a member larger than any image may be."""
        theirs, work, parts = tmp_path / "theirs", tmp_path / "work", [tmp_path / "a.tar", tmp_path / "b.tar"]
        theirs.mkdir()
        large = next(members(0))[0].replace(".jpg", ".npy"), b"0" * 100_000
        write_tar(parts[0], [*members(0), large, *members(1)])
        write_tar(parts[1], members(2))
        (theirs / "00000.tar").write_bytes(b"".join(part.read_bytes() for part in parts))
        monkeypatch.setattr(tar_images, "MAX_MEMBER_BYTES", 50_000)
        ingest(IngestSettings(str(theirs)), work, LocalEngine(1))
        ours = sidecar(work, tmp_path / "ours", train_fraction=1)
        found = list(read_through(open_shards([f"{ours}/*.tar"], str(theirs)).shards))
        assert [one.sample.image for one in found] == [make_sample(n).image for n in (0, 0, 1, 2)]
        assert not [one.lacks for one in found if one.lacks]

    @pytest.mark.parametrize("between", [b"\0" * 512, b"x" * 10240])
    def test_what_is_no_tar_behind_a_tar(self, theirs: Path, work: Path, tmp_path: Path, between: bytes) -> None:
        ours = sidecar(work, tmp_path / "ours")
        tar = theirs / "00002.tar"
        tar.write_bytes(tar.read_bytes() + between + tar.read_bytes())
        with pytest.raises(DamagedError, match=r"theirs/00002\.tar(.|\n)*download or write this tar again"):
            list(read_through(open_shards([f"{ours}/*.tar"], str(theirs)).shards))

    def test_a_cut_tar_is_damage(self, theirs: Path, work: Path, tmp_path: Path) -> None:
        ours = sidecar(work, tmp_path / "ours")
        content = (theirs / "00002.tar").read_bytes()
        (theirs / "00002.tar").write_bytes(content[: len(content) // 2 + 77])
        with pytest.raises(DamagedError, match=r"theirs/00002\.tar(.|\n)*download or write this tar again"):
            list(read_through(open_shards([f"{ours}/*.tar"], str(theirs)).shards))


class TestPlaces:
    """What is not of this stage is never replaced, and what is goes when it is made anew."""

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("place", ["theirs", "link", "work/../theirs"])
    def test_the_tars_themselves(self, theirs: Path, work: Path, tmp_path: Path, place: str, overwrite: bool) -> None:
        before = sums(theirs)
        (tmp_path / "link").symlink_to(theirs)
        with pytest.raises(UsageError, match=r"did not write would be replaced(.|\n)*0000\d\.tar(.|\n)*--out"):
            write_shards(ShardSettings(sidecar=True), work, tmp_path / place, LocalEngine(1), overwrite=overwrite)
        assert sums(theirs) == before

    @pytest.mark.parametrize("name", ["heldout/00001.tar", "index.json", "rejected.parquet"])
    def test_somebody_elses_file(self, work: Path, tmp_path: Path, name: str) -> None:
        file = tmp_path / "ours" / name
        file.parent.mkdir(parents=True)
        file.write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(UsageError, match=rf"would be replaced(.|\n)*{name}"):
                write_shards(
                    ShardSettings(sidecar=True, train_fraction=0.5),
                    work,
                    tmp_path / "ours",
                    LocalEngine(1),
                    overwrite=overwrite,
                )
        assert [path for path in (tmp_path / "ours").rglob("*") if path.is_file()] == [file]

    def test_our_own_shards_that_the_images_lie_in(self, work: Path, tmp_path: Path) -> None:
        data, again = tmp_path / "data", tmp_path / "again"
        write_shards(ShardSettings(train_fraction=1), work, data, LocalEngine(1))
        (tmp_path / "link.tar").symlink_to(data / "shard-00000.tar")
        ingest(IngestSettings(str(tmp_path / "link.tar")), again, LocalEngine(1))
        before = sums(data)
        for settings in (ShardSettings(train_fraction=1), ShardSettings(negatives=1, sidecar=True)):
            with pytest.raises(UsageError, match=r"that the images lie in(.|\n)*data/shard-00000\.tar"):
                write_shards(settings, again, data, LocalEngine(1), overwrite=True)
        assert sums(data) == before

    def test_made_anew_it_has_no_stale_tars(self, theirs: Path, work: Path, tmp_path: Path) -> None:
        ours = sidecar(work, tmp_path / "ours", train_fraction=1)
        (ours / "notes.txt").write_text("mine")
        held_out = ShardSettings(sidecar=True, train_fraction=0)
        write_shards(held_out, work, ours, LocalEngine(1), overwrite=True)
        assert [path.name for path in ours.glob("*.t*")] == ["notes.txt"]
        assert not [problem for found in verify(ours) for problem in found.problems]
        assert open_shards([f"{ours}/heldout/*.tar"], str(theirs)).samples == TARS * EACH * 5 // 4
        write_shards(ShardSettings(sidecar=True, train_fraction=1), work, ours, LocalEngine(1), overwrite=True)
        assert not [*ours.glob("heldout/*.tar")] and len([*ours.glob("*.tar")]) == TARS
        assert not [problem for found in verify(ours) for problem in found.problems]

    def test_what_a_killed_run_wrote_is_its_own(
        self, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also a tar that was not entered in the journal yet."""
        whole = sums_of_tars(sidecar(work, tmp_path / "whole"))
        commit = Store.commit

        def interrupted(store: Store, part: PartRecord) -> None:
            if store.folder.name != BY_TAR:
                raise KeyboardInterrupt
            commit(store, part)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Store, "commit", interrupted)
            sidecar(work, tmp_path / "ours")
        assert len(sums_of_tars(tmp_path / "ours")) == 1
        assert sums_of_tars(sidecar(work, tmp_path / "ours")) == whole


class TestRefusals:
    def test_of_the_trainer(self, theirs: Path, work: Path, tmp_path: Path, micro: str, shards: Path) -> None:
        ours = sidecar(work, tmp_path / "ours")
        with pytest.raises(UsageError, match=r"images lie in other tars(.|\n)*--images"):
            run(micro, ours, tmp_path / "run")
        with pytest.raises(UsageError, match=r"hard_negatives(.|\n)*without --sidecar"):
            hard_negatives(f"{ours}/*.tar", lambda image: image, lambda texts: texts, negatives=1)
        with pytest.raises(UsageError, match="have their images in them"):
            run(micro, shards, tmp_path / "run", theirs)

    @pytest.mark.parametrize(
        "option", [{"image_size": 64}, {"image_negatives": 1}, {"plan": True}, {"shard_size": 9}, {"max_pixels": 9}]
    )
    def test_options_that_it_excludes(self, option: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=f"--sidecar excludes --{next(iter(option)).replace('_', '-')}"):
            ShardSettings(sidecar=True, **option)

    def test_images_in_no_tar(self, small: Callable[[], Path], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"these images lie in no tar(.|\n)*a\.jpg"):
            sidecar(small(), tmp_path / "ours")

    def test_images_in_cells_of_a_table(self, tmp_path: Path) -> None:
        rows = [{"image": {"bytes": make_sample(n).image}, "caption": make_sample(n).caption} for n in range(4)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
        ingest(IngestSettings(str(tmp_path / "t.parquet")), tmp_path / "work", LocalEngine(1))
        with pytest.raises(UsageError, match=r"these images lie in no tar(.|\n)*t\.parquet::image"):
            sidecar(tmp_path / "work", tmp_path / "ours")

    def test_tars_in_several_folders(self, theirs: Path, tmp_path: Path) -> None:
        """Also of different names, one for each split: one `--images` could not name both."""
        work, second = tmp_path / "both", tmp_path / "second"
        second.mkdir()
        (second / "other.tar").write_bytes((theirs / "00001.tar").read_bytes())
        (theirs / "00002.tar").rename(second / "00000.tar")
        ingest(IngestSettings(f"{tmp_path}/*/*.tar"), work, LocalEngine(1))
        for fraction in (0, 0.5, 1):
            with pytest.raises(UsageError, match=r"several folders(.|\n)*second/.*tar, theirs/.*tar(.|\n)*parse each"):
                sidecar(work, tmp_path / "ours", train_fraction=fraction)
        assert not (tmp_path / "ours").exists()

    def test_one_folder_below_the_root(self, theirs: Path, tmp_path: Path) -> None:
        ingest(IngestSettings(f"{tmp_path}/th*/*.tar"), tmp_path / "work", LocalEngine(1))
        made = write_shards(ShardSettings(sidecar=True), tmp_path / "work", tmp_path / "ours", LocalEngine(1))
        assert made["train"].spec.context["images"] == str(theirs)
        assert f"--images {theirs}" in summary(made, ShardSettings(sidecar=True), tmp_path, tmp_path).next_steps[0]

    @pytest.fixture
    def small(self, tmp_path: Path) -> Callable[[], Path]:
        def make() -> Path:
            (tmp_path / "files").mkdir()
            (tmp_path / "files" / "a.jpg").write_bytes(make_sample(0).image)
            (tmp_path / "files" / "a.txt").write_text(make_sample(0).caption)
            ingest(IngestSettings(str(tmp_path / "files")), tmp_path / "work", LocalEngine(1))
            return tmp_path / "work"

        return make
