"""Texts by others: the edits that make them of captions, and the parts they lie in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.errors import DamagedError, UsageError
from negmine.contract.records import TEXTS, Edit, Text, apply_edits
from negmine.language.difference import edits_between
from negmine.store import read_part, write_table
from negmine.store.texts import check_name, texts_stage, write_texts

WORDS = st.lists(st.sampled_from(["a", "an", "A", "dog", "cat's", "red", ",", ".", "<person>", " ", "  ", "\n"]))


@given(WORDS.map("".join), WORDS.map("".join))
def test_edits_make_the_text(caption: str, text: str) -> None:
    edits = edits_between(caption, text)
    assert apply_edits(caption, edits) == text
    assert all(edit.old != edit.new for edit in edits)


@pytest.mark.parametrize(
    ("caption", "text", "edits"),
    [
        ("A red bus.", "A blue bus.", [(2, 5, "red", "blue")]),
        ("a dog chases a cat", "a cat chases a dog", [(2, 5, "dog", "cat"), (15, 18, "cat", "dog")]),
        ("a bus", "a red bus", [(1, 1, "", " red")]),
        ("a red bus", "a bus", [(1, 5, " red", "")]),
        ("Bus on a road", "Red Bus on a road", [(0, 0, "", "Red ")]),
        ("a bus", "a bus.", [(5, 5, "", ".")]),
        ("a cat sleeps", "an elephant sleeps", [(0, 5, "a cat", "an elephant")]),
        ("", "a cat", [(0, 0, "", "a cat")]),
    ],
)
def test_edits_are_the_smallest(caption: str, text: str, edits: list[tuple[int, int, str, str]]) -> None:
    assert edits_between(caption, text) == tuple(Edit(*edit) for edit in edits)


def _text(key: str, text: str, is_true: bool = False) -> Text:
    return Text(key, "image", "a cat", text, is_true, "rewrite", "some", edits_between("a cat", text), 0.5)


def test_a_part_is_read_as_it_was_written_and_its_counts_add_up(tmp_path: Path) -> None:
    folder = tmp_path / texts_stage("some")
    folder.mkdir(parents=True)
    part = write_texts(folder, 3, 7, [_text("k", "a dog"), _text("k", "a kitten", is_true=True), _text("m", "a dog")])
    assert part.counts == {"pairs": 7, "texts": 3, "true": 1, "with_texts": 2, "kind:rewrite": 3}
    table = read_part(folder, 3)
    assert table.schema.equals(TEXTS)
    assert table["text"].to_pylist() == ["a dog", "a kitten", "a dog"]


def test_a_part_of_another_form_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / texts_stage("some")
    folder.mkdir(parents=True)
    table = read_part(folder, write_texts(folder, 0, 1, [_text("k", "a dog")]).index)
    write_table(folder, "part-00000.parquet", table.set_column(3, "text", [[7]]))
    with pytest.raises(DamagedError, match="cannot be read"):
        read_part(folder, 0)


@pytest.mark.parametrize("name", ["", "../pairs", "a b", ".hidden", "replace_object", "x" * 65])
def test_a_name_that_is_no_folder_or_a_rules_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)
