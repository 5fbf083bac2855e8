"""Every benchmark format: tiny files in the official layout, judged by a scorer whose scores are known."""

from __future__ import annotations

import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from ahnpl.data.images import BadImage, evaluation_pixels
from ahnpl.evaluation import (
    aro,
    cola,
    cola_single,
    retrieval,
    sugarcrepe,
    valse,
    vsr,
    zeroshot,
)
from ahnpl.evaluation.benchmarks import BENCHMARKS
from ahnpl.evaluation.compare import compare
from ahnpl.evaluation.encode import EncodedImage, Encoder, open_encoder
from ahnpl.evaluation.files import ImageFolder, read_rows
from ahnpl.evaluation.items import Item
from ahnpl.evaluation.metrics import area_under_curve, best_threshold
from ahnpl.evaluation.rows import ROWS
from ahnpl.evaluation.run import (
    ALL_FOILS,
    BOTH,
    CLAIMS,
    FOILS,
    GROUP,
    IMAGE,
    TEXT,
    TEXT_ONLY,
    Report,
)
from ahnpl.evaluation.sets import SETS
from ahnpl.evaluation.settings import Settings
from ahnpl.evaluation.show import as_figures, as_table
from ahnpl.evaluation.tasks import CaptionBenchmark
from ahnpl.model.clip import ClipModel, ModelSpec, load_model, load_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import Rejected
from PIL import Image

from tests.trainer.conftest import draw, encode, make_sample

CASES = Path(__file__).parents[1] / "cases"

Reader = Callable[[Path, Path | None, Counter[str]], Iterator[Item | Rejected]]


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return load_model(ModelSpec("tiny", seed=2)).eval()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.jpg").write_bytes(make_sample(n).image)
    return folder


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, model: ClipModel) -> Callable[..., Callable[..., Report]]:
    """A scorer with given features: ``scripted(pictures, texts)("valse", path, images)``, unit rows by name.

    A picture is known by the order in which it is met first, a text by itself.
    """

    def make(pictures: list[tuple[float, ...]], texts: dict[str, tuple[float, ...]]) -> Callable[..., Report]:
        def unit(row: tuple[float, ...]) -> torch.Tensor:
            return torch.nn.functional.normalize(torch.tensor(row), dim=0)

        rows = iter(pictures)

        def see(self: Encoder, seen: list[EncodedImage]) -> list[torch.Tensor | str]:
            return [unit(next(rows)) if picture.content is not None else "missing" for picture in seen]

        def read(self: Encoder, asked: list[str]) -> tuple[torch.Tensor, list[int]]:
            features = torch.stack([unit(texts[text]) for text in asked]) if asked else torch.zeros(0)
            return features, self.numbers(asked)

        monkeypatch.setattr(Encoder, "images", see)
        monkeypatch.setattr(Encoder, "read", read)
        return lambda name, path, images=None, **options: BENCHMARKS[name].score(
            path, images, model, Settings(**options)
        )

    return make


def items(read: Reader, path: Path, images: Path | None) -> list[Item]:
    """What a reader gives, where it refuses no row."""
    return [row for row in read(path, images, Counter()) if isinstance(row, Item)]


def write(path: Path, body: Any) -> Path:
    """JSON, or JSONL of a list."""
    lines = path.suffix == ".jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in body) if lines else json.dumps(body))
    return path


RIGHT, NEAR, WRONG = (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)
"""Texts of cosine 1, 0.71 and 0 with the picture ``RIGHT``."""


class TestSugarCrepe:
    def row(self, n: int, **more: str) -> dict[str, str]:
        sample = make_sample(n)
        return {"caption": sample.caption, "negative_caption": sample.negatives[0].text, **more}

    def official(self, folder: Path, kinds: tuple[str, ...] = ("add_att", "swap_obj")) -> Path:
        folder.mkdir(exist_ok=True)
        for kind in kinds:
            write(folder / f"{kind}.json", {str(n): self.row(n, filename=f"{n}.jpg") for n in range(4)})
        return folder

    def test_official_folder_and_file(self, model: ClipModel, tmp_path: Path, images: Path) -> None:
        folder = self.official(tmp_path / "official")
        report = BENCHMARKS["sugarcrepe"].score(folder, images, model, Settings())
        assert {kind: a.total for kind, a in report.kinds.items()} == {"add_att": 4, "swap_obj": 4}
        assert report.images == 4
        one = items(sugarcrepe.read, folder / "add_att.json", images)
        assert [foil.kind for item in one for foil in item.foils] == ["add_att"] * 4

    def test_jsonl(self, tmp_path: Path, images: Path) -> None:
        rows = [self.row(n, image=f"images/{n}.jpg", kind="replace_rel") for n in range(3)]
        path = write(tmp_path / "items.jsonl", rows)
        for root in (None, images):
            assert [item.image for item in items(sugarcrepe.read, path, root)] == [
                make_sample(n).image for n in range(3)
            ]

    def test_all_averages(self, tmp_path: Path, images: Path, scripted: Callable[..., Any]) -> None:
        """Picture 0 has three items, all right; picture 1 one item, a tie."""
        for kind, rows in {"replace_obj": [0, 0], "replace_att": [1], "swap_att": [0]}.items():
            named = {
                str(n): {"filename": f"{p}.jpg", "caption": "true", "negative_caption": "tie" if p else "false"}
                for n, p in enumerate(rows)
            }
            write(tmp_path / f"{kind}.json", named)
        texts = {"true": RIGHT, "false": WRONG, "tie": RIGHT}
        report = scripted([RIGHT, RIGHT], texts)("sugarcrepe", tmp_path, images)
        measure = report.measure(FOILS)
        assert (measure.micro.share, measure.macro, measure.by_image) == (3 / 4, 2 / 3, 1 / 2)
        assert measure.micro.ties == 1
        assert report.authors == {"replace, mean of its files": 0.5, "swap, mean of its files": 1.0}

    def test_missing_pictures_are_listed_counted_and_refused(
        self, model: ClipModel, tmp_path: Path, images: Path
    ) -> None:
        folder = self.official(tmp_path / "official")
        (images / "2.jpg").unlink()
        with pytest.raises(InputError, match=r"1 of 4(.|\n)*2\.jpg"):
            BENCHMARKS["sugarcrepe"].score(folder, images, model, Settings())
        report = BENCHMARKS["sugarcrepe"].score(folder, images, model, Settings(max_bad=0.3))
        assert len(report.bad) == 1 and "missing" in report.bad[0]
        assert report.micro.total == 6

    def test_pictures_below_the_folder_are_found_and_outside_not(self, tmp_path: Path, images: Path) -> None:
        (tmp_path / "secret.jpg").write_bytes(b"secret")
        (images / "deep").mkdir()
        (images / "5.jpg").rename(images / "deep" / "5.jpg")
        rows = [self.row(0, image="../secret.jpg", kind="x"), self.row(5, image="elsewhere/5.jpg", kind="x")]
        path = write(tmp_path / "items.jsonl", rows)
        assert [item.image for item in items(sugarcrepe.read, path, images)] == [None, make_sample(5).image]


class TestNamesOfPictures:
    """A picture is found by its path, or by the end of it; a namesake in another folder is another picture."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in ("a/0.jpg", "b/0.jpg", "b/1.jpg", "deep/down/2.jpg"):
            (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pictures" / name).write_bytes(name.encode())
        return tmp_path / "pictures"

    @pytest.mark.parametrize(
        ("below", "name", "found"),
        [
            (".", "a/0.jpg", "a/0.jpg"),
            (".", "./a//0.jpg", "a/0.jpg"),
            (".", "b/0", "b/0.jpg"),
            (".", "1.jpg", "b/1.jpg"),
            (".", "down/2.jpg", "deep/down/2.jpg"),
            (".", "2", "deep/down/2.jpg"),
            ("b", "b/1.jpg", "b/1.jpg"),
            ("b", "pictures/b/1.jpg", "b/1.jpg"),
            ("b", "val2014/1.jpg", "b/1.jpg"),  # that folder is nowhere: the pictures lie together
            (".", "a/1.jpg", None),
            ("b", "a/b/1.jpg", None),
            ("a", "../b/1.jpg", None),
        ],
    )
    def test_a_name(self, root: Path, below: str, name: str, found: str | None) -> None:
        content = ImageFolder(root / below).read(name)
        assert content == (None if found is None else found.encode())

    def test_a_name_that_two_files_have_is_refused(self, root: Path) -> None:
        with pytest.raises(InputError, match=r"several files(.|\n)*a/0\.jpg, b/0\.jpg"):
            ImageFolder(root).read("0.jpg")

    def test_one_file_is_not_two_pictures(self, root: Path) -> None:
        pictures = ImageFolder(root / "b")
        assert pictures.read("train/0.jpg") == pictures.read("train/0.jpg") == b"b/0.jpg"
        with pytest.raises(InputError, match=r"two images(.|\n)*train/0\.jpg and val/0\.jpg"):
            pictures.read("val/0.jpg")

    def test_captions_of_two_folders_are_of_two_pictures(self, model: ClipModel) -> None:
        folder = CASES / "evaljson"
        found = items(retrieval.read, folder / "karp.json", folder / "img")
        assert [item.image_id for item in found] == ["a/0.jpg", "a/1.jpg", "a/3.jpg", "b/0.jpg", "b/1.jpg", "b/3.jpg"]
        assert [item.image for item in found] == [(folder / "img" / item.image_id).read_bytes() for item in found]

    def test_a_picture_that_is_missing_is_missing(self) -> None:
        folder = CASES / "evaljson"
        found = items(sugarcrepe.read, folder / "missing.jsonl", folder / "img")
        assert [item.image_id for item in found if item.image is None] == ["b/2.jpg"]

    def test_two_folders_of_coco_under_one_root(self) -> None:
        folder = CASES / "cocofolders"
        for name in ("captions_train2017.json", "captions_val2017.json"):
            found = items(retrieval.read, folder / name, folder / "coco")
            assert found and all(item.image for item in found)


class TestLines:
    @pytest.mark.parametrize("name", ["sep.jsonl", "bom.jsonl"])
    def test_lines_end_where_json_says(self, name: str) -> None:
        folder = CASES / "evaljson"
        rows = list(read_rows(folder / name, "captions"))
        assert [row.key for row in rows] == ["1", "2", "3", "4"]
        assert all(row.text("image") == f"a/{n}.jpg" for n, row in enumerate(rows))

    @pytest.mark.parametrize("line", ['{"a": 1, "a": 2}', "[" * 100_000, '{"a": 1', '{"a": "\\ud800"}', "9" * 5_000])
    def test_a_broken_line_is_named(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text(f'{{"image": "a.jpg"}}\n{line}\n')
        with pytest.raises(InputError, match=r"rows\.jsonl, line 2"):
            list(read_rows(path, "captions"))


class TestSugarCrepePlusPlus:
    @pytest.mark.parametrize(
        ("second", "false", "both", "text_only"),
        [
            ((1.0, 0.2), WRONG, True, True),
            ((0.6, 0.8), (0.9, 0.5), False, False),  # the paraphrase scores below the false caption
            (RIGHT, RIGHT, False, False),  # ties
            ((0.5, -1.0), (0.5, 1.2), True, True),
        ],
    )
    def test_both_tasks(
        self,
        tmp_path: Path,
        images: Path,
        scripted: Callable[..., Any],
        second: Any,
        false: Any,
        both: bool,
        text_only: bool,
    ) -> None:
        row = {"id": 0, "filename": "0.jpg", "caption": "a", "caption2": "b", "negative_caption": "c"}
        path = write(tmp_path / "swap_obj.json", [row])
        report = scripted([RIGHT], {"a": RIGHT, "b": second, "c": false})("sugarcrepe++", path, images)
        found = (report.measure(BOTH).micro.correct, report.measure(TEXT_ONLY).micro.correct)
        assert found == (both, text_only)
        assert report.authors == {"image to text, mean of files": both, "text only, mean of files": text_only}

    def test_text_only_asks_both_captions(self, tmp_path: Path, images: Path, scripted: Callable[..., Any]) -> None:
        """The first caption is nearer to its paraphrase than to the foil, the paraphrase is not."""
        row = {"filename": "0.jpg", "caption": "a", "caption2": "b", "negative_caption": "c"}
        texts = {"a": (1.0, 0.0, 0.0), "b": (0.7, 0.7, 0.0), "c": (0.3, 1.0, 0.0)}
        path = write(tmp_path / "swap_obj.json", [row])
        report = scripted([(0.0, 0.0, 1.0)], texts)("sugarcrepe++", path, images)
        assert report.measure(TEXT_ONLY).micro.correct == 0


class TestValse:
    def row(self, picture: int, votes: int, foil: str = "false") -> dict[str, Any]:
        mturk = {"foil": 3 - votes, "caption": votes, "other": 0}
        return {"dataset": "x", "image_file": f"{picture}.jpg", "caption": "true", "foil": foil, "mturk": mturk}

    def test_only_confirmed_foils_count_and_the_two_means(
        self, tmp_path: Path, images: Path, scripted: Callable[..., Any]
    ) -> None:
        files = {
            "existence": [self.row(0, 3), self.row(0, 1)],
            "counting-hard": [self.row(0, 2), self.row(0, 2, "tie")],
            "counting-adversarial": [self.row(0, 2, "tie")],
        }
        for name, rows in files.items():
            write(tmp_path / f"{name}.json", {f"{name}_{n}": row for n, row in enumerate(rows)})
        report = scripted([RIGHT], {"true": RIGHT, "false": WRONG, "tie": RIGHT})("valse", tmp_path, images)
        assert {kind: (a.correct, a.total) for kind, a in report.kinds.items()} == {
            "existence": (1, 1),
            "counting-hard": (1, 2),
            "counting-adversarial": (0, 1),
        }
        assert report.dropped == {"fewer than two of three annotators confirmed the foil": 1}
        assert report.authors["mean of 3 of the 11 files"] == 0.5
        assert report.authors["mean of 2 of the 7 categories"] == (1 + 0.25) / 2


class TestAro:
    def row(self, box: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
        names = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")
        return {
            "image_path": "0.jpg",
            "true_caption": "true",
            "false_caption": "false",
            **dict(zip(names, box, strict=True)),
            **more,
        }

    def test_the_means_of_its_authors(self, tmp_path: Path, images: Path, scripted: Callable[..., Any]) -> None:
        """Symmetric relations and rare pairs of attributes are scored but not in the authors' mean."""
        rows = [
            self.row((0, 0, 9, 9), relation_name="on"),
            self.row((0, 0, 9, 9), relation_name="under", false_caption="tie"),
            self.row((0, 0, 9, 9), relation_name="next to", false_caption="tie"),
        ]
        write(tmp_path / "visual_genome_relation.json", rows)
        many = [self.row((0, 0, 9, 9), attributes=["red", "wet"])] * 25
        few = [self.row((0, 0, 9, 9), attributes=["old", "wet"], false_caption="tie")] * 24
        write(tmp_path / "visual_genome_attribution.json", many + few)
        texts = {"true": RIGHT, "false": WRONG, "tie": RIGHT}
        report = scripted([RIGHT], texts)("aro", tmp_path, images)
        assert report.kinds["relation: next to"].total == 1
        assert report.authors == {
            "VG-Relation, mean of the 2 relations that are not symmetric": 0.5,
            "VG-Attribution, mean of the 1 pairs with 25 items or more": 1.0,
        }

    def test_pictures_are_cut_to_their_box(self, tmp_path: Path, images: Path, model: ClipModel) -> None:
        rows = [self.row((0, 0, 40, 96), relation_name="on"), self.row((50, 0, 40, 96), relation_name="on")]
        path = write(tmp_path / "visual_genome_relation.json", rows)
        first, second = items(aro.read, path, images)
        assert (first.box, second.box) == ((0, 0, 40, 96), (50, 0, 90, 96))
        assert first.image_id != second.image_id
        boxed = BENCHMARKS["aro"].score(path, images, model, Settings()).diagnostics
        whole = Image.open(images / "0.jpg")
        for n, box in enumerate((first.box, second.box)):
            whole.crop(box).save(images / f"cut{n}.png")
        cut = [{**self.row((0, 0, 40, 96), relation_name="on"), "image_path": f"cut{n}.png"} for n in range(2)]
        path = write(tmp_path / "visual_genome_relation.json", cut)
        expected = BENCHMARKS["aro"].score(path, images, model, Settings()).diagnostics
        assert boxed is not None and expected is not None
        assert boxed.numbers == expected.numbers
        halves = Image.new("RGB", (20, 10), "red")
        halves.paste("blue", (10, 0, 20, 10))
        seen = evaluation_pixels(encode(halves, "png"), lambda picture: picture, (10, 0, 20, 10))
        assert seen.shape == (10, 10, 3) and (seen == (0, 0, 255)).all()
        with pytest.raises(BadImage, match="20 x 10"):
            evaluation_pixels(encode(halves, "png"), lambda picture: picture, (30, 0, 40, 10))

    def test_a_bag_of_words_is_right_in_no_order_set(
        self, tmp_path: Path, images: Path, scripted: Callable[..., Any]
    ) -> None:
        """Equal words score alike: all ties, and the true caption, which stands first, must not profit from it."""
        row = {"image": "0.jpg", "caption_options": ["a b c", "b a c", "c b a", "a c b", "b c a"]}
        path = write(tmp_path / "coco_order.json", [row])
        report = scripted([RIGHT], dict.fromkeys(row["caption_options"], NEAR))("aro", path, images)
        assert (report.micro.ties, report.micro.total) == (4, 4)
        assert report.authors == {"order, the true caption above all others": 0.0}

    def test_one_better_order_spoils_the_item(self, tmp_path: Path, images: Path, scripted: Callable[..., Any]) -> None:
        row = {"image": "0.jpg", "caption_options": ["true", "low", "high"]}
        path = write(tmp_path / "coco_order.json", [row])
        report = scripted([RIGHT], {"true": NEAR, "low": WRONG, "high": RIGHT})("aro", path, images)
        assert report.micro.share == 0.5
        assert report.measure(ALL_FOILS).micro.share == 0


class TestTwoByTwo:
    @pytest.mark.parametrize(
        ("texts", "text", "image", "group"),
        [
            ([(1.0, 0.0), (0.0, 1.0)], 1, 1, 1),
            ([(0.9, 0.5), (0.5, 0.4)], 1, 0, 0),  # both captions score the first picture higher
            ([(0.0, 1.0), (1.0, 0.0)], 0, 0, 0),
            ([(1.0, 1.0), (1.0, 1.0)], 0, 0, 0),  # a bag of words: all ties
            ([(1.0, 0.1), (1.0, 1.2)], 1, 1, 1),
        ],
    )
    def test_winoground_and_cola(
        self, tmp_path: Path, images: Path, scripted: Callable[..., Any], texts: Any, text: int, image: int, group: int
    ) -> None:
        pictures, captions = [RIGHT, WRONG], {"one": texts[0], "two": texts[1]}
        row = {
            "id": 0,
            "image_0": "0",
            "image_1": "1",
            "caption_0": "one",
            "caption_1": "two",
            "collapsed_tag": "Object",
        }
        path = write(tmp_path / "examples.jsonl", [row])
        report = scripted(pictures, captions)("winoground", path, images)
        assert report.authors == {TEXT: text, IMAGE: image, GROUP: group}
        assert report.measure(GROUP).micro.ties == (texts[0] == texts[1])
        assert list(report.pairs) == ["Object"]
        path = write(tmp_path / "COLA_multiobjects.json", [["http://x/0.jpg", "one", "http://x/1.jpg", "two"]])
        report = scripted(pictures, captions)("cola", path, images)
        assert report.authors == {"multi-object accuracy (the image score)": image}

    def test_a_missing_twin_is_counted(self, tmp_path: Path, images: Path, model: ClipModel) -> None:
        rows = [["0.jpg", "a red circle", f"{n}.jpg", "a blue square"] for n in (1, 77)]
        path = write(tmp_path / "COLA_multiobjects.json", rows)
        with pytest.raises(InputError, match="1 of 3 images"):
            BENCHMARKS["cola"].score(path, images, model, Settings())
        report = BENCHMARKS["cola"].score(path, images, model, Settings(max_bad=0.5))
        assert report.measure(GROUP).micro.total == 1

    def test_the_single_object_file_is_refused(self, tmp_path: Path, images: Path) -> None:
        path = write(tmp_path / "COLA_singleobjects.json", [["red cup"], [["0.jpg", {}, [1], [1]]]])
        with pytest.raises(InputError, match="single-object"):
            items(cola.read, path, images)


class TestColaSingleObject:
    def test_mean_average_precision_among_hard_pictures(
        self, tmp_path: Path, images: Path, scripted: Callable[..., Any]
    ) -> None:
        """*cup*: right, wrong, right in the order of scores, and a picture that is not hard and does not count.
        *mug*: true of none, left out. *jug*: the one true picture comes last of two."""
        rows = [
            ["http://x/0.jpg", {}, [1, 0, 0], [1, 1, 1]],
            ["1.jpg", {}, [0, 0, 1], [1, 1, 1]],
            ["2.jpg", {}, [1, 0, 0], [1, 1, 0]],
            ["3.jpg", {}, [0, 0, 0], [0, 1, 0]],
        ]
        pictures = [(1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (1.0, 0.1)]
        texts = dict.fromkeys(("cup", "mug", "jug"), RIGHT)
        expected = {"mean average precision of 2 labels": pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)}
        for body in ([list(texts), rows], {"labels": list(texts), "data": rows}):
            path = write(tmp_path / "COLA_singleobjects.json", body)
            assert scripted(pictures, texts)("cola-single", path, images).authors == expected

    def test_rows_that_do_not_fit_their_labels(self, tmp_path: Path, images: Path, model: ClipModel) -> None:
        for row in (["0.jpg", {}, [1], [1, 1]], ["0.jpg", {}, [1, 2], [1, 1]], ["0.jpg"], 3):
            path = write(tmp_path / "COLA_singleobjects.json", [["cup", "mug"], [row]])
            with pytest.raises(InputError, match=r"singleobjects\.json, row 0"):
                BENCHMARKS["cola-single"].score(path, images, model, Settings())
        with pytest.raises(InputError, match="labels and data"):
            BENCHMARKS["cola-single"].score(write(path, [["0.jpg", "a", "1.jpg", "b"]]), images, model, Settings())


class TestVsr:
    def row(self, picture: int, caption: str, label: int, relation: str = "inside") -> dict[str, Any]:
        return {"image": f"{picture}.jpg", "caption": caption, "label": label, "relation": relation}

    def test_the_threshold_comes_from_the_development_split(
        self, tmp_path: Path, images: Path, scripted: Callable[..., Any]
    ) -> None:
        texts = {"high": RIGHT, "middle": (1.0, 0.5), "low": WRONG}
        write(tmp_path / "dev.jsonl", [self.row(0, "high", 1), self.row(0, "middle", 0), self.row(0, "low", 0)])
        test = [self.row(0, "high", 1), self.row(0, "middle", 1), self.row(0, "low", 0, "under")]
        write(tmp_path / "test.jsonl", test)
        report = scripted([RIGHT], texts)("vsr", tmp_path, images)
        assert report.numbers["threshold, a cosine"] == pytest.approx(1)
        assert report.authors == {"accuracy": pytest.approx(2 / 3)}
        assert report.measure(CLAIMS).by_kind["inside"].total == 2
        assert report.numbers["ROC area, all items together (a tie is a half)"] == 1

    def test_without_it_there_is_no_accuracy(self, tmp_path: Path, images: Path, model: ClipModel) -> None:
        path = write(tmp_path / "test.jsonl", [self.row(n, f"number {n}", n % 2) for n in range(6)])
        report = BENCHMARKS["vsr"].score(path, images, model, Settings())
        assert report.authors == {}
        assert 0 <= report.numbers["ROC area, all items together (a tie is a half)"] <= 1

    def test_a_label_must_be_one(self, tmp_path: Path, images: Path) -> None:
        path = write(tmp_path / "test.jsonl", [self.row(0, "x", 2)])
        with pytest.raises(InputError, match="'label' should be 0 or 1"):
            items(vsr.read, path, images)


class TestRetrieval:
    CAPTIONS = (("0.jpg", "one"), ("0.jpg", "uno"), ("1.jpg", "two"))

    def check(self, path: Path, images: Path | None) -> None:
        assert [(item.image_id, item.caption) for item in items(retrieval.read, path, images)] == list(self.CAPTIONS)

    def test_jsonl(self, tmp_path: Path, images: Path) -> None:
        rows = [{"image": name, "caption": caption} for name, caption in self.CAPTIONS]
        self.check(write(tmp_path / "captions.jsonl", rows), images)

    def test_coco(self, tmp_path: Path, images: Path) -> None:
        body = {
            "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 0)],
            "annotations": [{"image_id": int(name[0]), "caption": caption} for name, caption in self.CAPTIONS],
        }
        self.check(write(tmp_path / "captions_val.json", body), images)

    def test_karpathy_takes_the_test_split(self, tmp_path: Path, images: Path) -> None:
        body = {
            "images": [
                {"filename": "0.jpg", "split": "test", "sentences": [{"raw": "one"}, {"raw": "uno"}]},
                {"filename": "2.jpg", "split": "train", "sentences": [{"raw": "three"}]},
                {"filename": "1.jpg", "split": "test", "sentences": [{"raw": "two"}]},
            ]
        }
        path = write(tmp_path / "dataset_coco.json", body)
        self.check(path, images)
        dropped: Counter[str] = Counter()
        list(retrieval.read(path, images, dropped))
        assert dropped == {"captions of other splits than test": 1}

    def contents(self) -> dict[str, bytes]:
        return {name: make_sample(int(name[0])).image for name, _ in self.CAPTIONS}

    def test_tables(self, tmp_path: Path, images: Path) -> None:
        """Columns are chosen as `negmine parse` does; pictures are beside the table unless something else is said."""
        csv = tmp_path / "captions.csv"
        csv.write_text("Filepath;Title\n" + "".join(f"{name};{caption}\n" for name, caption in self.CAPTIONS))
        self.check(csv, images)
        beside = write(images / "captions.json", [{"image": f"./{n}", "text": text} for n, text in self.CAPTIONS])
        self.check(beside, None)
        assert {item.image_id: item.image for item in items(retrieval.read, beside, None)} == self.contents()

    def test_inputs_that_hold_their_pictures(self, tmp_path: Path, images: Path) -> None:
        """A tar, Parquet with the bytes inside, and a folder give the same pictures and captions."""
        captions: dict[str, list[str]] = {}
        for name, caption in self.CAPTIONS:
            captions.setdefault(name, []).append(caption)
        folder = tmp_path / "folder"
        folder.mkdir()
        for name, content in self.contents().items():
            (folder / name).write_bytes(content)
            (folder / name).with_suffix(".txt").write_text("\n".join(captions[name]))
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, file.name)
        table = pa.table({"image": list(self.contents().values()), "captions": list(captions.values())})
        pq.write_table(table, tmp_path / "b.parquet")
        expected = [(make_sample(int(name[0])).image, caption) for name, caption in self.CAPTIONS]
        for path in (folder, tmp_path / "a.tar", tmp_path / "b.parquet"):
            found = items(retrieval.read, path, None)
            assert [(item.image, item.caption) for item in found] == expected
            assert len({item.image_id for item in found}) == 2

    def test_refused_rows_are_counted_and_not_too_many(self, tmp_path: Path, images: Path, model: ClipModel) -> None:
        path = tmp_path / "captions.jsonl"
        rows = ['{"image": "0.jpg", "caption": "one"}', '{"image": "1.jpg", "caption": "two"}']
        path.write_text("\n".join([*rows, '{"image": "2.jpg", "caption": 3}', "{", '{"caption": "no picture"}', ""]))
        with pytest.raises(InputError, match=r"3 of 5 rows(.|\n)*captions\.jsonl, row 3(.|\n)*caption_not_text 1"):
            BENCHMARKS["retrieval"].score(path, images, model, Settings())
        report = BENCHMARKS["retrieval"].score(path, images, model, Settings(max_bad=0.6))
        assert report.dropped == {"caption_not_text": 1, "json_syntax": 1, "no_image": 1}
        assert (report.images, report.captions) == (2, 2)

    def test_a_choice_of_columns_is_said(
        self, tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.check(write(tmp_path / "c.jsonl", [{"file": n, "title": text} for n, text in self.CAPTIONS]), images)
        assert "caption <- title, image <- file" in capsys.readouterr().err

    def test_recalls_have_intervals_and_a_sum(self, tmp_path: Path, images: Path, scripted: Callable[..., Any]) -> None:
        rows = [{"image": name, "caption": caption} for name, caption in self.CAPTIONS]
        texts = {"one": RIGHT, "uno": WRONG, "two": WRONG}
        path = write(tmp_path / "captions.jsonl", rows)
        report = scripted([RIGHT, WRONG], texts)("retrieval", path, images)
        assert report.retrieval["image to text R@1"] == 0.5  # the second picture's caption ties with a wrong one
        assert report.retrieval["text to image R@1"] == pytest.approx(2 / 3)
        assert report.authors["sum of the six recalls (rsum)"] == pytest.approx(sum(report.retrieval.values()))
        assert report.measure("text to image R@1").by_image == pytest.approx(3 / 4)


class TestZeroShot:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> Path:
        root = tmp_path / "classes"
        for name, count in {"red_circle": 2, "square": 1}.items():
            (root / name).mkdir(parents=True)
            for n in range(count):
                (root / name / f"{n}.png").write_bytes(encode(draw("red", "circle", "left"), "png"))
        (root / "square" / "notes.txt").write_text("not a picture")
        return root

    PROMPTS: ClassVar = {"a photo of a red circle.": RIGHT, "a photo of a square.": WRONG}

    def test_top_1_and_the_mean_per_class(self, folders: Path, scripted: Callable[..., Any]) -> None:
        report = scripted([RIGHT, WRONG, WRONG], self.PROMPTS)("zeroshot", folders)
        assert report.authors == {"top-1": pytest.approx(2 / 3), "mean per class": pytest.approx(3 / 4)}
        assert report.dropped == {"files that are no images": 1}

    def test_a_file_without_end_is_no_picture(self, folders: Path, scripted: Callable[..., Any]) -> None:
        (folders / "square" / "huge.png").touch()
        os.truncate(folders / "square" / "huge.png", 2**40)
        with pytest.raises(InputError, match=r"1 of 4 images(.|\n)*huge.png"):
            scripted([RIGHT, WRONG, WRONG], self.PROMPTS)("zeroshot", folders)

    def test_a_class_without_pictures_is_no_number(
        self, folders: Path, scripted: Callable[..., Any], tmp_path: Path
    ) -> None:
        (folders / "empty").mkdir()
        path = write(tmp_path / "c.json", {"classes": {name: name for name in ("red circle", "square", "empty")}})
        (folders / "red_circle").rename(folders / "red circle")
        prompts = {**self.PROMPTS, "a photo of a empty.": (-1.0, 0.0)}
        report = scripted([RIGHT, WRONG, WRONG], prompts)("zeroshot", path, folders)
        changes = compare(report, report)
        assert "NaN" not in json.dumps(as_figures(report, changes))
        table = as_table(report, changes)
        assert [rows["empty"] for rows in table.values() if isinstance(rows, dict) and "empty" in rows] == [
            "no items"
        ] * 2

    def test_a_tie_is_wrong(self, folders: Path, scripted: Callable[..., Any]) -> None:
        report = scripted([NEAR] * 3, self.PROMPTS)("zeroshot", folders)
        assert report.authors["top-1"] == 0

    def test_names_and_templates_of_a_class_file(self, folders: Path, model: ClipModel, tmp_path: Path) -> None:
        body = {
            "classes": {"red_circle": ["a disc", "a circle"], "square": "a box"},
            "templates": ["{}", "a drawing of {}"],
        }
        path = write(tmp_path / "classes.json", body)
        classes, root = zeroshot.read_classes(path, folders)
        assert root == folders
        with open_encoder(model) as encoder:
            found = zeroshot.class_features(encoder, classes)
            prompts = encoder.texts(["a disc", "a drawing of a disc", "a circle", "a drawing of a circle"])
        expected = torch.nn.functional.normalize(prompts.mean(dim=0), dim=0)
        torch.testing.assert_close(found[0], expected)
        report = BENCHMARKS["zeroshot"].score(path, folders, model, Settings())
        assert report.measures[0].by_kind["a disc, a circle"].total == 2

    def test_two_classes_of_one_name_stay_two(
        self, folders: Path, scripted: Callable[..., Any], tmp_path: Path
    ) -> None:
        (folders / "empty").mkdir()
        path = write(tmp_path / "c.json", {"classes": {"red_circle": "crane", "square": "crane", "empty": "empty"}})
        prompts = {"a photo of a crane.": RIGHT, "a photo of a empty.": WRONG}
        report = scripted([RIGHT] * 3, prompts)("zeroshot", path, folders)
        totals = {label: accuracy.total for label, accuracy in report.measures[0].by_kind.items()}
        assert totals == {"crane (red_circle)": 2, "crane (square)": 1, "empty": 0}
        assert report.authors["top-1"] == 0

    def test_classes_are_those_of_open_clip(self, folders: Path, model: ClipModel) -> None:
        names, templates = ["red circle", "square", "star"], ("a photo of a {}.", "art of the {}.")
        classes = zeroshot.Classes({name: (name,) for name in names}, templates)
        with open_encoder(model) as encoder:
            ours = zeroshot.class_features(encoder, classes)
        theirs = open_clip.build_zero_shot_classifier(model.network, load_tokenizer("tiny"), names, templates)
        torch.testing.assert_close(ours, theirs.T)

    def test_what_is_no_picture_of_a_class_is_counted(self, folders: Path, tmp_path: Path) -> None:
        """Hidden files (thumbnails, macOS), pipes, links to nowhere and linked folders, beside pictures."""
        square = folders / "square"
        (square / ".thumbs").mkdir()
        for name in (".thumbs/0.png", "._0.png", "deep.JPEG"):
            (square / name).write_bytes(b"x")
        os.mkfifo(square / "pipe.png")
        (square / "lost.png").symlink_to("nowhere")
        (square / "more").symlink_to(folders / "red_circle")
        (folders / "aside").symlink_to(folders / "red_circle")  # as a class, a link is a folder
        dropped: Counter[str] = Counter()
        classes = zeroshot.Classes({"square": ("a",), "red_circle": ("b",)})
        found = list(zeroshot._images(folders, classes, dropped))
        assert [(place, file.name) for place, file in found] == [
            (0, "0.png"),
            (0, "deep.JPEG"),
            (1, "0.png"),
            (1, "1.png"),
        ]
        assert dropped == {
            "files that are no images": 3,
            "hidden files": 2,
            "linked folders in a class": 1,
            "files of folders that are no class": 2,
        }

    def test_one_level_above_the_classes(self, folders: Path, tmp_path: Path) -> None:
        for upper, lower in {"shapes": "square", "colours": "red_circle"}.items():
            (tmp_path / "above" / upper).mkdir(parents=True)
            (folders / lower).rename(tmp_path / "above" / upper / lower)
        with pytest.raises(UsageError, match=r"in folders of theirs(.|\n)*colours/red_circle"):
            zeroshot.read_classes(tmp_path / "above", None)
        path = write(tmp_path / "c.json", {"classes": {"shapes/square": "a", "colours/red_circle": "b"}})
        classes, root = zeroshot.read_classes(path, tmp_path / "above")
        dropped: Counter[str] = Counter()
        assert [place for place, _ in zeroshot._images(root, classes, dropped)] == [0, 1, 1]
        assert dropped == {"files that are no images": 1}

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"classes": {"../x": "a", "square": "b"}}, "no folder below"),
            ({"classes": {"/etc": "a", "square": "b"}}, "no folder below"),
            ({"classes": {"": "a", "square": "b"}}, "no folder below"),
            ({"classes": {"x\0": "a", "square": "b"}}, "no folder below"),
            ({"classes": {"square": "a", "square/": "b"}}, "two classes"),
            ({"classes": {"square": "a", "square/in": "b"}}, "a class too"),
            ({"classes": {"square": "a", "red_circle": ["b", None]}}, "names of red_circle"),
            ({"classes": {"square": "a", "red_circle": " "}}, "names of red_circle"),
            ({"classes": {"square": "a", "red_circle": "b"}, "templates": "a {}"}, "templates should be texts"),
            ({"classes": {"square": "a", "red_circle": "b"}, "templates": []}, "templates should be texts"),
            ({"classes": {"square": "a", "red_circle": "b"}, "template": ["a {}"]}, "known are"),
            (["square", "red_circle"], "no object 'classes'"),
        ],
    )
    def test_a_class_file_that_is_none(self, body: Any, said: str, folders: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=said):
            zeroshot.read_classes(write(tmp_path / "c.json", body), folders)

    @pytest.mark.parametrize("name", ["sqare", "x" * 5_000])
    def test_a_class_without_a_folder(self, name: str, folders: Path, tmp_path: Path) -> None:
        path = write(tmp_path / "c.json", {"classes": {name: "a", "square": "b"}})
        with pytest.raises(UsageError, match=r"1 of 2 classes have no folder"):
            zeroshot.read_classes(path, folders)

    def test_unreadable_pictures_are_refused(self, folders: Path, model: ClipModel) -> None:
        (folders / "red_circle" / "0.png").write_bytes(b"broken")
        with pytest.raises(InputError, match=r"1 of 3(.|\n)*0\.png"):
            BENCHMARKS["zeroshot"].score(folders, None, model, Settings())
        report = BENCHMARKS["zeroshot"].score(folders, None, model, Settings(max_bad=0.5))
        assert report.images == 2

    def test_what_cannot_be_chosen_among(self, tmp_path: Path, folders: Path) -> None:
        (tmp_path / "one" / "class").mkdir(parents=True)
        (folders / "square" / "0.png").rename(tmp_path / "one" / "class" / "0.png")
        with pytest.raises(UsageError, match="two classes"):
            zeroshot.read_classes(tmp_path / "one", None)
        with pytest.raises(InputError, match="class file"):
            zeroshot.read_classes(write(tmp_path / "c.json", {"names": {}}), folders)
        path = write(tmp_path / "d.json", {"classes": {"a": "a", "b": "b"}, "templates": ["a photo"]})
        with pytest.raises(UsageError, match=r"no \{\}"):
            zeroshot.read_classes(path, folders)

    @pytest.mark.parametrize(
        ("folder", "said"),
        [
            ("food", r"1 of 2 folders hold no image(.|\n)*meta(.|\n)*food/images"),
            ("split", r"splits and not classes(.|\n)*split/test"),
            ("imagenet", r"numbers of WordNet(.|\n)*n01440764"),
        ],
    )
    def test_folders_that_are_no_classes(self, folder: str, said: str, model: ClipModel) -> None:
        with pytest.raises(UsageError, match=said):
            BENCHMARKS["zeroshot"].score(CASES / "zeroshot" / folder, None, model, Settings())


FORMATS = {name: benchmark.read for name, benchmark in BENCHMARKS.items() if isinstance(benchmark, CaptionBenchmark)}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", ["{", "3", '{"0": {"caption": "a"}}', '{"0": 3}', "[[1]]", "[null]"])
def test_other_json_is_refused_with_its_place(
    name: str, content: str, tmp_path: Path, images: Path, model: ClipModel
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises((InputError, UsageError), match=r"broken\.json"):
        BENCHMARKS[name].score(path, images, model, Settings())


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_there(name: str, tmp_path: Path, images: Path) -> None:
    for path in (tmp_path / "no.json", images):
        with pytest.raises(UsageError):
            items(FORMATS[name], path, images)
    empty: Any = {"images": [{"file_name": "0.jpg"}]} if name == "retrieval" else {}
    with pytest.raises(UsageError, match="--images"):
        items(FORMATS[name], write(tmp_path / "examples.json", empty), None)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_threshold_and_area_against_trying_all(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = [float(score) for score, _ in pairs], [label for _, label in pairs]

    def met(threshold: float) -> int:
        return sum((score >= threshold) == label for score, label in zip(scores, labels, strict=True))

    assert met(best_threshold(scores, labels)) == max(met(t) for t in [*scores, 4.0])
    wins = [(a > b) + (a == b) / 2 for a, x in pairs if x for b, y in pairs if not y]
    area = area_under_curve(scores, labels)
    assert area == pytest.approx(sum(wins) / len(wins)) if wins else area != area


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, images: Path) -> None:
    broken = load_model(ModelSpec("tiny"))
    with torch.no_grad():
        broken.network.visual.proj.fill_(float("nan"))  # type: ignore[union-attr]
    row = {"filename": "0.jpg", "caption": "a", "negative_caption": "b"}
    path = write(tmp_path / "add_att.json", {"0": row})
    with pytest.raises(InputError, match="not finite"):
        BENCHMARKS["sugarcrepe"].score(path, images, broken, Settings())


def test_readers_are_all_used() -> None:
    """A format file without a registry line would be dead."""
    readers = {aro, cola, cola_single, retrieval, sugarcrepe, valse, vsr, zeroshot}
    others = [one for name, one in BENCHMARKS.items() if name not in SETS and one is not ROWS]
    assert {id(module.BENCHMARK) for module in readers} == set(map(id, others))
