"""Texts that others offer go through the guards and the choice of the rules' candidates, alone or beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from negmine.base.counts import Counts
from negmine.base.errors import UsageError
from negmine.contract.records import KINDS, Edit, NegativeRow, apply_edits
from negmine.engine.local import LocalEngine
from negmine.language.caption import Caption
from negmine.language.difference import edits_between
from negmine.language.kinds import kind_between
from negmine.stages.audit.read import open_source
from negmine.stages.negatives.guards import case_of, evidence, together
from negmine.stages.negatives.offered import offered_candidates
from negmine.stages.negatives.presets import load_preset
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.settings import FLAG, OFF, REFUSE, ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.texts.settings import ImportSettings
from negmine.stages.texts.stage import import_texts
from negmine.store import Manifest, read_part

MANAGES = [
    ("A dog chases a cat.", "A cat chases a dog.", (), None),
    ("A dog next to a cat.", "A cat next to a dog.", (), "symmetric"),
    ("A dog and a cat on grass.", "A cat and a dog on grass.", (), "coordination"),
    ("A red bus beside a blue car.", "A blue bus beside a red car.", (), None),
    ("A man in a red shirt.", "A man in a crimson shirt.", (), "near_synonym"),
    ("A dog on a bed.", "A puppy on a bed.", (), "near_synonym"),
    ("A dog on a bed.", "A horse on a bed.", (), None),
    ("A dog on a bed.", "A cat on a bed.", ("a cat sleeps",), "in_sibling"),
    ("A dog on a bed.", "A dog on a chair.", ("A dog on a chair",), "sibling_equal"),
    ("A dog on a bed and a cat.", "A cat on a bed and a cat.", (), "in_caption"),
    ("There is no dog on the bed.", "There is no cat on the bed.", (), "in_scope"),
    ("A dog on a bed.", "A dog on a red bed.", ("a red bed",), "in_sibling"),
    ("A dog on a bed.", "An elephant on a bed.", (), None),
    ("A dog on a bed.", "a dog on a bed", (), "unchanged"),
    ("A man sits.", "Nobody has ever seen so much water in one place.", (), None),
    ("Ein Hund liegt auf dem Bett.", "Eine Katze liegt auf dem Bett.", (), "unparsed"),
]


@pytest.mark.parametrize(("caption", "text", "siblings", "reason"), MANAGES)
@pytest.mark.parametrize("guards", [REFUSE, FLAG, OFF])
def test_the_guards_judge_a_text_by_what_its_edit_proposes(
    parsed: Callable[[str], Caption],
    words: Words,
    caption: str,
    text: str,
    siblings: tuple[str, ...],
    reason: str | None,
    guards: str,
) -> None:
    known = together(evidence(parsed(sibling), words) for sibling in siblings)
    edits = [edit._asdict() for edit in edits_between(caption, text)]
    row = {"text": text, "rule": "some", "kind": kind_between(caption, text), "edits": edits}
    counts = Counts()
    found = list(offered_candidates([row], case_of(parsed(caption), known, words), guards, set(), counts))
    kept = reason is None or guards != REFUSE
    assert [(c.negative, c.rule, c.kind) for c in found] == [(text, "some", row["kind"])] * kept
    assert counts["proposed:some"] == 1 == counts["accepted:some"] + counts.total_of("rejected")
    told = {REFUSE: f"rejected:some:{reason}", FLAG: f"flagged:some:{reason}"}.get(guards)
    assert not told or counts[told] == (reason is not None)
    assert guards != OFF or not counts.total_of("flagged")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos, with two texts for each caption that a bag of words tells, and a true one."""
    folder = tmp_path_factory.mktemp("offered")
    lines = (Path(__file__).parents[3] / "data/sample/captions.jsonl").read_text().splitlines()[:200]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    ingest(IngestSettings(str(folder / "pairs.jsonl"), part_size=80), folder / "work", LocalEngine(1))
    captions = [json.loads(line)["caption"] for line in lines]
    rows = [
        {"caption": c, "negative": [f"{c.rstrip('. ')} on the moon", f"Moon: {c}"], "positive": f"A photo: {c}"}
        for c in captions
    ]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_texts(ImportSettings(str(folder / "table.jsonl"), name="moon"), folder / "work", LocalEngine(1))
    return folder / "work"


def made(work: Path, settings: ParseSettings) -> tuple[Manifest, list[NegativeRow]]:
    manifest = parse_pairs(settings, work, LocalEngine(1), overwrite=True)
    rows = [row for part in manifest.parts for row in read_part(work / "negatives", part.index).to_pylist()]
    for row in rows:
        assert apply_edits(row["caption"], [Edit(**edit) for edit in row["edits"]]) == row["negative"]
    counts = manifest.counts
    assert counts.total_of("proposed") == counts.total_of("accepted") + counts.total_of("rejected")
    assert counts["pairs"] == 200 == counts["with_negatives"] + counts.total_of("none")
    assert counts["negatives"] == len(rows) == counts.total_of("kind")
    return manifest, rows


@pytest.mark.parametrize("balanced", [False, True])
def test_texts_are_chosen_from_beside_the_rules_candidates(work: Path, balanced: bool) -> None:
    settings = ParseSettings(
        rules=("replace_object",), texts=("moon",), guards=OFF, balanced=balanced, reader="none" if balanced else None
    )
    _, rows = made(work, settings)
    assert {row["rule"] for row in rows} == {"replace_object", "moon"}
    assert not any(row["negative"].startswith("A photo") for row in rows)


def test_what_a_bag_of_words_would_tell_is_left_out(work: Path) -> None:
    """Every text puts in the same word, which no caption has: all but a few go."""
    preset = load_preset("imported")
    settings = ParseSettings(rules=(), texts=("moon",), guards=OFF, complete=preset.complete, reader="none")
    manifest, rows = made(work, settings)
    assert len(rows) < 40
    assert manifest.counts["none:left_out"] > 150


def test_texts_that_are_not_there_are_named(work: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)no texts 'mon' here.*there are moon"):
        parse_pairs(ParseSettings(texts=("mon",)), work, LocalEngine(1))


def test_texts_are_audited_as_they_came_and_several_side_by_side(work: Path) -> None:
    """A kind is a source where there are several."""
    import_texts(ImportSettings(str(work.parent / "table.jsonl"), name="again"), work, LocalEngine(1))
    source = open_source(work, None, ("moon", "again"))
    rows = list(source.rows())
    assert len(rows) == 200
    for row in rows:
        by_source = [[text for text, kind in row.negatives if kind == name] for name in ("moon", "again")]
        assert by_source[0] == by_source[1] == [f"{row.caption.rstrip('. ')} on the moon", f"Moon: {row.caption}"]
    assert source.skipped == {"offered as true": 400}
    assert {kind for row in open_source(work, None, ("moon",)).rows() for _, kind in row.negatives} <= {*KINDS}
    with pytest.raises(UsageError, match="there are again, moon"):
        open_source(work, None, ("mon",))
