"""`negmine report`: what is drawn and counted, what is on the page, and what a bad folder says."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from negmine.base.errors import DamagedError, ResourceError, UsageError
from negmine.cli.app import app
from negmine.engine.local import LocalEngine
from negmine.outputs.report.charts import Curve, draw_curves, draw_histogram, thinned, ticks
from negmine.outputs.report.images import LADDER, make_album
from negmine.outputs.report.measure import histogram, measure
from negmine.outputs.report.read import ImagePlace, draw_examples, open_work
from negmine.outputs.report.run import write_report
from negmine.outputs.report.settings import ReportSettings
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from typer.testing import CliRunner

from tests.pipeline.conftest import SAMPLE, add_negatives
from tests.pipeline.neighbours.conftest import table
from tests.pipeline.report.conftest import ATTACK, write_run


class Tags(HTMLParser):
    """Every element is closed, none has a handler, none asks the network."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert (value or "").startswith(("data:", "#"))
            if name == "id":
                self.ids.append(value or "")
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    return tags


def write(work: Path, **settings: Any) -> str:
    write_report(ReportSettings(work, **settings), work / "report.html")
    return (work / "report.html").read_text()


def images_in(text: str) -> list[str]:
    """Thumbnails in base 64."""
    found = re.search(r'<script type="application/json" id="images">(.*?)</script>', text)
    assert found
    return list(json.loads(found[1]))


# --- the draw --------------------------------------------------------------------------------------------------------


def test_the_draw_does_not_depend_on_parts_and_follows_the_seed(tmp_path: Path) -> None:
    keys = {}
    for size in (60, 400):
        work = tmp_path / str(size)
        settings = IngestSettings(str(SAMPLE / "captions.jsonl"), images=str(SAMPLE), part_size=size)
        ingest(settings, work, LocalEngine(1))
        add_negatives(work, 1)
        keys[size] = [example.key for example in draw_examples(open_work(work), 40, 0)]
        assert keys[size] != [example.key for example in draw_examples(open_work(work), 40, 1)]
    assert keys[60] == keys[400]
    assert len(set(keys[60])) == 40


def test_each_kind_is_there_however_rare(parsed_work: Path) -> None:
    kinds = Counter(row["kind"] for row in table(parsed_work / "negatives"))
    assert min(kinds.values()) < 20 < max(kinds.values())  # one caption in twenty or so
    shown = draw_examples(open_work(parsed_work), 40, 3)
    assert {one.kind for example in shown for one in example.negatives} == set(kinds)


def test_an_example_is_what_the_tables_say(mined_work: Path) -> None:
    work = open_work(mined_work)
    rows, captions = (
        table(mined_work / "neighbours"),
        {row["key"]: row["caption"] for row in table(mined_work / "pairs")},
    )
    refused = 0
    for example in draw_examples(work, 30, 0):
        own = [row for row in rows if row["key"] == example.key]
        assert example.kept == sum(row["keep"] for row in own)
        assert example.selected == sum(row["selected"] for row in own)
        by_key = {row["neighbour_key"]: row for row in own}
        for one in example.candidates:
            row = by_key[one.key]
            assert (one.reason, one.selected, one.rank) == (row["reason"], row["selected"], row["rank"])
            assert one.caption == captions[one.key]
            assert one.image is not None and (one.selected or one.reason)
            refused += one.reason is not None
        assert {one.reason for one in example.candidates if one.reason} <= example.refused.keys()
        assert all(example.caption == captions[example.key] for _ in example.negatives)
    assert refused


def test_images_of_figures_belong_to_their_captions(figures_work: Path) -> None:
    groups = {row["key"]: row for row in table(figures_work / "figures")}
    examples = draw_examples(open_work(figures_work), 12, 0)
    assert len(examples) == 12
    for example in examples:
        members = groups[example.key]["members"]
        assert [one.text for one in example.negatives] == [member["caption"] for member in members[1:]]
        for one, member in zip(example.negatives, members[1:], strict=True):
            assert one.image is not None
            assert (one.image.offset, one.image.size) == (member["offset"], member["bytes"])


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_histograms_count_everything_once() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=1_000), np.concatenate([rng.normal(size=500), [1e6]])
    found = histogram("t", "", {"one": one, "two": two, "none": np.empty(0)})
    assert [(series.name, series.total) for series in found.series] == [("one", 1_000), ("two", 501)]
    inside = np.histogram(one, found.edges)[0]
    assert list(found.series[0].counts[1:-1]) == inside[1:-1].tolist()
    assert found.edges[-1] < 10  # one value far away does not flatten the others


def test_whole_numbers_have_bins_of_their_own() -> None:
    found = histogram("words", "", {"a": np.array([3, 3, 5, 9]), "b": np.array([4])}, whole=True)
    assert found.edges == tuple(range(3, 11))
    assert found.series[0].counts == (2, 0, 1, 0, 0, 0, 1)
    assert histogram("words", "", {"a": np.full(4, 7)}, whole=True).series[0].counts == (4,)
    assert histogram("scores", "", {"a": np.full(4, 0.5)}).series[0].total == 4


def test_measures_are_those_of_the_tables(mined_work: Path) -> None:
    found = measure(open_work(mined_work))
    rows = table(mined_work / "neighbours")
    totals = {series.name: series.total for series in found.histograms[-1].series}
    assert totals["selected"] == sum(row["selected"] for row in rows)
    assert totals["refused"] == sum(row["reason"] not in (None, "itself", "same_image") for row in rows)
    assert sum(found.refused.values()) == sum(row["reason"] is not None for row in rows)
    texts = [row["negative"] for row in table(mined_work / "negatives")]
    words = next(one for one in found.histograms if one.whole)
    assert words.series[1].total == len(texts)
    eights = sum(len(text.split()) == 8 for text in texts)
    assert words.series[1].counts[words.edges.index(8.0)] == eights > 0


def test_guards_add_up(parsed_work: Path) -> None:
    rules = measure(open_work(parsed_work)).rules
    assert rules
    for rule in rules:
        assert rule.proposed == rule.accepted + sum(rule.refused.values())
    assert any(rule.refused for rule in rules)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 0.5, 4) == [0, 0.2, 0.4]
    assert ticks(3, 41, 6) == [10, 20, 30, 40]
    assert ticks(-2.3, 1.2, 4) == [-2, -1, 0, 1]


def test_curves_are_thinned_without_losing_the_end() -> None:
    points = [(float(n), float(n)) for n in range(10_001)]
    few = thinned(points)
    assert len(few) < 300 and few[-1] == points[-1]
    assert all(x == y for x, y in few)
    svg = draw_curves("loss <1>", [Curve(0, "<b>", points), Curve(1, "b", [(0.0, 5.0)])], percent=False)
    assert "loss &lt;1&gt;" in svg and "<b>" not in svg


def test_a_bin_tells_its_counts() -> None:
    svg = draw_histogram(histogram("words", "", {"a": np.array([3, 3, 5])}, whole=True))
    assert "<title>3: a 2</title>" in svg and "<title>5: a 1</title>" in svg


# --- images --------------------------------------------------------------------------------------------------------


def some_images(count: int) -> list[ImagePlace]:
    return [ImagePlace("pairs", f"images/{path.name}", None, None) for path in sorted((SAMPLE / "images").iterdir())][
        :count
    ]


def test_thumbnails_keep_the_budget_and_are_as_large_as_it_allows() -> None:
    images, roots = some_images(20), {"pairs": str(SAMPLE)}
    large = make_album(images, roots, 10_000_000)
    assert large.side == LADDER[0][0]
    total = sum(map(len, large.urls.values()))
    smaller = make_album(images, roots, total - 1)
    assert smaller.side == LADDER[1][0]
    assert sum(map(len, smaller.urls.values())) < total
    few = make_album(images, roots, 10_000)
    assert few.side == LADDER[-1][0] and 0 < len(few.urls) < 20
    assert list(few.urls) == images[: len(few.urls)]
    assert few.missing == {"no_room": 20 - len(few.urls)}
    assert sum(map(len, few.urls.values())) <= 10_000


def test_a_image_is_there_once_and_missing_ones_are_counted(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    images = [
        *some_images(3),
        *some_images(2),
        ImagePlace("pairs", "images/gone.jpg", None, None),
        ImagePlace("figures", "bad.jpg", None, None),
        ImagePlace("elsewhere", "x.jpg", None, None),
    ]
    album = make_album(images, {"pairs": str(SAMPLE), "figures": str(tmp_path), "elsewhere": None}, 10_000_000)
    assert len(album.urls) == 3
    assert album.missing == {"missing_image": 1, "image_format": 1, "no_image_root": 1}


# --- the page --------------------------------------------------------------------------------------------------------


def test_texts_of_strangers_do_no_harm(mined_work: Path) -> None:
    text = write(mined_work)
    tags = parsed(text)
    assert tags.seen["script"] == 2  # the images, which do not run, and our own
    assert tags.seen["b"] and "<script>alert" not in text and ATTACK not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # the caption, its two negatives, the image
    assert not re.search(r"https?://", text)


def test_what_is_on_the_page_of_photos(mined_work: Path) -> None:
    text = write(mined_work, examples=25)
    tags = parsed(text)
    assert tags.seen["article"] == 25 + 3  # and a card for each stage
    assert len(images_in(text)) == len(set(re.findall(r'data-image="(\d+)"', text)))
    assert "refused: near_text" in text and ">selected<" in text
    manifest = json.loads((mined_work / "neighbours" / "manifest.json").read_text())
    assert manifest["fingerprint"][:16] in text
    assert str(SAMPLE) not in text  # where images lie is nobody's business
    assert "were not audited" in text


def test_what_is_on_the_page_of_figures(figures_work: Path) -> None:
    text = write(figures_work, examples=10)
    parsed(text)
    examples = draw_examples(open_work(figures_work), 10, 0)
    assert len(images_in(text)) == sum(1 + len(example.negatives) for example in examples)
    assert "Image negatives" in text and "positive" in text


def test_the_audit_is_shown_if_there_is_one(parsed_work: Path) -> None:
    audited = CliRunner().invoke(
        app, ["audit", "--work", str(parsed_work), "--attackers", "word", "--sample", "300", "--overwrite"]
    )
    assert audited.exit_code == 0, audited.output
    text = write(parsed_work, examples=5)
    parsed(text)
    report = json.loads((parsed_work / "audit" / "audit.json").read_text())
    accuracy = report["kinds"]["all"]["blind"]["word"]["accuracy"]
    assert f"{100 * accuracy:.1f}<span class=scale>" in text
    assert "audit is of" not in text
    report["kinds"]["all"]["negatives"] += 1
    (parsed_work / "audit" / "audit.json").write_text(json.dumps(report))
    assert "audit them again" in write(parsed_work, examples=5)
    (parsed_work / "audit" / "audit.json").write_text("{}")
    with pytest.raises(DamagedError, match="audit"):
        write(parsed_work)


def test_two_hundred_pairs_fit_into_five_megabytes(figures_work: Path, mined_work: Path) -> None:
    for work in (figures_work, mined_work):
        shown = write_report(ReportSettings(work), work / "report.html")
        assert shown["pairs shown"] > 50
        assert (work / "report.html").stat().st_size <= 25_000 * shown["pairs shown"]


def test_the_same_page_twice_has_the_same_bytes(mined_work: Path) -> None:
    assert write(mined_work, examples=30) == write(mined_work, examples=30)
    assert write(mined_work, examples=30) != write(mined_work, examples=30, seed=1)


def test_long_captions_are_cut_where_nothing_changed(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (SAMPLE / "captions.jsonl").read_text().splitlines()[:60]]
    for number, row in enumerate(rows):
        row["caption"] = f"{number} " + "a dog & a cat < " * 120
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = tmp_path / "work"
    ingest(IngestSettings(str(tmp_path / "c.jsonl"), images=str(SAMPLE)), work, LocalEngine(1))
    add_negatives(work, 4)
    text = write(work)
    assert text.count("<ins>no </ins>") == 60 * 4
    assert len(text) - sum(map(len, images_in(text))) < 60 * 6_000 + 50_000


def test_pairs_alone_make_a_page(tmp_path: Path) -> None:
    source = tmp_path / "c.jsonl"
    source.write_text('{"caption": "a dog"}\n{"caption": "two cats"}\n')
    ingest(IngestSettings(str(source)), tmp_path / "work", LocalEngine(1))
    text = write(tmp_path / "work")
    assert parsed(text).seen["article"] == 3
    assert images_in(text) == []


def test_lost_images_are_told(mined_work: Path, tmp_path: Path) -> None:
    text = write(mined_work, images=str(tmp_path), examples=20)
    assert images_in(text) == []
    assert "images could not be shown: missing_image" in text and "image could not be read" in text


# --- training runs ---------------------------------------------------------------------------------------------------


def test_runs_side_by_side(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "clip", 0.5)
    write_run(tmp_path / "b", "ahnpl", 0.75, kinds={"swap_object": 0.9, "negate": 0.25})
    write_report(ReportSettings(None, runs=(tmp_path / "a", tmp_path / "b")), tmp_path / "out" / "runs.html")
    text = (tmp_path / "out" / "runs.html").read_text()
    tags = parsed(text)
    assert tags.seen["polyline"] == 4  # loss and accuracy of each
    assert "recipe clip" in text and "recipe ahnpl" in text and "seed" in text
    assert text.index("negate</span></td><td>–</td>") < text.index("swap_object</span>")
    assert re.search(r'<td>90\.0</td><td class="bar"><i class="r1" style="width:90\.0%">', text)


def test_names_and_settings_of_runs_do_no_harm(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "<script>run", "<script>recipe", 0.5, kinds={"<script>kind": 0.5})
    write_report(ReportSettings(None, runs=(folder, write_run(tmp_path / "b", "clip", 0.5))), tmp_path / "r.html")
    tags = parsed((tmp_path / "r.html").read_text())
    assert tags.seen["script"] == 2


def test_a_work_folder_and_runs_on_one_page(figures_work: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "a", "clip", 0.5)
    shown = CliRunner().invoke(
        app,
        [
            "report",
            str(tmp_path / "a"),
            "--work",
            str(figures_work),
            "--out",
            str(tmp_path / "r.html"),
            "--examples",
            "6",
            "--json",
        ],
    )
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["figures"]["runs"] == 1
    assert re.findall(r'<section data-view="(\w+)"', (tmp_path / "r.html").read_text()) == [
        "examples",
        "numbers",
        "audit",
        "training",
        "run",
    ]


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        write_report(ReportSettings(None, runs=(tmp_path,)), tmp_path / "r.html")
    folder = write_run(tmp_path / "a", "clip", 0.5)
    with (folder / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": "x"}\n{"step": 3, "loss"')  # the last line is one that a crash has cut
    with pytest.raises(DamagedError, match="row of metrics") as caught:
        write_report(ReportSettings(None, runs=(folder,)), tmp_path / "r.html")
    assert "line 5" in str(caught.value)


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", "clip", 0.5)
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": NaN}\n')
    write_report(ReportSettings(None, runs=(folder,)), tmp_path / "r.html")
    assert "NaN" not in (tmp_path / "r.html").read_text().lower().replace("nan", "NaN").split("<script")[0]


# --- bad folders -----------------------------------------------------------------------------------------------------


def test_no_work_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no pairs yet"):
        write(tmp_path / "nothing")


def test_stages_of_other_pairs_are_not_mixed(small_work: Path, tmp_path: Path) -> None:
    add_negatives(small_work)
    other = tmp_path / "other"
    (tmp_path / "c.jsonl").write_text('{"caption": "a dog"}\n')
    ingest(IngestSettings(str(tmp_path / "c.jsonl")), other, LocalEngine(1))
    (small_work / "negatives").rename(other / "negatives")
    with pytest.raises(DamagedError, match="made from other pairs"):
        write(other)


def test_a_stage_that_is_not_finished_is_named(small_work: Path) -> None:
    add_negatives(small_work)
    (small_work / "negatives" / "manifest.json").unlink()
    (small_work / "negatives" / ".journal.jsonl").write_text("")
    assert "Negatives are not finished" in write(small_work, examples=5)


def test_a_place_that_cannot_be_written(small_work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="could not read or write"):
        write_report(ReportSettings(small_work, examples=3), tmp_path / "file" / "r.html")
    shown = write_report(ReportSettings(small_work, examples=3), tmp_path / "folder" / "r.html")
    assert shown["images"] == 3 and shown["images left out"] == {}
