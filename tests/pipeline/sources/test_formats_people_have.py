"""Files in the forms that people have: read right, or refused with what they are and what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import Rejected
from negmine.sources import Columns, Row, open_source

from tests.pipeline.sources.reading import read_all

CASES = Path(__file__).parents[2] / "cases"
CAPTIONS = (
    "a brown dog chases a white cat",
    "a man rides a red bicycle",
    "two girls sit on a wooden bench",
    "a bus stops near a green tree",
    "a woman holds a black umbrella",
    "a boy kicks a yellow ball",
    "a cat sleeps on a blue sofa",
    "a horse stands beside a fence",
    "a plate of pasta on a table",
    "a train passes under a bridge",
)
FLICKR = (
    "A black dog and a white dog run on grass .",
    "A man , a boy and a girl sit on a bench .",
    "Two men in red shirts , blue pants and caps play ball .",
    "A woman holds a cup .",
    "A child in a hat , outside , points at a bird .",
    "A cat sleeps .",
    "A boy kicks a ball , and a girl watches .",
    "A bus stops .",
    "A horse runs .",
    "A man reads .",
)


def read(
    path: Path, columns: Columns | None = None, images: str | None = None
) -> tuple[list[Row | Rejected], list[str]]:
    """Rows, and what the reader says it chose."""
    source = open_source(str(path), columns=columns, images=images)
    rows, noted = read_all(source, path)
    return rows, [name for name in noted if name.startswith(("columns:", "folder:"))]


def pairs(rows: list[Row | Rejected]) -> list[tuple[str | None, str]]:
    return [(row.image, row.caption) for row in rows if isinstance(row, Row)]


# --- read right ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "image", "chosen"),
    [
        ("col_Caption.csv", "{}.jpg", "caption <- Caption, image <- image"),
        ("col_comment.csv", "{}.jpg", "caption <- comment, image <- image"),
        ("col_description.csv", "{}.jpg", "caption <- description, image <- image"),
        ("col_filename.csv", "{}.jpg", "caption <- caption, image <- filename"),
        ("col_image_path.csv", "{}.jpg", "caption <- caption, image <- image_path"),
        ("col_prompt.csv", "{}.jpg", "caption <- prompt, image <- image"),
        ("col_raw_caption.csv", "{}.jpg", "caption <- raw_caption, image <- image"),
        ("col_upper.jsonl", "{}.jpg", "caption <- Caption, image <- Image"),
        ("col_upper.parquet", "{}.jpg", "caption <- Caption, image <- Image"),
        ("laion.parquet", "http://example.com/{}.jpg", "caption <- TEXT, image <- URL"),
        ("00000.parquet", "http://example.com/{}.jpg", "caption <- caption, image <- url, key <- key"),
        ("hf_struct.parquet", "hf_struct.parquet::image.bytes[{1}]", "caption <- text, image <- image"),
        ("llava.json", "{}.jpg", "caption <- conversations, image <- image"),
        ("llava.jsonl", "{}.jpg", "caption <- conversations, image <- image"),
        ("textcaps.json", "{}", "caption <- caption_str, image <- image_name"),
        ("urls.jsonl", "https://example.com/{}.jpg", "caption <- caption, image <- image"),
        ("win.jsonl", "img\\{}.jpg", "caption <- caption, image <- image"),
    ],
)
def test_names_that_columns_have(file: str, image: str, chosen: str) -> None:
    rows, said = read(CASES / "formats" / file)
    assert pairs(rows) == [(image.format(n, n + 1), caption) for n, caption in enumerate(CAPTIONS)]
    assert said == [f"columns:{chosen}"]


@pytest.mark.parametrize("file", ["coco_str.json", "vizwiz.json"])
def test_coco_ids_may_be_text(file: str) -> None:
    rows, _ = read(CASES / "formats" / file)
    canned = "Quality issues are too severe to recognize visual content."
    expected = [canned if file == "vizwiz.json" and n % 3 == 0 else caption for n, caption in enumerate(CAPTIONS)]
    assert pairs(rows) == [(f"{n}.jpg", caption) for n, caption in enumerate(expected)]


@pytest.mark.parametrize("file", ["caplist.jsonl", "hf_list.parquet", "flickr_annotations_30k.csv"])
def test_a_list_of_captions_is_a_row_for_each(file: str) -> None:
    rows, _ = read(CASES / "formats" / file)
    expected = [(f"{n}.jpg", text) for n, caption in enumerate(CAPTIONS) for text in (caption, f"{caption} today")]
    assert pairs(rows) == expected


def test_a_table_of_quotes_as_characters() -> None:
    rows, _ = read(CASES / "formats" / "quotes.tsv")
    captions = [*CAPTIONS[:2], '"' + CAPTIONS[2], *CAPTIONS[3:6], CAPTIONS[6] + '"', *CAPTIONS[7:]]
    assert pairs(rows) == [(f"{n}.jpg", caption) for n, caption in enumerate(captions)]


def test_a_blank_before_a_quote() -> None:
    rows, _ = read(CASES / "formats" / "space.csv")
    assert pairs(rows) == [(f"{n}.jpg", f"{caption}, outside") for n, caption in enumerate(CAPTIONS)]


def test_flickr30ks_table_with_bars() -> None:
    rows, said = read(CASES / "formats" / "results.csv")
    assert said == ["columns:caption <- comment, image <- image_name"]
    assert pairs(rows) == [(f"{n // 3}.jpg", f"{CAPTIONS[n // 3]} .") for n in range(12) if n != 4]
    assert [(row.row, row.reason) for row in rows if isinstance(row, Rejected)] == [(6, "column_count")]


def test_captions_with_bare_commas() -> None:
    path = CASES / "flickr_txt" / "captions.txt"
    rows, noted = read_all(open_source(str(path)), path)
    assert pairs(rows) == [(f"{100 + n}_{'ab'[n % 2]}.jpg", caption) for n, caption in enumerate(FLICKR)]
    assert noted["bare_delimiter"] == sum("," in caption for caption in FLICKR)


def test_columns_as_lists() -> None:
    rows, said = read(CASES / "flickr_txt" / "sbu.json")
    assert pairs(rows) == [(f"http://example.com/{n}.jpg", caption) for n, caption in enumerate(FLICKR)]
    assert said == ["columns:caption <- captions, image <- image_urls"]


@pytest.mark.parametrize("file", ["title_null.jsonl", "title_null.csv", "text_null.parquet"])
def test_a_missing_caption_is_not_taken_from_another_column(file: str) -> None:
    rows, said = read(CASES / "formats" / file)
    assert [(image, text) for image, text in pairs(rows) if text] == [
        (f"{n}.jpg", CAPTIONS[n]) for n in (1, 3, 5, 7, 9)
    ]
    assert len(rows) == 10
    assert said == ["columns:caption <- caption, image <- image"]


def test_names_of_nothing_are_no_captions() -> None:
    rows, _ = read(CASES / "misc" / "strnan.csv")
    assert pairs(rows) == [("5.jpg", CAPTIONS[5])]
    assert [row.reason for row in rows if isinstance(row, Rejected)] == ["no_caption"] * 5


def test_nan_in_json_is_a_number_in_every_format() -> None:
    rows, _ = read(CASES / "misc" / "nan_coco.json")
    assert pairs(rows) == [(f"{n}.jpg", caption) for n, caption in enumerate(CAPTIONS[:6])]


def test_line_separators_and_byte_order_marks_in_jsonl() -> None:
    rows, _ = read(CASES / "evaljson" / "sep.jsonl")
    assert [row.caption for row in rows if isinstance(row, Row)] == [
        "a dog on a mat\u2028by the door" if n == 1 else "a dog on a mat" for n in range(4)
    ]
    rows, _ = read(CASES / "evaljson" / "bom.jsonl")
    assert pairs(rows) == [(f"a/{n}.jpg", f"a dog {n}") for n in range(4)]


def test_the_splits_of_coco_under_one_root() -> None:
    root = CASES / "cocofolders"
    rows, said = read(root / "captions_{train,val}2017.json", images=str(root / "coco"))
    assert said == ["folder:train2017/", "folder:val2017/"]
    images = [image for image, _ in pairs(rows)]
    assert len(images) == 8
    assert all((root / "coco" / (image or "")).is_file() for image in images)
    rows, said = read(root / "captions_val2017.json", images=str(root / "coco" / "val2017"))
    assert said == []
    assert [image for image, _ in pairs(rows)] == [f"{n:012}.jpg" for n in range(10, 14)]


# --- what the options read -------------------------------------------------------------------------------------------


def test_a_table_without_a_header_names_the_options_that_read_it() -> None:
    path = CASES / "formats" / "cc3m.tsv"
    with pytest.raises(InputError, match="--no-header --caption-column 1 --image-column 2"):
        read(path)
    rows, _ = read(path, Columns(caption="1", image="2", header=False))
    assert pairs(rows) == [(f"http://example.com/{n}.jpg", caption) for n, caption in enumerate(CAPTIONS)]
    assert [row.row for row in rows] == list(range(1, 11))


NARRATIVE = {
    "dataset_id": "mscoco_val2017",
    "image_id": "137576",
    "annotator_id": 93,
    "caption": "In this image a dog runs.",
    "timed_caption": [{"utterance": "In this image"}],
    "traces": [[{"x": 0.5, "y": 0.5, "t": 0}] * 3000],
}
RED_CAPS = {
    "info": {"description": "RedCaps", "url": "https://redcaps.xyz"},
    "annotations": [
        {
            "image_id": f"k{n}",
            "author": "x",
            "url": f"https://i.redd.it/{n}.jpg",
            "raw_caption": f"RAW {text}",
            "caption": text,
            "subreddit": "pics",
        }
        for n, text in enumerate(CAPTIONS)
    ],
}


def test_localized_narratives(tmp_path: Path) -> None:
    path = tmp_path / "ln.jsonl"
    path.write_text((json.dumps(NARRATIVE) + "\n") * 3)
    rows, said = read(path)
    assert pairs(rows) == [(None, "In this image a dog runs.")] * 3
    assert said[0].startswith("columns:caption <- caption, no column names the images (among dataset_id, image_id")
    rows, _ = read(path, Columns(image="val2017/{image_id:0>12}.jpg"))
    assert pairs(rows)[0] == ("val2017/000000137576.jpg", "In this image a dog runs.")


def test_redcaps_is_no_coco(tmp_path: Path) -> None:
    path = tmp_path / "redcaps.json"
    path.write_text(json.dumps(RED_CAPS))
    rows, said = read(path)
    assert said == ["columns:caption <- caption, image <- url"]
    assert pairs(rows)[3] == ("https://i.redd.it/3.jpg", CAPTIONS[3])
    rows, _ = read(path, Columns(caption="raw_caption", image="{subreddit}/{image_id}.jpg"))
    assert pairs(rows) == [(f"pics/k{n}.jpg", f"RAW {text}") for n, text in enumerate(CAPTIONS)]


@pytest.mark.parametrize("file", ["col_image_path.csv", "col_upper.jsonl", "laion.parquet", "llava.json", "sbu"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(file: str) -> None:
    path = CASES / "formats" / file if file != "sbu" else CASES / "flickr_txt" / "sbu.json"
    with pytest.raises(UsageError, match=r"no column 'imag'(.|\n)*(Image|image|URL)"):
        read(path, Columns(image="imag"))


def test_columns_are_named_whatever_their_case_and_key_and_delimiter_too(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Photo Path~Words~No\na.jpg~a cat~7.0\n")
    rows, _ = read(path, Columns(caption="words", image="photo_path", key="no", delimiter="~"))
    assert rows == [Row(2, "a.txt", "a.jpg", "a cat", "7", None)]


@pytest.mark.parametrize("content", [b"image,Caption,caption \na.jpg,x,y\n", b'{"caption": "x", "Caption": "y"}\n'])
def test_two_columns_of_one_name_are_refused_unless_one_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError, match="--caption-column"):
        read(path)
    rows, _ = read(path, Columns(caption="Caption"))
    assert [caption for _, caption in pairs(rows)] == [("x" if content.startswith(b"image") else "y")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimiter": "ab"}, "cannot separate"),
        ({"delimiter": '"'}, "cannot separate"),
        ({"image": "{}.jpg"}, "pattern"),
        ({"image": "{image_id.jpg"}, "pattern"),
        ({"image": "{image_id:{key}}.jpg"}, "pattern"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Columns(**options)  # type: ignore[arg-type]


def test_a_format_without_columns_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="coco has no columns"):
        read(CASES / "formats" / "vizwiz.json", Columns(caption="caption"))


# --- forms of conversations and arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "caption"),
    [
        ([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a dog"}, {"from": "gpt", "value": "b"}], "a dog"),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a dog"}], "a dog"),
        ([{"role": "assistant", "content": [{"type": "image"}, {"type": "text", "text": "a dog"}]}], "a dog"),
        ([{"from": "human", "value": "q"}], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "array", "named array"])
def test_the_answer_of_a_conversation_is_the_caption(
    tmp_path: Path, turns: list[object], caption: str | None, form: str
) -> None:
    row = {"id": "1", "image": "a.jpg", "messages": turns}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"jsonl": row, "array": [row, row], "named array": {"n": 1, "data": [row]}}[form]))
    rows, _ = read(path)
    assert len(rows) == (2 if form == "array" else 1)
    assert {row.caption if isinstance(row, Row) else None for row in rows} == {caption}


@pytest.mark.parametrize(
    ("text", "name", "captions"),
    [
        ('[{"image": "a.jpg", "caption": "x"},\n{"image": "b.jpg", "caption": "y"}]', "json", ["x", "y"]),
        ('{"data": [\n{"caption": "x"}\n]}', "json", ["x"]),
        ('{"image": "a.jpg", "caption": "x", "regions": [{"caption": "y"}]}', "jsonl", ["x"]),
        ('{"image": "a.jpg", "caption": ["x", "y"]}', "jsonl", ["x", "y"]),
        ('{"caption": "x", "tags": [{"text": "y"}]}\n{"caption": "z"}\n', "jsonl", ["x", "z"]),
        ('{"image": ["a.jpg", "b.jpg"], "caption": ["x", "y"]}', "json", ["x", "y"]),
    ],
)
def test_a_document_and_a_line_are_told_apart(tmp_path: Path, text: str, name: str, captions: list[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    source = open_source(str(path))
    assert source.name == name
    assert [row.caption for row in source.read(str(path)) if isinstance(row, Row)] == captions


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"image_urls": ["a", "b"], "captions": ["x"]}')
    with pytest.raises(InputError, match="differ in length"):
        read(path)


def test_columns_are_chosen_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,caption\na.jpg,x\n")
    (tmp_path / "b.csv").write_text("file_name,text\nb.jpg,y\n")
    rows, said = read(tmp_path / "*.csv")
    assert pairs(rows) == [("a.jpg", "x"), ("b.jpg", "y")]
    assert said == ["columns:caption <- caption, image <- image", "columns:caption <- text, image <- file_name"]


def test_img2datasets_parquet_holds_the_images(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"url": ["http://x/0.jpg"], "key": ["0"], "caption": ["x"], "jpg": [b"image"]}),
        tmp_path / "a.parquet",
    )
    rows, said = read(tmp_path / "a.parquet")
    assert pairs(rows) == [("a.parquet::jpg[1]", "x")]
    assert said == ["columns:caption <- caption, image <- jpg, key <- key"]


def test_hugging_faces_paths_count_where_no_bytes_are(tmp_path: Path) -> None:
    cells = [{"bytes": None, "path": f"{n}.jpg"} for n in range(3)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind), "text": ["x", "y", "z"]}), tmp_path / "a.parquet")
    rows, _ = read(tmp_path / "a.parquet")
    assert [image for image, _ in pairs(rows)] == ["0.jpg", "1.jpg", "2.jpg"]
