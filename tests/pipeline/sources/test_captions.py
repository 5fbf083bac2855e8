"""What the texts beside an image say: one rule for tars and folders."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.sources.captions import captions_of
from negmine.sources.row import CAPTION_COLUMNS, Unusable

PARAGRAPHS = "A dog on a mat. The light is soft.\n\nBehind it there are trees.\n"


def said(**texts: str | bytes) -> list[object]:
    found = captions_of({name: text if isinstance(text, bytes) else text.encode() for name, text in texts.items()})
    return [caption for _, caption in found.texts]


def refusal(**texts: str | bytes) -> str:
    with pytest.raises(Unusable) as caught:
        said(**texts)
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "captions"),
    [
        ("a dog", ["a dog"]),
        (" a dog \n", ["a dog"]),
        ("\ufeffa dog\na cat", ["a dog", "a cat"]),
        ("a dog\r\na cat\r\n", ["a dog", "a cat"]),
        ("a dog\ra cat", ["a dog", "a cat"]),
        ("\n\n a dog\n\n\na cat\n\n", ["a dog", "a cat"]),
        ("A dog runs.\n\nA cat sleeps.", ["A dog runs.", "A cat sleeps."]),
        ("A dog. It runs.\nA cat. It sleeps.", ["A dog. It runs.", "A cat. It sleeps."]),
        ("a dog\u2028on a mat\x0bat night", ["a dog\u2028on a mat\x0bat night"]),
        (PARAGRAPHS, [PARAGRAPHS.strip()]),
    ],
)
def test_lines_are_captions_and_paragraphs_are_not(text: str, captions: list[str]) -> None:
    assert said(txt=text) == said(caption=text) == said(text=text) == captions


def test_the_json_tells_that_a_text_is_one_caption() -> None:
    """img2dataset writes an alt-text as it is, and the same into the JSON."""
    text = "SALE\nred shoes\n50 % off"
    assert said(txt=text, json=json.dumps({"caption": text, "url": "http://x"})) == [text]
    assert said(txt=text + "\r\n", json=json.dumps({"alt": " ".join(text.split())})) == [text]
    assert len(said(txt=text, json='{"caption": "red shoes"}')) == 3
    assert len(said(txt=text, json="{'caption'")) == 3


def test_lines_are_numbered() -> None:
    assert captions_of({"txt": b"\none\n\ntwo"}).texts == ((2, "one"), (4, "two"))
    assert captions_of({"txt": f"\n{PARAGRAPHS}".encode()}).texts == ((2, PARAGRAPHS.strip()),)


@pytest.mark.parametrize("name", [*CAPTION_COLUMNS, "captions", "prompt"])
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_json_under_any_name_that_jsonl_knows(name: str, change: type[str]) -> None:
    assert said(json=json.dumps({"width": 5, change(name): "a dog\non a mat"})) == ["a dog\non a mat"]
    assert said(json=json.dumps({change(name): ["a dog", "a cat"]})) == ["a dog", "a cat"]


def test_which_goes_first() -> None:
    body = '{"title": "from title", "Caption": "from json", "IMAGE_ID": 7}'
    assert said(json=body) == ["from json"]
    assert said(json=body, txt="from txt", caption="from caption", text="from text") == ["from txt"]
    assert said(json=body, txt=" \n", caption="from caption") == ["from caption"]
    assert captions_of({"json": body.encode(), "txt": b"x"}).image_id == 7


@pytest.mark.parametrize(
    ("texts", "notes"),
    [
        ({"txt": "a\nb"}, ("several_captions_of_one_text",)),
        ({"txt": PARAGRAPHS}, ("one_caption_of_several_lines",)),
        ({"txt": "a", "json": "{'a'"}, ("broken_json",)),
        ({"txt": "a", "json": b'{"exif": "Ren\xe9"}'}, ("broken_json",)),
        ({"txt": "a", "json": '{"n": ' + "9" * 5000 + "}"}, ("broken_json",)),
        ({"txt": "a", "json": "[" * 100_000}, ("broken_json",)),
        ({"txt": "a", "caption": "b"}, ("further_text",)),
        ({"txt": "a", "caption": "", "json": '{"caption": "b", "width": NaN}'}, ()),
    ],
)
def test_what_was_decided_is_noted(texts: dict[str, str | bytes], notes: tuple[str, ...]) -> None:
    content = {name: text if isinstance(text, bytes) else text.encode() for name, text in texts.items()}
    assert captions_of(content).notes == notes


def test_what_cannot_be_used() -> None:
    assert refusal() == "no_caption"
    assert refusal(txt=" \r\n\n") == "no_caption"
    assert refusal(txt="", json='{"width": 5}') == "no_caption"
    assert refusal(json='{"caption": null, "title": "the name of a file"}') == "no_caption"
    assert refusal(json='{"caption": []}') == "no_caption"
    assert refusal(json="{") == "json_syntax"
    assert refusal(json="[1]") == "not_an_object"
    assert refusal(txt="\n", json=b'{"caption": "\xe9"}') == "not_utf8"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_every_line_comes_back(lines: list[str]) -> None:
    assert said(txt="\n".join(lines)) == lines
