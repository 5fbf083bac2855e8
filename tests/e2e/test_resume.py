"""The same bytes with any number of workers, after a killed worker, and after kill -9 of everything at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.harness import CAPTIONS, SAMPLE, Running, copy, hashes, leftovers, start, succeed, write_embeddings

STAGES = """
import sys
from pathlib import Path

from negmine.base import console
from negmine.engine.local import LocalEngine
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest


def main() -> None:
    captions, images, root, workers, encoder = sys.argv[1:]
    work, engine = Path(root) / "work", LocalEngine(int(workers))
    ingest(IngestSettings(captions, images=images, part_size=60, max_bad=0.5), work, engine)
    if encoder:
        make_shards(work, Path(root) / "shards", engine, encoder)


def make_shards(work: Path, out: Path, engine: LocalEngine, encoder: str) -> None:
    from negmine.stages.neighbours.settings import RetrieveSettings
    from negmine.stages.neighbours.stage import retrieve
    from negmine.stages.shards.settings import ShardSettings
    from negmine.stages.shards.stage import write_shards
    from negmine.stages.negatives.stage import parse_pairs
    from negmine.stages.negatives.settings import ParseSettings

    parse_pairs(ParseSettings(), work, engine)
    retrieve(RetrieveSettings(encoder=encoder), work, engine)
    write_shards(ShardSettings(shard_size=60, image_size=100), work, out, engine)


if __name__ == "__main__":
    console.run(main)
"""
"""All stages with small parts, so that the sample has ten of them; no option of the commands makes parts small."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The command that runs all stages on the sample with two bad images; root, workers and encoder follow."""
    folder = tmp_path_factory.mktemp("stages")
    script, captions = folder / "stages.py", folder / "captions.jsonl"
    script.write_text(STAGES)
    lines = [f'{{"image": "images/none-{number}.jpg", "caption": "a cat on a mat"}}\n' for number in range(8)]
    captions.write_text(CAPTIONS.read_text() + "".join(lines))
    return [sys.executable, script, captions, SAMPLE]


@pytest.fixture(scope="module")
def reference(stages: list[object], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """What one worker makes, and the encoder it used."""
    root = tmp_path_factory.mktemp("reference")
    _finish([*stages, root, 1, ""])
    encoder = write_embeddings(root / "work" / "pairs", root / "rows.npy")
    _finish([*stages, root, 1, encoder])
    made = hashes(root / "work", root / "shards")
    assert sum(name.startswith("work/pairs/part-") for name in made) == 10
    assert sum(name.endswith(".tar") for name in made) == 11
    assert pq.read_metadata(root / "work" / "pairs" / "rejected.parquet").num_rows == 8
    return made, encoder


def _finish(command: list[object]) -> None:
    outcome = Running(command).end()
    assert outcome.status == 0, outcome.err


def test_two_workers_make_the_same_bytes(
    stages: list[object], reference: tuple[dict[str, str], str], tmp_path: Path
) -> None:
    made, encoder = reference
    _finish([*stages, tmp_path, 2, encoder])
    assert hashes(tmp_path / "work", tmp_path / "shards") == made


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 11))])
def test_killed_at_random_moments(
    seed: int, stages: list[object], reference: tuple[dict[str, str], str], tmp_path: Path
) -> None:
    """Each time somewhere among the files a run has yet to write; every process dies at once."""
    made, encoder = reference
    moments = random.Random(seed)
    command = [*stages, tmp_path, moments.choice([1, 2]), encoder]
    kills = 0
    for _ in range(3):
        running = Running(command)
        goal = _files(tmp_path) + moments.randrange(1, 16)
        if running.wait_until(lambda goal=goal: _files(tmp_path) >= goal):  # type: ignore[misc]
            running.signal_group(signal.SIGKILL)
            assert running.end().status in (-signal.SIGKILL, 0)
            kills += 1
    _finish(command)
    assert kills >= 2
    assert hashes(tmp_path / "work", tmp_path / "shards") == made
    assert leftovers(tmp_path) == []
    succeed("verify", tmp_path / "work")
    succeed("verify", tmp_path / "shards")


def _files(root: Path) -> int:
    """Parts, tars and files that are being written."""
    return sum(len(files) for _, _, files in os.walk(root))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_stopped_is_replaced(number: int, work: Path, tmp_path: Path) -> None:
    def command(out: str) -> list[object]:
        return ["shard", "--work", work, "--out", tmp_path / out, "--shard-size", 4, "--image-size", 200]

    succeed(*command("whole"), "--workers", 1)
    running = start(*command("killed"), "--workers", 2, "--stall-timeout", 0.02)
    assert running.wait_until(lambda: any((tmp_path / "killed").glob("*.tar")))
    os.kill(running.workers()[0], number)
    outcome = running.end()
    assert outcome.status == 0, outcome.err
    assert ("was stopped for 0.02 minutes" in outcome.err) == (number == signal.SIGSTOP)
    assert "a worker process died; making part" in outcome.err
    assert leftovers(tmp_path) == []
    assert list(hashes(tmp_path / "killed").values()) == list(hashes(tmp_path / "whole").values())


@pytest.mark.parametrize(
    "victims", [["part-00003.parquet"], ["rejected.parquet"], ["part-00000.parquet", "part-00009.parquet"]]
)
def test_deleted_results_come_back_the_same(
    victims: list[str], stages: list[object], reference: tuple[dict[str, str], str], tmp_path: Path
) -> None:
    """Above all the rejected rows: those of other parts must not be lost when one part is made again."""
    made, _ = reference
    _finish([*stages, tmp_path, 1, ""])
    for victim in victims:
        (tmp_path / "work" / "pairs" / victim).unlink()
    _finish([*stages, tmp_path, 1, ""])
    pairs = {name: digest for name, digest in made.items() if name.startswith("work/pairs/")}
    assert hashes(tmp_path / "work") == pairs


def test_the_pairs_of_missing_images_leave_no_empty_part(stages: list[object], tmp_path: Path) -> None:
    """All images of what would be one part are missing: the others close up, and go through all stages."""
    images, captions = copy(SAMPLE, tmp_path / "images"), tmp_path / "captions.jsonl"
    captions.write_text(CAPTIONS.read_text())
    command = [*stages[:2], captions, images]
    _finish([*command, tmp_path / "whole", 1, ""])
    lost = _column(tmp_path / "whole" / "work" / "pairs" / "part-00000.parquet", "image")
    for image in set(lost):
        (images / image).unlink()
    work, shards = tmp_path / "holed" / "work", tmp_path / "holed" / "shards"
    _finish([*command, work.parent, 1, ""])
    encoder = write_embeddings(work / "pairs", tmp_path / "rows.npy")
    _finish([*command, work.parent, 1, encoder])
    sizes = [len(_column(part, "key")) for part in sorted((work / "pairs").glob("part-*"))]
    assert min(sizes) > 0
    assert sum(sizes) == 590 - len(lost)
    mined = [row for part in (work / "neighbours").glob("part-*") for row in _column(part, "reason")]
    assert sum(reason not in ("itself", "same_image") for reason in mined) == sum(sizes) * 100
    succeed("verify", work)
    succeed("verify", shards)
    indices = [json.loads((folder / "index.json").read_text()) for folder in (shards, shards / "heldout")]
    assert sum(index["samples"] for index in indices) == sum(sizes)


def _column(part: Path, name: str) -> list[str]:
    values: list[str] = pq.read_table(part, columns=[name])[name].to_pylist()
    return values
