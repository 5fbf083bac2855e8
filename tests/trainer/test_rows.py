"""Test sets that are tables: every shape in every format, every public set in its official layout, and bad input.

A picture's bytes and a text end in an angle, and that is all that the encoder sees of them: their cosine is known.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import cos, radians
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ahnpl.cli import eval_main
from ahnpl.evaluation.benchmarks import BENCHMARKS
from ahnpl.evaluation.columns import Columns
from ahnpl.evaluation.encode import EncodedImage, Encoder
from ahnpl.evaluation.items import Item
from ahnpl.evaluation.rows import ROWS, RowSet
from ahnpl.evaluation.run import ALL_FOILS, BOTH, FOILS, GROUP, IMAGE, TEXT, Report
from ahnpl.evaluation.sets import SETS, as_markdown
from ahnpl.evaluation.settings import Settings
from ahnpl.model.clip import ClipModel, ModelSpec, load_model
from negmine.base.errors import Exit, InputError, NegmineError, UsageError

from tests.trainer.conftest import make_sample

Score = Callable[..., Report]
FORMATS: Final = ("json", "jsonl", "csv", "tsv", "struct.parquet", "bytes.parquet", "named.parquet", "arrow")


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return load_model(ModelSpec("tiny", seed=2)).eval()


@pytest.fixture
def score(monkeypatch: pytest.MonkeyPatch, model: ClipModel) -> Score:
    """``score("bivlc", path, images)`` by an encoder of angles."""

    def unit(said: str) -> torch.Tensor:
        angle = torch.tensor(radians(float(said.split()[-1])))
        return torch.stack([angle.cos(), angle.sin()])

    def see(self: Encoder, seen: list[EncodedImage]) -> list[torch.Tensor | str]:
        return [unit(one.content.decode()) if one.content is not None else "missing" for one in seen]

    def read(self: Encoder, asked: list[str]) -> tuple[torch.Tensor, list[int]]:
        return torch.stack([unit(text) for text in asked]) if asked else torch.zeros(0), self.numbers(asked)

    monkeypatch.setattr(Encoder, "images", see)
    monkeypatch.setattr(Encoder, "read", read)
    return lambda name, path, images=None, **options: BENCHMARKS[name].score(path, images, model, Settings(**options))


def picture(angle: int) -> bytes:
    return f"picture {angle}".encode()


def text(angle: int) -> str:
    return f"seen at {angle}"


def items(path: Path, images: Path | None, columns: Columns, which: RowSet = ROWS) -> list[Item]:
    return list(which.read(path, images, Counter(), columns))


# --- writing ---------------------------------------------------------------------------------------------------------


def write_json(path: Path, body: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.suffix == ".jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in body) if lines else json.dumps(body))
    return path


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows(rows)
    return path


def write_table(path: Path, rows: list[dict[str, Any]], group: int = 2) -> Path:
    """Parquet, or an Arrow stream as `datasets` saves it, some rows a group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=group)
    else:
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table, max_chunksize=group)
    return path


def hugging(angle: int) -> dict[str, Any]:
    return {"bytes": picture(angle), "path": "image.jpg"}  # one name for all, as exported sets often have


def pictures(folder: Path, named: dict[str, int]) -> Path:
    for name, angle in named.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(angle))
    return folder


# --- independent evaluation ------------------------------------------------------------------------------------------


def above(image: int, right: int, wrong: int) -> bool:
    """Whether the right caption's cosine with the picture is higher by more than a tie."""
    return cos(radians(image - right)) - cos(radians(image - wrong)) > 1e-6


def independent(shape: str, rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Right and all, by measure, of rows whose pictures are there."""
    found: dict[str, list[bool]] = {}
    for row in rows:
        image, caption, foils = row["image"], row["caption"], row.get("foils", [])
        if image is None:
            continue
        if shape == "pairs":
            second, other = row["image2"], row["caption2"]
            if second is None:
                continue
            of_text = above(image, caption, other) and above(second, other, caption)
            of_image = above(caption, image, second) and above(other, second, image)
            for name, right in ((TEXT, of_text), (IMAGE, of_image), (GROUP, of_text and of_image)):
                found.setdefault(name, []).append(right)
        for foil in foils:
            found.setdefault(FOILS, []).append(above(image, caption, foil))
        if len(foils) > 1:
            found.setdefault(ALL_FOILS, []).append(all(above(image, caption, foil) for foil in foils))
        if shape == "positives":
            found.setdefault(BOTH, []).append(all(above(image, true, foils[0]) for true in (caption, row["caption2"])))
    return {name: (sum(rights), len(rights)) for name, rights in found.items()}


def test_retrieval_agrees_with_counting(tmp_path: Path, score: Score) -> None:
    """Ties count as ranked above; a picture that is missing takes its captions with it."""
    chance = random.Random(1)
    angles: list[int | None] = [*chance.sample(range(0, 360, 15), 20), None]
    said = [[(a or 0) + chance.randrange(-30, 31, 5) for _ in range(chance.randint(1, 4))] for a in angles]
    rows = [{"i": f"{a}.jpg", "c": [text(b) for b in some]} for a, some in zip(angles, said, strict=True)]
    images = pictures(tmp_path / "images", {f"{a}.jpg": a for a in angles if a is not None})
    path = write_json(tmp_path / "t.jsonl", rows)
    report = score("rows", path, images, columns=Columns(image_column="i", caption_column="c"), max_bad=0.1)
    known = [(a, some) for a, some in zip(angles, said, strict=True) if a is not None]
    near = lambda a, b: cos(radians(a - b))  # noqa: E731
    to_image = [sum(near(b, c) >= near(a, b) - 1e-6 for c, _ in known if c != a) for a, some in known for b in some]
    to_text = [
        sum(near(a, b) >= max(near(a, own) for own in some) - 1e-6 for c, other in known if c != a for b in other)
        for a, some in known
    ]
    for k in (1, 5, 10):
        for name, ranks in (("text to image", to_image), ("image to text", to_text)):
            expected = sum(rank < k for rank in ranks) / len(ranks)
            assert report.retrieval[f"{name} R@{k}"] == pytest.approx(expected)
    assert 0 < report.retrieval["image to text R@1"] < 1


COLUMNS: Final = {
    "foils": Columns(image_column="i", caption_column="c", foil_column=("f",)),
    "choices": Columns(image_column="i", choice_column=("f",), index_column="n"),
    "pairs": Columns(image_column="i", caption_column="c", second_image_column="j", second_caption_column="d"),
    "positives": Columns(image_column="i", caption_column="c", paraphrase_column="d", foil_column=("f",)),
}


def worlds(shape: str, number: int) -> list[dict[str, Any]]:
    """Rows of angles in steps of 15 degrees: ties are frequent; some pictures are missing."""
    chance = random.Random(shape)
    angle = lambda: chance.randrange(0, 180, 15)  # noqa: E731
    rows = []
    for _ in range(number):
        wrong = [angle() for _ in range({"foils": chance.randint(1, 4), "choices": 3, "positives": 1}.get(shape, 0))]
        image, second = (angle() if chance.random() < 0.9 else None for _ in range(2))
        rows.append({"image": image, "caption": angle(), "image2": second, "caption2": angle(), "foils": wrong})
    return rows


def tell(shape: str, row: dict[str, Any], place: int, named: Callable[[int | None], Any], flat: bool) -> dict[str, Any]:
    """A row as a table has it; `flat`: a list is a text in Python's notation."""
    listed = lambda angles: repr([text(a) for a in angles]) if flat else [text(a) for a in angles]  # noqa: E731
    told: dict[str, Any] = {"i": named(row["image"]), "not asked for": "x"}
    if shape == "choices":
        n = place % (len(row["foils"]) + 1)
        return {**told, "n": n, "f": listed([*row["foils"][:n], row["caption"], *row["foils"][n:]])}
    told["c"] = text(row["caption"])
    if shape in ("foils", "positives"):
        told["f"] = listed(row["foils"])
    if shape == "pairs":
        told["j"] = named(row["image2"])
    return {**told, "d": text(row["caption2"])}


@pytest.mark.parametrize("table", FORMATS)
@pytest.mark.parametrize("shape", COLUMNS)
def test_an_independent_evaluation_agrees(shape: str, table: str, tmp_path: Path, score: Score) -> None:
    """Missing pictures are names without a file, and empty cells where pictures lie inside."""
    rows = worlds(shape, 60)
    inside = table in ("struct.parquet", "bytes.parquet", "arrow")
    images = pictures(tmp_path / "images", {f"deep/{angle}.jpg": angle for angle in range(0, 180, 15)})

    def named(angle: int | None) -> Any:
        if table == "bytes.parquet":
            return None if angle is None else picture(angle)
        if inside:
            return {"bytes": None, "path": None} if angle is None else hugging(angle)
        return "none.jpg" if angle is None else f"{angle}.jpg"

    flat = table in ("csv", "tsv")
    told = [tell(shape, row, place, named, flat) for place, row in enumerate(rows)]
    path = tmp_path / f"table.{table}"
    write = write_csv if flat else write_json if table.startswith("json") else write_table
    write(path, told)
    report = score("rows", path, None if inside else images, columns=COLUMNS[shape], max_bad=0.9, batch_size=7)
    expected = independent(shape, rows)
    found = {name: report.measure(name).micro for name in expected}
    assert {name: (one.correct, one.total) for name, one in found.items()} == expected
    assert all(0 < right < number for right, number in expected.values())
    assert sum(measure.micro.ties for measure in report.measures) > 0
    chance = {"choices": 1 / 4, "foils": None}.get(shape)
    assert report.measure(ALL_FOILS).chance == chance


# --- public sets -----------------------------------------------------------------------------------------------------

PAIRS: Final = ((0, 0, 90, 90), (0, 30, 40, 10), (0, 0, 90, 40))
"""Picture, caption, other picture, its caption: all four right; none; texts right, and the second caption prefers the
first picture."""
TWO_BY_TWO: Final = {TEXT: 2 / 3, IMAGE: 1 / 3, GROUP: 1 / 3}
ONE_ABOVE: Final = ((0, 30), (0, 0), (60, 30))
"""Caption and foil of a picture at 0: right, a tie, wrong."""


def numbered(folder: Path, suffix: str = ".jpg") -> tuple[Path, list[tuple[str, str, str, str]]]:
    """`PAIRS` with pictures in files ``0_0.jpg``, ``0_1.jpg``, ..."""
    names = {f"{n}_{k}{suffix}": pair[2 * k] for n, pair in enumerate(PAIRS) for k in (0, 1)}
    told = [(f"{n}_0{suffix}", text(pair[1]), f"{n}_1{suffix}", text(pair[3])) for n, pair in enumerate(PAIRS)]
    return pictures(folder, names), told


def pair_rows(*names: str) -> list[dict[str, Any]]:
    """`PAIRS` with pictures inside, as Hugging Face has them."""
    return [dict(zip(names, (hugging(a), text(b), hugging(c), text(d)), strict=True)) for a, b, c, d in PAIRS]


Case = Callable[[Path], tuple[Path, Path | None, dict[str, float]]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def keep(made: Case) -> Case:
        CASES[name] = made
        return made

    return keep


@case("bivlc")
def _bivlc(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    rows = pair_rows("image", "caption", "negative_image", "negative_caption")
    for row, kind in zip(rows, ("add", "swap", "swap"), strict=True):
        row |= {"type": kind, "subtype": "obj"}
    write_table(root / "data/test-00000-of-00002.parquet", rows[:1])
    write_table(root / "data/test-00001-of-00002.parquet", rows[1:])
    return root, None, {"I2T (2x2 text score)": 2 / 3, "T2I (2x2 image score)": 1 / 3, "group score": 1 / 3}


@case("vismin")
def _vismin(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    rows = [{**row, "category": "object"} for row in pair_rows("image_0", "text_0", "image_1", "text_1")]
    write_json(root / "data/dataset_dict.json", {"splits": ["test"]})
    write_table(root / "data/test/data-00000-of-00001.arrow", rows)
    return root, None, TWO_BY_TWO


@case("colorswap")
def _colorswap(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    rows = pair_rows("image_1", "caption_1", "image_2", "caption_2")
    told = [{"id": n, **row, "image_source": "x", "caption_source": "human"} for n, row in enumerate(rows)]
    write_table(root / "data/train-00000-of-00001.parquet", told[:1])
    write_table(root / "data/test-00000-of-00001.parquet", told)
    return root, None, TWO_BY_TWO


@case("eqben-mini")
def _eqben(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    _, told = numbered(root / "images/eqbensd")
    names = ("image0", "caption0", "image1", "caption1")
    rows = [{**dict(zip(names, (f"eqbensd/{a}", b, f"eqbensd/{c}", d), strict=True))} for a, b, c, d in told]
    write_json(root / "all_select.json", rows)
    return root, root / "images", TWO_BY_TWO


@case("naturalbench")
def _naturalbench(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    folder, told = numbered(root / "images")
    names = ("image_0", "caption_0", "image_1", "caption_1")
    write_json(root / "metadata.json", [{"index": n, **dict(zip(names, r, strict=True))} for n, r in enumerate(told)])
    return root, folder, TWO_BY_TWO


@case("coco-counterfactuals")
def _coco_cf(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    folder, told = numbered(root / "images")
    names = ("image_0", "caption_0", "image_1", "caption_1")
    rows = [dict(zip(names, (a[:-4], b, c[:-4], d), strict=True)) for a, b, c, d in told]
    write_json(root / "data/examples.jsonl", [{"id": str(n), **row} for n, row in enumerate(rows)])
    return root / "data", folder, TWO_BY_TWO


@case("winoground")
def _winoground(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    folder, told = numbered(root / "images", ".png")
    names = ("image_0", "caption_0", "image_1", "caption_1")
    rows = [dict(zip(names, (a[:-4], b, c[:-4], d), strict=True)) for a, b, c, d in told]
    write_json(root / "examples.jsonl", [{"id": n, "collapsed_tag": "Object", **row} for n, row in enumerate(rows)])
    return root, folder, TWO_BY_TWO


@case("mmvp-vlm")
def _mmvp(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    """The first pair is of one pattern, the others of another."""
    rows = []
    for n, pair in enumerate(PAIRS):
        kind = "Color" if n == 0 else "State"
        for k in (0, 1):
            number = 2 * n + k + 1
            pictures(root / "MLLM_VLM Images" / kind, {f"{number}.jpg": pair[2 * k]})
            rows.append({"Question ID": number, "Type": kind, "Statement": text(pair[2 * k + 1])})
    write_csv(root / "Questions.csv", rows)
    name = "both statements choose their image, mean of patterns"
    return root, root / "MLLM_VLM Images", {name: (1 + 0) / 2}


@case("colorfoil")
def _colorfoil(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    url = "http://images.cocodataset.org/val2017/000000000001.jpg"
    rows = [{"image_id": "x", "image_url": url, "caption": text(a), "foil": text(b)} for a, b in ONE_ABOVE]
    write_json(root / "colorfoil.json", rows)
    return root, pictures(root / "coco", {"000000000001.jpg": 0}), {"accuracy": 1 / 3}


@case("cc-neg")
def _cc_neg(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    name = "/workspace/datasets/cc3m/ccneg_images/cc3m_subset_images_extracted_final/7.jpg"
    rows = [{"image": name, "caption": text(a), "negated": text(b)} for a, b in ONE_ABOVE]
    write_json(root / "ccneg.jsonl", rows)
    return root, pictures(root / "ccneg_images", {"cc3m_subset_images_extracted_final/7.jpg": 0}), {"accuracy": 1 / 3}


@case("vl-checklist")
def _vl_checklist(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    told = [["VG_100K/1.jpg", {"POS": [text(a)], "NEG": [text(b)]}] for a, b in ONE_ABOVE]
    write_json(root / "data/Attribute/vg/action.json", told[:2])
    write_json(root / "data/Attribute/vaw/action.json", told[:1])
    expected = {"accuracy, mean of files": (1 / 2 + 1) / 2}
    return root / "data/Attribute", pictures(root / "vg", {"VG_100K/1.jpg": 0}), expected


@case("crepe")
def _crepe(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    def row(*foils: int) -> dict[str, Any]:
        box = {"x": 1, "y": 2, "width": 30, "height": 40}
        return {"image_id": 7, **box, "caption": text(0), "hard_negs": repr([text(foil) for foil in foils])}

    write_csv(root / "swap/prod_vg_hard_negs_swap_complexity_4.csv", [row(30, 60)])
    write_csv(root / "swap/prod_vg_hard_negs_swap_complexity_5.csv", [row(30, 60), row(30, 0)])
    expected = {"image to text R@1, mean of files": (1 + 1 / 2) / 2}
    return root, pictures(root / "VG_100K", {"7.jpg": 0}), expected


def _hard_positives(root: Path, name: str, rows: list[tuple[int, int, int]], **more: Any) -> None:
    """Caption, rewording, foil."""
    for folder, place in (("data", 0), ("swapped_data", 1)):
        told = [
            {
                "image_id": "9",
                "true_caption": text(r[place]),
                "false_caption": text(r[2]),
                "image_path": "data/VG_100K_2/9.jpg",
                **more,
            }
            for r in rows
        ]
        write_json(root / folder / f"{name}.json", told)


@case("hard-positives-replace")
def _replace(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    """Both right; the rewording falls below the foil; the rewording ties with it."""
    _hard_positives(root, "vl_checklist_attributes", [(0, 10, 30), (0, 40, 30)])
    _hard_positives(root, "vl_checklist_relations", [(0, 10, 10)])
    expected = {"original test accuracy": 1.0, "augmented test accuracy": (1 / 2 + 0) / 2}
    return root, pictures(root / "vg", {"VG_100K_2/9.jpg": 0}), expected


@case("hard-positives-swap")
def _swap(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    box = {"bbox_x": 1, "bbox_y": 2, "bbox_w": 30, "bbox_h": 40}
    _hard_positives(root, "visual_genome_attribution", [(0, 10, 30), (0, 40, 30)], **box)
    expected = {"original test accuracy": 1.0, "augmented test accuracy": 1 / 2}
    return root, pictures(root / "vg", {"9.jpg": 0}), expected


@case("sugarcrepe++")
def _sugarcrepe_pp(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    def row(first: int, second: int, false: int) -> dict[str, Any]:
        texts = {"caption": text(first), "caption2": text(second), "negative_caption": text(false)}
        return {"id": 0, "filename": "0.jpg", **texts}

    write_json(root / "swap_obj.json", [row(0, 10, 30)])
    write_json(root / "replace_att.json", [row(0, 40, 30)])
    expected = {"image to text, mean of files": 1 / 2, "text only, mean of files": 1 / 2}
    return root, pictures(root / "val2017", {"0.jpg": 0}), expected


def _whatsup(root: Path, file: str) -> tuple[Path, Path | None, dict[str, float]]:
    name = "data/controlled/beer-bottle_on_armchair.jpeg"
    options = ([0, 30, 60, 90], [0, 30, 0, 60])
    write_json(root / file, [{"image_path": name, "caption_options": [text(a) for a in some]} for some in options])
    return root, pictures(root / "controlled", {"beer-bottle_on_armchair.jpeg": 0}), {"accuracy": 1 / 2}


@case("whatsup-a")
def _whatsup_a(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    return _whatsup(root, "controlled_images_dataset.json")


@case("whatsup-b")
def _whatsup_b(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    return _whatsup(root, "controlled_clevr_dataset.json")


def _qa(root: Path, stem: str, image: str) -> tuple[Path, Path | None, dict[str, float]]:
    told = [[9, text(a), text(b)] for a, b in ONE_ABOVE]
    write_json(root / f"{stem}_one_obj.json", told[:2])
    write_json(root / f"{stem}_two_obj.json", told[2:])
    expected = {"accuracy, mean of one and two objects": (1 / 2 + 0) / 2}
    return root, pictures(root / "images", {image: 0}), expected


@case("whatsup-coco")
def _whatsup_coco(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    return _qa(root, "coco_qa", "000000000009.jpg")


@case("whatsup-vg")
def _whatsup_vg(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    return _qa(root, "vg_qa", "9.jpg")


@case("negbench")
def _negbench(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    rows = []
    for kind, options, true in (("positive", (30, 60, 0, 90), 2), ("hybrid", (0, 30, 60, 90), 1)):
        captions = {f"caption_{n}": text(angle) for n, angle in enumerate(options)}
        path = "data/coco/images/val2017/000000000009.jpg"
        rows.append({**captions, "correct_answer": true, "correct_answer_template": kind, "image_path": path})
    write_csv(root / "COCO_val_mcq_llama3.1_rephrased.csv", rows)
    return root, pictures(root / "val2017", {"000000000009.jpg": 0}), {"accuracy": 1 / 2}


@case("negbench-retrieval")
def _negbench_retrieval(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    """Pictures at 0 and 90; of three captions that at 60 finds the other picture, and its own picture is found by
    another caption first."""
    rows = [
        {"filepath": "data/coco/0.jpg", "captions": repr([text(10), text(60)])},
        {"filepath": "data/coco/1.jpg", "captions": repr([text(80)])},
    ]
    write_csv(root / "COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv", rows)
    images = pictures(root / "val2017", {"0.jpg": 0, "1.jpg": 90})
    to_image = {"text to image R@1": 2 / 3, "text to image R@5": 1.0}
    return root, images, {**to_image, "image to text R@1": 1.0, "image to text R@5": 1.0}


@case("spec")
def _spec(root: Path) -> tuple[Path, Path | None, dict[str, float]]:
    # one name in two folders is two pictures; each is right once
    for subset, angle, true in (("absolute_size", 0, 0), ("count", 30, 1)):
        pictures(root / subset, {"dog/1.jpg": angle})
        row = {"query": "dog/1.jpg", "keys": [text(0), text(30), text(60)], "label": true}
        write_json(root / subset / "image2text.json", [row, {**row, "label": 2}])
    return root, None, {"image to text, mean of subsets": 1 / 2}


@pytest.mark.parametrize("name", SETS)
def test_a_public_set_in_its_official_layout(name: str, tmp_path: Path, score: Score) -> None:
    path, images, expected = CASES[name](tmp_path)
    report = score(name, path, images)
    assert report.authors == pytest.approx(expected)
    assert not report.bad


def test_parts_and_prompts(tmp_path: Path) -> None:
    """Boxes are left, top, right, bottom; MMVP's statements are a photo of something."""
    path, images, _ = CASES["crepe"](tmp_path / "a")
    assert {item.box for item in items(path, images, Columns(), SETS["crepe"])} == {(1, 2, 31, 42)}
    path, images, _ = CASES["hard-positives-swap"](tmp_path / "b")
    assert {item.box for item in items(path, images, Columns(), SETS["hard-positives-swap"])} == {(1, 2, 31, 42)}
    path, images, _ = CASES["mmvp-vlm"](tmp_path / "c")
    assert items(path, images, Columns(), SETS["mmvp-vlm"])[0].caption == "a photo of seen at 0"


def test_another_number_of_items_is_told(
    tmp_path: Path, score: Score, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, _ = CASES["bivlc"](tmp_path)
    score("bivlc", path)
    assert "3 items; BiVLC has 2,933" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setitem(vars(SETS["bivlc"]), "counts", {"": 3})
    score("bivlc", path)
    assert capsys.readouterr().err == ""


def test_files_are_counted_apart(tmp_path: Path, score: Score, capsys: pytest.CaptureFixture[str]) -> None:
    path, images, _ = CASES["hard-positives-replace"](tmp_path)
    score("hard-positives-replace", path / "swapped_data/vl_checklist_relations.json", images)
    said = " ".join(capsys.readouterr().err.split())
    assert "REPLACE's vl_checklist_relations has 16,868" in said and "attributes" not in said


def test_columns_of_a_public_set_may_be_others(tmp_path: Path) -> None:
    path, images, _ = CASES["negbench"](tmp_path)
    given = Columns(kind_column="image_path", choice_column=("caption_0", "caption_2"), index_column="correct_answer")
    with pytest.raises(InputError, match=r"2 choices, and number 2"):
        items(path, images, given, SETS["negbench"])


def test_one_picture_inside_of_many_rows_is_one(tmp_path: Path) -> None:
    rows = [{"i": hugging(n // 2), "c": text(0), "f": [text(30)]} for n in range(4)]
    found = items(write_table(tmp_path / "a.parquet", rows), None, COLUMNS["foils"])
    assert [item.image_id == found[0].image_id for item in found] == [True, True, False, False]


def test_the_table_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    assert as_markdown() in page, "python -c 'from ahnpl.evaluation.sets import as_markdown; print(as_markdown())'"


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", FORMATS)
def test_a_wrong_column_and_the_nearest(table: str, tmp_path: Path) -> None:
    row = {"image": "0.jpg", "caption": text(0), "negative": text(30)}
    if table.endswith(("parquet", "arrow")):
        row |= {"image": hugging(0)}
    write = write_csv if table in ("csv", "tsv") else write_json if table.startswith("json") else write_table
    path = tmp_path / f"t.{table}"
    write(path, [row])
    given = Columns(image_column="image", caption_column="captoin", foil_column=("negative",))
    images = pictures(tmp_path / "images", {"0.jpg": 0})
    with pytest.raises(UsageError, match=r"no column 'captoin'; the nearest: caption(.|\n)*image, caption, negative"):
        items(path, images, given)


@pytest.mark.parametrize("column", ["0", "4", "2.POS", "x"])
def test_columns_of_lists_count_from_one(column: str, tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.jsonl", [["0.jpg", text(0), text(30)]])
    given = Columns(image_column="1", caption_column="2", foil_column=(column,))
    images = pictures(tmp_path / "images", {"0.jpg": 0})
    with pytest.raises(UsageError, match=rf"no column '{column}'(.|\n)*columns are: 1, 2, 3"):
        items(path, images, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Columns(), "given are: none"),
        (Columns(caption_column="c", foil_column=("f",)), "--caption-column, --foil-column"),
        (Columns(image_column="i", caption_column="c", foil_column=("f",), choice_column=("f",)), "no items"),
        (Columns(image_column="{i", caption_column="c", foil_column=("f",)), "no pattern"),
        (Columns(image_column="{}.jpg", caption_column="c", foil_column=("f",)), "a column without a name"),
        (Columns(image_column="{i:d}", caption_column="c", foil_column=("f",)), "no pattern"),
        (Columns(image_column="i", caption_column="c", foil_column=("f.x",)), "'f.x'"),
    ],
)
def test_columns_that_make_no_items(given: Columns, said: str, tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.jsonl", [{"i": "0.jpg", "c": text(0), "f": text(30)}])
    with pytest.raises(UsageError, match=said):
        items(path, pictures(tmp_path / "images", {"0.jpg": 0}), given)


ROW: Final = {"i": "0.jpg", "c": text(0), "f": [text(30)], "n": 0}


@pytest.mark.parametrize(
    ("shape", "changed", "said"),
    [
        ("foils", {"c": None}, "'c' should be text"),
        ("foils", {"c": " "}, "'c' should be text"),
        ("foils", {"c": 3}, "'c' should be text"),
        ("foils", {"f": []}, "'f' holds an empty list"),
        ("foils", {"f": "[]"}, "'f' holds an empty list"),
        ("foils", {"f": [text(1), None]}, "'f' should be text"),
        ("foils", {"i": 1.5}, "'i' should be an image or its name"),
        ("foils", {"i": ["0.jpg"]}, "'i' should be an image or its name"),
        ("choices", {"f": [text(1)]}, "1 choices"),
        ("choices", {"f": [text(1), text(2)], "n": 2}, "2 choices, and number 2"),
        ("choices", {"f": [text(1), text(2)], "n": -1}, "number -1"),
        ("choices", {"f": [text(1), text(2)], "n": "first"}, "whole number and is 'first'"),
        ("choices", {"f": [text(1), text(2)], "n": 0.5}, "whole number and is 0.5"),
        ("choices", {"f": [text(1), text(2)], "n": float("inf")}, "whole number"),
        ("choices", {"f": [text(1), text(2)], "n": True}, "whole number"),
        ("positives", {"f": [text(1), text(2)], "d": text(3)}, "2 false captions"),
    ],
)
def test_a_row_that_is_none_is_named(shape: str, changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    good = {**ROW, "f": [text(30), text(60)][: 1 if shape == "positives" else 2], "d": text(10)}
    path = write_json(tmp_path / "t.jsonl", [good, {**ROW, "d": text(10), **changed}])
    with pytest.raises(InputError, match=rf"(?s)not a row of test set.*t\.jsonl, row 2.*{said}"):
        items(path, pictures(tmp_path / "images", {"0.jpg": 0}), COLUMNS[shape])


def test_missing_pictures_are_listed_and_refused(tmp_path: Path, score: Score) -> None:
    rows = [{**ROW, "i": f"{n}.jpg"} for n in range(4)]
    path = write_json(tmp_path / "t.jsonl", rows)
    images = pictures(tmp_path / "images", {f"{n}.jpg": n for n in range(3)})
    with pytest.raises(InputError, match=r"1 of 4 images(.|\n)*3\.jpg"):
        score("rows", path, images, columns=COLUMNS["foils"])
    report = score("rows", path, images, columns=COLUMNS["foils"], max_bad=0.5)
    assert report.micro.total == 3 and len(report.bad) == 1


def test_two_files_of_one_name(tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.jsonl", [ROW])
    images = pictures(tmp_path / "images", {"a/0.jpg": 0, "b/0.jpg": 1})
    with pytest.raises(InputError, match=r"several files(.|\n)*a/0\.jpg, b/0\.jpg"):
        items(path, images, COLUMNS["foils"])


def test_parquet_without_pictures(tmp_path: Path, score: Score) -> None:
    """Paths alone need a folder; bytes that are null are missing pictures."""
    named = write_table(tmp_path / "a.parquet", [{**ROW, "i": {"bytes": None, "path": "0.jpg"}}])
    with pytest.raises(UsageError, match=r"holds no images(.|\n)*--images"):
        items(named, None, COLUMNS["foils"])
    images = pictures(tmp_path / "images", {"0.jpg": 0})
    assert items(named, images, COLUMNS["foils"])[0].image == picture(0)
    empty = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"i": pa.array([None, None], empty), "c": [text(0)] * 2, "f": [text(30)] * 2})
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(InputError, match="2 of 2 images are missing"):
        score("rows", tmp_path / "b.parquet", None, columns=COLUMNS["foils"])


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    def refuse(path: Path, said: str, kind: type[NegmineError] = InputError) -> None:
        with pytest.raises(kind, match=said):
            items(path, tmp_path, COLUMNS["foils"])

    whole = write_table(tmp_path / "a.parquet", [ROW] * 50).read_bytes()
    for name in ("cut.parquet", "cut.arrow"):
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        refuse(tmp_path / name, rf"cut or damaged(.|\n)*{name}")
    for name in ("empty.parquet", "empty.arrow"):
        (tmp_path / name).touch()
        refuse(tmp_path / name, rf"cut or damaged(.|\n)*{name}")
    (tmp_path / "a.csv").write_text("i,c,f\n0.jpg,a,b\n0.jpg,a\n")
    refuse(tmp_path / "a.csv", r"a\.csv, row 3(.|\n)*2 cells, the header has 3")
    (tmp_path / "b.csv").write_text("i,c,c,f\n0.jpg,a,a,b\n")
    refuse(tmp_path / "b.csv", "two columns have one name")
    (tmp_path / "c.csv").write_text('i,c,f\n0.jpg,"a\n')
    refuse(tmp_path / "c.csv", "cut or damaged")
    (tmp_path / "d.csv").write_bytes(b"i,c,f\n0.jpg,\xff,b\n")
    refuse(tmp_path / "d.csv", "cut or damaged")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    refuse(tmp_path / "a.xlsx", "this is no table", UsageError)
    refuse(tmp_path / "none.csv", "no test set file here", UsageError)


def test_files_that_belong_together(tmp_path: Path) -> None:
    path, images, _ = CASES["hard-positives-replace"](tmp_path / "a")
    write_json(path / "data/vl_checklist_attributes.json", [])
    with pytest.raises(InputError, match="one of them has more rows"):
        items(path, images, Columns(), SETS["hard-positives-replace"])
    _hard_positives(path, "vl_checklist_attributes", [(0, 10, 30)])
    rows = json.loads((path / "data/vl_checklist_attributes.json").read_text())
    write_json(path / "data/vl_checklist_attributes.json", [{**rows[0], "image_path": "data/VG_100K_2/8.jpg"}])
    with pytest.raises(InputError, match="rows 0 are of two images"):
        items(path, images, Columns(), SETS["hard-positives-replace"])
    (path / "data/vl_checklist_attributes.json").unlink()
    with pytest.raises(UsageError, match=r"data/vl_checklist_attributes\.json"):
        items(path, images, Columns(), SETS["hard-positives-replace"])
    with pytest.raises(UsageError, match=r"swapped_data/ and data/"):
        items(path / "data/vl_checklist_relations.json", images, Columns(), SETS["hard-positives-replace"])
    path, images, _ = CASES["mmvp-vlm"](tmp_path / "b")
    lines = (path / "Questions.csv").read_text().splitlines()
    (path / "Questions.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match=r"row 6(.|\n)*2 rows make one item"):
        items(path, images, Columns(), SETS["mmvp-vlm"])


# --- memory, and the command -----------------------------------------------------------------------------------------


def _peak(rows: Iterator[Item]) -> tuple[int, int]:
    """Most bytes that Python and Arrow held while the items went by."""
    most = 0
    tracemalloc.start()
    for _ in rows:
        most = max(most, pa.total_allocated_bytes())
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return python, most


@pytest.mark.parametrize("table", ["jsonl", "csv", "parquet", "arrow"])
def test_memory_does_not_grow_with_the_items(table: str, tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", {"0.jpg": 0})

    def peak(number: int) -> tuple[int, int]:
        path = tmp_path / f"{number}.{table}"
        inside = table in ("parquet", "arrow")
        rows = [
            {"i": random.Random(n).randbytes(50_000) if inside else "0.jpg", "c": f"a {n} 0", "f": text(30)}
            for n in range(number)
        ]
        (write_table if inside else write_csv if table == "csv" else write_json)(path, rows)
        del rows
        return _peak(ROWS.read(path, images, Counter(), COLUMNS["foils"]))

    few, many = peak(100), peak(600)
    assert many[0] < 1.3 * few[0] + 200_000
    assert many[1] < 1.3 * few[1] + 200_000


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Real pictures in Parquet, columns by options; a benchmark that has its own refuses them."""
    samples = [make_sample(n) for n in range(6)]
    rows = [
        {
            "picture": {"bytes": s.image, "path": None},
            "said": s.caption,
            "false": s.negatives[0].text,
            "more": s.negatives[1].text,
        }
        for s in samples
    ]
    path = write_table(tmp_path / "t.parquet", rows)
    words = ["--image-column", "picture", "--caption-column", "said", "--foil-column", "false", "--foil-column", "more"]

    def call(benchmark: str) -> tuple[int, str, str]:
        given = ["x", "--checkpoint", "init:tiny", "--benchmark", benchmark, *words, "--json"]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as ended:
            eval_main()
        return int(ended.value.code or 0), *capsys.readouterr()

    status, out, err = call(f"rows:{path}")
    assert status == Exit.DONE, err
    measures = json.loads(out)["figures"]["measures"]
    assert measures[FOILS]["micro"]["total"] == 12 and measures[ALL_FOILS]["chance"] == pytest.approx(1 / 3)
    status, out, err = call("vsr:x")
    assert status == Exit.USAGE and "rows:FILE" in err and out == ""
