"""Figures as text: the same image, and an edit that shows as what it is."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from negmine.engine.local import LocalEngine
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import raster
from negmine.stages.figures.export import texts_of, to_matplotlib, to_svg, write_code
from negmine.stages.figures.group import make_group
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from PIL import Image, ImageFilter


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_the_script_draws_the_same_image(name: str, tmp_path: Path) -> None:
    """Blurred, because the two draw edges and letters with other fractions of a pixel."""
    for index in range(2):
        member = make_group(DOMAINS[name], GroupSettings(name, level=5, negatives=1, size=128), index).members[0]
        script = to_matplotlib(member.drawing, member.setting.style)
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
        theirs = Image.open(tmp_path / "figure.png").convert("RGB").filter(ImageFilter.GaussianBlur(2))
        ours = raster(member.drawing, member.setting.style, 128).convert("RGB").filter(ImageFilter.GaussianBlur(2))
        gap = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))
        assert theirs.size == (128, 128)
        assert gap.mean() < 4
        assert (gap > 80).mean() < 0.01


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_svg_has_an_element_a_mark(name: str) -> None:
    for index in range(10):
        for member in make_group(DOMAINS[name], GroupSettings(name, level=5, negatives=3, size=64), index).members:
            document = ET.fromstring(to_svg(member.drawing, member.setting.style))
            assert len(document) == 1 + len(member.drawing.marks)
            letters = [node.text for node in document if node.tag.endswith("text")]
            assert letters == [mark.text for mark in member.drawing.marks if hasattr(mark, "text")]


def test_an_edit_of_a_mark_is_a_line_of_the_script() -> None:
    """Dashed for solid, one number for another: one line differs, in the program as in the script."""
    seen = 0
    for index in range(40):
        base, *others = make_group(
            DOMAINS["geometry"], GroupSettings("geometry", level=5, negatives=7, size=64), index
        ).members
        before = to_matplotlib(base.drawing, base.setting.style).splitlines()
        for other in others:
            if other.edit is not None and other.edit.type in ("look", "length_value", "shade"):
                after = to_matplotlib(other.drawing, other.setting.style).splitlines()
                changed = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
                if other.edit.type == "shade":  # its area comes or goes
                    assert len(set(before) ^ set(after)) == 1
                elif len(before) == len(after) and "text" not in changed[0][0][:12]:
                    assert len(changed) == 1
                seen += 1
    assert seen > 10


def test_code_is_written_from_the_records_alone(tmp_path: Path) -> None:
    settings = RenderSettings(GroupSettings("geometry", level=3, negatives=2, size=64), count=6, part_size=4)
    render(settings, tmp_path / "work", LocalEngine(1))
    written = write_code(tmp_path / "work" / "figures", tmp_path / "code", 5)
    files = sorted(path.name for path in (tmp_path / "code").iterdir())
    assert len(files) == 3 * written
    assert len({name.partition(".")[0] for name in files}) == 5
    member = make_group(DOMAINS["geometry"], settings.groups, 0)
    text = (tmp_path / "code" / f"{member.key}.0.svg").read_text()
    assert text == to_svg(member.members[0].drawing, member.members[0].setting.style)


def test_records_bring_their_style() -> None:
    import json
    from dataclasses import asdict

    from negmine.stages.figures.group import member_record

    member = make_group(DOMAINS["scenes"], GroupSettings("scenes", level=4, negatives=1, size=64), 3).members[0]
    record = {"domain": "scenes", "style": json.dumps(asdict(member.setting.style))}
    assert texts_of(record, member_record(member))["svg"] == to_svg(member.drawing, member.setting.style)
