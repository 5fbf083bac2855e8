"""Everything that reads a file from elsewhere: how it is reached, and good files to begin with."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
from ahnpl.data.images import BadImage, evaluation_pixels
from ahnpl.evaluation.benchmarks import BENCHMARKS
from ahnpl.evaluation.columns import Columns
from ahnpl.evaluation.rows import ROWS
from ahnpl.evaluation.tasks import CaptionBenchmark
from ahnpl.losses import build_loss
from ahnpl.model.checkpoint import VERSION, read_best, read_state
from negmine import sources
from negmine.base.errors import Exit, NegmineError
from negmine.base.seal import seal
from negmine.contract.records import Sample, TextNegative
from negmine.contract.shard_format import Index, ShardEntry, decode_sample, describe, read_samples, write_samples
from negmine.contract.training_runs import read_runs
from negmine.encoders.clip_models import CONFIG_NAME, read_config
from negmine.images.locate import BadImageError, inspect_image
from negmine.stages.audit.read import open_source as open_negatives
from negmine.stages.negatives.presets import load_preset
from negmine.stages.neighbours.recipe import load_recipe
from negmine.stages.pairs.gather import Limits, gather
from negmine.store import JOURNAL, MANIFEST, FileRecord, Manifest, PartRecord, Spec, Store, load_manifest
from torchvision.transforms import CenterCrop, Compose, Resize

DATA = Path(__file__).parents[2] / "data" / "sample"
CASES = Path(__file__).parents[1] / "cases"
ATTACK = CASES / "attack"
LARGEST_SEED = 20_000
"""Bytes."""


SPEC = Spec("pairs", {"seed": 0}, {"source": "0" * 64})


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        good: files that are read.
        read: reads the content as a file below a folder.
        harmful: names of files in ``tests/cases/attack`` that once did harm.
    """

    name: str
    good: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    harmful: tuple[str, ...] = ()

    def once_harmful(self) -> list[Path]:
        return [path for pattern in self.harmful for path in sorted(ATTACK.glob(pattern))]

    def seeds(self) -> list[bytes]:
        """What mutations begin with; the smaller ones of the harmful."""
        harmful = (path.read_bytes() for path in self.once_harmful() if path.stat().st_size <= LARGEST_SEED)
        return [*self.good(), *harmful]

    def refuses_in_words(self, content: bytes, folder: Path) -> None:
        """An error that a person can act on is right; any other is a bug."""
        try:
            self.read(content, folder)
        except NegmineError as error:
            assert error.status not in (Exit.DONE, Exit.BUG)
            assert str(error)


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- pairs -----------------------------------------------------------------------------------------------------------


def _pairs(name: str, format: str | None, content: bytes, folder: Path) -> None:
    """Every row that the source gives is a pair or is rejected, and can be stored."""
    path = _written(folder, name, content)
    source = sources.open_source(str(path), format)
    gathered = folder / "gathered"
    shutil.rmtree(gathered, ignore_errors=True)
    counts = Counter(gather(source.read(str(path)), gathered, Limits(2_000, 4_096)).counts)
    rejected = sum(number for reason, number in counts.items() if reason.startswith("rejected:"))
    assert counts["rows"] == counts["pairs"] + rejected
    stored = sum(pq.read_metadata(part).num_rows for part in gathered.glob("part-*.parquet"))
    assert stored == counts["pairs"]
    assert pq.read_metadata(gathered / "rejected.parquet").num_rows == rejected


def _rows() -> list[dict[str, Any]]:
    lines = (DATA / "captions.jsonl").read_text("utf-8").splitlines()[:8]
    return [{name: json.loads(line)[name] for name in ("image", "caption")} for line in lines]


def _jsonl() -> list[bytes]:
    return ["".join(json.dumps(row) + "\n" for row in _rows()).encode()]


def _table(delimiter: str) -> list[bytes]:
    lines = [delimiter.join(("image", "caption"))]
    lines += [delimiter.join((row["image"], row["caption"].replace(delimiter, " "))) for row in _rows()]
    return ["\n".join(lines).encode() + b"\n"]


def _flickr() -> list[bytes]:
    return ["".join(f"{Path(row['image']).name}#0\t{row['caption']}\n" for row in _rows()).encode()]


def _coco() -> list[bytes]:
    images = [{"id": number, "file_name": row["image"]} for number, row in enumerate(_rows())]
    captions = [{"id": n, "image_id": n, "caption": row["caption"]} for n, row in enumerate(_rows())]
    return [json.dumps({"info": {}, "images": images, "annotations": captions}).encode()]


def _karpathy() -> list[bytes]:
    images = [
        {"filename": row["image"], "imgid": n, "split": "test", "sentences": [{"raw": row["caption"], "sentid": n}]}
        for n, row in enumerate(_rows())
    ]
    return [json.dumps({"images": images, "dataset": "coco"}).encode()]


def _parquet() -> list[bytes]:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_rows()), out)
    return [out.getvalue()]


def _tar() -> list[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, row in enumerate(_rows()):
            for extension, content in (("jpg", b"\xff\xd8\xff" + bytes(40)), ("txt", row["caption"].encode())):
                member = tarfile.TarInfo(f"{number:05d}.{extension}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return [out.getvalue()]


# --- what we wrote ourselves -----------------------------------------------------------------------------------------


@cache
def _samples() -> tuple[Sample, ...]:
    return tuple(
        Sample(
            f"{n:05d}",
            str(n),
            row["caption"],
            b"\xff\xd8\xff" + bytes(40),
            "jpg",
            (row["caption"],),
            (TextNegative(0, "a dog", "replace_object", "replace_object"),),
        )
        for n, row in enumerate(_rows())
    )


def _shard() -> list[bytes]:
    out = io.BytesIO()
    write_samples(out, _samples())
    return [out.getvalue()]


def _read_shard(content: bytes, folder: Path) -> None:
    for _ in read_samples(io.BytesIO(content), "shard"):
        pass


def _read_sample(content: bytes, folder: Path) -> None:
    decode_sample("00000", {"jpg": b"", "txt": b"a cat", "json": content}, "shard").negatives  # noqa: B018


def _sealed(content: bytes) -> str:
    """The text with its own checksum where it is still an object, so that more than the checksum is tried."""
    text = content.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError, UnicodeEncodeError):
        body = json.loads(text)
        if isinstance(body, dict):
            return seal({name: value for name, value in body.items() if name != "checksum"})
    return text


def _index() -> list[bytes]:
    return [Index((ShardEntry("a.tar", 1, 10, "0" * 64),), 4, {"negate": 1}, {}, {}, {}).to_json().encode()]


def _read_index(content: bytes, folder: Path) -> None:
    Index.from_json(_sealed(content), "index.json")


def _manifest() -> list[bytes]:
    part = PartRecord(0, (FileRecord("part-00000.parquet", 1, 10, "0" * 64),), {"pairs": 1})
    return [Manifest(SPEC, (part,)).to_text().encode()]


def _read_manifest(content: bytes, folder: Path) -> None:
    _written(folder, MANIFEST, _sealed(content).encode("utf-8", "surrogatepass"))
    load_manifest(folder)


def _journal() -> list[bytes]:
    with TemporaryDirectory() as folder, Store.open(Path(folder), SPEC):
        return [(Path(folder) / JOURNAL).read_bytes()]


def _read_journal(content: bytes, folder: Path) -> None:
    _written(folder, JOURNAL, content)
    with Store.open(folder, SPEC):
        pass


def _read_runs(content: bytes, folder: Path) -> None:
    _written(folder, "metrics.jsonl", content)
    read_runs([folder])


def _state() -> list[bytes]:
    body = {"version": VERSION, "model": "tiny", "step": 3, "settings": {}, "scaler": {}, "sha256": {}}
    return [json.dumps(body).encode()]


def _read_state(content: bytes, folder: Path) -> None:
    _written(folder, "state.json", content)
    read_state(folder)


def _best() -> list[bytes]:
    return [b'{"checkpoint": "step-00000003", "score": 0.5}']


def _read_best(content: bytes, folder: Path) -> None:
    _written(folder, "best.json", content)
    read_best(folder)


def _configuration() -> list[bytes]:
    (path,) = Path(open_clip.__file__).parent.glob("model_configs/ViT-B-32.json")
    statistics = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    return [json.dumps({"model_cfg": json.loads(path.read_text()), "preprocess_cfg": statistics}).encode()]


def _read_configuration(content: bytes, folder: Path) -> None:
    _written(folder, CONFIG_NAME, content)
    read_config(folder)


# --- settings --------------------------------------------------------------------------------------------------------


def _recipes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.yaml"))[:6]]


def _read_loss(content: bytes, folder: Path) -> None:
    build_loss(_written(folder, "recipe.yaml", content))


def _read_mining(content: bytes, folder: Path) -> None:
    load_recipe(str(_written(folder, "recipe.yaml", content)))


def _read_preset(content: bytes, folder: Path) -> None:
    load_preset(str(_written(folder, "preset.toml", content)))


# --- benchmarks, negatives, images ---------------------------------------------------------------------------------


def _sugarcrepe() -> list[bytes]:
    rows = {
        str(n): {"filename": "0.jpg", "caption": row["caption"], "negative_caption": "a dog"}
        for n, row in enumerate(_rows())
    }
    return [json.dumps(rows).encode()]


def _read_benchmark(name: str, file: str, content: bytes, folder: Path) -> None:
    benchmark = BENCHMARKS[name]
    assert isinstance(benchmark, CaptionBenchmark)
    for _ in benchmark.read(_written(folder, file, content), folder, Counter()):
        pass


ROW_COLUMNS = Columns(image_column="image", caption_column="caption", foil_column=("foils",))


def _row_table() -> pa.Table:
    foils = ["a dog", "a cat"]
    images = ({"bytes": b"picture", "path": row["image"]} for row in _rows())
    rows = zip(images, _rows(), strict=True)
    return pa.Table.from_pylist([{"image": one, "caption": row["caption"], "foils": foils} for one, row in rows])


def _row_parquet() -> list[bytes]:
    stream = pa.BufferOutputStream()
    pq.write_table(_row_table(), stream)
    return [stream.getvalue().to_pybytes()]


def _row_arrow() -> list[bytes]:
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, _row_table().schema) as writer:
        writer.write_table(_row_table())
    return [stream.getvalue().to_pybytes()]


def _row_csv() -> list[bytes]:
    lines = ["image,caption,foils", *(f"{row['image']},{row['caption']},\"['a dog', 'a cat']\"" for row in _rows())]
    return ["\n".join(lines).encode() + b"\n"]


def _row_json() -> list[bytes]:
    rows = [{"image": row["image"], "caption": row["caption"], "foils": ["a dog", "a cat"]} for row in _rows()]
    return [json.dumps(rows).encode()]


def _read_items(file: str, content: bytes, folder: Path) -> None:
    for _ in ROWS.read(_written(folder, file, content), folder, Counter(), ROW_COLUMNS):
        pass


def _read_negatives(file: str, content: bytes, folder: Path) -> None:
    source = open_negatives(folder, _written(folder, file, content))
    for _ in source.rows():
        pass


def _negatives() -> list[bytes]:
    rows = ({"caption": row["caption"], "negative": "a dog", "kind": "replace_object"} for row in _rows())
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


def _table_of_negatives() -> list[bytes]:
    lines = ["title\tfilepath\tneg_caption", *(f"{row['caption']}\t{row['image']}\t['a dog']" for row in _rows())]
    return ["\n".join(lines).encode() + b"\n"]


def _images() -> list[bytes]:
    return [path.read_bytes() for path in sorted((CASES / "pixels" / "img").iterdir()) if path.stat().st_size < 20_000]


def _look(content: bytes, folder: Path) -> None:
    with suppress(BadImageError):
        inspect_image(content)
    with suppress(BadImage):
        evaluation_pixels(content, Compose([Resize(224), CenterCrop(224)]))


TARGETS = (
    Target("jsonl", _jsonl, partial(_pairs, "pairs.jsonl", "jsonl")),
    Target("csv", lambda: _table(","), partial(_pairs, "pairs.csv", "csv")),
    Target("tsv", lambda: _table("\t"), partial(_pairs, "pairs.tsv", "tsv")),
    Target("flickr", _flickr, partial(_pairs, "pairs.token", "flickr")),
    Target("coco", _coco, partial(_pairs, "pairs.json", "coco")),
    Target("karpathy", _karpathy, partial(_pairs, "pairs.json", "karpathy")),
    Target("parquet", _parquet, partial(_pairs, "pairs.parquet", "parquet"), ("histogram*",)),
    Target("tar", _tar, partial(_pairs, "pairs.tar", "tars")),
    Target(
        "recognition",
        lambda: [*_jsonl(), *_table(","), *_coco(), *_karpathy()],
        partial(_pairs, "pairs", None),
        ("src_*", "big*", "nest_coco*", "nest30k*", "surr*", "raw_*", "u2028*", "t_*", "bomb*", "x_*", "zeroed*"),
    ),
    Target("negatives.jsonl", _negatives, partial(_read_negatives, "negatives.jsonl"), ("aud_*.jsonl",)),
    Target("negatives.tsv", _table_of_negatives, partial(_read_negatives, "negatives.tsv"), ("aud_*.tsv",)),
    Target("negatives.json", _sugarcrepe, partial(_read_negatives, "negatives.json"), ("aud_*.json",)),
    Target("shard", _shard, _read_shard),
    Target("sample", lambda: [describe(sample).encode() for sample in _samples()], _read_sample),
    Target("index", _index, _read_index),
    Target("manifest", _manifest, _read_manifest, ("manifest*",)),
    Target("journal", _journal, _read_journal, ("journal*",)),
    Target("metrics", lambda: [b'{"step": 1, "loss": 2.5}\n' * 3], _read_runs, ("runs*",)),
    Target("state", _state, _read_state),
    Target("best", _best, _read_best, ("best*",)),
    Target("configuration", _configuration, _read_configuration),
    Target("loss recipe", lambda: [b"extends: ahnpl\nform: released\n"], _read_loss, ("*.yaml",)),
    Target("mining recipe", lambda: [b"scores: [t2t]\nfilters: {margin: {}}\n"], _read_mining, ("*.yaml",)),
    Target("preset", lambda: [b'rules = ["negate"]\nper_caption = 4\nbalanced = false\n'], _read_preset, ("*.toml",)),
    Target("sugarcrepe", _sugarcrepe, partial(_read_benchmark, "sugarcrepe", "replace_obj.json"), ("b_sugarcrepe*",)),
    Target("retrieval", lambda: [*_karpathy(), *_coco()], partial(_read_benchmark, "retrieval", "captions.json")),
    Target("rows.json", _row_json, partial(_read_items, "rows.json")),
    Target("rows.csv", _row_csv, partial(_read_items, "rows.csv")),
    Target("rows.parquet", _row_parquet, partial(_read_items, "rows.parquet")),
    Target("rows.arrow", _row_arrow, partial(_read_items, "rows.arrow")),
    Target("images", _images, _look, ("*.png", "*.jpg", "*.webp", "timg_*")),
)
"""A new reader is a line here."""
