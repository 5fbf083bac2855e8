"""What all pages share: texts are escaped, edits are marked, only the page's own script runs."""

from __future__ import annotations

import base64
import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st
from negmine.base.html import before_after, compared, document, edited, inline
from negmine.contract.records import Edit, apply_edits


def marked(caption: str, negative: str) -> tuple[str, str]:
    return before_after(compared(caption, negative))


def test_edits_are_marked() -> None:
    assert marked("a <red> bus.", "a blue bus.") == ("a <del>&lt;red&gt;</del> bus.", "a <ins>blue</ins> bus.")
    assert marked("a bus", "a big bus") == ("a bus", "a <ins>big </ins>bus")


def test_recorded_edits_are_shown_in_their_order() -> None:
    edits = (Edit(20, 23, "cat", "<b>"), Edit(2, 5, "dog", "cat"))
    shown = inline(edited("a dog runs after a  cat", edits), 100)
    assert shown == "a <del>dog</del><ins>cat</ins> runs after a  <del>cat</del><ins>&lt;b&gt;</ins>"


def test_long_stretches_lose_their_middle_and_edits_do_not() -> None:
    caption = f"{'x' * 500} dog {'y' * 500}"
    shown = inline(edited(caption, [Edit(501, 504, "dog", "cat")]), 20)
    assert shown == f"{'x' * 10} … {'x' * 9} <del>dog</del><ins>cat</ins> {'y' * 9} … {'y' * 10}"


@given(st.text(max_size=40), st.text(max_size=40))
def test_segments_hold_both_texts(caption: str, negative: str) -> None:
    segments = compared(caption, negative)
    assert ("".join(old for old, _ in segments), "".join(new for _, new in segments)) == (caption, negative)


@given(st.text(min_size=4, max_size=40), st.text(max_size=5), st.data())
def test_segments_of_edits_hold_both_texts(caption: str, new: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(caption)))
    end = data.draw(st.integers(start, len(caption)))
    edit = Edit(start, end, caption[start:end], new)
    segments = edited(caption, [edit])
    assert "".join(old for old, _ in segments) == caption
    assert "".join(new for _, new in segments) == apply_edits(caption, [edit])


def test_only_the_script_of_the_page_is_allowed() -> None:
    text = document("a <title>", "<p>body</p>", script="const x = '<a>';")
    digest = base64.b64encode(hashlib.sha256(b"const x = '<a>';").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "<title>a &lt;title&gt;</title>" in text
    assert "script" not in document("a", "<p>body</p>")
    assert re.search(r"default-src 'none'", text)
