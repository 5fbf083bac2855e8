"""Names that are pipes, devices or files without end are refused at once, wherever a whole file is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.benchmarks import BENCHMARKS
from ahnpl.evaluation.tasks import CaptionBenchmark
from ahnpl.losses import build_loss
from ahnpl.model.checkpoint import read_state
from negmine import sources
from negmine.base.errors import DamagedError, NegmineError
from negmine.base.whole_files import MAX_BYTES
from negmine.contract.training_runs import read_runs
from negmine.encoders.clip_models import read_config, read_preprocess
from negmine.outputs.verify import problems_of, verify
from negmine.stages.audit.read import open_source as open_negatives
from negmine.stages.figures.geometry3k import read_records
from negmine.stages.negatives.presets import load_preset
from negmine.stages.neighbours.recipe import load_recipe
from negmine.store import load_manifest


@dataclass(frozen=True)
class Reader:
    """What reads a file of this name in a folder.

    Attributes:
        whole: it is read into memory as a whole, and not line by line or entry by entry.
    """

    name: str
    read: Callable[[Path], object]
    whole: bool = True


def _negatives(path: Path) -> None:
    for _ in open_negatives(path.parent, path).rows():
        pass


def _benchmark(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        benchmark = BENCHMARKS[name]
        assert isinstance(benchmark, CaptionBenchmark)
        for _ in benchmark.read(path, path.parent, Counter()):
            pass

    return read


def _shards(path: Path) -> None:
    (path.parent / "a.tar").touch()
    open_shards([f"{path.parent}/*.tar"])


def _pairs(path: Path) -> None:
    for _ in sources.open_source(str(path), None).read(str(path)):
        pass


def _run(path: Path) -> None:
    """The settings of a run; one without them is shown too."""
    (path.parent / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n')
    if not read_runs([path.parent])[0].config:
        raise DamagedError("no settings")


def _verified(path: Path) -> None:
    found = verify(path.parent, fast=True)
    if problems_of(found):
        raise DamagedError(found[0].problems[0])


READERS = (
    Reader("recipe.yaml", lambda path: build_loss(path)),
    Reader("mining.yaml", lambda path: load_recipe(str(path))),
    Reader("preset.toml", lambda path: load_preset(str(path))),
    Reader("preprocess.json", read_preprocess),
    Reader("open_clip_config.json", lambda path: read_config(path.parent)),
    Reader("state.json", lambda path: read_state(path.parent)),
    Reader("run.json", _run),
    Reader("index.json", _shards),
    Reader("index.json", _verified),
    Reader("manifest.json", lambda path: load_manifest(path.parent)),
    Reader("negatives.jsonl", _negatives, whole=False),
    Reader("negatives.tsv", _negatives, whole=False),
    Reader("negatives.json", _negatives),
    Reader("records.json", read_records),
    Reader("pairs.json", _pairs, whole=False),
    Reader("pairs.jsonl", _pairs, whole=False),
    Reader("replace_obj.json", _benchmark("sugarcrepe")),
    Reader("replace_obj.json", lambda path: _benchmark("sugarcrepe")(path.parent)),
)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BYTES + 1)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [_pipe, _device, _huge])
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_is_no_file_is_refused(reader: Reader, make: Callable[[Path], None], tmp_path: Path) -> None:
    if make is _huge and not reader.whole:
        pytest.skip("as large as it likes")
    path = tmp_path / reader.name
    make(path)
    with pytest.raises(NegmineError):
        reader.read(path)
