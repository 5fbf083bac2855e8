"""Anybody's table becomes texts of the pairs that it was written for; what finds none is counted and named."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.contract.records import Edit, Rejected, Sample, TextRow, apply_edits
from negmine.contract.shard_format import read_samples
from negmine.engine.local import LocalEngine
from negmine.language.kinds import kind_between, named_kind
from negmine.language.spacing import spaced_as
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.stage import write_shards
from negmine.stages.texts.columns import Offer
from negmine.stages.texts.join import image_name, join, loose
from negmine.stages.texts.settings import ImportSettings
from negmine.stages.texts.stage import import_texts
from negmine.store import Manifest, load_manifest, read_part

PAIRS = [
    ("k1", "val/COCO_val2014_000000000007.jpg", "A red bus on a road."),
    ("k2", "val/COCO_val2014_000000000007.jpg", "A bus."),
    ("k3", "val/b.jpg", "A dog chases a cat."),
    ("k4", "val/c.jpg", "a bus"),
]
BLUE = ("k1", "A blue bus on a road.", False, "replace_attribute")
SWAP = ("k3", "A cat chases a dog.", False, "swap_object")
ROWS = [
    {"filename": "000000000007.jpg", "caption": "A red bus on a road.", "negative_caption": "A blue bus on a road."},
    {"filename": "b.jpg", "caption": "A dog chases a cat", "negative_caption": "A cat chases a dog."},
]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    source = tmp_path / "pairs.jsonl"
    source.write_text("".join(json.dumps(dict(zip(("key", "image", "caption"), p, strict=True))) + "\n" for p in PAIRS))
    ingest(IngestSettings(str(source), part_size=2), tmp_path / "work", LocalEngine(1))
    return tmp_path / "work"


def imported(work: Path, table: Path, **said: object) -> tuple[Manifest, list[TextRow]]:
    made = import_texts(ImportSettings(str(table), name="some", **said), work, LocalEngine(1))  # type: ignore[arg-type]
    rows = [row for part in made.parts for row in read_part(work / "texts/some", part.index).to_pylist()]
    for row in rows:
        assert apply_edits(row["caption"], [Edit(**edit) for edit in row["edits"]]) == row["text"]
    pairs = [part.files[0].rows for part in load_manifest(work / "pairs").parts]
    assert [part.counts["pairs"] for part in made.parts] == pairs
    return made, rows


def told(rows: list[TextRow]) -> set[tuple[str, str, bool, str]]:
    return {(row["key"], row["text"], row["is_true"], row["kind"]) for row in rows}


def jsonl(path: Path, rows: object = ROWS) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))  # type: ignore[attr-defined]


def sugarcrepe(path: Path) -> None:
    path.mkdir()
    (path / "swap_obj.json").write_text(json.dumps({"0": ROWS[1]}, indent=1))
    (path / "replace_att.json").write_text(json.dumps({"0": ROWS[0]}))


def negclip(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["", "title", "filepath", "neg_caption", "neg_image"])
        for number, row in enumerate(ROWS):
            texts = [row["negative_caption"].replace(".", " ."), "###"]
            rows.writerow([number, row["caption"], f"coco/{row['filename']}", texts, "[1]"])


def in_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, list(ROWS[0]))
        rows.writeheader()
        rows.writerows(ROWS)


def parquet(path: Path) -> None:
    image = [{"bytes": b"not looked at", "path": row["filename"]} for row in ROWS]
    texts = {name: [row[name] for row in ROWS] for name in ("caption", "negative_caption")}
    pq.write_table(pa.table({"image": image, **texts, "type": ["Replace", "Swap"]}), path)


def slots(path: Path) -> None:
    names = ("relation_aug_caption", "adj_aug_caption", "noun_aug_caption", "verb_aug_caption")
    texts = [["###", ROWS[0]["negative_caption"], "x", "x"], [ROWS[1]["negative_caption"], "x", "x", "x"]]
    flags = [[1, 0, 1, 0, 0], [1, 1, 0, 0, 0]]
    jsonl(
        path,
        [
            {"image_id": 7 if row is ROWS[0] else "b", "caption": row["caption"], "valid_caption": flag}
            | dict(zip(names, said, strict=True))
            for row, said, flag in zip(ROWS, texts, flags, strict=True)
        ],
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", jsonl),
        ("b", sugarcrepe),
        ("c.tsv", negclip),
        ("d.csv", in_csv),
        ("e.parquet", parquet),
        ("f.jsonl", slots),
        ("g.json", lambda path: path.write_text(json.dumps(ROWS))),
    ],
)
def test_every_layout_gives_the_same_texts(
    work: Path, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    made, rows = imported(work, tmp_path / name)
    assert told(rows) == {BLUE, SWAP}
    assert made.counts.under("rejected") == {}
    assert {row["rule"] for row in rows} == {"some"}


def test_triplets_offer_true_texts_and_false_ones_to_every_pair_of_a_caption(work: Path, tmp_path: Path) -> None:
    jsonl(
        tmp_path / "t.jsonl",
        [{"anchor": "A bus", "positive": "One bus.", "negative_1": "A car", "negative_2": "A van"}],
    )
    made, rows = imported(work, tmp_path / "t.jsonl")
    texts = {("One bus.", True), ("A car", False), ("A van", False)}
    assert {(row["key"], row["text"], row["is_true"]) for row in rows} == {(k, *t) for k in ("k2", "k4") for t in texts}
    assert (made.counts["offers"], made.counts["texts"], made.counts["true"]) == (6, 6, 2)


def test_what_finds_no_pair_is_counted_and_named(work: Path, tmp_path: Path) -> None:
    caption = "A red bus on a road."
    rows: list[object] = [
        {"key": "k1", "negative": "A blue bus on a road."},
        {"key": "k1", "negative": "A blue bus on a road."},
        {"key": "k1", "caption": "A cow.", "negative": "A pig."},
        {"key": "of another", "caption": caption, "negative": "A bus on a red road."},
        {"key": "nobody's", "negative": "A bus."},
        {"image": "b.jpg", "caption": caption, "negative": "A cow."},
        {"image": "zzz.jpg", "negative": "A cow."},
        {"image": "b.jpg", "negative": "A cow.", "score": 0.25},
        {"caption": caption, "negative": " \n"},
        {"caption": caption, "negative": []},
        {"caption": caption, "negative": "A  red bus on a road."},
        {"caption": caption, "negative": ["A bus.", 7]},
        {"negative": "of nothing"},
        [],
    ]
    jsonl(tmp_path / "t.jsonl", rows)
    made, found = imported(work, tmp_path / "t.jsonl")
    assert {(row["key"], row["text"], row["score"]) for row in found} == {
        ("k1", "A blue bus on a road.", None),
        ("k1", "A bus on a red road.", None),
        ("k1", "A bus.", None),
        ("k3", "A cow.", 0.25),
    }
    assert made.counts.under("rejected") == {
        "no_such_caption": 1,  # k1 has another caption, and no pair has this one
        "no_such_key": 1,
        "other_image": 1,
        "no_such_image": 1,
        "duplicate": 1,
        "no_text": 2,
        "the_caption": 1,
        "caption_not_text": 1,
        "names_no_pair": 1,
        "not_an_object": 1,
    }
    refused = pq.read_table(work / "texts/some/rejected.parquet").to_pylist()
    assert {(row["row"], row["reason"]) for row in refused} >= {(3, "no_such_caption"), (7, "no_such_image")}
    assert made.counts["offers"] == made.counts["texts"] + len(refused)


def test_a_text_that_is_offered_as_true_and_as_false_is_neither(work: Path, tmp_path: Path) -> None:
    jsonl(tmp_path / "t.jsonl", [{"key": "k2", "positive": ["A coach.", "A van."], "negative": "A coach."}])
    made, rows = imported(work, tmp_path / "t.jsonl")
    assert [(row["text"], row["is_true"]) for row in rows] == [("A van.", True)]
    assert made.counts.under("rejected") == {"true_and_false": 2}


@pytest.mark.parametrize(
    ("row", "said", "error", "match"),
    [
        ({"caption": "x"}, {}, InputError, "no column of texts.*\n.*\n.*'caption'"),
        ({"negative": "x"}, {}, InputError, "which pairs its texts are for"),
        ({"caption": "x", "negative": "y"}, {"negative_column": ("negatve",)}, UsageError, "did you mean negative"),
        (
            {"caption": "x", "negative": "y"},
            {},
            InputError,
            "(?s)for one of the pairs.*caption 1.*for example: caption 'x'.*'k",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_what_it_has(
    work: Path, tmp_path: Path, row: dict[str, str], said: dict[str, object], error: type[Exception], match: str
) -> None:
    jsonl(tmp_path / "t.jsonl", [row])
    with pytest.raises(error, match=match):
        imported(work, tmp_path / "t.jsonl", **said)


def test_another_table_is_not_mixed_in(work: Path, tmp_path: Path) -> None:
    jsonl(tmp_path / "t.jsonl")
    imported(work, tmp_path / "t.jsonl")
    jsonl(tmp_path / "t.jsonl", ROWS[:1])
    with pytest.raises(DamagedError, match="other input"):
        imported(work, tmp_path / "t.jsonl")


NAMES = st.sampled_from(["a/1.jpg", "b/1.jpg", "b/2.jpg", "3"])
CAPTIONS = st.sampled_from(["a cat", "A cat.", "a dog", "a cow"])
KEYS = st.sampled_from(["p0", "p1", "q"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(NAMES, CAPTIONS), min_size=1, max_size=6),
    st.lists(st.tuples(st.none() | KEYS, st.none() | NAMES, st.none() | CAPTIONS), min_size=1, max_size=6),
)
def test_joining_finds_what_comparing_all_with_all_finds(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[str, str]],
    offers: list[tuple[str | None, str | None, str | None]],
) -> None:
    folder = tmp_path_factory.mktemp("join")
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    for part in range(2):
        rows = [
            {"key": f"p{i}", "image_id": image, "image": image, "caption": caption}
            for i, (image, caption) in enumerate(pairs)
            if i % 2 == part
        ]
        names = ["key", "image_id", "image", "caption"]
        pq.write_table(
            pa.table({n: pa.array([r[n] for r in rows], pa.string()) for n in names}),
            folder / f"in/part-0000{part}.parquet",
        )
    given_ = [Offer(n, "t", "text", False, None, None, k, i, c) for n, (k, i, c) in enumerate(offers)]
    usable = [one for one in given_ if one.key or one.image or one.caption]
    found = join(
        [one if one in usable else Rejected(one.row, "t", None, "x") for one in given_],
        folder / "in",
        2,
        folder / "out",
    )
    got = {
        (row["row"], 2 * row["place"] + row["part"])
        for part in range(2)
        for row in pq.read_table(folder / f"out/part-0000{part}.parquet").to_pylist()
    }
    assert got == {(one.row, i) for one in usable for i in by_comparing(one, pairs)}
    assert found.record.counts["offers"] == len(got) + sum(
        n for name, n in found.record.counts.items() if name.startswith("rejected")
    )


def by_comparing(offer: Offer, pairs: list[tuple[str, str]]) -> set[int]:
    says = {
        i for i, (_, caption) in enumerate(pairs) if offer.caption is None or loose(caption) == loose(offer.caption)
    }
    if keyed := {i for i in says if f"p{i}" == offer.key}:
        return keyed
    if offer.image is None:
        return says if offer.caption else set()
    shows = {i for i in says if image_name(pairs[i][0]) == image_name(offer.image)}
    if offer.caption is None and len({pairs[i][0] for i in shows}) > 1:
        return {i for i in shows if pairs[i][0] == offer.image}
    return shows


@pytest.mark.parametrize(
    ("caption", "text", "spaced"),
    [
        ("A yak.", "A cow .", "A cow."),
        ("A man's t-shirt", "A woman 's t - shirt", "A woman's t-shirt"),
        ("A yak .", "A cow .", "A cow ."),
        ("a cat, a dog", "a dog , a cat", "a dog, a cat"),
        ("It isn't a dog", "It is n't a cat", "It isn't a cat"),
        ("a black - and - white dog", "a white - and - black dog", "a white - and - black dog"),
    ],
)
def test_a_tokenizers_blanks_are_taken_out(caption: str, text: str, spaced: str) -> None:
    assert spaced_as(caption, text) == spaced


@given(st.text("ab .-'\n"), st.text("ab .-'\n"))
def test_nothing_but_blanks_is_taken_out(caption: str, text: str) -> None:
    assert "".join(spaced_as(caption, text).split()) == "".join(text.split())
    assert spaced_as(text, text) == text


@pytest.mark.parametrize(
    ("caption", "text", "kind"),
    [
        ("a dog chases a cat", "a cat chases a dog", "swap_object"),
        ("a red bus and a blue car", "a blue bus and a red car", "swap_attribute"),
        ("a red bus", "a blue bus", "replace_attribute"),
        ("a cat sleeps", "an elephant sleeps", "replace_object"),
        ("a man is running", "a man is sitting", "replace_action"),
        ("a cat on a table", "a cat under a table", "replace_relation"),
        ("two cats", "three cats", "replace_count"),
        ("a bus", "a red bus", "add_attribute"),
        ("a bus", "a bus and a dog", "add_object"),
        ("a dog runs", "a dog does not run", "negate"),
        ("a dog is running", "a dog is not running", "negate"),
        ("dogs run in parks", "parks in run dogs", "reorder"),
        ("a man rides a horse", "nothing of the sort happens here", "rewrite"),
    ],
)
def test_the_kind_of_an_edit_is_told_by_its_words(caption: str, text: str, kind: str) -> None:
    assert kind_between(caption, text) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("swap_obj", "swap_object"),
        ("Replace relation", "replace_relation"),
        ("add_att", "add_attribute"),
        ("adj_aug", "replace_attribute"),
        ("negation", "negate"),
        ("plurals", None),
        ("", None),
    ],
)
def test_kinds_by_other_names(name: str, kind: str | None) -> None:
    assert named_kind(name) == kind


def samples_of(path: Path) -> list[Sample]:
    with path.open("rb") as stream:
        return list(read_samples(stream, path.name))


def test_pictures_by_others_become_image_negatives_of_their_pairs(
    small_work: Path, sample: Path, tmp_path: Path
) -> None:
    """A Parquet as BiVLC's: what cannot be decoded is counted, its text stays; a shard has the bytes that it holds."""
    pairs = read_part(small_work / "pairs", 0).to_pylist()[:3]
    held = [(sample / pair["image"]).read_bytes() for pair in pairs]
    pictures = [{"bytes": content, "path": None} for content in (held[1], held[2], b"no picture")]
    columns = {
        "image": [{"bytes": b"not read", "path": pair["image"].split("/")[-1]} for pair in pairs],
        "caption": [pair["caption"] for pair in pairs],
        "negative_image": pictures,
        "negative_caption": [f"no {pair['caption']}" for pair in pairs],
    }
    pq.write_table(pa.table(columns), tmp_path / "bivlc.parquet")
    made, rows = imported(small_work, tmp_path / "bivlc.parquet")
    assert (len(rows), made.counts["pictures"], made.counts.under("picture_refused")) == (3, 2, {"image_format": 1})
    settings_ = ShardSettings(image_negatives=1, pictures=("some",), train_fraction=1)
    write_shards(settings_, small_work, tmp_path / "data", LocalEngine(1))
    samples = {one.key: one for path in (tmp_path / "data").glob("*.tar") for one in samples_of(path)}
    assert sum(len(one.image_negatives) for one in samples.values()) == 2
    for pair, content in zip(pairs[:2], held[1:], strict=True):
        sample_ = samples[pair["key"]]
        (negative,) = sample_.image_negatives
        assert (negative.caption, negative.kind, negative.rule) == (f"no {pair['caption']}", "negate", "some")
        assert sample_.image_negative_bytes == (content,)


def test_pictures_that_are_all_missing_are_refused_with_their_place(work: Path, tmp_path: Path) -> None:
    jsonl(tmp_path / "t.jsonl", [row | {"negative_image": "edited/7.png"} for row in ROWS])
    with pytest.raises(InputError, match=r"(?s)none of the pictures.*missing_image 2.*--negative-images"):
        imported(work, tmp_path / "t.jsonl")
