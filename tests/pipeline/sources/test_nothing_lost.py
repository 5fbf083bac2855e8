"""Made-up tars and folders: every sample is a pair for each of its captions, or refused; other files are noted."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.contract.records import Rejected
from negmine.sources import Noted, Row, open_source
from negmine.stages.pairs.gather import Limits, gather

STEMS = st.text(
    st.characters(codec="utf-8", categories=["L", "N"]) | st.sampled_from("-_ []{}&%'"), min_size=1, max_size=8
)
LINES = st.lists(st.sampled_from(["a dog", "two cats sleep", "ein Hund läuft", "犬が走る", "", "  "]), max_size=4)


@dataclass
class Made:
    """A sample: what lies under one key."""

    stem: str
    images: list[str]
    lines: list[str] | None
    extra: list[str] = field(default_factory=list)
    json: bytes | None = None

    def files(self) -> list[tuple[str, bytes]]:
        found = [(f"{self.stem}.{extension}", b"image of " + self.stem.encode()) for extension in self.images]
        found += [] if self.lines is None else [(f"{self.stem}.txt", "\n".join(self.lines).encode())]
        found += [] if self.json is None else [(f"{self.stem}.json", self.json)]
        return found + [(f"{self.stem}.{name}", b"x") for name in self.extra]

    def captions(self) -> list[str]:
        """What a person would expect; empty where the sample cannot be used."""
        if len(self.images) != 1:
            return []
        spoken = [line.strip() for line in self.lines or [] if line.strip()]
        return spoken or (["of the JSON"] if self.json == b'{"Text": "of the JSON"}' else [])


MADE = st.builds(
    Made,
    STEMS,
    st.sampled_from([["jpg"], ["JPG"], ["png"], ["webp"], ["jpg"], [], ["jpg", "png"]]),
    st.none() | LINES,
    st.lists(st.sampled_from(["mask.png", "blip.txt", "cls", "npy", "depth.JPG"]), max_size=3, unique=True),
    st.sampled_from([None, None, b"{", b'{"caption": null}', b'{"Text": "of the JSON"}', b'"x"', b"\xff"]),
).filter(lambda made: made.images or made.lines is not None)


def kept(path: str) -> tuple[list[Row], Counter[str], int]:
    """Rows, what else was said, and how many samples were refused."""
    found = list(open_source(path).read(path))
    notes = Counter[str]()
    for one in found:
        if isinstance(one, Noted):
            notes[one.what] += one.number
    return [row for row in found if isinstance(row, Row)], notes, sum(isinstance(one, Rejected) for one in found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(MADE, max_size=6, unique_by=lambda made: made.stem), min_size=1, max_size=3))
def test_tars(archives: list[list[Made]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, samples in enumerate(archives):
            with tarfile.open(Path(folder, f"{number}.tar"), "w") as tar:
                for name, content in (file for made in samples for file in made.files()):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        rows, notes, refused = kept(folder)
        made = [(f"{number}.tar", one) for number, samples in enumerate(archives) for one in samples]
        assert refused == sum(not one.captions() for _, one in made)
        assert [(row.source, row.caption) for row in rows] == [(t, c) for t, one in made for c in one.captions()]
        assert notes["extra_member"] == sum("." in name for _, one in made for name in one.extra)
        assert notes["several_captions_of_one_text"] == sum(len(one.captions()) > 1 for _, one in made)
        for row in rows:
            content = Path(folder, row.source).read_bytes()
            stem = (row.image or "").partition("::")[2].rpartition(".")[0]
            assert row.image_offset is not None and row.image_bytes is not None
            assert content[row.image_offset :][: row.image_bytes] == b"image of " + stem.encode()
        record = gather(open_source(folder).read(folder), Path(folder, "gathered"), Limits(200, 10))
        lost = sum(n for name, n in record.counts.items() if name.startswith("rejected:"))
        assert record.counts["rows"] == len(rows) + refused == record.counts["pairs"] + lost
        assert not record.counts.get("rejected:duplicate_key", 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(MADE, max_size=8, unique_by=lambda made: made.stem.casefold()))
def test_folders(samples: list[Made]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (file for made in samples for file in made.files() if file[0].count(".") == 1):
            Path(folder, name).write_bytes(content)
        found = list(open_source(folder, "folder").read(folder))
    expected = Counter((one.stem, caption) for one in samples for caption in one.captions())
    assert Counter(((r.image or "").rpartition(".")[0], r.caption) for r in found if isinstance(r, Row)) == expected
    assert sum(isinstance(one, Rejected) for one in found) == sum(not one.captions() for one in samples)
