"""Readers, the draw, the report and the page."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.cli.app import app
from negmine.engine.local import LocalEngine
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.floors import SUGARCREPE
from negmine.stages.audit.judges import judge, seated
from negmine.stages.audit.measure import Rate, Report, diversity, lengths, make_report, mix, to_json
from negmine.stages.audit.page import page
from negmine.stages.audit.read import Listed, Source, open_source
from negmine.stages.audit.sample import ALL, draw
from negmine.stages.audit.settings import AuditSettings
from negmine.stages.audit.stage import DATA, PAGE, audit_negatives
from typer.testing import CliRunner

from tests.e2e.harness import hashes, times
from tests.pipeline.conftest import add_negatives
from tests.pipeline.test_shares import write_negatives

NOUNS = ("two cats on a red bench", "two dogs on a red chair", "two cats on a red table", "two dogs on an red umbrella")
NEGATIVES = (
    *NOUNS,
    "two dogs on a blue bench",
    "three dogs on a red bench",
    "two dogs under a red bench",
    "two benches on a red dog",
    "two big dogs on a red bench",
    "two cats on a blue bench",
    "two red dogs on a bench",
)
"""Negatives of one caption; in those of `NOUNS` nouns are replaced and nothing else."""


class Memory:
    """A source out of a list."""

    def __init__(self, rows: list[Listed]) -> None:
        self.name, self.skipped, self._rows = "memory", Counter[str](), rows

    def rows(self):  # type: ignore[no-untyped-def]
        return iter(self._rows)


def audit(source: Source, size: int, *attackers: str) -> Report:
    sample = draw(source, size, 0)
    judges, notes = seated(sample.items, attackers)
    return make_report(source.name, sample, 0, {name: judge(name, sample.items, 0) for name in judges}, notes)


def listed(number: int, negatives: int, kind: str = "k") -> Listed:
    texts = tuple((f"a dog {n} of {number}", kind) for n in range(negatives))
    return Listed(f"key{number}", f"image{number // 5}", f"a cat {number}", texts)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[Listed]:
    return list(open_source(Path("nowhere"), path).rows())


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_work_folder_gives_every_caption_with_its_negatives(small_work: Path) -> None:
    add_negatives(small_work, per_caption=3)
    rows = list(open_source(small_work, None).rows())
    assert len(rows) == 200
    assert all(row.negatives == ((f"no {row.caption}", "negate"),) * 3 for row in rows)


def test_a_work_folder_without_negatives_is_refused(small_work: Path) -> None:
    with pytest.raises(DamagedError):
        open_source(small_work, None)


@pytest.mark.parametrize("column", ["negative", "negative_caption"])
def test_jsonl(tmp_path: Path, column: str) -> None:
    path = write(
        tmp_path / "n.jsonl",
        [
            {"caption": "a cat", column: "a dog", "kind": "replace_object", "image_id": 7, "key": "k1"},
            {"caption": "a cow", column: ["a dog", "a bus"], "caption2": "cattle"},
            {"caption": "a car", column: None},
        ],
    )
    first, second, third = rows_of(path)
    assert first == Listed("k1", "7", "a cat", (("a dog", "replace_object"),))
    assert (second.negatives, second.paraphrase) == ((("a dog", "unnamed"), ("a bus", "unnamed")), "cattle")
    assert third.negatives == ()
    assert len({first.key, second.key, third.key}) == 3


def test_negclips_table(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(
        "\ttitle\tfilepath\tneg_caption\tneg_image\n"
        "0\ta cat's hat\ta.jpg\t[\"a dog's hat\", 'a cow hat']\t['b.jpg']\n"
        "1\ta bus\ta.jpg\t[]\t[]\n"
    )
    first, second = rows_of(path)
    assert (first.caption, first.image_id) == ("a cat's hat", "a.jpg")
    assert [text for text, _ in first.negatives] == ["a dog's hat", "a cow hat"]
    assert second.negatives == () and second.image_id == "a.jpg"


def test_a_folder_of_sugarcrepe_files_names_the_kinds(tmp_path: Path) -> None:
    for kind in ("swap_att", "add_obj"):
        row = {"filename": "1.jpg", "caption": "a cat", "negative_caption": f"a {kind}"}
        (tmp_path / f"{kind}.json").write_text(json.dumps({"0": row}))
    assert [row.negatives for row in rows_of(tmp_path)] == [(("a add_obj", "add_obj"),), (("a swap_att", "swap_att"),)]


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    lines = [
        '{"caption": "a cat", "negative": "a dog"}',
        "not json",
        "[1]",
        '{"negative": "a"}',
        '{"text": "a", "foil": [1]}',
    ]
    path.write_text("\n".join(lines))
    report = audit(open_source(Path(), path), 10)
    assert report.skipped == {"no object": 2, "no caption": 1, "negative is no text": 1}
    assert report.rows == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_quote_in_a_table_joins_no_rows(tmp_path: Path, closed: bool) -> None:
    captions = ["a cat", '"two cats', *["a cat"] * 997, "a cat" + '"' * closed]
    path = tmp_path / "a.tsv"
    lines = [f"{caption}\t{number}.jpg\t['a dog']" for number, caption in enumerate(captions)]
    path.write_text("\n".join(["title\tfilepath\tneg_caption", *lines, "one cell"]))
    source = open_source(Path(), path)
    assert [row.caption for row in source.rows()] == captions
    assert source.skipped == {"no object": 1}


@pytest.mark.parametrize(
    ("field", "text", "reason"),
    [
        ("caption", "_" * 2_001, "longer than 2,000 characters"),
        ("negative", "a cat " * 5_000, "longer than 2,000 characters"),
        ("caption2", "a cat " * 5_000, "longer than 2,000 characters"),
        ("caption", "a \ud800 cat", "not UTF-8"),
        ("negative", "a \udfff cat", "not UTF-8"),
        ("image", "\ud800.jpg", "not UTF-8"),
        ("kind", "\ud800", "not UTF-8"),
    ],
)
def test_what_no_detector_can_read_is_skipped_and_counted(tmp_path: Path, field: str, text: str, reason: str) -> None:
    good = {"caption": "a cat", "negative": "a dog"}
    source = open_source(Path(), write(tmp_path / "a.jsonl", [good, good | {field: text}]))
    assert len(list(source.rows())) == 1
    assert source.skipped == {reason: 1}


def test_useless_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        open_source(Path(), tmp_path / "none.jsonl")
    (tmp_path / "a.txt").write_text("a cat")
    with pytest.raises(UsageError, match="no file of negatives"):
        open_source(Path(), tmp_path / "a.txt")
    with pytest.raises(InputError, match="no row has"):
        rows_of(write(tmp_path / "a.jsonl", [{"text": "", "negative": "a dog"}]))
    with pytest.raises(InputError, match="no negatives"):
        draw(Memory([listed(1, 0)]), 10, 0)


# --- the draw --------------------------------------------------------------------------------------------------------


def test_the_draw_takes_whole_captions_whatever_the_order() -> None:
    rows = [listed(number, 1 + number % 4) for number in range(200)]
    one, other = draw(Memory(rows), 60, 1), draw(Memory(rows[::-1]), 60, 1)
    assert one.items == other.items
    assert 50 < len(one.items) <= 60
    counts = Counter(item.key for item in one.items)
    assert all(n == 1 + int(key.removeprefix("key")) % 4 for key, n in counts.items())
    assert {item.key for item in draw(Memory(rows), 60, 2).items} != set(counts)


def test_a_small_source_is_taken_whole_with_siblings() -> None:
    sample = draw(Memory([listed(number, 1) for number in range(7)]), 1_000, 0)
    assert sorted(item.key for item in sample.items) == [f"key{n}" for n in range(7)]
    siblings = {item.key: set(item.siblings) for item in sample.items}
    assert siblings["key0"] == {f"a cat {n}" for n in (1, 2, 3, 4)}
    assert siblings["key5"] == {"a cat 6"}


def test_coverage_counts_every_caption_and_not_only_the_drawn() -> None:
    rows = [listed(0, 4), listed(1, 2), listed(2, 0), listed(3, 1, "other")]
    coverage = draw(Memory(rows), 1, 0).coverage
    assert coverage[ALL].at_least == {"1": 0.75, "2": 0.5, "4": 0.25}
    assert coverage["other"].at_least == {"1": 0.25, "2": 0, "4": 0}
    assert (coverage[ALL].negatives, coverage["k"].negatives, coverage["k"].captions) == (7, 6, 4)


def test_coverage_by_length_counts_each_caption_once() -> None:
    def row(key: str, words: int, *negatives: str) -> Listed:
        return Listed(key, key, " ".join(["word"] * words), tuple((text, "k") for text in negatives))

    rows = [row("a", 10, "x"), row("b", 11), row("c", 20, "x", "y"), row("c", 20, "z"), row("d", 250)]
    report = audit(Memory(rows), 100)
    assert report.by_length == {"1-10": Rate(1, 1), "11-20": Rate(2, 1), "201-": Rate(1, 0)}
    assert to_json(report)["by_length"]["11-20"] == {"n": 2, "hits": 1, "rate": 0.5}


def test_the_data_says_what_a_hit_means_and_how_often_people_have_one() -> None:
    data = to_json(audit(Memory([listed(0, 1)]), 10))
    assert "negated" in data["still_true"] and "negated" not in data["visible"]
    assert "side" in data["visible"] and "side" not in data["still_true"]
    assert data["floors"]["kind_of"] == pytest.approx(SUGARCREPE["kind_of"] / 100)
    assert "<th>floor</th>" in page(audit(Memory([listed(0, 1)]), 10))


def test_one_caption_over_several_rows_is_one_caption() -> None:
    rows = [Listed("k", "i", "a cat", ((text, "k"),)) for text in ("a dog", "a cow")]
    assert draw(Memory(rows), 10, 0).coverage[ALL].at_least == {"1": 1.0, "2": 1.0, "4": 0.0}


# --- figures ---------------------------------------------------------------------------------------------------------


def test_diversity_and_lengths() -> None:
    pairs = [("a cat", "a dog"), ("the cat", "the dog"), ("a cat", "a cow"), ("a cat", "a very fat cat")]
    items = [Judged("k", "i", caption, negative, "k") for caption, negative in pairs]
    found = diversity(items)
    assert (found.edits, found.top_share) == (3, 1.0)
    assert found.entropy == pytest.approx(1.9219, abs=1e-4)  # dog twice, cow, very, fat: 2/5 and three times 1/5
    assert (lengths(items).mean, lengths(items).differing) == (0.5, 0.25)


def test_effective_edits_count_edits_that_are_as_frequent() -> None:
    even = [Judged("k", "i", f"a cat {n}", f"a dog {n}" if n % 2 else f"a cow {n}", "k") for n in range(10)]
    assert diversity(even).effective_edits == pytest.approx(2)
    assert diversity(even[:1]).effective_edits == 1
    assert diversity([]).effective_edits == 0


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["object", "swap", "count"]), st.sampled_from(NEGATIVES)), max_size=4),
        min_size=1,
        max_size=8,
    ).filter(any)
)
def test_the_mix_is_what_loops_say(captions: list[list[tuple[str, str]]]) -> None:
    caption = "two dogs on a red bench"
    rows = [
        Listed(f"k{n}", f"i{n}", caption, tuple((text, kind) for kind, text in several))
        for n, several in enumerate(captions)
    ]
    found = mix(draw(Memory(rows), 1_000, 0))
    kinds = [kind for several in captions for kind, _ in several]
    shares = [kinds.count(kind) / len(kinds) for kind in set(kinds)]
    most = math.log(len(shares)) if len(shares) > 1 else 1
    assert found.kinds == len(shares)
    assert found.evenness == pytest.approx(-sum(share * math.log(share) for share in shares) / most, abs=1e-9)
    looked_at = [several for several in captions if several]
    assert found.captions == len(looked_at)
    only = sum(all(text in NOUNS for _, text in several) for several in looked_at)
    assert found.nouns_only == pytest.approx(only / len(looked_at))
    assert found.kinds_a_caption == pytest.approx(sum(len({k for k, _ in s}) for s in looked_at) / len(looked_at))


def test_the_mix_is_shown_and_written(tmp_path: Path) -> None:
    report = audit(Memory([listed(n, 3, "ab"[n % 2]) for n in range(4)]), 100)
    assert to_json(report)["mix"] == {
        "kinds": 2,
        "evenness": 1.0,
        "captions": 4,
        "nouns_only": 0.0,
        "kinds_a_caption": 1.0,
    }
    assert "evenness of kinds" in page(report)
    assert "captions whose negatives replace nouns only" in page(report)


def test_paraphrases_are_judged_as_if_they_were_negatives() -> None:
    rows = [
        Listed("1", "1", "a cat and a dog", (("a cat and a cow", "k"),), "a dog and a cat"),
        Listed("2", "2", "a boy runs", (("a girl runs", "k"),), "someone quick in the park"),
    ]
    found = audit(Memory(rows), 10).paraphrases
    assert found is not None
    assert (found.paraphrases.hits, found.paraphrases.n, found.negatives.hits) == (1, 2, 0)


def test_every_figure_rests_on_its_kind_only() -> None:
    rows = [
        Listed("1", "1", "an apple", (("a apple", "bad"), ("a pear", "good"))),
        Listed("2", "2", "a cat", (("an cat", "bad"), ("a bus", "good"))),
    ]
    report = to_json(audit(Memory(rows), 10, "word"))
    rates = {kind: one["defects"]["a_an"] for kind, one in report["kinds"].items()}
    assert rates["bad"] == {"n": 2, "hits": 2, "rate": 1.0}
    assert rates["good"] == {"n": 2, "hits": 0, "rate": 0.0}
    assert rates[ALL] == {"n": 4, "hits": 2, "rate": 0.5}
    assert list(report["kinds"])[-1] == ALL
    assert any("only 2 images" in note for note in report["notes"])


# --- the page --------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_texts_of_strangers_do_no_harm() -> None:
    attack = '<script>alert("x")</script> & <img src=x onerror=y>'
    rows = [Listed("<b>k</b>", "i", f"a cat {attack}", ((f"a dog {attack}", "<script>kind</script>"),))]
    text = page(audit(Memory(rows), 10))
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    assert parser.seen["script"] == parser.seen["img"] == parser.seen["b"] == 0
    assert "&lt;script&gt;" in text and "default-src 'none'" in text
    assert not re.search(r"https?://", text)


def test_the_page_stays_small() -> None:
    words = " ".join(f"word{n}" for n in range(150))
    rows = [Listed(f"k{n}", str(n), words, ((f"an {n} orange {words[::-1]}", f"kind{n % 40}"),)) for n in range(80)]
    assert len(page(audit(Memory(rows), 80)).encode()) < 800_000


# --- the command -----------------------------------------------------------------------------------------------------

SETTINGS = partial(AuditSettings, sample=30, attackers="")


def test_the_command_writes_page_and_data(small_work: Path) -> None:
    add_negatives(small_work)
    shown = CliRunner().invoke(
        app, ["audit", "--work", str(small_work), "--attackers", "word", "--json", "--sample", "150"]
    )
    assert shown.exit_code == 0, shown.output
    printed = json.loads(shown.stdout)
    assert printed == json.loads((small_work / "audit" / DATA).read_text())
    whole = printed["kinds"]["negate"]
    assert (whole["captions"], whole["negatives"], whole["sampled"]) == (200, 400, 150)
    assert whole["covered"] == {"at_least_1": 1.0, "at_least_2": 1.0, "at_least_4": 0.0}
    assert whole["defects"]["repeated"]["rate"] == 0.5
    assert whole["lengths"]["mean"] == 1.0
    assert (small_work / "audit" / PAGE).read_text().startswith("<!doctype html>")


def test_one_worker_and_two_give_the_same_bytes(tmp_path: Path) -> None:
    negatives = write_negatives(tmp_path / "negatives.jsonl")
    for name, workers in (("one", 1), ("two", 2)):
        report = audit_negatives(
            AuditSettings(tmp_path, negatives=negatives), tmp_path / name / "audit", LocalEngine(workers)
        )
        assert report.kinds[ALL].blind["word"].accuracy > 0.9
        assert report.kinds[ALL].defects["a_an"].rate == 1
    assert hashes(tmp_path / "one" / "audit") == hashes(tmp_path / "two" / "audit")


def test_an_audit_resumes_with_what_is_missing(small_work: Path, tmp_path: Path) -> None:
    add_negatives(small_work)
    audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    before, written = hashes(tmp_path / "a"), times(tmp_path / "a")
    for name in ("part-00001.json", PAGE):
        (tmp_path / "a" / name).unlink()
    shown = audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    assert hashes(tmp_path / "a") == before
    assert {n for n, t in times(tmp_path / "a").items() if t != written[n]} == {
        "part-00001.json",
        DATA,
        PAGE,
        "manifest.json",
    }
    again = audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    assert to_json(again) == to_json(shown) == json.loads((tmp_path / "a" / DATA).read_text())


def test_another_audit_in_its_place_must_be_asked_for(small_work: Path, tmp_path: Path) -> None:
    add_negatives(small_work)
    audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    other = replace(SETTINGS(small_work), sample=20)
    with pytest.raises(DamagedError, match="other settings") as caught:
        audit_negatives(other, tmp_path / "a", LocalEngine(1))
    assert "settings.sample: 30 -> 20" in str(caught.value.why)
    audit_negatives(other, tmp_path / "a", LocalEngine(1), overwrite=True)
    assert json.loads((tmp_path / "a" / DATA).read_text())["kinds"][ALL]["sampled"] == 20


def test_a_damaged_part_is_named(small_work: Path, tmp_path: Path) -> None:
    add_negatives(small_work)
    audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    part = tmp_path / "a" / "part-00000.json"
    part.write_text("x" * part.stat().st_size)
    with pytest.raises(DamagedError, match="cannot be read") as caught:
        audit_negatives(SETTINGS(small_work), tmp_path / "a", LocalEngine(1))
    assert caught.value.where == str(part)


def test_an_unknown_attacker_is_refused(small_work: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown attacker 'psychic'"):
        audit_negatives(AuditSettings(small_work, attackers="word,psychic"), tmp_path, LocalEngine(1))
